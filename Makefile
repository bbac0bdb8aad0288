# Every target does the set-up that it needs. `make` alone prints them.

.DEFAULT_GOAL := help
.PHONY: help run test soak bench contributing conformance postgres tools fmt lint

# Most tests wait more than they work.
TEST_THREADS ?= 6

# With DATABASE_URL the server uses that database; without, a private PostgreSQL below ./data.
EMBEDDED := $(if $(DATABASE_URL),,--embedded)

help: ## Print the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Where `run` and `test` build the program that they share; `bench` and `install` build their own.
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
announce = [ -e $(BUILT)/marketplace ] || \
	echo "the first build takes about 12 minutes of processor time, shared by all cores" >&2

run: $(if $(EMBEDDED),postgres) ## Start the server (on a private PostgreSQL, unless DATABASE_URL is set)
	@$(announce)
	cargo build --locked --bin marketplace
	@echo 'for other commands of the program: export PATH="$(abspath $(BUILT)):$$PATH"' >&2
	cargo run --quiet --locked --bin marketplace -- serve $(EMBEDDED)

test: postgres tools ## Run all tests, on PostgreSQL clusters of their own
	@$(announce)
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --no-fail-fast --test-threads $(TEST_THREADS) && cargo test --locked --doc; \
	else \
		set -x; cargo test --locked -- --test-threads $(TEST_THREADS); \
	fi

soak: postgres ## Break things at random, SEEDS times or one SEED; or with MINUTES, keep a crowd busy
ifdef MINUTES
	cargo bench --locked --bench bench -- --soak $(MINUTES)
else
	$(if $(SEED),SEED=$(SEED)) SEEDS=$(or $(SEEDS),$(if $(SEED),1,1000)) \
		cargo test --locked --test it oracle -- --nocapture
endif

bench: postgres ## Measure, beside the floors measured in the same run
	cargo bench --locked --bench bench -- $(BENCH)

contributing: postgres ## Do what docs/contributing.md says to a copy of the code
	cargo test --locked --test it contributing -- --ignored --nocapture

conformance: ## Run the Autobahn WebSocket suite (needs Python 2.7, or pyenv with one)
	tests/conformance/run.sh

postgres: ## Find PostgreSQL's server programs, or install them (Debian and Ubuntu)
	@found() { \
		in_path=$$(command -v postgres) && in_path=$$(dirname "$$(readlink -f "$$in_path")"); \
		for dir in "$$(pg_config --bindir 2>/dev/null)" /usr/lib/postgresql/*/bin "$$in_path"; do \
			if [ -x "$$dir/initdb" ] && [ -x "$$dir/postgres" ]; then return 0; fi; \
		done; \
		return 1; \
	}; \
	as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo "$$@"; fi; }; \
	fail() { \
		echo "no PostgreSQL server programs (initdb, postgres) found: install PostgreSQL$$1" >&2; \
		exit 1; \
	}; \
	if found; then exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
		fail " 15 or newer from your system's packages"; \
	elif [ "$$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then \
		fail ", as root: apt-get install postgresql"; \
	fi; \
	echo "installing PostgreSQL with apt-get"; \
	conf=/etc/postgresql-common/createcluster.d; \
	as_root sh -c "mkdir -p $$conf && echo 'create_main_cluster = false' >$$conf/marketplace.conf"; \
	as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends postgresql; \
	as_root rm -f "$$conf/marketplace.conf"; \
	found || fail ", as root: apt-get install postgresql"

tools: ## Find the programs that only the tests need, or install them
	@tests/tools.sh

fmt: ## Format the code
	cargo fmt

lint: ## Check formatting, lints and the links of the docs as CI does
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib --document-private-items

.PHONY: install

PREFIX ?= /usr/local
# Where the files are put that belong below PREFIX; for those who make packages.
DESTDIR ?=
# One that is built already, instead of one that is built now.
PROGRAM ?=
ifdef PROGRAM
installed := $(PROGRAM)
else
installed := target/release/marketplace
endif
share := $(DESTDIR)$(PREFIX)/share
units := $(DESTDIR)$(PREFIX)/lib/systemd/system

install: ## Install the program, its manual, completions and systemd units (PREFIX, DESTDIR)
ifndef PROGRAM
	cargo build --locked --release --bin marketplace
endif
	install -D -m 755 "$(installed)" "$(DESTDIR)$(PREFIX)/bin/marketplace"
	install -d "$(share)/man/man1" "$(share)/bash-completion/completions" \
		"$(share)/zsh/site-functions" "$(share)/fish/vendor_completions.d" "$(units)"
	"$(installed)" man "$(share)/man/man1"
	"$(installed)" completions bash >"$(share)/bash-completion/completions/marketplace"
	"$(installed)" completions zsh >"$(share)/zsh/site-functions/_marketplace"
	"$(installed)" completions fish >"$(share)/fish/vendor_completions.d/marketplace.fish"
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' ops/marketplace.service >"$(units)/marketplace.service"
	install -m 644 ops/marketplace.socket "$(units)/marketplace.socket"

.PHONY: deny fuzz

deny: ## Check licences, sources and versions of dependencies, and advisories
	@if ! cargo deny --version >/dev/null 2>&1; then \
		echo "cargo-deny is missing; install it with: cargo install cargo-deny --locked" >&2; \
		exit 1; \
	fi
	cargo deny --locked check bans licenses sources
	@cargo deny --locked check advisories || { \
		echo "advisories: see above (their database is fetched from GitHub)" >&2; exit 1; }

TARGET ?= frames
FUZZ_SECONDS ?= 60

# The compiler at hand will do. SANITIZER=address needs another: `rustup toolchain install nightly`,
# and `RUSTUP_TOOLCHAIN=nightly make fuzz SANITIZER=address`.
SANITIZER ?= none

fuzz: ## Fuzz for a minute what strangers can send: make fuzz TARGET=frames
	@if ! cargo fuzz --version >/dev/null 2>&1; then \
		echo "cargo-fuzz is missing; install it with: cargo install cargo-fuzz --locked" >&2; \
		exit 1; \
	fi
	cargo fuzz run --sanitizer $(SANITIZER) $(TARGET) -- -max_total_time=$(FUZZ_SECONDS)
