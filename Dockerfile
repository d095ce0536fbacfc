FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Optional are only the embedded Postgres and a Node of npm's; the image has its own Node, and needs DATABASE_URL.
RUN npm ci --omit=dev --omit=optional

FROM node:24-slim AS pages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# What builds the pages has its binaries among the optional packages.
RUN npm ci --ignore-scripts
COPY src ./src
COPY web ./web
RUN npm run build

FROM node:24-slim
ENV NODE_ENV=production
# Reachable from outside the container, and so refused by the server for as long as no JWT_SECRET is set.
ENV HOST=0.0.0.0
# As `npm start` has it, with the option below.
ENV MALLOC_ARENA_MAX=2
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
COPY plugins ./plugins
COPY routes ./routes
COPY db ./db
COPY --from=pages /app/web/dist ./web/dist
USER node
# What Node compiles is part of the image, so that no container has to do it when it starts.
ENV NODE_COMPILE_CACHE=/home/node/.cache/minutebook
RUN ["node", "--max-semi-space-size=4", "src/compile.ts"]
EXPOSE 3000
STOPSIGNAL SIGTERM
# Live, not ready: a restart does not bring back a database. Load balancers ask /health/ready. With TLS_CERT the
# certificate is not looked at: it names no loopback address.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "const { PORT = 3000, TLS_CERT } = process.env; process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch(`http${TLS_CERT ? 's' : ''}://127.0.0.1:${PORT || 3000}/health/live`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-semi-space-size=4", "src/server.ts"]
