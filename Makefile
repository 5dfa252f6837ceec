# Requires Go, GNU make, gcc (for the race detector) and git; everything else is built from Go modules. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Built tools and API servers are cached outside the checkout, in folders named by version.
CACHE       := $(or $(UPSTREAMD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/upstreamd)
tool         = $(CACHE)/$(1)-$(shell awk '$$1 == "$(2)" { print $$2 }' tools/go.mod)
LINTER       = $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2)
VULNCHECK    = $(call tool,govulncheck,golang.org/x/vuln)
SBOM         = $(call tool,cyclonedx-gomod,github.com/CycloneDX/cyclonedx-gomod)

MODULES     := . sandbox bench
ALL_MODULES := . sandbox sandbox/servers bench tools
COVERAGE    := bin/coverage
HELPERS     := internal/(memapi|kube/kubetest|sim|growth|importtest)
LEAST       := 80
DEMO_FOR    ?=
BENCH       ?= .
SEEDS       ?= 200
CHURN       ?= 1000000
FUZZTIME    ?= 30s
FUZZ        ?=
FROM        ?= 1

##@ Use

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## "; print "make TARGET" } \
		/^##@ / { print "\n" substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## Build bin/upstreamd
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -o bin/upstreamd ./cmd/upstreamd

.PHONY: demo
demo: build ## Run the sandbox, the daemon and a load in one terminal, until Ctrl-C or for DEMO_FOR=30s
	@assets=$$(go -C sandbox run ./cmd/sandbox-binaries); export KUBEBUILDER_ASSETS="$$assets"; \
	go -C sandbox build -o ../bin/upstreamd-demo ./cmd/upstreamd-demo; \
	exec bin/upstreamd-demo --daemon bin/upstreamd $(if $(DEMO_FOR),--for $(DEMO_FOR))

##@ Test

.PHONY: test
test: ## Run all tests under the race detector, on real API servers too, and check the coverage (at least 80 %)
	@assets=$$(go -C sandbox run ./cmd/sandbox-binaries); export KUBEBUILDER_ASSETS="$$assets"; \
	tested() { sed -E '/^warning: no packages being tested depend/d; s/[[:space:]]+coverage: .*//' ; }; \
	rm -rf $(COVERAGE); mkdir -p $(COVERAGE)/unit $(COVERAGE)/integration; \
	product=$$(go list ./... | grep -Ev '/$(HELPERS)(/|$$)' | paste -sd,); \
	echo "== unit and actor tests"; \
	go test -race -timeout 20m -cover -coverpkg="$$product" ./... -args -test.gocoverdir="$$PWD/$(COVERAGE)/unit" 2>&1 | tested; \
	echo "== simulation"; \
	$(MAKE) sim; \
	echo "== integration tests on real API servers"; \
	go -C sandbox test -race -p 1 -timeout 45m -cover -coverpkg="$$product" ./... -args -test.gocoverdir="$$PWD/$(COVERAGE)/integration" 2>&1 | tested; \
	echo "== bench tests"; \
	go -C bench test -race ./...
	@$(MAKE) coverage

.PHONY: sim
sim: ## Simulate the whole system in virtual time under random faults: SEEDS=1000 starting at FROM=1, or SEED=42 with its trace
	go test -v -count=1 -timeout 60m ./internal/sim $(if $(SEED),-run 'TestSeed$$' -args -sim.seed=$(SEED) $(if $(LOG),-sim.log),-run TestSeeds -args -sim.seeds=$(SEEDS) -sim.from=$(FROM))

.PHONY: churn
churn: ## CHURN=1000000 objects and 1.2 times as many Namespaces come, are published and go: the heap stays (2 to 6 minutes)
	go test -count=1 -v -timeout 30m ./supervisor -run 'TestChurn$$' -args -churn=$(CHURN)

.PHONY: mutate
mutate: ## Apply each mutation of the product and check that a test fails (MUTATIONS="part of a name" selects)
	go run ./internal/sim/cmd/mutate $(if $(MUTATIONS),"$(MUTATIONS)")

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME=60s (FUZZ=Decode selects by name); failing inputs are kept in testdata/fuzz
	@tools/fuzz.sh $(FUZZTIME) "$(FUZZ)" $(MODULES)

.PHONY: coverage
coverage: ## Print the coverage of the last test run, by package and in total
	@go tool covdata percent -i=$(COVERAGE)/unit,$(COVERAGE)/integration
	@go tool covdata textfmt -i=$(COVERAGE)/unit,$(COVERAGE)/integration -o=$(COVERAGE)/merged.out
	@go tool cover -func=$(COVERAGE)/merged.out | awk -v least=$(LEAST) \
		'$$1 == "total:" { total = $$3; sub("%", "", total) } \
		END { printf "total coverage: %s %% of statements (minimum: %s %%)\n", total, least; exit !(total + 0 >= least) }'

.PHONY: test-kcp
test-kcp: ## Run the kcp tests on a real kcp (KCP_BINARY=/path/to/kcp), and the same steps on the in-memory server
	@assets=$$(go -C sandbox run ./cmd/sandbox-binaries); export KUBEBUILDER_ASSETS="$$assets"; \
	go -C sandbox test -race -count 1 -v -timeout 30m -run 'KCP|APIExport' ./kcp ./integration

