// Boost.Context alone: no loop and no queue, just the switch there and back, and a context that is made, runs and ends on
// a pooled stack. The least that any library over it can cost.
#include "measure.h"
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

namespace context = boost::context;

static void switches(long count) {
    bool over = false;
    context::fiber other([&over](context::fiber &&back) {
        while (!over)
            back = std::move(back).resume();
        return std::move(back);
    });
    for (long left = count / 2; left > 0; left--)
        other = std::move(other).resume();
    over = true;
    other = std::move(other).resume();
}

static void spawns(context::pooled_fixedsize_stack &stacks, long count) {
    for (long left = count; left > 0; left--) {
        context::fiber one(std::allocator_arg, stacks, [](context::fiber &&back) { return std::move(back); });
        one = std::move(one).resume();
    }
}

int main() {
    switches(SWITCHES);
    double begun = processor_nanos();
    switches(SWITCHES);
    tell("switch", begun, SWITCHES);
    context::pooled_fixedsize_stack stacks(64 * 1024);
    spawns(stacks, SPAWNS);
    begun = processor_nanos();
    spawns(stacks, SPAWNS);
    tell("spawn", begun, SPAWNS);
}
