module axiom.dev/e2e/agents/hostile

go 1.26.0
