# The benchmarks. The root Makefile includes this file and has `build`: the library, the gem and the examples.

CC ?= cc
CARGO ?= cargo
FLOOR_CFLAGS ?= -std=c11 -O2 -Wall -Wextra -Werror

BENCH_OUT := target/bench
FLOORS := $(BENCH_OUT)/floor-epoll $(BENCH_OUT)/floor-uring
COMPARE := $(CARGO) run --quiet --release --package nyario-bench --bin nyario-compare --

$(BENCH_OUT):
	mkdir -p $@

$(FLOORS): $(BENCH_OUT)/floor-%: bench/floor/%.c bench/floor/floor.h | $(BENCH_OUT)
	$(CC) $(FLOOR_CFLAGS) $< -o $@

.PHONY: floors bench
floors: $(FLOORS)

bench: build floors
	$(CARGO) build --release --package nyario-bench
	$(COMPARE) --workload echo
	$(COMPARE) --workload http
