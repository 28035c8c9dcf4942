/* What the tests of the C ABI share. A check that fails is reported and the test goes on; a test that hangs is ended. */
#ifndef CHECK_H
#define CHECK_H

#include <nyario.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int checks, failures;
static int tests;
static const char *running = "";

/* The condition holds. */
#define CHECK(condition) check_that((condition) != 0, #condition, __FILE__, __LINE__)

/* The call gives that result, and leaves errno alone. */
#define GIVES(call, wanted)                                                                   \
    do {                                                                                      \
        errno = ERRNO_BEFORE;                                                                 \
        long long got_ = (long long)(call);                                                   \
        int errno_ = errno;                                                                   \
        check_result(got_, (long long)(wanted), errno_, #call, __FILE__, __LINE__);           \
    } while (0)

#define TEST(function) run_test(function, #function)

enum { ERRNO_BEFORE = 4711, HANGS_AFTER_SECONDS = 60 };

static inline void check_that(int holds, const char *what, const char *file, int line) {
    atomic_fetch_add(&checks, 1);
    if (!holds) {
        atomic_fetch_add(&failures, 1);
        fprintf(stderr, "%s:%d: %s: %s does not hold\n", file, line, running, what);
    }
}

static inline void check_result(long long got, long long wanted, int error, const char *call, const char *file,
                                int line) {
    atomic_fetch_add(&checks, 1);
    if (got != wanted) {
        atomic_fetch_add(&failures, 1);
        fprintf(stderr, "%s:%d: %s: %s gives %lld%s%s, not %lld%s%s\n", file, line, running, call, got,
                got < 0 ? " " : "", got < 0 ? nyario_err_name((int)got) : "", wanted, wanted < 0 ? " " : "",
                wanted < 0 ? nyario_err_name((int)wanted) : "");
    } else if (error != ERRNO_BEFORE) {
        atomic_fetch_add(&failures, 1);
        fprintf(stderr, "%s:%d: %s: %s sets errno to %d\n", file, line, running, call, error);
    }
}

static inline void hangs(int signal) {
    static const char text[] = ": hangs\n";
    (void)signal;
    if (write(2, running, strlen(running)) >= 0 && write(2, text, sizeof text - 1) >= 0)
        _exit(1);
    _exit(1);
}

static inline void run_test(void (*test)(void), const char *name) {
    running = name;
    tests++;
    signal(SIGALRM, hangs);
    alarm(HANGS_AFTER_SECONDS);
    test();
    alarm(0);
}

/* What main returns. */
static inline int summary(const char *program) {
    int failed = atomic_load(&failures);
    printf("%s: %d tests, %d checks, %d failed\n", program, tests, atomic_load(&checks), failed);
    return failed > 0;
}

/* Runs `entry` on a fiber, and the loop until that and whatever it has begun is over. */
static inline void on_fiber(nyario_entry entry, void *arg) {
    nyario_fiber fiber = nyario_spawn(entry, arg);
    CHECK(fiber > 0);
    GIVES(nyario_detach(fiber), 0);
    GIVES(nyario_loop(), 0);
}

static inline void sends_back(int fd, void *arg) {
    char buf[4096];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
}

/* Opens a server for the running thread's loop, and writes its address into `address`. */
static inline int open_server(const char *where, nyario_handler handler, void *arg, unsigned flags, char address[128]) {
    int server = nyario_listen(where);
    CHECK(server >= 0);
    GIVES(nyario_register(server, handler, arg, flags), 0);
    CHECK(nyario_address(server, address, 128) > 0);
    return server;
}

/* Reads exactly `len` bytes, and says whether they came. */
static inline int read_all(int fd, void *buf, size_t len) {
    char *at = buf;
    while (len > 0) {
        ssize_t n = nyario_read(fd, at, len);
        if (n <= 0)
            return 0;
        at += n;
        len -= (size_t)n;
    }
    return 1;
}

/* Sends a text through a server that sends back, and checks that it comes back. */
static inline void check_echo(int fd, const char *text) {
    char back[256] = "";
    size_t len = strlen(text);
    GIVES(nyario_write(fd, text, len), len);
    CHECK(read_all(fd, back, len));
    CHECK(memcmp(back, text, len) == 0);
}

/* A path for a unix socket that nobody else has. */
static inline void fresh_path(char path[108], const char *name) {
    const char *folder = getenv("TMPDIR");
    snprintf(path, 108, "%s/nyario-%ld-%s.sock", folder ? folder : "/tmp", (long)getpid(), name);
    unlink(path);
}

#endif
