# syntax=docker/dockerfile:1
#
#   docker build -t keypool .
#   docker run -d -p 5000:5000 -e PLACEHOLDER_TOKEN=… -v ./key.txt:/app/key.txt:ro -v keypool:/data keypool
#
# The image holds one static binary and nothing else. key.txt must be readable for user 65532 (chmod 644, or
# `--user "$(id -u)"` with a folder of yours as /data).

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    scripts/static >/tmp/built \
    && install -D "$(cat /tmp/built)" /image/keypool \
    && mkdir /image/empty \
    && install -d -m 1777 /image/root/tmp

FROM scratch
LABEL org.opencontainers.image.title="keypool" \
      org.opencontainers.image.description="A gateway that makes many LLM API keys look like one that never runs dry" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image/keypool /usr/local/bin/keypool
COPY --from=build --chown=65532:65532 /image/empty /app
# a volume that is made for it belongs to the same user
COPY --from=build --chown=65532:65532 /image/empty /data
# not by --chmod, which buildah applies to what is in a folder and not to the folder
COPY --from=build /image/root /
ENV LISTEN_HOST=0.0.0.0 \
    KEYPOOL_DB=/data/keypool.db
WORKDIR /app
USER 65532:65532
VOLUME ["/data"]
# /healthz and /readyz are for the probes of whoever runs it: there is no shell in the image.
EXPOSE 5000
ENTRYPOINT ["keypool"]
CMD ["serve"]
