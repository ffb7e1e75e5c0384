"""A stream of bytes from a terminal: recorded, made readable, and typed into."""
