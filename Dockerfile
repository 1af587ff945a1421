# syntax=docker/dockerfile:1
# The operator: one static binary on a file system with nothing else but certificates, as a user without a name.
#
#   docker build --build-arg VERSION=v0.1.0 --tag registry.example/memorybudget:v0.1.0 .
ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
ARG TARGETOS TARGETARCH
ARG VERSION=dev
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY main.go ./
COPY api/ api/
COPY controllers/ controllers/
COPY internal/ internal/
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /memorybudget .

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="memorybudget" \
      org.opencontainers.image.description="One memory ceiling over the web, worker and ML Deployments of a Python application." \
      org.opencontainers.image.source="https://github.com/memorybudget/memorybudget" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# By which brokers with TLS are recognised.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /memorybudget /memorybudget
USER 65532:65532
ENTRYPOINT ["/memorybudget"]
