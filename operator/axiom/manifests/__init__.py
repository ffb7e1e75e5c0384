"""The objects that the operator creates, as pure functions: one module for each kind."""
