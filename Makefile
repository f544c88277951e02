# dockreg: build, test, show. "make help" lists the targets.

VERSION ?= $(shell git describe --tags 2>/dev/null || echo 0.1.0-dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
IMAGE   ?= dockreg
BIN     := $(CURDIR)/.cache/bin
DIST    := $(CURDIR)/dist

# Static, stripped, and the same from the same source: no paths, no build id, no
# time of day.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	-ldflags "-s -w -buildid= -X main.version=$(VERSION) -X main.commit=$(COMMIT)"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build dist/dockreg-linux-amd64 and -arm64
	@echo "building dockreg $(VERSION) for amd64 and arm64 ..."
	@GOOS=linux GOARCH=amd64 $(BUILD) -o $(DIST)/dockreg-linux-amd64 .
	@GOOS=linux GOARCH=arm64 $(BUILD) -o $(DIST)/dockreg-linux-arm64 .

.PHONY: test
test: lint unit e2e ## run every check and test

# Compiled first, and one package after the other: a compiler beside them would
# take the time that the probes' deadlines are about.
.PHONY: unit
unit: tools ## run the unit tests alone
	@echo "compiling the unit tests ..."
	@go test -race -run '^$$' ./... >/dev/null
	go test -race -shuffle=on -p 1 -parallel 8 ./...

# What a target finds it writes into a testdata folder, to be committed with the
# mend: from then on make unit tries it, too.
.PHONY: fuzz
fuzz: ## fuzz what reads foreign text; FUZZTIME=20s for each target
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "fuzzing $$package $$target ..."; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),20s) $$package || exit; \
		done; \
	done

# e2e itself says in one line what it leaves out where there is no Docker engine,
# and fails instead with CI=true. Tests with containers run as many at a time as there
# are processors; those that mostly wait for what an etcd does, all at once. What they
# build is compiled before: a compiler beside them would take their time.
WAITING := ^Test(P3Two|P3Resumed|P5|P6|Soak)
.PHONY: e2e
e2e: tools build ## run the tests across real Docker, etcd and supervisord
	@if docker version >/dev/null 2>&1; then $(MAKE) --no-print-directory apps proxies; fi
	@echo "compiling the end-to-end tests, the first time in a few minutes ..."
	@cd e2e && go build -o $(BIN)/ ./etcd ./fleet ./soak
	cd e2e && DOCKREG_IMAGE=$(IMAGE) DOCKREG_APPS_IMAGE=$(IMAGE)-apps go test -race -count=1 -timeout 15m -skip '$(WAITING)' .
	cd e2e && go test -race -count=1 -timeout 15m -parallel 16 -run '$(WAITING)' .

.PHONY: lint
lint: $(BIN)/golangci-lint ## run vet and the linters
	go vet ./... && cd e2e && go vet ./...
	$(BIN)/golangci-lint run ./...
	cd e2e && $(BIN)/golangci-lint run ./...

# Built anew only when its pinned version changes.
$(BIN)/golangci-lint: e2e/go.mod
	@echo "building golangci-lint, in a minute or two ..."
	cd e2e && go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

# What the tests run beside: Debian's own etcd, the oldest in the wild, what makes and
# cuts networks, and images for containers.
.PHONY: tools
tools:
	@for tool in etcd:etcd-server etcdctl:etcd-client ip:iproute2 iptables:iptables; do \
		command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; \
	done; \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		{ echo "installing$$missing ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
	@if docker version >/dev/null 2>&1; then e2e/images/base.sh; fi

.PHONY: image
image: ## build the image with supervisord, the sample app and dockreg
	@e2e/images/base.sh
	@echo "building the image $(IMAGE) ..."
	@docker build --quiet --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) . >/dev/null

# With apps of other kinds, for tests, and the shell loop that bench compares with.
.PHONY: apps
apps: image
	@echo "building the image $(IMAGE)-apps ..."
	@docker build --quiet --tag $(IMAGE)-apps --build-arg IMAGE=$(IMAGE) e2e/images/apps >/dev/null

.PHONY: proxies
proxies: ## build dockreg-haproxy and dockreg-nginx, which follow the keys
	@e2e/images/base.sh
	@echo "building the images dockreg-haproxy and dockreg-nginx, the first time in a few minutes ..."
	@for proxy in haproxy nginx; do \
		docker build --quiet --tag dockreg-$$proxy --file vagrant/$$proxy/Dockerfile vagrant >/dev/null || exit; \
	done

.PHONY: demo
demo: build ## show the main job, live, in a minute; KEEP=1 leaves it running
	@if docker version >/dev/null 2>&1; then $(MAKE) --no-print-directory image; fi
	@cd e2e && go run ./demo -image $(IMAGE) -binaries $(DIST) $(if $(KEEP),-keep)

# What the hosts run, for hosts that reach no image registry.
vagrant/images.tar: image proxies
	@echo "saving the images for the hosts ..."
	@docker build --quiet --tag dockreg-vagrant-etcd vagrant/etcd >/dev/null
	@docker save --output $@ $(IMAGE) dockreg-haproxy dockreg-vagrant-etcd
	@docker rmi dockreg-vagrant-etcd >/dev/null

.PHONY: vagrant-demo
vagrant-demo: build vagrant/images.tar ## walk the walk of vagrant/README.md over two hosts, live, in some minutes
	@command -v vagrant >/dev/null || \
		{ echo "installing Vagrant ..."; apt-get update -qq && apt-get install -y -qq --no-install-recommends vagrant vagrant-libvirt >/dev/null; }
	@trap 'rm -f $(CURDIR)/vagrant/images.tar' EXIT; \
		cd e2e && DOCKREG_VAGRANT=1 go test -v -count=1 -timeout 30m -run Vagrant .

.PHONY: soak
soak: tools ## let everything fail for 10 minutes, and judge; DURATION=3m SEED=1 ETCD=/usr/bin/etcd
	@echo "building the soak ..."
	@cd e2e && go build -o $(BIN)/ ./soak $(if $(ETCD),,./etcd)
	@$(BIN)/soak -etcd $(or $(ETCD),$(BIN)/etcd) -duration $(or $(DURATION),10m) -seed $(or $(SEED),0)

.PHONY: bench
bench: apps ## measure dockreg beside a shell loop, into docs/benchmark.md; N=15 STOPS=15
	@mkdir -p docs
	@cd e2e && go run ./bench -image $(IMAGE)-apps -version "$(VERSION) ($(COMMIT))" \
		-n $(or $(N),15) -stops $(or $(STOPS),15) -o ../docs/benchmark.md

.PHONY: clean
clean: ## remove what the other targets made here
	rm -rf $(DIST) .cache
