/* The error contract: what each function answers to arguments that are wrong, and what the errors are called. */
#include "check.h"
#include <limits.h>

static char big_name[4096];

static void handler(int fd, void *arg) {
    (void)fd;
    (void)arg;
}

static void *entry(void *arg) {
    return arg;
}

/* A descriptor that was open and is no more. */
static int closed_fd(void) {
    int fd = dup(0);
    close(fd);
    return fd;
}

static void of_listen(void) {
    char path[108], address[128];
    GIVES(nyario_listen(NULL), -EINVAL);
    GIVES(nyario_listen(""), -EINVAL);
    GIVES(nyario_listen("127.0.0.1:"), -EINVAL);
    GIVES(nyario_listen("127.0.0.1:65536"), -EINVAL);
    GIVES(nyario_listen("no such host:80"), -EINVAL);
    GIVES(nyario_listen("\xff\xfe:80"), -EINVAL);
    GIVES(nyario_listen(big_name), -ENAMETOOLONG);
    GIVES(nyario_listen("/no/such/folder/socket"), -ENOENT);
    GIVES(nyario_listen("203.0.113.1:0"), -EADDRNOTAVAIL);

    int first = nyario_listen("127.0.0.1:0");
    CHECK(first >= 0);
    CHECK(nyario_address(first, address, sizeof address) > 0);
    GIVES(nyario_listen(address), -EADDRINUSE);
    GIVES(nyario_close(first), 0);

    fresh_path(path, "errors");
    first = nyario_listen(path);
    CHECK(first >= 0);
    GIVES(nyario_listen(path), -EADDRINUSE);
    GIVES(nyario_close(first), 0);
    unlink(path);
}

static void of_register(void) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    int server = nyario_listen("127.0.0.1:0");
    int idle = socket(AF_INET, SOCK_STREAM, 0);
    GIVES(nyario_register(server, NULL, NULL, 0), -EINVAL);
    GIVES(nyario_register(server, handler, NULL, 2), -EINVAL);
    GIVES(nyario_register(server, handler, NULL, UINT_MAX), -EINVAL);
    GIVES(nyario_register(idle, handler, NULL, 0), -EINVAL);
    GIVES(nyario_register(ends[0], handler, NULL, 0), -ENOTSOCK);
    GIVES(nyario_register(closed_fd(), handler, NULL, 0), -EBADF);
    GIVES(nyario_register(-1, handler, NULL, 0), -EBADF);
    GIVES(nyario_register(server, handler, NULL, 0), 0);
    GIVES(nyario_register(server, handler, NULL, 0), -EINVAL);
    GIVES(nyario_close(server), 0);
    GIVES(nyario_close(idle), 0);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);
}

static void of_connect(void) {
    char address[128], path[108];
    GIVES(nyario_dial(NULL), -EINVAL);
    GIVES(nyario_dial(""), -EINVAL);
    GIVES(nyario_dial("127.0.0.1:http"), -EINVAL);
    GIVES(nyario_dial(big_name), -ENAMETOOLONG);
    GIVES(nyario_dial("/no/such/folder/socket"), -ENOENT);

    int server = nyario_listen("127.0.0.1:0");
    CHECK(nyario_address(server, address, sizeof address) > 0);
    GIVES(nyario_close(server), 0);
    GIVES(nyario_dial(address), -ECONNREFUSED);

    fresh_path(path, "refused");
    server = nyario_listen(path);
    GIVES(nyario_close(server), 0);
    GIVES(nyario_dial(path), -ECONNREFUSED);
    unlink(path);
}

static void of_read_write_and_close(void) {
    char buf[8];
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    GIVES(nyario_read(ends[0], NULL, 8), -EINVAL);
    GIVES(nyario_write(ends[0], NULL, 8), -EINVAL);
    GIVES(nyario_write(ends[0], NULL, 0), 0);
    GIVES(nyario_read(-1, buf, sizeof buf), -EBADF);
    GIVES(nyario_write(-1, buf, sizeof buf), -EBADF);
    GIVES(nyario_close(-1), -EBADF);
    GIVES(nyario_read(closed_fd(), buf, sizeof buf), -EBADF);
    GIVES(nyario_write(closed_fd(), buf, sizeof buf), -EBADF);
    GIVES(nyario_close(closed_fd()), -EBADF);
    GIVES(nyario_read(INT_MAX, buf, sizeof buf), -EBADF);
    GIVES(nyario_close(INT_MIN), -EBADF);

    GIVES(nyario_close(ends[1]), 0);
    GIVES(nyario_read(ends[0], buf, sizeof buf), 0);
    GIVES(nyario_write(ends[0], "x", 1), -EPIPE);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[0]), -EBADF);

    int folder = open("/", O_RDONLY | O_DIRECTORY);
    GIVES(nyario_read(folder, buf, sizeof buf), -EISDIR);
    GIVES(nyario_close(folder), 0);
}

