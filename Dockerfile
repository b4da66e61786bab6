# syntax=docker/dockerfile:1
#
#   docker build -t keypool .
#   docker run -d -p 5000:5000 -e PLACEHOLDER_TOKEN=… -v ./key.txt:/app/key.txt:ro -v keypool:/data keypool
#
# The image contains only one static binary. key.txt must be readable by user 65532: use chmod 644, or
# `--user "$(id -u)"` with a folder of your own as /data.

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
      org.opencontainers.image.description="A gateway that combines many LLM API keys into one that does not run out of quota" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /image/keypool /usr/local/bin/keypool
COPY --from=build --chown=65532:65532 /image/empty /app
# A new volume gets the owner of this folder.
COPY --from=build --chown=65532:65532 /image/empty /data
# /tmp has its mode from the build stage, because buildah's --chmod changes the files in a folder but not the folder.
COPY --from=build /image/root /
ENV LISTEN_HOST=0.0.0.0 \
    KEYPOOL_DB=/data/keypool.db
WORKDIR /app
USER 65532:65532
VOLUME ["/data"]
# The image has no shell, so probe /healthz and /readyz from outside.
EXPOSE 5000
ENTRYPOINT ["keypool"]
CMD ["serve"]
