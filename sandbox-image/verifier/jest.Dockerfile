# A clean room for tests that Jest runs (`runner: Jest`), where the base does not bring its own: the one with Node.js, and Jest in
# the versions of jest/package-lock.json. A base's node_modules come first. Context: the repository's root.
ARG VERIFIER=axiom-verifier-node
FROM ${VERIFIER}
USER 0:0
COPY sandbox-image/verifier/jest/package.json sandbox-image/verifier/jest/package-lock.json /usr/local/share/
RUN apt-get update \
 && apt-get install --yes --no-install-recommends npm \
 && cd /usr/local/share && npm ci --no-audit --no-fund --ignore-scripts \
 && apt-get purge --yes --auto-remove npm && rm -rf /var/lib/apt/lists/* /root/.npm
USER 1000:1000
