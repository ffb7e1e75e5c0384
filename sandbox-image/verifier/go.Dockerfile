# A clean room for tests in Go (`runner: GoTest`): the default one, with Go, and the standard library as the runner builds it, so
# that not every run does. Modules that tests need are vendored in the base, or lie in /go/pkg/mod here. Context: the repository's root.
ARG VERIFIER=axiom-verifier
FROM ${VERIFIER}
USER 0:0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends golang-go \
 && rm -rf /var/lib/apt/lists/*
RUN mkdir /tmp/seed && cd /tmp/seed \
 && printf 'module seed\n\ngo 1.21\n' > go.mod \
 && printf 'package seed\n\nimport (\n\t_ "net/http"\n\t_ "os/exec"\n\t_ "testing"\n)\n' > seed_test.go \
 && for cover in -v "-covermode=set -coverpkg=./..."; do \
      GOCACHE=/usr/local/share/go-build CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false \
      go test -c -vet=off $cover -o /dev/null . || exit 1; done \
 && chmod -R a+rX /usr/local/share/go-build && rm -rf /tmp/seed
USER 1000:1000
