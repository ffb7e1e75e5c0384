"""The only way out of a sandbox: swaps an attempt's token for the real key of its class's credential.

`tokens`, `routing`, `headers` and `redacting` decide and do no I/O; `proxy` carries the bytes; `directory` says what
the proxy has to know about the outside, and `watching` learns it from Kubernetes.
"""