.PHONY: race
race: ## Run unit and actor tests under the race detector, without API servers
	go test -race ./...

.PHONY: bench-go
bench-go: ## Run the Go benchmarks of the hot path (BENCH=regexp selects), then compare CPU time ×1 against ×10
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...
	@$(MAKE) growth

.PHONY: growth
growth: ## CPU time of the same work among ten times as many things, and the longest Step, in 3 minutes (GROWTH="part of a name" picks)
	go run ./internal/growth/cmd/growth $(if $(GROWTH),"$(GROWTH)")

##@ Measure

.PHONY: bench
bench: bin/upstreamd-bench ## Run the short set, under 10 minutes: table, JSON and plots in bench/results (ROUNDS=4 for bench-compare)
	@$(WITH_SERVERS) cd bench && exec ../bin/upstreamd-bench run --short $(BENCH_FLAGS)

.PHONY: bench-full
bench-full: bin/upstreamd-bench ## Run all scenarios, 40 minutes (ONLY=engine-in,noisy selects; UPSTREAM=kubeconfig measures an API server of yours)
	@$(WITH_SERVERS) cd bench && exec ../bin/upstreamd-bench run $(BENCH_FLAGS)

.PHONY: bench-compare
bench-compare: bin/upstreamd-bench ## Compare two results: A=bench/results/….json B=…
	@bin/upstreamd-bench compare "$(A)" "$(B)"

.PHONY: profile
profile: bin/upstreamd-bench ## Write CPU and heap profiles of the engine under load to bin/profiles
	@cd bench; for s in engine-in engine-equal-work start-100k; do \
		../bin/upstreamd-bench attempt scenarios/*-$$s.yaml upstreamd --servers memory --profiles ../bin/profiles > /dev/null; \
		for kind in cpu heap; do echo "== $$s, $$kind"; go tool pprof -top -cum -nodecount 40 ../bin/upstreamd-bench ../bin/profiles/$$s.$$kind.pprof 2>/dev/null; done; \
	done; echo "more: go tool pprof -http=: bin/upstreamd-bench bin/profiles/…"

WITH_SERVERS = assets=$$(go -C sandbox run ./cmd/sandbox-binaries); export KUBEBUILDER_ASSETS="$$assets";
BENCH_FLAGS  = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY)) $(if $(SUBJECTS),--subjects $(SUBJECTS)) $(if $(UPSTREAM),--kubeconfig $(abspath $(UPSTREAM)))

.PHONY: bin/upstreamd-bench
bin/upstreamd-bench:
	@mkdir -p bin
	@go -C bench build -trimpath -o ../bin/upstreamd-bench ./cmd/upstreamd-bench

##@ Check

.PHONY: verify
verify: verify-fmt verify-tidy verify-vet verify-prose lint verify-imports ## Run all checks of CI except the tests

.PHONY: verify-fmt
verify-fmt: ## Check the formatting of Go sources
	@unformatted=$$(gofmt -s -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [[ -n $$unformatted ]]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi

.PHONY: verify-tidy
verify-tidy: ## Check that go.mod and go.sum are tidy in each module
	@for m in $(ALL_MODULES); do echo "go mod tidy -diff ($$m)"; go -C $$m mod tidy -diff; done

.PHONY: verify-vet
verify-vet: ## Run go vet in each module
	@for m in $(MODULES); do echo "go vet ($$m)"; go -C $$m vet ./...; done

.PHONY: verify-prose
verify-prose: ## Check the language of comments and docs; tools/prose.sh -l lists the lines
	@tools/prose.sh

.PHONY: verify-imports
verify-imports: ## Check the import rules between packages
	go test ./internal/importtest

.PHONY: lint
lint: $(LINTER) ## Run golangci-lint in each module
	@for m in $(MODULES); do echo "golangci-lint ($$m)"; (cd $$m && $(LINTER) run --config $(CURDIR)/.golangci.yml ./...); done

$(LINTER):
	@echo "building golangci-lint (2 to 5 minutes): $@"
	@mkdir -p $(CACHE)
	@go -C tools build -o $@.$$$$ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && mv $@.$$$$ $@

.PHONY: vulncheck
vulncheck: $(VULNCHECK) ## Report known vulnerabilities that the code reaches; needs the vulnerability database (GOVULNDB=url for a mirror)
	@tools/vulncheck.sh $(VULNCHECK) $(MODULES)

$(VULNCHECK):
	@mkdir -p $(CACHE)
	@go -C tools build -o $@.$$$$ golang.org/x/vuln/cmd/govulncheck && mv $@.$$$$ $@

.PHONY: sbom
sbom: build $(SBOM) ## Write bin/sbom.json (CycloneDX) for bin/upstreamd and compare it with the modules in the binary
	@tools/sbom.sh $(SBOM) bin/upstreamd bin/sbom.json

$(SBOM):
	@mkdir -p $(CACHE)
	@go -C tools build -o $@.$$$$ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod && mv $@.$$$$ $@

.PHONY: sizes
sizes: ## Lines of code between a copy's status and its patch; fails above their bounds
	@tools/sizes.sh

.PHONY: fmt
fmt: ## Format Go sources
	gofmt -s -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: tidy
tidy: ## Run go mod tidy in each module
	@for m in $(ALL_MODULES); do go -C $$m mod tidy; done

.PHONY: clean
clean: ## Remove bin/
	rm -rf bin
