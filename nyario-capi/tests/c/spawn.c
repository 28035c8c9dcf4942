/* Fibers as they are asked for: names, sizes of stacks, detached ones. */
#include "check.h"

static void *gives_back(void *arg) {
    return arg;
}

static void *tells_its_name(void *arg) {
    GIVES(nyario_name(nyario_self(), arg, 64), strlen("worker"));
    return arg;
}

static void have_names(void) {
    char name[64] = "", longest[65];
    nyario_spawn_options options = {.size = sizeof options, .name = "worker"};
    nyario_fiber fiber = nyario_spawn_with(&options, tells_its_name, name);
    CHECK(fiber > 0);
    GIVES(nyario_loop(), 0);
    CHECK(strcmp(name, "worker") == 0);
    GIVES(nyario_name(fiber, name, sizeof name), -ESRCH);
    GIVES(nyario_set_name(fiber, "late"), -ESRCH);
    GIVES(nyario_join(fiber, NULL), 0);

    fiber = nyario_spawn(gives_back, NULL);
    GIVES(nyario_name(fiber, name, sizeof name), 0);
    CHECK(strcmp(name, "") == 0);
    GIVES(nyario_set_name(fiber, "two\nlines"), -EINVAL);
    GIVES(nyario_set_name(fiber, "\xff"), -EINVAL);
    memset(longest, 'x', sizeof longest);
    longest[64] = 0;
    GIVES(nyario_set_name(fiber, longest), -ENAMETOOLONG);
    GIVES(nyario_set_name(fiber, longest + 1), 0);
    GIVES(nyario_name(fiber, name, 63), -ENOSPC);
    GIVES(nyario_name(fiber, name, 0), -ENOSPC);
    GIVES(nyario_name(fiber, NULL, 64), -EINVAL);
    GIVES(nyario_name(fiber, name, 64), 63);
    CHECK(strcmp(name, longest + 1) == 0);
    GIVES(nyario_set_name(fiber, NULL), 0);
    GIVES(nyario_name(fiber, name, 1), 0);
    GIVES(nyario_detach(fiber), 0);
    GIVES(nyario_loop(), 0);
}

/* As much of its stack as the argument says, touched from top to bottom. */
static void *touches(void *arg) {
    static char reached;
    char frame[1024];
    uintptr_t left = (uintptr_t)arg;
    memset(frame, 1, sizeof frame);
    if (left > 2 * sizeof frame && touches((void *)(left - sizeof frame - 256)) == NULL)
        return NULL;
    return frame[left % sizeof frame] == 1 ? &reached : NULL;
}

static void have_the_stacks_they_ask_for(void) {
    size_t sizes[] = {0, 16 << 10, 100000, 1 << 20, 64 << 20};
    void *result = NULL;
    for (int i = 0; i < 5; i++) {
        nyario_spawn_options options = {.size = sizeof options, .stack_size = sizes[i]};
        size_t room = sizes[i] ? sizes[i] : 256 << 10;
        nyario_fiber fiber = nyario_spawn_with(&options, touches, (void *)(room - 8192));
        CHECK(fiber > 0);
        GIVES(nyario_loop(), 0);
        GIVES(nyario_join(fiber, &result), 0);
        CHECK(result != NULL);
    }
    size_t wrong[] = {1, (16 << 10) - 1, (64 << 20) + 1, SIZE_MAX};
    for (int i = 0; i < 4; i++) {
        nyario_spawn_options options = {.size = sizeof options, .stack_size = wrong[i]};
        GIVES(nyario_spawn_with(&options, gives_back, NULL), -EINVAL);
    }
}

static void may_be_born_detached(void) {
    nyario_spawn_options options = {.size = sizeof options, .flags = NYARIO_DETACHED};
    nyario_fiber fiber = nyario_spawn_with(&options, gives_back, NULL);
    CHECK(fiber > 0);
    GIVES(nyario_join(fiber, NULL), -EINVAL);
    GIVES(nyario_loop(), 0);
    GIVES(nyario_join(fiber, NULL), -ESRCH);
}

static void take_options_of_other_versions(void) {
    struct {
        nyario_spawn_options options;
        int64_t later;
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.options.size = sizeof newer;
    CHECK(nyario_spawn_with(&newer.options, gives_back, NULL) > 0);
    newer.later = 1;
    GIVES(nyario_spawn_with(&newer.options, gives_back, NULL), -EINVAL);

    /* What lies behind the size is not the options'. */
    nyario_spawn_options older = {.size = sizeof older.size, .name = "", .stack_size = 1, .flags = 1024};
    CHECK(nyario_spawn_with(&older, gives_back, NULL) > 0);
    older.size = sizeof older;
    GIVES(nyario_spawn_with(&older, gives_back, NULL), -EINVAL);
    older.stack_size = 0;
    GIVES(nyario_spawn_with(&older, gives_back, NULL), -EINVAL);
    older.flags = 0;
    older.size = 7;
    GIVES(nyario_spawn_with(&older, gives_back, NULL), -EINVAL);
    older.size = 0;
    GIVES(nyario_spawn_with(&older, gives_back, NULL), -EINVAL);
    CHECK(nyario_spawn_with(NULL, gives_back, NULL) > 0);
    GIVES(nyario_spawn_with(NULL, NULL, NULL), -EINVAL);
    GIVES(nyario_spawn(NULL, NULL), -EINVAL);
    GIVES(nyario_loop(), 0);
}

int main(void) {
    TEST(have_names);
    TEST(have_the_stacks_they_ask_for);
    TEST(may_be_born_detached);
    TEST(take_options_of_other_versions);
    return summary("spawn");
}
