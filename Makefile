# dockreg: build, test, show. "make help" lists the targets.

VERSION ?= $(shell git describe --tags 2>/dev/null || echo 1.0.0-dev)
# Of a fixed length: git's own choice grows with the clone, and is in the binary.
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
IMAGE   ?= dockreg
ARCHS   ?= amd64 arm64
BIN     := $(CURDIR)/.cache/bin
DIST    := $(CURDIR)/dist

# Static, stripped, and the same from the same source: no paths, no build id, no
# time of day.
BUILD := env CGO_ENABLED=0 go build -buildvcs=false -v \
	-ldflags "-s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT)"

# All that is compiled is compiled this way, so that no target compiles again what
# another one has.
export CGO_ENABLED := 0
# The tag leaves out man pages, which the library can write and nobody asks for.
export GOFLAGS := -trimpath -tags=urfave_cli_no_docs

# DOCKREG_LONG=1 selects the long forms of tests, which test-all runs: the tests read it,
# too. With it they run under the race detector, which takes cgo, and a second compile of
# everything.
GO     := $(if $(DOCKREG_LONG),env CGO_ENABLED=1 )go
RACE   := $(if $(DOCKREG_LONG),-race)
GOTEST := $(GO) test $(RACE)

# Says what a long step does, and how far it is.
STEP := @sh $(CURDIR)/e2e/progress

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(addprefix build-,$(ARCHS)) ## build dist/dockreg-linux-amd64 and -arm64

.PHONY: build-amd64 build-arm64 build-armv7 build-riscv64
build-amd64 build-arm64 build-armv7 build-riscv64: build-%:
	$(STEP) "building dockreg $(VERSION) for $*, the first time in a minute" \
		env GOOS=linux GOARCH=$(*:armv7=arm) GOARM=7 $(BUILD) -o $(DIST)/dockreg-linux-$* .

# A time that the source has: the same source then gives the same release. Without git it is
# as good as any.
RELEASE_ARCHS ?= amd64 arm64 armv7 riscv64
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1767225600)
.PHONY: release
release: $(addprefix build-,$(sort $(RELEASE_ARCHS) $(shell go env GOARCH))) release-tools ## make packages, archives, images and their checksums, into dist/
	$(STEP) "packing dockreg $(VERSION) for $(RELEASE_ARCHS)" \
		$(BIN)/release -source $(CURDIR) -built $(DIST) -o $(DIST) -version "$(VERSION)" -commit "$(COMMIT)" \
		-url "$(URL)" -archs "$(RELEASE_ARCHS)" -sbom $(BIN)/cyclonedx-gomod

.PHONY: release-tools
release-tools:
	$(STEP) "compiling what packs a release, the first time in a minute" \
		go build -C release -v -o $(BIN)/ . github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

.PHONY: readme
readme: build-$(shell go env GOARCH) release-tools ## write the flags into README.md's table
	$(BIN)/release -built $(DIST) -readme README.md

# What installs and downloads runs beside what compiles. No compiler runs beside a test.
.PHONY: test
test: ## run every test, in some ten minutes the first time
	@echo "unit tests, then end-to-end tests: some ten minutes on two processors the first time"
	@$(MAKE) --no-print-directory -j 3 $(if $(DOCKREG_LONG),lint) images consumers
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory e2e

.PHONY: test-all
test-all: export DOCKREG_LONG := 1
test-all: test ## make lint, and make test in its long form: outages, loads, searches, the race detector

# Packages whose tests mostly wait run side by side. Those that measure a probe's time
# run alone.
TIMED := /probe(/|$$)
.PHONY: unit
unit: base ## run the unit tests alone
	$(STEP) "compiling the unit tests, the first time in a minute or two" \
		sh -c '$(GO) build $(RACE) -v ./... && $(GOTEST) -count=1 -run "^$$" ./...'
	@echo "running the unit tests, in a minute or two ..."
	$(GOTEST) -shuffle=on -p 4 -parallel 8 $$(go list ./... | grep -vE '$(TIMED)')
	$(GOTEST) -shuffle=on -p 1 -parallel 8 $$(go list ./... | grep -E '$(TIMED)')
	$(STEP) "testing what packs a release, the first time in a minute" sh -c 'go build -C release -v -o /dev/null ./... && $(GO) test -C release $(RACE) -shuffle=on ./...'

# What a target finds it writes into a testdata folder, to be committed with the
# fix: from then on make unit tries it, too.
.PHONY: fuzz
fuzz: ## fuzz what reads foreign text; FUZZTIME=20s for each target
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "fuzzing $$package $$target ..."; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),20s) $$package || exit; \
		done; \
	done

