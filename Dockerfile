FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No production dependency has an install script. What only editors, debuggers and bundlers read goes,
# and with it the extensions of PGlite, of which sql/ uses none; licences stay.
RUN npm ci --omit=dev --ignore-scripts \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \
    -o -iname '*.md' ! -iname '*licen[cs]e*' ! -iname '*notice*' \) -delete \
  && find node_modules/@electric-sql/pglite/dist -type f -name '*.tar.gz' -delete

FROM node:24-slim
ENV NODE_ENV=production \
  DATA_DIR=/data \
  INTERNAL_HOST=0.0.0.0 \
  PUBLIC_HOST=0.0.0.0
# Memory (bench/README.md): garbage is collected while it is little. CACHE_ACCOUNTS beyond 65,000 wants a larger heap.
ENV NODE_OPTIONS="--max-old-space-size=512 --max-semi-space-size=8" \
  NODE_COMPILE_CACHE=/app/.compile-cache
# The spool, embedded storage and its operator key: a new volume takes owner and mode from here.
RUN install --directory --owner=node --group=node --mode=0700 /data
WORKDIR /app
# From the rarest change to the most frequent one; root owns the code, the process cannot change it.
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY sql ./sql
COPY src ./src
# Compiled once, by the user and with the options that will read it: a start takes less time and memory.
RUN install --directory --owner=node --group=node .compile-cache \
  && setpriv --reuid=node --regid=node --clear-groups node src/main.ts --help >/dev/null \
  && chown --recursive root:root .compile-cache && chmod --recursive a+rX .compile-cache
# docker compose exec broker amo-broker …
RUN ln -s /app/src/cli/main.ts /usr/local/bin/amo-broker
VOLUME /data
EXPOSE 3000 3001
# The user "node" by number: Kubernetes' runAsNonRoot compares numbers.
USER 1000:1000
# Liveness alone: PostgreSQL being down is no reason to restart a broker that still serves held tokens.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PUBLIC_PORT || 3001) + '/health/live').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Without npm in between, so that SIGTERM reaches the broker.
CMD ["node", "src/main.ts"]
LABEL org.opencontainers.image.title="amo-token-broker" \
  org.opencontainers.image.description="Keeps the OAuth tokens of many amoCRM and Kommo accounts alive and hands out the one that is valid now" \
  org.opencontainers.image.base.name="docker.io/library/node:24-slim"
# docker build --build-arg REVISION="$(git rev-parse HEAD)" says which sources these are.
ARG REVISION=unknown
LABEL org.opencontainers.image.revision="$REVISION"