static void of_address(void) {
    char buf[64];
    int ends[2];
    CHECK(pipe(ends) == 0);
    int server = nyario_listen("127.0.0.1:0");
    GIVES(nyario_address(server, NULL, sizeof buf), -EINVAL);
    GIVES(nyario_address(server, buf, 0), -ENOSPC);
    GIVES(nyario_address(-1, buf, sizeof buf), -EBADF);
    GIVES(nyario_address(closed_fd(), buf, sizeof buf), -EBADF);
    GIVES(nyario_address(ends[0], buf, sizeof buf), -ENOTSOCK);

    memset(buf, '#', sizeof buf);
    int len = nyario_address(server, buf, sizeof buf);
    CHECK(len > 0 && buf[len] == '\0' && strlen(buf) == (size_t)len && buf[len + 1] == '#');
    CHECK(strncmp(buf, "127.0.0.1:", 10) == 0 && atoi(buf + 10) > 0);
    GIVES(nyario_address(server, buf, (size_t)len), -ENOSPC);
    GIVES(nyario_address(server, buf, (size_t)len + 1), len);

    int other = socket(AF_NETLINK, SOCK_RAW, 0);
    GIVES(nyario_address(other, buf, sizeof buf), -EAFNOSUPPORT);
    close(other);
    close(ends[0]);
    close(ends[1]);
    GIVES(nyario_close(server), 0);
}

static void of_fibers(void) {
    GIVES(nyario_spawn(NULL, NULL), -EINVAL);
    for (int i = 0; i < 3; i++) {
        nyario_fiber unknown = (nyario_fiber[]){0, -1, INT64_MAX}[i];
        GIVES(nyario_join(unknown, NULL), -ESRCH);
        GIVES(nyario_detach(unknown), -ESRCH);
        GIVES(nyario_cancel(unknown), -ESRCH);
    }
    nyario_fiber fiber = nyario_spawn(entry, NULL);
    CHECK(fiber > 0);
    GIVES(nyario_join(fiber, NULL), -EDEADLK);
    GIVES(nyario_loop(), 0);
    GIVES(nyario_cancel(fiber), -ESRCH);
    GIVES(nyario_join(fiber, NULL), 0);
    GIVES(nyario_join(fiber, NULL), -ESRCH);
    GIVES(nyario_detach(fiber), -ESRCH);
}

static void of_time(void) {
    GIVES(nyario_sleep(-1), -EINVAL);
    GIVES(nyario_sleep(INT64_MIN), -EINVAL);
    GIVES(nyario_deadline(nyario_now()), -EINVAL);
    GIVES(nyario_deadline(-1), -EINVAL);
}

static void *a_loop_within_the_loop(void *arg) {
    GIVES(nyario_loop(), -EDEADLK);
    GIVES(nyario_deadline(-1), -EINVAL);
    GIVES(nyario_sleep(-1), -EINVAL);
    return arg;
}

static void on_a_fiber(void) {
    on_fiber(a_loop_within_the_loop, NULL);
}

static void have_names_and_texts(void) {
    CHECK(strcmp(nyario_err_name(ECONNRESET), "ECONNRESET") == 0);
    CHECK(strcmp(nyario_err_name(-ECONNRESET), "ECONNRESET") == 0);
    CHECK(nyario_err_name(-EPIPE) == nyario_err_name(EPIPE));
    CHECK(nyario_strerror(-EPIPE) == nyario_strerror(EPIPE));
    CHECK(strcmp(nyario_strerror(EPIPE), nyario_strerror(EBADF)) != 0);
    int odd[] = {0, 1, 4095, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        CHECK(nyario_err_name(odd[i]) && *nyario_err_name(odd[i]));
        CHECK(nyario_strerror(odd[i]) && *nyario_strerror(odd[i]));
    }
    /* Each errno that this header promises is known by name. */
    int promised[] = {EINVAL,       ENAMETOOLONG, EADDRINUSE, EADDRNOTAVAIL, EACCES,       EMFILE,    ENFILE,
                      ENOMEM,       ENOTSOCK,     EBADF,      EDEADLK,       EPERM,        ESRCH,     ECONNREFUSED,
                      ENOENT,       ENETUNREACH,  ETIMEDOUT,  EHOSTUNREACH,  ECANCELED,    ECONNRESET, EPIPE,
                      EIO,          ENOSPC,       EAFNOSUPPORT};
    for (size_t i = 0; i < sizeof promised / sizeof *promised; i++)
        CHECK(strcmp(nyario_err_name(promised[i]), nyario_err_name(4095)) != 0);
}

static void have_the_version_beside_them(void) {
    char text[32];
    GIVES(nyario_version(), NYARIO_VERSION_HEX);
    snprintf(text, sizeof text, "%d.%d.%d", NYARIO_VERSION_MAJOR, NYARIO_VERSION_MINOR, NYARIO_VERSION_PATCH);
    CHECK(strcmp(nyario_version_string(), text) == 0);
}

int main(void) {
    memset(big_name, 'x', sizeof big_name - 1);
    TEST(of_listen);
    TEST(of_register);
    TEST(of_connect);
    TEST(of_read_write_and_close);
    TEST(of_address);
    TEST(of_fibers);
    TEST(of_time);
    TEST(on_a_fiber);
    TEST(have_names_and_texts);
    TEST(have_the_version_beside_them);
    return summary("errors");
}
