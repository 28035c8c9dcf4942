/* A fiber that overflows its stack names itself before the process ends; other faults are left to the program. */
#include "check.h"

#include <pthread.h>

/* Deeper than any stack, in frames that are not to be optimised away. */
static int dives(int depth) {
    volatile char frame[1024];
    frame[0] = (char)depth;
    return depth == 0 ? 0 : dives(depth - 1) + frame[0];
}

static void *overflows(void *arg) {
    printf("%lld\n", (long long)nyario_self());
    fflush(stdout);
    (void)arg;
    return (void *)(intptr_t)dives(1000000);
}

static void *stumbles(void *arg) {
    printf("%lld\n", (long long)nyario_self());
    fflush(stdout);
    *(volatile int *)arg = 1;
    return NULL;
}

static int runs(nyario_entry entry) {
    if (nyario_spawn(entry, NULL) < 0)
        return 1;
    return nyario_loop();
}

static void *runs_on_a_thread(void *arg) {
    (void)arg;
    runs(overflows);
    return NULL;
}

/* What became of a child: how it ended, what it said on standard error, and which fiber it was about to run. */
struct end {
    int status;
    char said[512];
    char fiber[64];
};

static size_t drain(int fd, char *text, size_t size) {
    size_t length = 0;
    ssize_t n;
    while (length + 1 < size && (n = read(fd, text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = 0;
    close(fd);
    return length;
}

static struct end end_of(void (*child)(void)) {
    struct end end = { -1, "", "" };
    int said[2], told[2];
    if (pipe(said) != 0 || pipe(told) != 0)
        return end;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(said[1], 2);
        dup2(told[1], 1);
        child();
        _exit(0);
    }
    close(said[1]);
    close(told[1]);
    drain(told[0], end.fiber, sizeof end.fiber);
    drain(said[0], end.said, sizeof end.said);
    waitpid(pid, &end.status, 0);
    return end;
}

static int names_the_fiber(const struct end *end) {
    char wanted[256];
    snprintf(wanted, sizeof wanted, "nyario: fiber %lld overflowed its stack of 256 KiB\n", atoll(end->fiber));
    return atoll(end->fiber) > 0 && strcmp(end->said, wanted) == 0;
}

static void overflow_by_a_name(void) {
    nyario_spawn_options options = {.size = sizeof options, .name = "the deep one", .stack_size = 20000};
    nyario_spawn_with(&options, overflows, NULL);
    nyario_loop();
}

static int ended_by(const struct end *end, int signal) {
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) == signal;
}

static void overflow(void) {
    runs(overflows);
}

static void an_overflow_names_its_fiber(void) {
    struct end end = end_of(overflow);
    CHECK(names_the_fiber(&end));
    CHECK(ended_by(&end, SIGSEGV));
}

static void it_says_what_the_fiber_is_called(void) {
    struct end end = end_of(overflow_by_a_name);
    char wanted[256];
    snprintf(wanted, sizeof wanted, "nyario: fiber %lld \"the deep one\" overflowed its stack of 32 KiB\n",
             atoll(end.fiber));
    CHECK(strcmp(end.said, wanted) == 0);
    CHECK(ended_by(&end, SIGSEGV));
}

static void overflow_on_a_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, runs_on_a_thread, NULL);
    pthread_join(thread, NULL);
}

static void it_does_on_every_thread(void) {
    struct end end = end_of(overflow_on_a_thread);
    CHECK(names_the_fiber(&end));
    CHECK(ended_by(&end, SIGSEGV));
}

static void stumble(void) {
    runs(stumbles);
}

static void another_fault_is_no_overflow(void) {
    struct end end = end_of(stumble);
    CHECK(atoll(end.fiber) > 0);
    CHECK(strcmp(end.said, "") == 0);
    CHECK(ended_by(&end, SIGSEGV));
}

static void confesses(int signal) {
    static const char text[] = "mine\n";
    _exit(signal == SIGSEGV && write(2, text, sizeof text - 1) > 0 ? 7 : 8);
}

static void stumble_with_a_handler(void) {
    signal(SIGSEGV, confesses);
    runs(stumbles);
}

static void confesses_in_full(int signal, siginfo_t *info, void *context) {
    if (info->si_addr == NULL && context)
        confesses(signal);
    _exit(9);
}

static void stumble_with_a_full_handler(void) {
    struct sigaction action = { .sa_sigaction = confesses_in_full, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    runs(stumbles);
}

static void the_programs_own_handler_is_asked(void) {
    void (*children[])(void) = { stumble_with_a_handler, stumble_with_a_full_handler };
    for (int i = 0; i < 2; i++) {
        struct end end = end_of(children[i]);
        CHECK(strcmp(end.said, "mine\n") == 0);
        CHECK(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 7);
    }
}

static void *keeps_its_stack(void *arg) {
    static char memory[65536];
    stack_t mine = { .ss_sp = memory, .ss_size = sizeof memory }, now;
    sigaltstack(&mine, NULL);
    GIVES(nyario_sleep(0), 0);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == memory);
    return arg;
}

static void *gets_a_stack(void *arg) {
    stack_t now;
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == SS_DISABLE);
    GIVES(nyario_sleep(0), 0);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_flags == 0);
    return arg;
}

static void handlers_have_a_stack(void) {
    void *(*threads[])(void *) = { keeps_its_stack, gets_a_stack };
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, threads[i], NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
}

int main(void) {
    TEST(an_overflow_names_its_fiber);
    TEST(it_says_what_the_fiber_is_called);
    TEST(it_does_on_every_thread);
    TEST(another_fault_is_no_overflow);
    TEST(the_programs_own_handler_is_asked);
    TEST(handlers_have_a_stack);
    return summary("overflow");
}
