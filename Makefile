# Needs Go, GNU make, gcc (for the race detector) and git; everything else is built from Go modules. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Built tools and servers are kept outside the checkout, in folders named by their versions.
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
demo: build ## Sandbox, daemon and load in one terminal; ends with Ctrl-C, or after DEMO_FOR=30s
	@assets=$$(go -C sandbox run ./cmd/sandbox-binaries); export KUBEBUILDER_ASSETS="$$assets"; \
	go -C sandbox build -o ../bin/upstreamd-demo ./cmd/upstreamd-demo; \
	exec bin/upstreamd-demo --daemon bin/upstreamd $(if $(DEMO_FOR),--for $(DEMO_FOR))

##@ Test

.PHONY: test
test: ## All tests under the race detector, real API servers included, and the coverage of both (least 80 %)
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
	echo "== tests of the bench"; \
	go -C bench test -race ./...
	@$(MAKE) coverage

.PHONY: sim
sim: ## The whole system in virtual time under random faults: SEEDS=1000 of them from FROM=1 on, or SEED=42 with its trace
	go test -v -count=1 -timeout 60m ./internal/sim $(if $(SEED),-run 'TestSeed$$' -args -sim.seed=$(SEED) $(if $(LOG),-sim.log),-run TestSeeds -args -sim.seeds=$(SEEDS) -sim.from=$(FROM))

.PHONY: mutate
mutate: ## Break the product on purpose, one promise at a time, and see that a test notices (MUTATIONS="part of a name" picks)
	go run ./internal/sim/cmd/mutate $(if $(MUTATIONS),"$(MUTATIONS)")

.PHONY: fuzz
fuzz: ## Every fuzz target in turn, FUZZTIME=60s each (FUZZ=Decode picks some by name); what fails is kept in testdata/fuzz
	@tools/fuzz.sh $(FUZZTIME) "$(FUZZ)" $(MODULES)

.PHONY: coverage
coverage: ## The coverage that the last test left: by package, and in all
	@go tool covdata percent -i=$(COVERAGE)/unit,$(COVERAGE)/integration
	@go tool covdata textfmt -i=$(COVERAGE)/unit,$(COVERAGE)/integration -o=$(COVERAGE)/merged.out
	@go tool cover -func=$(COVERAGE)/merged.out | awk -v least=$(LEAST) \
		'$$1 == "total:" { total = $$3; sub("%", "", total) } \
		END { printf "total coverage: %s %% of statements (least: %s %%)\n", total, least; exit !(total + 0 >= least) }'

.PHONY: test-kcp
test-kcp: ## What needs a real kcp, if KCP_BINARY=/path/to/kcp names one, and the same steps in memory
	@assets=$$(go -C sandbox run ./cmd/sandbox-binaries); export KUBEBUILDER_ASSETS="$$assets"; \
	go -C sandbox test -race -count 1 -v -timeout 30m -run 'KCP|APIExport' ./kcp ./integration

.PHONY: race
race: ## Unit and actor tests under the race detector, no API servers
	go test -race ./...

.PHONY: bench-go
bench-go: ## Go benchmarks of the packages on the hot path (BENCH=regexp picks some), then CPU time ×1 against ×10
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...
	@$(MAKE) growth

.PHONY: growth
growth: ## CPU time of the same work among ten times as many things; fails above the bounds (GROWTH="part of a name" picks)
	go run ./internal/growth/cmd/growth $(if $(GROWTH),"$(GROWTH)")

##@ Measure

.PHONY: bench
bench: bin/upstreamd-bench ## The short set, under 10 minutes: table, JSON and plots in bench/results (ROUNDS=4 for bench-compare)
	@$(WITH_SERVERS) cd bench && exec ../bin/upstreamd-bench run --short $(BENCH_FLAGS)

.PHONY: bench-full
bench-full: bin/upstreamd-bench ## All scenarios, 40 minutes (ONLY=engine-in,noisy picks some; UPSTREAM=kubeconfig adds one of yours)
	@$(WITH_SERVERS) cd bench && exec ../bin/upstreamd-bench run $(BENCH_FLAGS)

.PHONY: bench-compare
bench-compare: bin/upstreamd-bench ## Two results side by side: A=bench/results/….json B=…
	@bin/upstreamd-bench compare "$(A)" "$(B)"

.PHONY: profile
profile: bin/upstreamd-bench ## CPU and heap profiles of the engine under load, in bin/profiles
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

##@ Keep in order

.PHONY: verify
verify: verify-fmt verify-tidy verify-vet lint verify-imports ## All checks that CI makes beside the tests

.PHONY: verify-fmt
verify-fmt: ## Are the sources formatted?
	@unformatted=$$(gofmt -s -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [[ -n $$unformatted ]]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi

.PHONY: verify-tidy
verify-tidy: ## Do the module files say what is used?
	@for m in $(ALL_MODULES); do echo "go mod tidy -diff ($$m)"; go -C $$m mod tidy -diff; done

.PHONY: verify-vet
verify-vet: ## go vet, in each module
	@for m in $(MODULES); do echo "go vet ($$m)"; go -C $$m vet ./...; done

.PHONY: verify-imports
verify-imports: ## Do the packages import each other in the agreed directions only?
	go test ./internal/importtest

.PHONY: lint
lint: $(LINTER) ## golangci-lint, in each module
	@for m in $(MODULES); do echo "golangci-lint ($$m)"; (cd $$m && $(LINTER) run --config $(CURDIR)/.golangci.yml ./...); done

$(LINTER):
	@echo "building golangci-lint, which takes 2 to 5 minutes the first time: $@"
	@mkdir -p $(CACHE)
	@go -C tools build -o $@.$$$$ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && mv $@.$$$$ $@

.PHONY: vulncheck
vulncheck: $(VULNCHECK) ## Known vulnerabilities that the code reaches; needs the vulnerability database (GOVULNDB=url for a mirror), and says if it can't be reached
	@tools/vulncheck.sh $(VULNCHECK) $(MODULES)

$(VULNCHECK):
	@mkdir -p $(CACHE)
	@go -C tools build -o $@.$$$$ golang.org/x/vuln/cmd/govulncheck && mv $@.$$$$ $@

.PHONY: sbom
sbom: build $(SBOM) ## bin/sbom.json: what bin/upstreamd is made of, as CycloneDX, compared with what the binary says
	@tools/sbom.sh $(SBOM) bin/upstreamd bin/sbom.json

$(SBOM):
	@mkdir -p $(CACHE)
	@go -C tools build -o $@.$$$$ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod && mv $@.$$$$ $@

.PHONY: fmt
fmt: ## Format the sources
	gofmt -s -w $$(git ls-files --cached --others --exclude-standard '*.go')

.PHONY: tidy
tidy: ## Bring the module files up to date
	@for m in $(ALL_MODULES); do go -C $$m mod tidy; done

.PHONY: clean
clean: ## Remove what was built in the checkout
	rm -rf bin
