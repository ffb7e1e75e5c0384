"""Tests of the hermetic cluster itself."""
