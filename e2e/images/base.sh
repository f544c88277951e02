#!/bin/sh
# Makes sure that the Dockerfile's two base images are there. Where they are not,
# and no registry can be reached, it makes them from Debian's packages and this
# machine's Go.
set -eu

runtime=debian:bookworm-slim
build=golang:1.26-bookworm

have() { docker image inspect "$1" >/dev/null 2>&1; }

pull() {
	echo "pulling $1 ..."
	timeout 120 docker pull --quiet "$1" >/dev/null 2>&1 || echo "no registry has $1 for us"
}

for image in $runtime $build; do # side by side: a registry that does not answer takes its time
	have $image || pull $image &
done
wait
have $runtime && have $build && exit 0

if ! command -v debootstrap >/dev/null; then
	echo "installing debootstrap ..."
	apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# With what the Dockerfile installs, so that its own step has nothing to fetch.
sh "$(dirname "$0")/../progress" "making a Debian from its 130 packages, in a minute or two" \
	debootstrap --variant=minbase --include=supervisor,nodejs,ca-certificates bookworm "$root"
rm -rf "$root"/var/cache/apt/archives/*.deb

if ! have $runtime; then
	echo "importing $runtime ..."
	tar -C "$root" -c . | docker import - $runtime >/dev/null
fi
if ! have $build; then
	echo "importing $build ..."
	mkdir -p "$root/usr/local"
	cp -a "$(go env GOROOT)" "$root/usr/local/go"
	# Modules are fetched over TLS, through whatever this machine trusts.
	if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
		cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
	fi
	tar -C "$root" -c . | docker import \
		--change 'ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		--change "ENV GOPROXY=$(go env GOPROXY)" - $build >/dev/null
fi
