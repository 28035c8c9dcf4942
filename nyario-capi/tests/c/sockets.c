/* Stream sockets as C opens them: accept, connect, flags, options, shutdown, and what is no socket. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/un.h>

static const int64_t MILLISECOND = 1000000;

struct meeting {
    int listener, server, client;
    struct sockaddr_in at;
    nyario_fiber waiting;
    ssize_t result;
    char path[108];
};

/* A socket that the C library opened and bound. */
static int bound(struct sockaddr_in *at) {
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)at, sizeof *at) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)at, &len) == 0);
    return fd;
}

static void *connects(void *arg) {
    struct meeting *at = arg;
    at->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GIVES(nyario_connect(at->client, (struct sockaddr *)&at->at, sizeof at->at), 0);
    CHECK((fcntl(at->client, F_GETFL) & O_NONBLOCK) == 0);
    return NULL;
}

/* Both ends of a TCP connection that was made with the calls of libc's names. */
static void meet(struct meeting *at) {
    struct sockaddr_in peer, own;
    uint32_t len = sizeof peer;
    socklen_t own_len = sizeof own;
    at->listener = bound(&at->at);
    CHECK(listen(at->listener, 5) == 0);
    nyario_fiber connecting = nyario_spawn(connects, at);
    at->server = nyario_accept(at->listener, (struct sockaddr *)&peer, &len);
    CHECK(at->server >= 0 && (fcntl(at->server, F_GETFD) & FD_CLOEXEC));
    GIVES(nyario_join(connecting, NULL), 0);
    CHECK(len == sizeof peer && peer.sin_family == AF_INET);
    CHECK(getsockname(at->client, (struct sockaddr *)&own, &own_len) == 0);
    CHECK(own.sin_port == peer.sin_port);
}

static void part(struct meeting *at) {
    GIVES(nyario_close(at->client), 0);
    GIVES(nyario_close(at->server), 0);
    GIVES(nyario_close(at->listener), 0);
}

static void *talks(void *arg) {
    struct meeting at = {0};
    char buf[16];
    (void)arg;
    meet(&at);
    GIVES(nyario_send(at.client, "hello", 5, 0), 5);
    GIVES(nyario_recv(at.server, buf, 2, MSG_PEEK), 2);
    GIVES(nyario_recv(at.server, buf, sizeof buf, 0), 5);
    CHECK(memcmp(buf, "hello", 5) == 0);
    GIVES(nyario_recv(at.server, buf, sizeof buf, MSG_DONTWAIT), -EAGAIN);
    GIVES(nyario_write(at.server, "and back", 8), 8);
    GIVES(nyario_recv(at.client, buf, sizeof buf, MSG_PEEK), 8);
    GIVES(nyario_recv(at.client, buf, 3, MSG_PEEK | MSG_DONTWAIT), 3);
    GIVES(nyario_read(at.client, buf, 4), 4);
    GIVES(nyario_recv(at.client, buf, sizeof buf, MSG_DONTWAIT), 4);
    CHECK(memcmp(buf, "back", 4) == 0);

    /* What the kernel keeps apart is answered at once. */
    GIVES(nyario_recv(at.client, buf, 1, MSG_OOB), -EINVAL);
    GIVES(nyario_send(at.server, "!", 1, MSG_OOB), 1);
    do
        at.result = nyario_recv(at.client, buf, 1, MSG_OOB);
    while ((at.result == -EAGAIN || at.result == -EINVAL) && nyario_sleep(MILLISECOND) == 0);
    CHECK(at.result == 1 && buf[0] == '!');

    GIVES(nyario_shutdown(at.server, SHUT_WR), 0);
    GIVES(nyario_recv(at.client, buf, sizeof buf, 0), 0);
    GIVES(nyario_send(at.client, "still", 5, MSG_NOSIGNAL), 5);
    GIVES(nyario_recv(at.server, buf, 5, MSG_WAITALL), 5);
    GIVES(nyario_send(at.server, "no more", 7, 0), -EPIPE);
    part(&at);
    return NULL;
}

static void talk(void) {
    on_fiber(talks, NULL);
}

static void *sends_in_pieces(void *arg) {
    struct meeting *at = arg;
    for (int i = 0; i < 10; i++) {
        GIVES(nyario_send(at->client, "0123456789", 10, i % 2 ? MSG_MORE : 0), 10);
        CHECK(nyario_sleep(MILLISECOND) == 0);
    }
    GIVES(nyario_shutdown(at->client, SHUT_WR), 0);
    return NULL;
}

