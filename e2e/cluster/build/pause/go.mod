module axiom.dev/e2e/cluster/build/pause

go 1.26.0
