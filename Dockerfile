# The agent's image: one static program and the certificate authorities it trusts. No shell, no package manager.
#   docker buildx build --platform linux/amd64,linux/arm64 .
# Its papers (SBOM and provenance), as files beside it and not in it; image/papers says what the arguments are:
#   docker buildx build --target papers --output FOLDER --build-arg BUILDER_ID=… --build-arg SOURCE_COMMIT=… .
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
ARG TARGETARCH
# hadolint ignore=DL3008,SC2086
RUN set -eu; \
    case "$TARGETARCH" in \
        amd64) packages="gcc libc6-dev" ;; \
        arm64) packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;; \
        *) echo "there is no image for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    apt-get update -q; \
    apt-get install -y -q --no-install-recommends ca-certificates libcap2-bin python3 $packages; \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN image/build "$TARGETARCH" /image

FROM build AS written
ARG TARGETARCH
ARG BUILDER_ID
ARG SOURCE_COMMIT
ARG SOURCE_DATE_EPOCH
RUN image/papers "$TARGETARCH" /image /papers

FROM scratch AS papers
COPY --from=written /papers /

# Last, so that it is what a build without a target makes.
FROM scratch
COPY --from=build /image /
# Nobody in particular: the capabilities that the agent needs are permitted by its file, where the container grants them.
USER 65532:65532
ENTRYPOINT ["/eks-pod-identity-agent"]
CMD ["server"]
