# The benchmarks. The root Makefile includes this file and has `build`: the library, the gem and the examples.

CC ?= cc
CARGO ?= cargo
FLOOR_CFLAGS ?= -std=c11 -O2 -Wall -Wextra -Werror

BENCH_OUT := target/bench
FLOORS := $(BENCH_OUT)/floor-epoll $(BENCH_OUT)/floor-uring $(BENCH_OUT)/floor-uring_single $(BENCH_OUT)/floor-proxy
# The servers of others, as far as their compilers and headers are at hand.
PEERS := $(if $(wildcard /usr/include/uv.h),libuv) $(if $(shell command -v go),go go-proxy)
PEERS := $(PEERS:%=$(BENCH_OUT)/peer-%)
COMPARE := $(CARGO) run --quiet --release --package nyario-bench --bin nyario-compare --

$(BENCH_OUT):
	mkdir -p $@

$(FLOORS): $(BENCH_OUT)/floor-%: bench/floor/%.c bench/floor/process.h bench/floor/floor.h bench/floor/ring.h | $(BENCH_OUT)
	$(CC) $(FLOOR_CFLAGS) $< -o $@

.PHONY: floors bench
floors: $(FLOORS)

bench: build floors
	$(CARGO) build --release --package nyario-bench
	$(COMPARE) --side-by-side --workload echo
	$(COMPARE) --side-by-side --workload http

# A minute under load: whether the last message costs what the first one does.
.PHONY: bench-steady
bench-steady: build floors
	$(CARGO) build --release --package nyario-bench
	target/release/nyario-steady --workload echo
	target/release/nyario-steady --workload http

# Every workload, and docs/performance.md of it.
.PHONY: bench-report
bench-report: build floors $(PEERS) peers-rust
	$(CARGO) build --release --package nyario-bench
	scripts/bench-report

# nyario in C beside the servers of others.
.PHONY: bench-peers peers-rust
bench-peers: library examples floors $(PEERS) peers-rust
	$(CARGO) build --release --package nyario-bench
	$(COMPARE) --peers --side-by-side --workload echo
	$(COMPARE) --peers --side-by-side --workload http

$(BENCH_OUT)/peer-libuv: bench/peers/libuv.c bench/floor/process.h bench/floor/floor.h | $(BENCH_OUT)
	$(CC) $(FLOOR_CFLAGS) $< -o $@ -luv

$(BENCH_OUT)/peer-go: bench/peers/server.go | $(BENCH_OUT)
	go build -o $@ $<

$(BENCH_OUT)/peer-go-proxy: bench/peers/proxy.go | $(BENCH_OUT)
	go build -o $@ $<

peers-rust:
	$(CARGO) build --release --locked --manifest-path bench/peers/rust/Cargo.toml --target-dir $(BENCH_OUT)/peers

# Ruby beside what Ruby has: on the Ruby of the peers, in a Debian of its own.
.PHONY: bench-ruby
bench-ruby: floors
	$(CARGO) build --release --package nyario-bench
	scripts/bench-ruby --side-by-side --workload echo
	scripts/bench-ruby --side-by-side --workload http

# What a fiber costs, beside the fibers of others, as far as their compilers and headers are at hand.
FIBERS := nyario nyario-static \
	$(if $(wildcard /usr/include/boost/context/fiber.hpp),boost-context) \
	$(if $(wildcard /usr/include/boost/fiber/all.hpp),boost-fiber) \
	$(if $(shell command -v go),go) tokio
FIBERS := $(FIBERS:%=$(BENCH_OUT)/fibers-%)
FIBER_FLAGS := -O2 -Wall -Wextra -Werror

.PHONY: bench-fibers $(BENCH_OUT)/fibers-tokio
bench-fibers: library $(FIBERS)
	$(CARGO) run --quiet --release --package nyario-bench --bin nyario-fibers

