# Everything here is also what .ci/run does, in smaller pieces.
.PHONY: build test race long fuzz measured-rates bench bench-parts bench-peers lint ci release

build:
	go build -trimpath -o nightshift ./cmd/nightshift

test:
	go test ./...

race:
	go test -race ./...

# The long forms: full simulated hours, 5,000 kills, 24 simulated hours.
long:
	NIGHTSHIFT_LONG=1 go test -timeout 3h ./...

FUZZTIME ?= 30s
fuzz:
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
		echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

# Writes docs/measured/rate-control-*.md: simulated hours, the same figures on every
# machine, in half an hour.
measured-rates:
	NIGHTSHIFT_LONG=1 NIGHTSHIFT_SEEDS=2 NIGHTSHIFT_MEASURED=$(CURDIR)/docs/measured go test -count=1 -timeout 2h \
		-run 'SideBySide|TestLoad$$|RandomRefusals$$|LimitBesideRandom' ./providers

# Writes docs/measured/performance.md, in a quarter of an hour; BENCHFLAGS="-only whole
# -page ''" measures a part of it. Best on a machine that does nothing else.
BENCHFLAGS ?=
bench:
	go run ./cmd/bench $(BENCHFLAGS)

# The parts, each in its package.
bench-parts:
	go test -run '^$$' -bench . -benchmem ./...

# The same requests through other clients; it installs them below a temporary
# directory.
bench-peers:
	cmd/bench/peers/run.sh

# Releases of six systems into dist/: archives, what is in each binary (an SBOM in
# CycloneDX, of cyclonedx-gomod) and checksums. The version in the binaries is the
# tag that is checked out.
SYSTEMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
SBOM ?= github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
release:
	bash .ci/release "$(SBOM)" $(SYSTEMS)

lint:
	gofmt -l . && go vet ./... && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

ci:
	bash .ci/run
