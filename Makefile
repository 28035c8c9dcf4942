# nyario: `make demo` shows it at work, `make test` runs every test; both set up what is missing first.

CC ?= cc
CARGO ?= cargo
CFLAGS ?= -O2 -g -Wall -Wextra -Werror

RELEASE := target/release
EXAMPLES_C := $(wildcard examples/c/*.c)
EXAMPLES := $(EXAMPLES_C:examples/c/%.c=target/examples/%)
SONAME := libnyario.so.0
EXTENSION := nyario-ruby/lib/nyario.so

.PHONY: build library gem gems examples demo test test-rubies soak breaks setup header install uninstall clean
.DEFAULT_GOAL := build

build: library gem examples

# Installs what Debian and Ubuntu have and this machine lacks; quick when nothing is missing.
setup:
	scripts/setup

library: setup
	$(CARGO) build --release --package nyario-capi
	ln -sf libnyario.so $(RELEASE)/$(SONAME)
	$(CARGO) run --quiet --release --package nyario-manual

# Moved into place, as a running Ruby may still have the one before mapped.
gem: setup
	$(CARGO) build --release --locked --manifest-path nyario-ruby/Cargo.toml --target-dir target
	cmp -s $(RELEASE)/libnyario_ruby.so $(EXTENSION) || \
		{ install -m 755 $(RELEASE)/libnyario_ruby.so $(EXTENSION).new && mv -f $(EXTENSION).new $(EXTENSION); }

# What is published, in target/gems: the gem of sources with every crate that it needs, and a compiled one.
gems: setup
	scripts/gems

examples: $(EXAMPLES)

$(EXAMPLES): target/examples/%: examples/c/%.c examples/c/example.h include/nyario.h $(RELEASE)/libnyario.so
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -D_GNU_SOURCE -std=c11 -Iinclude $< -o $@ -pthread -L$(RELEASE) -lnyario $(LIBRARIES) -Wl,-rpath,'$$ORIGIN/../release'

target/examples/embedded_libev: LIBRARIES := -lev

$(RELEASE)/libnyario.so: library

# Writes include/nyario.h from the comments in nyario-capi.
header: setup
	NYARIO_WRITE_HEADER=1 $(CARGO) test --quiet --package nyario-capi --test header

# Builds nothing, so that root needs no cargo: `make library`, then `sudo make install`. PREFIX, LIBDIR, INCLUDEDIR, MANDIR
# and DESTDIR are as everywhere.
install:
	scripts/install

uninstall:
	scripts/install --undo

demo: build
	scripts/demo

test: build floors
	scripts/test

# The gem's tests with each Ruby there is a Debian of; `scripts/test-rubies 3.4` is one.
test-rubies: setup
	scripts/test-rubies

# Hours of simulation, until it is stopped or something fails; `scripts/soak MINUTES` bounds it.
soak:
	scripts/soak

# Puts each deliberate bug of breaks/ into a copy of the tree, and insists that the net named for it catches it.
breaks: setup
	scripts/breaks

clean:
	$(CARGO) clean
	rm -f $(EXTENSION)

include bench/bench.mk

$(FLOORS): | setup
