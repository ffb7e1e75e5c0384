# A clean room for tests that Jest runs (`runner: Jest`), where the base does not bring its own: the one with Node.js, and Jest in
# the versions of jest/package-lock.json, where its runner looks for packages. A base's node_modules come first. Context: the
# repository's root.
ARG DEBIAN=debian:trixie-slim
ARG VERIFIER=axiom-verifier-node
FROM ${DEBIAN} AS package
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates npm
WORKDIR /package
COPY sandbox-image/verifier/jest/package.json sandbox-image/verifier/jest/package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts

FROM ${VERIFIER}
COPY --from=package /package/node_modules /usr/local/share/node_modules
