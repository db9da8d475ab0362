# What there is to do here; `make demo` and `make test` need nothing prepared.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GO      ?= go
# The macOS tray needs cgo; elsewhere the program is better off without.
CGO      = $(if $(filter darwin,$(shell $(GO) env GOOS)),1,0)
BINARY   = langkeep$(shell $(GO) env GOEXE)

.PHONY: build demo check test test-core test-fuzz test-cross test-keychain test-langflow test-session test-tools test-desktop test-page test-api test-versions soak clean

build: ## the program, for this system
	CGO_ENABLED=$(CGO) $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BINARY) ./cmd/langkeep

demo: build ## the agent against a stand-in server; make demo ARGS='--for 30s'
	./$(BINARY) demo $(ARGS)

check: ## format, vet, staticcheck, modules, quick tests
	.ci/check

test: ## all that this system can run, with its own set-up
	.ci/test

test-core: ## the quick tests, with the race detector
	.ci/test core

test-fuzz: ## every fuzz target, for a few seconds
	.ci/test fuzz

test-cross: ## the other systems: vet and build
	.ci/test cross

test-keychain: ## on a real Secret Service
	.ci/test keychain

test-langflow: ## on a real Langflow
	.ci/test langflow

test-session: ## what Langkeep promises, on all the real parts
	.ci/test session

test-tools: ## exec, proxy and MCP with programs made elsewhere
	.ci/test tools

test-desktop: ## tray, notifications, start at login and doctor, on a real panel
	.ci/test desktop

test-page: ## the control page in a real Chromium
	.ci/test page

test-api: ## the local API and /metrics, with schemathesis and promtool
	.ci/test api

test-versions: ## on older Langflows
	.ci/test versions

soak: ## 500 sessions for half an hour, or LANGKEEP_SOAK_TIME; no part of make test
	.ci/test soak

clean: ## what was built; .cache, with the real Langflow in it, stays
	rm -rf $(BINARY) dist
