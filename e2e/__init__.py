"""End-to-end tests of Axiom: the product as a user runs it, against a real Kubernetes."""
