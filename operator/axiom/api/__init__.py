"""The API axiom.dev/v1alpha1: the one source of crds/, of the reference, and of every check on what people write."""
