# syntax=docker/dockerfile:1
# The image of operator, worker and kubectl-driftline: programs, their libraries and certificates, without a shell. What is in it is laid
# out by container/rootfs.sh. Build it for the machine that it runs on: each platform of a release is built on a machine of its own.
ARG DEBIAN=trixie

# helm and kustomize in the versions of e2e/tools/go.mod, with the checksums of its go.sum.
FROM golang:1.26-${DEBIAN} AS tools
WORKDIR /source
COPY e2e/tools e2e/tools
COPY container/tools.sh container/
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build container/tools.sh /tools

FROM rust:1.95-${DEBIAN} AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked -p driftline -p kubectl-driftline \
    && mkdir /programs && cp target/release/driftline target/release/kubectl-driftline /programs/

# The libraries come from the distribution that the programs were built on.
FROM build AS layout
ARG SOURCE_DATE_EPOCH=0
COPY --from=tools /tools /tools
RUN SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} container/rootfs.sh /programs /tools /rootfs

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="driftline" \
    org.opencontainers.image.description="Compares what Git declares with what runs in the cluster, continuously, and reports what differs." \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}"
COPY --from=layout /rootfs/ /
ENV PATH=/usr/bin
USER 65532:65532
ENTRYPOINT ["/usr/bin/driftline"]
