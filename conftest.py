"""Stands at the root so that pytest puts the repository on the import path: tests and e2e share what is in tests."""