$(BENCH_OUT)/fibers-nyario: bench/fibers/nyario.c bench/fibers/measure.h $(RELEASE)/libnyario.so | $(BENCH_OUT)
	$(CC) -std=c11 -D_GNU_SOURCE $(FIBER_FLAGS) -Iinclude $< -o $@ -L$(RELEASE) -lnyario -Wl,-rpath,'$$ORIGIN/../release'

$(BENCH_OUT)/fibers-nyario-static: bench/fibers/nyario.c bench/fibers/measure.h $(RELEASE)/libnyario.so | $(BENCH_OUT)
	$(CC) -std=c11 -D_GNU_SOURCE $(FIBER_FLAGS) -Iinclude $< -o $@ $(RELEASE)/libnyario.a

$(BENCH_OUT)/fibers-boost-context: bench/fibers/boost_context.cpp bench/fibers/measure.h | $(BENCH_OUT)
	$(CXX) -std=c++17 $(FIBER_FLAGS) $< -o $@ -lboost_context

$(BENCH_OUT)/fibers-boost-fiber: bench/fibers/boost_fiber.cpp bench/fibers/measure.h | $(BENCH_OUT)
	$(CXX) -std=c++17 $(FIBER_FLAGS) $< -o $@ -lboost_fiber -lboost_context

$(BENCH_OUT)/fibers-go: bench/fibers/goroutines.go | $(BENCH_OUT)
	go build -o $@ $<

$(BENCH_OUT)/fibers-tokio: | $(BENCH_OUT)
	$(CARGO) build --quiet --release --locked --manifest-path bench/fibers/tokio/Cargo.toml --target-dir $(BENCH_OUT)/tokio
	cp $(BENCH_OUT)/tokio/release/nyario-bench-tokio $@

# What a connection costs while nothing comes of it.
.PHONY: bench-idle
bench-idle: build floors $(BENCH_OUT)/idle-echo
	$(CARGO) run --quiet --release --package nyario-bench --bin nyario-idle

# A million of them on one loop, as far as the machine goes; root may raise the limit of files.
.PHONY: bench-million
bench-million: build $(BENCH_OUT)/idle-echo
	$(CARGO) run --quiet --release --package nyario-bench --bin nyario-million

$(BENCH_OUT)/idle-echo: bench/idle/echo.c examples/c/example.h include/nyario.h $(RELEASE)/libnyario.so | $(BENCH_OUT)
	$(CC) -std=c11 -D_GNU_SOURCE $(FIBER_FLAGS) -Iinclude -Iexamples/c $< -o $@ -L$(RELEASE) -lnyario \
		-Wl,-rpath,'$$ORIGIN/../release'

# Timers, channels, pipes and wake-ups, beside tokio and Go.
SMALL := nyario $(if $(shell command -v go),go) tokio
SMALL := $(SMALL:%=$(BENCH_OUT)/small-%)

.PHONY: bench-small $(BENCH_OUT)/small-tokio
bench-small: library $(SMALL)
	$(CARGO) run --quiet --release --package nyario-bench --bin nyario-small

$(BENCH_OUT)/small-nyario: bench/small/nyario.c bench/small/measure.h $(RELEASE)/libnyario.so | $(BENCH_OUT)
	$(CC) -std=c11 -D_GNU_SOURCE $(FIBER_FLAGS) -Iinclude $< -o $@ -pthread -L$(RELEASE) -lnyario \
		-Wl,-rpath,'$$ORIGIN/../release'

$(BENCH_OUT)/small-go: bench/small/goroutines.go | $(BENCH_OUT)
	go build -o $@ $<

$(BENCH_OUT)/small-tokio: | $(BENCH_OUT)
	$(CARGO) build --quiet --release --locked --manifest-path bench/small/tokio/Cargo.toml --target-dir $(BENCH_OUT)/tokio
	cp $(BENCH_OUT)/tokio/release/nyario-bench-small-tokio $@
