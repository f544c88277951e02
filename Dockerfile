# An image with supervisord, a sample app and dockreg beside it. For an app of
# your own, take the two COPY lines for dockreg and the entry in
# supervisord/supervisord.conf.
FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0
COPY go.mod go.sum ./
# The big dependencies, in a layer that lasts until their versions change.
RUN go build -trimpath -tags urfave_cli_no_docs github.com/docker/docker/client github.com/hashicorp/go-retryablehttp \
    github.com/urfave/cli/v2 go.etcd.io/etcd/client/v3
COPY . .
ARG VERSION=1.0.0-dev
ARG COMMIT=unknown
RUN go build -trimpath -tags urfave_cli_no_docs -buildvcs=false \
    -ldflags "-s -w -buildid= -X main.version=$VERSION -X main.commit=$COMMIT" \
    -o /dockreg .

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates nodejs supervisor \
 && rm -rf /var/lib/apt/lists/*
COPY supervisord/app.js /srv/app.js
COPY supervisord/supervisord.conf /etc/supervisord.conf
COPY --from=build /dockreg /usr/bin/dockreg
# supervisord does not start with an entry whose variables are unset, and takes the app down
# with it. Empty, they are for dockreg to complain of.
ENV ETCD="" IP=""
ARG VERSION=1.0.0-dev
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="dockreg" \
      org.opencontainers.image.description="A sample app under supervisord, registered in etcd while it answers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
EXPOSE 8000
# Healthy is who is registered.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/dockreg", "status"]
ENTRYPOINT ["/usr/bin/supervisord", "-c", "/etc/supervisord.conf"]