# e2e itself says in one line what it leaves out where there is no Docker engine,
# and fails instead with CI=true. Of tests with containers, which wait more than they
# compute, some run at a time; those that wait for what an etcd does, all at once. Those
# that count requests run beside nothing else: an app that is starved of a processor fails
# its probe, and then there is nobody to ask.
WAITING  := ^Test(P3Two|P3Resumed|P5|P6|Soak|ConsumersOutlive)
COUNTING := ^Test(ProxiesFollow|P2StopsFail|ConsumersFollow|ComposeScales)
E2E := cd e2e && DOCKREG_IMAGE=$(IMAGE) DOCKREG_APPS_IMAGE=$(IMAGE)-apps DOCKREG_SCRATCH_IMAGE=$(IMAGE)-scratch DOCKREG_PACKAGES_IMAGE=$(IMAGE)-packages DOCKREG_COMMANDS=$(BIN) \
	$(BIN)/e2e.test -test.v -test.timeout 40m
.PHONY: e2e
e2e: images consumers build-$(shell go env GOARCH) ## run the tests across real Docker, etcd and supervisord
	$(STEP) "compiling the etcd to test with, the first time in a minute" go build -C e2e -v -o $(BIN)/ ./etcd ./fleet ./soak
	$(STEP) "compiling the gRPC client of the examples" go build -v -o $(BIN)/ ./examples/grpc-go
	$(STEP) "testing the soak's judge" go test -C e2e -count=1 ./soak
	$(STEP) "compiling the end-to-end tests" sh -c 'cd e2e && $(GOTEST) -c -o $(BIN)/e2e.test .'
	$(STEP) "testing with containers, in two or three minutes" sh -c '$(E2E) -test.skip "$(WAITING)|$(COUNTING)" -test.parallel 6'
	$(STEP) "testing under load, in a minute or two" sh -c '$(E2E) -test.run "$(COUNTING)" -test.parallel 1'
	$(STEP) "testing what waits, in a minute or two" sh -c '$(E2E) -test.run "$(WAITING)" -test.parallel 16'

.PHONY: lint
lint: $(BIN)/golangci-lint ## run the linters, vet's checks among them
	$(STEP) "compiling what is to be checked, the first time in a minute" sh -c 'go build -v ./... && go build -C e2e -v ./... && go build -C release -v -o /dev/null ./...'
	$(if $(DOCKREG_LONG),go vet ./... && go vet -C e2e ./... && go vet -C release ./...)
	@echo "checking the code, the first time in a minute or two ..."
	$(BIN)/golangci-lint run ./...
	cd e2e && $(BIN)/golangci-lint run ./...
	cd release && $(BIN)/golangci-lint run ./...

# Built anew only when its pinned version changes.
$(BIN)/golangci-lint: e2e/go.mod
	$(STEP) "building golangci-lint, in two or three minutes" go build -C e2e -v -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

# What the tests run beside: Debian's own etcd, the oldest in the wild, its docker-compose,
# and what makes and cuts networks.
.PHONY: tools
tools:
	@for tool in etcd:etcd-server etcdctl:etcd-client ip:iproute2 iptables:iptables docker-compose:docker-compose promtool:prometheus chromium:chromium; do \
		command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; \
	done; \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		{ echo "installing$$missing ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

# The Dockerfiles' base images. After tools: a machine has one apt-get at a time.
.PHONY: base
base: tools
	@if docker version >/dev/null 2>&1; then e2e/images/base.sh; fi

# What the tests run. The image is built as the README does it, and so once for both.
.PHONY: images
images: base
	@if docker version >/dev/null 2>&1; then $(MAKE) --no-print-directory apps scratch proxies packages IMAGE_ARGS=; fi

IMAGE_ARGS ?= --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT)
.PHONY: image
image: base ## build the image with supervisord, the sample app and dockreg
	$(STEP) "building the image $(IMAGE), the first time in a minute" \
		docker build --tag $(IMAGE) $(IMAGE_ARGS) .

# With apps of other kinds, for tests, and the shell loop that bench compares with.
.PHONY: apps
apps: image
	$(STEP) "building the image $(IMAGE)-apps" docker build --tag $(IMAGE)-apps --build-arg IMAGE=$(IMAGE) e2e/images/apps

# The least image that there can be: a static app, and dockreg.
.PHONY: scratch
scratch: image
	$(STEP) "building the image $(IMAGE)-scratch" sh -c 'go build -C e2e -o $(BIN)/ ./images/scratch && \
		tar -C $(BIN) -c scratch -C $(CURDIR)/e2e/images/scratch Dockerfile | docker build --tag $(IMAGE)-scratch --build-arg IMAGE=$(IMAGE) -'