static void *waits_for_all(void *arg) {
    struct meeting at = {0};
    char buf[100];
    struct iovec parts[3] = {{buf, 5}, {buf + 5, 20}, {buf + 25, 25}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    (void)arg;
    meet(&at);
    nyario_fiber sending = nyario_spawn(sends_in_pieces, &at);
    GIVES(nyario_recv(at.server, buf, 42, MSG_WAITALL), 42);
    CHECK(memcmp(buf + 38, "8901", 4) == 0);
    GIVES(nyario_recvmsg(at.server, &message, MSG_WAITALL), 50);
    CHECK(buf[0] == '2' && buf[49] == '1' && message.msg_namelen == 0 && message.msg_controllen == 0);
    /* The end comes before the buffer is full. */
    GIVES(nyario_recv(at.server, buf, sizeof buf, MSG_WAITALL), 8);
    GIVES(nyario_recv(at.server, buf, sizeof buf, MSG_WAITALL), 0);
    GIVES(nyario_join(sending, NULL), 0);
    part(&at);
    return NULL;
}

static void receive_everything_that_is_asked_for(void) {
    on_fiber(waits_for_all, NULL);
}

static void *receives(void *arg) {
    struct meeting *at = arg;
    char buf[8];
    at->result = nyario_recv(at->server, buf, sizeof buf, MSG_PEEK);
    return NULL;
}

static void *receives_a_message(void *arg) {
    struct meeting *at = arg;
    char buf[8];
    struct sockaddr_storage from;
    uint32_t len = sizeof from;
    at->result = nyario_recvfrom(at->server, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
    return NULL;
}

static void *accepts(void *arg) {
    struct meeting *at = arg;
    struct sockaddr_in peer;
    uint32_t len = sizeof peer;
    at->result = nyario_accept(at->listener, (struct sockaddr *)&peer, &len);
    return NULL;
}

static char much[8 << 20];

/* Nobody reads. What finds room at first says nothing of the next call: the kernel makes some as it hands on. */
static void *sends_much(void *arg) {
    struct meeting *at = arg;
    do
        at->result = nyario_send(at->server, much, sizeof much, MSG_MORE);
    while (at->result > 0);
    return NULL;
}

static void *sends_much_in_parts(void *arg) {
    struct meeting *at = arg;
    struct iovec parts[2] = {{much, sizeof much / 2}, {much + sizeof much / 2, sizeof much / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    do
        at->result = nyario_sendmsg(at->server, &message, 0);
    while (at->result > 0);
    return NULL;
}

static void *connects_to_nobody(void *arg) {
    struct meeting *at = arg;
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(9)};
    /* Addresses that are set aside for documentation: nobody answers, or the network says so at once. */
    nobody.sin_addr.s_addr = inet_addr("192.0.2.1");
    at->result = nyario_connect(at->client, (struct sockaddr *)&nobody, sizeof nobody);
    return NULL;
}

static const nyario_entry WAITS[] = {receives, receives_a_message, accepts, sends_much, sends_much_in_parts};

enum ending { BY_CANCEL, BY_DEADLINE, BY_CLOSE };

static void *waits_until(void *arg) {
    struct meeting *at = arg;
    GIVES(nyario_deadline(nyario_now() + 3 * MILLISECOND), 0);
    for (size_t i = 0; i < sizeof WAITS / sizeof *WAITS; i++) {
        WAITS[i](at);
        CHECK(at->result == -ETIMEDOUT);
    }
    return NULL;
}

static void *ends_waits(void *arg) {
    struct meeting at = {0};
    (void)arg;
    for (size_t i = 0; i < sizeof WAITS / sizeof *WAITS; i++) {
        meet(&at);
        nyario_fiber waiting = nyario_spawn(WAITS[i], &at);
        CHECK(nyario_sleep(2 * MILLISECOND) == 0);
        GIVES(nyario_cancel(waiting), 0);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(at.result == -ECANCELED);
        waiting = nyario_spawn(WAITS[i], &at);
        CHECK(nyario_sleep(2 * MILLISECOND) == 0);
        GIVES(nyario_close(at.server), 0);
        GIVES(nyario_close(at.listener), 0);
        GIVES(nyario_join(waiting, NULL), 0);
        CHECK(at.result == -EBADF);
        GIVES(nyario_close(at.client), 0);
    }
    meet(&at);
    nyario_fiber late = nyario_spawn(waits_until, &at);
    GIVES(nyario_join(late, NULL), 0);
    part(&at);

    at.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    nyario_fiber connecting = nyario_spawn(connects_to_nobody, &at);
    CHECK(nyario_sleep(2 * MILLISECOND) == 0);
    nyario_cancel(connecting);
    GIVES(nyario_join(connecting, NULL), 0);
    CHECK(at.result < 0);
    GIVES(nyario_close(at.client), 0);
    return NULL;
}

static void end_early(void) {
    on_fiber(ends_waits, NULL);
}

/* The C library's calls for options work on descriptors of nyario's. */
static void *sets_options(void *arg) {
    struct meeting at = {0};
    int value = 0, on = 1;
    socklen_t len = sizeof value;
    (void)arg;
    meet(&at);
    CHECK(setsockopt(at.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    CHECK(getsockopt(at.server, IPPROTO_TCP, TCP_NODELAY, &value, &len) == 0 && value != 0);
    CHECK(setsockopt(at.server, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0);
    CHECK(getsockopt(at.server, SOL_SOCKET, SO_TYPE, &value, &len) == 0 && value == SOCK_STREAM);
    CHECK(setsockopt(at.server, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)) == 0);
    GIVES(nyario_send(at.client, "x", 1, 0), 1);
    GIVES(nyario_read(at.server, &value, 1), 1);
    part(&at);
    return NULL;
}

static void have_options(void) {
    on_fiber(sets_options, NULL);
}

static void check_no_socket(int fd, int error) {
    char buf[4] = "";
    struct sockaddr_in addr = {.sin_family = AF_INET};
    uint32_t len = sizeof addr;
    struct iovec part = {buf, sizeof buf};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    for (int flags = 0; flags < 3; flags++) {
        int flag = flags == 0 ? 0 : flags == 1 ? MSG_DONTWAIT : MSG_PEEK;
        GIVES(nyario_recv(fd, buf, sizeof buf, flag), error);
        GIVES(nyario_recvfrom(fd, buf, sizeof buf, flag, (struct sockaddr *)&addr, &len), error);
        GIVES(nyario_recvmsg(fd, &message, flag), error);
        flag = flags == 0 ? 0 : flags == 1 ? MSG_DONTWAIT : MSG_MORE;
        GIVES(nyario_send(fd, buf, sizeof buf, flag), error);
        GIVES(nyario_sendto(fd, buf, sizeof buf, flag, (struct sockaddr *)&addr, len), error);
        GIVES(nyario_sendmsg(fd, &message, flag), error);
    }
    GIVES(nyario_recv(fd, buf, 1, MSG_OOB), error);
    GIVES(nyario_recv(fd, buf, 4, MSG_WAITALL), error);
    GIVES(nyario_accept(fd, NULL, NULL), error);
    GIVES(nyario_connect(fd, (struct sockaddr *)&addr, len), error);
    GIVES(nyario_shutdown(fd, SHUT_RD), error);
}

static void *tries_what_is_no_socket(void *arg) {
    int ends[2], event = eventfd(1, EFD_CLOEXEC), file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    (void)arg;
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    check_no_socket(ends[0], -ENOTSOCK);
    check_no_socket(ends[1], -ENOTSOCK);
    check_no_socket(event, -ENOTSOCK);
    check_no_socket(file, -ENOTSOCK);
    /* Once more, now that they are known. */
    CHECK(nyario_write(ends[1], "x", 1) == 1);
    check_no_socket(ends[0], -ENOTSOCK);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);
    GIVES(nyario_close(event), 0);
    GIVES(nyario_close(file), 0);
    check_no_socket(file, -EBADF);
    check_no_socket(-1, -EBADF);
    return NULL;
}

static void have_to_be_sockets(void) {
    on_fiber(tries_what_is_no_socket, NULL);
    tries_what_is_no_socket(NULL);
}

static void refuse_bad_arguments(void) {
    struct sockaddr_in at;
    uint32_t len = sizeof at;
    char byte;
    int fd = bound(&at);
    struct msghdr crowded = {.msg_iov = NULL, .msg_iovlen = 1};
    GIVES(nyario_accept(fd, (struct sockaddr *)&at, NULL), -EINVAL);
    GIVES(nyario_accept(fd, NULL, NULL), -EINVAL);
    GIVES(nyario_connect(fd, NULL, len), -EINVAL);
    GIVES(nyario_connect(fd, (struct sockaddr *)&at, 1), -EINVAL);
    GIVES(nyario_recv(fd, NULL, 1, 0), -EINVAL);
    GIVES(nyario_send(fd, NULL, 1, 0), -EINVAL);
    GIVES(nyario_recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&at, NULL), -EINVAL);
    GIVES(nyario_recvfrom(fd, NULL, 1, 0, NULL, NULL), -EINVAL);
    GIVES(nyario_sendto(fd, NULL, 1, 0, NULL, 0), -EINVAL);
    GIVES(nyario_recvmsg(fd, NULL, 0), -EINVAL);
    GIVES(nyario_sendmsg(fd, NULL, 0), -EINVAL);
    GIVES(nyario_recvmsg(fd, &crowded, 0), -EINVAL);
    crowded.msg_iovlen = 1025;
    GIVES(nyario_sendmsg(fd, &crowded, 0), -EMSGSIZE);
    GIVES(nyario_shutdown(fd, 17), -EINVAL);
    GIVES(nyario_recv(fd, &byte, 1, 0), -ENOTCONN);
    GIVES(nyario_close(fd), 0);
}

static void *calls_a_unix_server(void *arg) {
    struct meeting *at = arg;
    struct sockaddr_un there = {.sun_family = AF_UNIX};
    memcpy(there.sun_path, at->path, sizeof at->path);
    at->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GIVES(nyario_connect(at->client, (struct sockaddr *)&there, sizeof there), 0);
    check_echo(at->client, "over a path");
    GIVES(nyario_close(at->client), 0);
    return NULL;
}

static void *serves_unix(void *arg) {
    struct meeting *at = arg;
    struct sockaddr_un from;
    uint32_t len = sizeof from;
    nyario_fiber calling = nyario_spawn(calls_a_unix_server, at);
    int fd = nyario_accept(at->listener, (struct sockaddr *)&from, &len);
    CHECK(fd >= 0 && from.sun_family == AF_UNIX && len == sizeof(sa_family_t));
    sends_back(fd, NULL);
    GIVES(nyario_join(calling, NULL), 0);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_close(at->listener), 0);
    return NULL;
}

static void talk_over_unix_sockets(void) {
    struct meeting at = {0};
    fresh_path(at.path, "plain");
    at.listener = nyario_listen(at.path);
    on_fiber(serves_unix, &at);
    unlink(at.path);
}

/* Off a fiber the same calls block the thread. */
static void block_off_a_fiber(void) {
    int ends[2];
    char buf[8];
    struct meeting at = {0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    GIVES(nyario_send(ends[0], "abcdef", 6, 0), 6);
    GIVES(nyario_recv(ends[1], buf, 2, MSG_PEEK), 2);
    GIVES(nyario_recv(ends[1], buf, 6, MSG_WAITALL), 6);
    GIVES(nyario_recv(ends[1], buf, 6, MSG_DONTWAIT), -EAGAIN);
    GIVES(nyario_shutdown(ends[0], SHUT_RDWR), 0);
    GIVES(nyario_recvfrom(ends[1], buf, 6, 0, NULL, NULL), 0);
    GIVES(nyario_close(ends[0]), 0);
    GIVES(nyario_close(ends[1]), 0);

    at.listener = bound(&at.at);
    CHECK(listen(at.listener, 5) == 0);
    connects(&at);
    at.server = nyario_accept(at.listener, NULL, NULL);
    CHECK(at.server >= 0);
    GIVES(nyario_send(at.client, "to", 2, 0), 2);
    GIVES(nyario_recv(at.server, buf, 8, MSG_PEEK), 2);
    GIVES(nyario_recv(at.server, buf, 8, 0), 2);
    GIVES(nyario_recv(at.server, buf, 8, MSG_DONTWAIT), -EAGAIN);
    part(&at);
}

int main(void) {
    TEST(talk);
    TEST(receive_everything_that_is_asked_for);
    TEST(end_early);
    TEST(have_options);
    TEST(have_to_be_sockets);
    TEST(refuse_bad_arguments);
    TEST(talk_over_unix_sockets);
    TEST(block_off_a_fiber);
    return summary("sockets");
}
