# Everything here is also what .ci/run does, in smaller pieces.
.PHONY: build test race long fuzz bench lint ci

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

bench:
	go test -run '^$$' -bench . -benchmem ./...

lint:
	gofmt -l . && go vet ./... && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

ci:
	bash .ci/run
