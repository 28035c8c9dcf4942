/* Descriptors that are passed over unix sockets, and who is at the other end. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

struct meeting {
    char path[108];
    int listener, server, client;
    int result;
};

static void *accepts(void *arg) {
    struct meeting *at = arg;
    at->server = nyario_accept(at->listener, NULL, NULL);
    CHECK(at->server >= 0);
    return NULL;
}

static void meet(struct meeting *at, const char *where) {
    char address[128];
    at->listener = nyario_listen(where);
    CHECK(nyario_address(at->listener, address, sizeof address) > 0);
    nyario_fiber accepting = nyario_spawn(accepts, at);
    at->client = nyario_dial(address);
    CHECK(at->client >= 0);
    GIVES(nyario_join(accepting, NULL), 0);
}

static void part(struct meeting *at) {
    GIVES(nyario_close(at->client), 0);
    GIVES(nyario_close(at->server), 0);
    GIVES(nyario_close(at->listener), 0);
    unlink(at->path);
}

static void *passes(void *arg) {
    struct meeting at = {{0}, 0, 0, 0, 0};
    char buf[16];
    (void)arg;
    fresh_path(at.path, "passing");
    meet(&at, at.path);
    for (int round = 0; round < 3; round++) {
        int ends[2];
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        /* Bytes first: a descriptor must not be lost because somebody has read. */
        GIVES(nyario_write(at.client, "take this", 9), 9);
        GIVES(nyario_read(at.server, buf, sizeof buf), 9);
        GIVES(nyario_send_fd(at.client, ends[1]), 0);
        GIVES(nyario_close(ends[1]), 0);
        CHECK(nyario_sleep(MILLISECOND) == 0);
        int passed = nyario_recv_fd(at.server);
        CHECK(passed >= 0 && (fcntl(passed, F_GETFD) & FD_CLOEXEC));
        GIVES(nyario_write(passed, "through", 7), 7);
        GIVES(nyario_close(passed), 0);
        GIVES(nyario_read(ends[0], buf, sizeof buf), 7);
        GIVES(nyario_read(ends[0], buf, sizeof buf), 0);
        GIVES(nyario_close(ends[0]), 0);
    }
    GIVES(nyario_write(at.client, "b", 1), 1);
    GIVES(nyario_recv_fd(at.server), -ENOMSG);
    GIVES(nyario_shutdown(at.client, SHUT_WR), 0);
    GIVES(nyario_recv_fd(at.server), -ENODATA);
    GIVES(nyario_send_fd(at.client, 0), -EPIPE);
    part(&at);
    return NULL;
}

static void pass_descriptors(void) {
    on_fiber(passes, NULL);
}

static void *receives(void *arg) {
    struct meeting *at = arg;
    at->result = nyario_recv_fd(at->server);
    return NULL;
}

static void *receives_until(void *arg) {
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    return receives(arg);
}

static void *ends_waits(void *arg) {
    struct meeting at = {{0}, 0, 0, 0, 0};
    (void)arg;
    fresh_path(at.path, "passing");
    meet(&at, at.path);
    nyario_fiber late = nyario_spawn(receives_until, &at);
    GIVES(nyario_join(late, NULL), 0);
    CHECK(at.result == -ETIMEDOUT);
    nyario_fiber waiting = nyario_spawn(receives, &at);
    CHECK(nyario_sleep(MILLISECOND) == 0);
    GIVES(nyario_cancel(waiting), 0);
    GIVES(nyario_join(waiting, NULL), 0);
    CHECK(at.result == -ECANCELED);
    waiting = nyario_spawn(receives, &at);
    CHECK(nyario_sleep(MILLISECOND) == 0);
    GIVES(nyario_close(at.server), 0);
    GIVES(nyario_join(waiting, NULL), 0);
    CHECK(at.result == -EBADF);
    GIVES(nyario_close(at.client), 0);
    GIVES(nyario_close(at.listener), 0);
    unlink(at.path);
    return NULL;
}

static void end_early(void) {
    on_fiber(ends_waits, NULL);
}

static void *asks_badly(void *arg) {
    struct meeting at = {{0}, 0, 0, 0, 0};
    int ends[2];
    char text[64], own[64];
    (void)arg;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    GIVES(nyario_send_fd(ends[1], 0), -ENOTSOCK);
    GIVES(nyario_recv_fd(ends[0]), -ENOTSOCK);
    GIVES(nyario_send_fd(-1, 0), -EBADF);
    GIVES(nyario_recv_fd(-1), -EBADF);
    GIVES(nyario_peer(ends[0], text, sizeof text), -ENOTSOCK);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);

    meet(&at, "127.0.0.1:0");
    GIVES(nyario_send_fd(at.client, 0), -EOPNOTSUPP);
    GIVES(nyario_recv_fd(at.client), -EOPNOTSUPP);
    /* The client's peer is the address that it dialled; the server's is the client. */
    CHECK(nyario_peer(at.client, text, sizeof text) > 0 && nyario_address(at.listener, own, sizeof own) > 0);
    CHECK(strcmp(text, own) == 0);
    CHECK(nyario_peer(at.server, text, sizeof text) > 0 && nyario_address(at.client, own, sizeof own) > 0);
    CHECK(strcmp(text, own) == 0);
    GIVES(nyario_peer(at.server, text, 5), -ENOSPC);
    GIVES(nyario_peer(at.server, NULL, 5), -EINVAL);
    GIVES(nyario_peer(at.listener, text, sizeof text), -ENOTCONN);
    part(&at);

    fresh_path(at.path, "peer");
    meet(&at, at.path);
    GIVES(nyario_send_fd(at.client, -1), -EBADF);
    CHECK(nyario_peer(at.client, text, sizeof text) > 0 && strcmp(text, at.path) == 0);
    GIVES(nyario_peer(at.server, text, sizeof text), 0);
    CHECK(text[0] == '\0');
    part(&at);
    return NULL;
}

static void know_peers_and_refuse_bad_arguments(void) {
    on_fiber(asks_badly, NULL);
}

int main(void) {
    TEST(pass_descriptors);
    TEST(end_early);
    TEST(know_peers_and_refuse_bad_arguments);
    return summary("passing");
}
