/* Servers and their connections: echo over TCP and unix sockets, when handlers start, and how everything ends. */
#include "check.h"

struct meeting {
    char address[128], other[128];
    int server, started, eager_started, step;
    ssize_t result;
    int fd;
};

static void *asks_one_server(void *arg) {
    struct meeting *at = arg;
    int fd = nyario_dial(at->address);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    check_echo(fd, "hello");
    check_echo(fd, "and again");
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void echoes_over_tcp(void) {
    struct meeting at = {0};
    int server = open_server("127.0.0.1:0", sends_back, NULL, 0, at.address);
    CHECK(fcntl(server, F_GETFD) & FD_CLOEXEC);
    on_fiber(asks_one_server, &at);
}

static void echoes_over_a_unix_socket(void) {
    struct meeting at = {0};
    char path[108];
    fresh_path(path, "echo");
    open_server(path, sends_back, NULL, 0, at.address);
    CHECK(strcmp(at.address, path) == 0);
    on_fiber(asks_one_server, &at);

    /* The path is still there, and nobody listens: the next server takes it over. */
    CHECK(access(path, F_OK) == 0);
    open_server(path, sends_back, NULL, 0, at.address);
    on_fiber(asks_one_server, &at);
    unlink(path);
}

static void counts(int fd, void *arg) {
    struct meeting *at = arg;
    at->started++;
    sends_back(fd, NULL);
}

static void greets(int fd, void *arg) {
    struct meeting *at = arg;
    at->eager_started++;
    GIVES(nyario_write(fd, "welcome", 7), 7);
}

static void *meets_both(void *arg) {
    struct meeting *at = arg;
    char greeting[7];
    int quiet = nyario_dial(at->address);
    int first = nyario_dial(at->other);
    CHECK(quiet >= 0 && first >= 0);
    CHECK(read_all(first, greeting, sizeof greeting) && memcmp(greeting, "welcome", 7) == 0);
    GIVES(nyario_read(first, greeting, 1), 0);
    CHECK(at->eager_started == 1);
    /* The quiet connection came before the greeted one, and yet: */
    CHECK(at->started == 0);
    check_echo(quiet, "now");
    CHECK(at->started == 1);

    /* One that leaves without a word never gets a fiber. */
    int silent = nyario_dial(at->address);
    GIVES(nyario_close(silent), 0);
    check_echo(quiet, "still here");
    CHECK(at->started == 1);
    GIVES(nyario_close(quiet), 0);
    GIVES(nyario_close(first), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void start_handlers_lazily_or_eagerly(void) {
    struct meeting at = {0};
    open_server("127.0.0.1:0", counts, &at, 0, at.address);
    open_server("127.0.0.1:0", greets, &at, NYARIO_EAGER, at.other);
    on_fiber(meets_both, &at);
}

static void answers_after_the_end(int fd, void *arg) {
    struct meeting *at = arg;
    char buf[64], answer[32];
    ssize_t n;
    long total = 0;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0)
        total += n;
    at->result = n;
    int len = snprintf(answer, sizeof answer, "%ld bytes", total);
    GIVES(nyario_write(fd, answer, (size_t)len), len);
}

static void *sends_and_shuts_down(void *arg) {
    struct meeting *at = arg;
    char sent[5000], answer[32] = "";
    int fd = nyario_dial(at->address);
    memset(sent, 's', sizeof sent);
    GIVES(nyario_write(fd, sent, sizeof sent), sizeof sent);
    CHECK(shutdown(fd, SHUT_WR) == 0);
    CHECK(read_all(fd, answer, 10));
    CHECK(strcmp(answer, "5000 bytes") == 0);
    GIVES(nyario_read(fd, answer, sizeof answer), 0);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void answer_a_client_that_has_shut_down(void) {
    struct meeting at = {.result = -1};
    open_server("127.0.0.1:0", answers_after_the_end, &at, 0, at.address);
    on_fiber(sends_and_shuts_down, &at);
    CHECK(at.result == 0);
}

enum { BIG = 24 << 20 };
static unsigned char outgoing[BIG];

static void *pours(void *arg) {
    int fd = (int)(intptr_t)arg;
    GIVES(nyario_write(fd, outgoing, BIG), BIG);
    return NULL;
}

static void *pours_and_drinks(void *arg) {
    struct meeting *at = arg;
    static unsigned char incoming[BIG];
    int fd = nyario_dial(at->address);
    nyario_fiber pouring = nyario_spawn(pours, (void *)(intptr_t)fd);
    memset(incoming, 0, BIG);
    CHECK(read_all(fd, incoming, BIG));
    CHECK(memcmp(incoming, outgoing, BIG) == 0);
    GIVES(nyario_join(pouring, NULL), 0);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void carry_much_in_both_directions(void) {
    struct meeting at = {0};
    uint32_t random = 1;
    for (size_t i = 0; i < BIG; i++)
        outgoing[i] = (unsigned char)((random = random * 1664525 + 1013904223) >> 24);
    open_server("127.0.0.1:0", sends_back, NULL, 0, at.address);
    on_fiber(pours_and_drinks, &at);
}

static void closes_by_itself(int fd, void *arg) {
    struct meeting *at = arg;
    GIVES(nyario_close(fd), 0);
    /* The number is free, and whoever gets it now keeps it when the handler returns. */
    at->fd = nyario_listen("127.0.0.1:0");
    CHECK(at->fd == fd);
}

static void *meets_one_that_closes(void *arg) {
    struct meeting *at = arg;
    char byte;
    int fd = nyario_dial(at->address);
    GIVES(nyario_read(fd, &byte, 1), 0);
    GIVES(nyario_close(fd), 0);
    nyario_yield();
    CHECK(fcntl(at->fd, F_GETFD) >= 0);
    GIVES(nyario_close(at->fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void leave_a_reused_number_alone(void) {
    struct meeting at = {0};
    open_server("127.0.0.1:0", closes_by_itself, &at, NYARIO_EAGER, at.address);
    on_fiber(meets_one_that_closes, &at);
}

static void waits_for_more(int fd, void *arg) {
    struct meeting *at = arg;
    char byte;
    GIVES(nyario_read(fd, &byte, 1), 1);
    GIVES(nyario_write(fd, &byte, 1), 1);
    at->result = nyario_read(fd, &byte, 1);
    at->step = nyario_spawn(pours, NULL) == -ECANCELED;
}

static void *leaves_connections_open(void *arg) {
    struct meeting *at = arg;
    at->fd = nyario_dial(at->address);
    check_echo(at->fd, "x");
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void end_with_the_loop(void) {
    struct meeting at = {.result = 1};
    char byte;
    int server = open_server("127.0.0.1:0", waits_for_more, &at, 0, at.address);
    on_fiber(leaves_connections_open, &at);
    CHECK(at.result == -ECANCELED);
    CHECK(at.step == 1);
    CHECK(fcntl(server, F_GETFD) < 0);
    GIVES(nyario_dial(at.address), -ECONNREFUSED);
    GIVES(nyario_read(at.fd, &byte, 1), 0);
    GIVES(nyario_close(at.fd), 0);
}

static void *closes_the_server(void *arg) {
    struct meeting *at = arg;
    int fd = nyario_dial(at->address);
    check_echo(fd, "before");
    GIVES(nyario_close(at->server), 0);
    GIVES(nyario_dial(at->address), -ECONNREFUSED);
    check_echo(fd, "after");
    GIVES(nyario_close(fd), 0);
    return NULL;
}

/* No nyario_stop here: the loop ends because it has nothing left to do. */
static void end_the_loop_when_the_last_is_closed(void) {
    struct meeting at = {0};
    at.server = open_server("127.0.0.1:0", sends_back, NULL, 0, at.address);
    on_fiber(closes_the_server, &at);
}

static void *asks_many_times(void *arg) {
    struct meeting *at = arg;
    for (int i = 0; i < 50; i++) {
        int fd = nyario_dial(at->address);
        CHECK(fd >= 0);
        check_echo(fd, "once more");
        GIVES(nyario_close(fd), 0);
    }
    if (++at->step == 20)
        GIVES(nyario_stop(), 0);
    return NULL;
}

static void serve_many_at_once(void) {
    struct meeting at = {0};
    open_server("127.0.0.1:0", sends_back, NULL, 0, at.address);
    for (int i = 0; i < 20; i++)
        GIVES(nyario_detach(nyario_spawn(asks_many_times, &at)), 0);
    GIVES(nyario_loop(), 0);
    CHECK(at.step == 20);
}

int main(void) {
    TEST(echoes_over_tcp);
    TEST(echoes_over_a_unix_socket);
    TEST(start_handlers_lazily_or_eagerly);
    TEST(answer_a_client_that_has_shut_down);
    TEST(carry_much_in_both_directions);
    TEST(leave_a_reused_number_alone);
    TEST(end_with_the_loop);
    TEST(end_the_loop_when_the_last_is_closed);
    TEST(serve_many_at_once);
    return summary("server");
}
