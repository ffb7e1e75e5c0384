package main

// A 32-bit call needs a 32-bit program on arm64: the filter's check of the
// architecture is the same code, and there is nothing to try it with.
var (
	foreignStages []string
	foreignChecks []check
)

func callForeign(string) {}
