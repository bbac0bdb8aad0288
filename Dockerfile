FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --locked --release --bin marketplace

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/marketplace marketplace \
    && install -d -o marketplace /var/lib/marketplace/uploads
COPY --from=build /build/target/release/marketplace /usr/local/bin/marketplace
USER 10001
WORKDIR /var/lib/marketplace
# Published on another machine's address: name that in ALLOWED_HOSTS.
ENV BIND=0.0.0.0:8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s CMD ["marketplace", "healthcheck"]
ENTRYPOINT ["marketplace"]
CMD ["serve"]