.PHONY: packages
packages: base
	$(STEP) "building the image $(IMAGE)-packages, the first time in a minute" docker build --tag $(IMAGE)-packages e2e/images/packages

.PHONY: proxies
proxies: base ## build dockreg-haproxy and dockreg-nginx, which follow the keys
	$(STEP) "building the image dockreg-haproxy, the first time in a minute" \
		docker build --tag dockreg-haproxy --file vagrant/haproxy/Dockerfile vagrant
	$(STEP) "building the image dockreg-nginx" docker build --tag dockreg-nginx --file vagrant/nginx/Dockerfile vagrant

# Consumers that the tests run, of which Debian has no package.
.PHONY: consumers
consumers: base
	$(STEP) "building CoreDNS, the first time in half a minute" go build -C e2e/coredns -v -o $(BIN)/coredns .
	$(STEP) "building Traefik's etcd provider, the first time in half a minute" go build -C e2e/traefik -v -o $(BIN)/traefik .
	@if docker version >/dev/null 2>&1; then $(MAKE) --no-print-directory consumer-images; fi

.PHONY: consumer-images
consumer-images:
	$(STEP) "building the image dockreg-coredns" \
		sh -c 'tar -C $(BIN) -c coredns -C $(CURDIR)/e2e/coredns Dockerfile | docker build --tag dockreg-coredns -'
	$(STEP) "building the image dockreg-etcd, the first time in half a minute" \
		docker build --tag dockreg-etcd vagrant/etcd

.PHONY: screenshots
screenshots: tools build-$(shell go env GOARCH) ## make docs/web.png, a picture of dockreg web
	$(STEP) "compiling what makes the pictures" go build -C e2e -v -o $(BIN)/ ./screenshots
	$(BIN)/screenshots -dockreg $(DIST)/dockreg-linux-$(shell go env GOARCH) -o docs

.PHONY: demo
demo: demo-build ## show the main job, live, on this machine alone; KEEP=1 leaves it running
	@$(BIN)/demo -dockreg $(BIN)/dockreg $(if $(KEEP),-keep)
	@echo "make demo-containers shows the same in containers, with a Docker engine."

.PHONY: demo-containers
demo-containers: image demo-build ## show it in two containers; KEEP=1 leaves them running
	@$(BIN)/demo -image $(IMAGE) $(if $(KEEP),-keep)

# For this machine alone, and in the same way, so that what both need is compiled once.
.PHONY: demo-build
demo-build:
	$(STEP) "building dockreg, the first time in a minute" $(BUILD) -o $(BIN)/dockreg .
	$(STEP) "building an etcd to show it with, the first time in a minute" go build -C e2e -v -o $(BIN)/ ./demo

# What the hosts run, for hosts that reach no image registry.
vagrant/images.tar: image proxies
	@echo "saving the images for the hosts ..."
	@docker build --quiet --tag dockreg-vagrant-etcd vagrant/etcd >/dev/null
	@docker save --output $@ $(IMAGE) dockreg-haproxy dockreg-vagrant-etcd
	@docker rmi dockreg-vagrant-etcd >/dev/null

.PHONY: vagrant-demo
vagrant-demo: build-$(shell go env GOARCH) vagrant/images.tar ## walk the walk of vagrant/README.md over two hosts, live, in some minutes
	@command -v vagrant >/dev/null || \
		{ echo "installing Vagrant ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends vagrant vagrant-libvirt >/dev/null; }
	@trap 'rm -f $(CURDIR)/vagrant/images.tar' EXIT; \
		cd e2e && DOCKREG_VAGRANT=1 go test -v -count=1 -timeout 30m -run Vagrant .

.PHONY: soak
soak: tools ## let everything fail for 10 minutes, and judge; DURATION=3m SEED=1 ETCD=/usr/bin/etcd
	$(STEP) "building the soak, the first time in a minute" go build -C e2e -v -o $(BIN)/ ./soak $(if $(ETCD),,./etcd)
	@$(BIN)/soak -etcd $(or $(ETCD),$(BIN)/etcd) -duration $(or $(DURATION),10m) -seed $(or $(SEED),0)

.PHONY: bench
bench: apps ## measure dockreg beside a shell loop, into docs/benchmark.md; N=15 STOPS=15 IDLE=1m; 0 leaves a part out
	@mkdir -p docs
	@cd e2e && go run ./bench -image $(IMAGE)-apps -version "$(VERSION) ($(COMMIT))" \
		-n $(or $(N),15) -stops $(or $(STOPS),15) -idle $(or $(IDLE),1m) -o ../docs/benchmark.md

.PHONY: clean
clean: ## remove what the other targets made here
	rm -rf $(DIST) .cache
