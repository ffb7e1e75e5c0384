# A clean room for tests in JavaScript (`runner: NodeTest`): the default one, with Node.js. Packages that tests need lie in the
# base's node_modules, or in /node_modules here. Context: the repository's root.
ARG VERIFIER=axiom-verifier
FROM ${VERIFIER}
USER 0:0
RUN apt-get update \
 && apt-get install --yes --no-install-recommends nodejs \
 && rm -rf /var/lib/apt/lists/*
USER 1000:1000
