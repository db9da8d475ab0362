# What there is to do here; `make demo` and `make test` need nothing prepared.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO      ?= go
# The macOS tray needs cgo; elsewhere the program is better off without.
CGO      = $(if $(filter darwin,$(shell $(GO) env GOOS)),1,0)
BINARY   = langkeep$(shell $(GO) env GOEXE)
WINRES   = github.com/tc-hib/go-winres@v0.3.3
# beeep without D-Bus of its own, which would ask the notification daemon that has just failed.
TAGS     = nodbus

.PHONY: build resources dist app demo bench check test soak clean

build: $(if $(filter windows,$(shell $(GO) env GOOS)),resources) ## the program, for this system
	CGO_ENABLED=$(CGO) $(GO) build -tags $(TAGS) -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BINARY) ./cmd/langkeep

resources: ## icon, manifest and version of langkeep.exe, which go build then takes up
	GOOS= GOARCH= $(GO) run $(WINRES) make --in assets/windows/winres.json --out cmd/langkeep/rsrc \
		--arch amd64,arm64 --product-version '$(VERSION)' --file-version '$(VERSION)'

dist: ## packages, archives and checksums in dist, the same bytes each time; make dist VERSION=1.2.3
	VERSION='$(VERSION)' .ci/dist

app: ## the macOS program with its tray, in dist; needs a Mac
	assets/packaging/macos/app '$(VERSION)'

demo: build ## the agent against a stand-in server; make demo ARGS='--for 30s'
	./$(BINARY) demo $(ARGS)

bench: build ## how fast and how small, beside what else there is; make bench ARGS='-idle 10m'
	.ci/setup bench
	$(GO) build -o .cache/bench ./cmd/bench
	.cache/bench $(ARGS)

check: ## format, vet, staticcheck, modules, quick tests
	.ci/check

test: ## all that this system can run, with its own set-up
	.ci/test

test-%: ## one part of that: .ci/test lists them
	.ci/test $*

soak: ## 500 sessions for half an hour, or LANGKEEP_SOAK_TIME; no part of make test
	.ci/test soak

clean: ## what was built; .cache, with the real Langflow in it, stays
	rm -rf $(BINARY) dist cmd/langkeep/*.syso
