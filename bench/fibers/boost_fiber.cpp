// Boost.Fiber: its round-robin scheduler, and stacks from a pool.
#include "measure.h"
#include <boost/fiber/all.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

namespace fibers = boost::fibers;

// Not inlined, as in the others: both fibers run the same code.
__attribute__((noinline)) static void yields(long count) {
    for (; count > 0; count--)
        boost::this_fiber::yield();
}

static void switches(fibers::pooled_fixedsize_stack &stacks) {
    fibers::fiber other(fibers::launch::post, std::allocator_arg, stacks, yields, SWITCHES / 2);
    yields(SWITCHES / 2);
    other.join();
}

static void spawns(fibers::pooled_fixedsize_stack &stacks) {
    for (long left = SPAWNS; left > 0; left--)
        fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, [] {}).join();
}

int main() {
    fibers::pooled_fixedsize_stack stacks(64 * 1024);
    switches(stacks);
    double begun = processor_nanos();
    switches(stacks);
    tell("switch", begun, SWITCHES);
    spawns(stacks);
    begun = processor_nanos();
    spawns(stacks);
    tell("spawn", begun, SPAWNS);
}
