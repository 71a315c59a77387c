# The image that both stages are built on. Pin its digest where images are built for others:
#   docker build --build-arg NODE_IMAGE=node:24-slim@sha256:…
# `docker buildx imagetools inspect node:24-slim` shows it. A digest that is written here would keep
# the base from getting security fixes unless somebody moves it.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# npm checks each package against its hash in the lock file, and no package has an install script that
# could fetch more. Node.js comes with the base image, so the packages that bring it are left out. Files that only editors, debuggers and bundlers
# read are removed, and the extensions of PGlite, because sql/ uses none. Licences stay.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \
    -o -iname '*.md' ! -iname '*licen[cs]e*' ! -iname '*notice*' \) -delete \
  && find node_modules/@electric-sql/pglite/dist -type f -name '*.tar.gz' -delete
# The software bill of materials: every package of the image that comes from npm.
RUN npm pkg delete devDependencies overrides && npm sbom --sbom-format=cyclonedx > sbom.cdx.json

FROM ${NODE_IMAGE}
ENV NODE_ENV=production \
  DATA_DIR=/data \
  INTERNAL_HOST=0.0.0.0 \
  PUBLIC_HOST=0.0.0.0
# Memory (bench/README.md): a small young generation keeps collections short. CACHE_ACCOUNTS above
# 65,000 needs a larger heap.
ENV NODE_OPTIONS="--max-old-space-size=512 --max-semi-space-size=8" \
  NODE_COMPILE_CACHE=/app/.compile-cache
# The spool, embedded storage and its operator key. A new volume takes owner and mode from here.
RUN install --directory --owner=node --group=node --mode=0700 /data
WORKDIR /app
# Copied from the rarest change to the most frequent one. Root owns the code, so the process cannot
# change it.
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=dependencies /app/sbom.cdx.json ./
COPY package.json ./
COPY sql ./sql
COPY src ./src
# Compiled once, by the same user and with the same options as at run time, so that a start takes
# less time and memory.
RUN install --directory --owner=node --group=node .compile-cache \
  && setpriv --reuid=node --regid=node --clear-groups node src/main.ts --help >/dev/null \
  && setpriv --reuid=node --regid=node --clear-groups node --eval "import('./src/db/redis.ts')" \
  && setpriv --reuid=node --regid=node --clear-groups node src/cli/main.ts --help >/dev/null \
  && chown --recursive root:root .compile-cache && chmod --recursive a+rX .compile-cache
# docker compose exec broker amo-broker …
RUN ln -s /app/src/cli/main.ts /usr/local/bin/amo-broker
VOLUME /data
EXPOSE 3000 3001
# The user "node" by number: Kubernetes' runAsNonRoot compares numbers.
USER 1000:1000
# Liveness only: a broker that still serves cached tokens is not restarted when PostgreSQL is down.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PUBLIC_PORT || 3001) + '/health/live').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Not through npm, so that SIGTERM reaches the broker.
CMD ["node", "src/main.ts"]
LABEL org.opencontainers.image.title="amo-token-broker" \
  org.opencontainers.image.description="Keeps the OAuth tokens of many amoCRM and Kommo accounts alive and hands out the one that is valid now" \
  org.opencontainers.image.base.name="docker.io/library/node:24-slim"
# docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg VERSION=0.1.0: which sources
# these are.
ARG REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.revision="$REVISION" \
  org.opencontainers.image.version="$VERSION"
