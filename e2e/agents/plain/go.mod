module axiom.dev/e2e/agents/plain

go 1.26.0
