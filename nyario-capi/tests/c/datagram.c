/* Datagrams: UDP and unix, by address and from whom they came. */
#include "check.h"

#include <netinet/in.h>
#include <sys/un.h>

static const int64_t MILLISECOND = 1000000;

static void *answers(void *arg) {
    int fd = (int)(intptr_t)arg;
    char buf[2000];
    for (;;) {
        struct sockaddr_storage from;
        uint32_t len = sizeof from;
        ssize_t n = nyario_recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
        if (n < 0)
            return (void *)n;
        GIVES(nyario_sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len), n);
        if (n == 0)
            return NULL;
    }
}

/* Asks a server at `address` from two sockets, the second of which is connected, and ends it with an empty message. */
static void ask(const char *address, const char *one, const char *other) {
    int server = nyario_datagram(address, NULL);
    char where[128], buf[2000];
    CHECK(server >= 0 && (fcntl(server, F_GETFD) & FD_CLOEXEC));
    CHECK(nyario_address(server, where, sizeof where) > 0);
    nyario_fiber answering = nyario_spawn(answers, (void *)(intptr_t)server);

    int client = nyario_datagram(one, where);
    CHECK(client >= 0);
    memset(buf, 'q', sizeof buf);
    for (int i = 1; i < 20; i++) {
        GIVES(nyario_send(client, buf, (size_t)i * 100, 0), i * 100);
        GIVES(nyario_recv(client, buf, sizeof buf, 0), i * 100);
    }
    GIVES(nyario_write(client, "as a file", 9), 9);
    GIVES(nyario_read(client, buf, sizeof buf), 9);
    CHECK(memcmp(buf, "as a file", 9) == 0);

    /* What does not fit is lost, and told under MSG_TRUNC. */
    GIVES(nyario_send(client, "too long", 8, 0), 8);
    GIVES(nyario_recv(client, buf, 3, MSG_TRUNC), 8);
    CHECK(memcmp(buf, "too", 3) == 0);
    GIVES(nyario_recv(client, buf, 3, MSG_DONTWAIT), -EAGAIN);

    int unconnected = nyario_datagram(other, NULL);
    struct sockaddr_storage to, from;
    uint32_t len = sizeof from;
    socklen_t size = sizeof to;
    CHECK(getsockname(server, (struct sockaddr *)&to, &size) == 0);
    struct iovec parts[2] = {{"two ", 4}, {"parts", 5}};
    struct msghdr message = {.msg_name = &to, .msg_namelen = size, .msg_iov = parts, .msg_iovlen = 2};
    GIVES(nyario_sendmsg(unconnected, &message, 0), 9);
    GIVES(nyario_recvfrom(unconnected, buf, sizeof buf, MSG_PEEK, (struct sockaddr *)&from, &len), 9);
    CHECK(len == size && memcmp(&from, &to, len) == 0 && memcmp(buf, "two parts", 9) == 0);
    memset(&from, 0, sizeof from);
    message = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &(struct iovec){buf, 4}, .msg_iovlen = 1};
    GIVES(nyario_recvmsg(unconnected, &message, 0), 4);
    CHECK(message.msg_namelen == size && memcmp(&from, &to, size) == 0 && (message.msg_flags & MSG_TRUNC));

    GIVES(nyario_sendto(unconnected, "", 0, 0, (struct sockaddr *)&to, size), 0);
    GIVES(nyario_recv(unconnected, buf, sizeof buf, 0), 0);
    GIVES(nyario_join(answering, NULL), 0);
    GIVES(nyario_close(client), 0);
    GIVES(nyario_close(unconnected), 0);
    GIVES(nyario_close(server), 0);
}

static void *asks_by_udp(void *arg) {
    (void)arg;
    ask("127.0.0.1:0", NULL, "127.0.0.1:0");
    ask("[::1]:0", NULL, "[::1]:0");
    return NULL;
}

static void *asks_by_paths(void *arg) {
    char at[3][108];
    (void)arg;
    fresh_path(at[0], "server");
    fresh_path(at[1], "client");
    fresh_path(at[2], "other");
    /* Twice: what the first time left behind is taken over. */
    ask(at[0], at[1], at[2]);
    ask(at[0], at[1], at[2]);
    int living = nyario_datagram(at[0], NULL);
    CHECK(living >= 0);
    GIVES(nyario_datagram(at[0], NULL), -EADDRINUSE);
    GIVES(nyario_close(living), 0);
    GIVES(nyario_datagram(NULL, at[0]), -ECONNREFUSED);
    for (int i = 0; i < 3; i++)
        unlink(at[i]);
    GIVES(nyario_datagram(NULL, at[0]), -ENOENT);
    return NULL;
}

static void answer_over_udp(void) {
    on_fiber(asks_by_udp, NULL);
}

static void answer_over_unix_sockets(void) {
    on_fiber(asks_by_paths, NULL);
}

static void *waits_until(void *arg) {
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    return answers(arg);
}

static void *ends_waits(void *arg) {
    int fd = nyario_datagram("127.0.0.1:0", NULL);
    void *result, *socket = (void *)(intptr_t)fd;
    (void)arg;
    nyario_fiber late = nyario_spawn(waits_until, socket);
    GIVES(nyario_join(late, &result), 0);
    CHECK((intptr_t)result == -ETIMEDOUT);
    nyario_fiber waiting = nyario_spawn(answers, socket);
    CHECK(nyario_sleep(MILLISECOND) == 0);
    GIVES(nyario_cancel(waiting), 0);
    GIVES(nyario_join(waiting, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);
    waiting = nyario_spawn(answers, socket);
    CHECK(nyario_sleep(MILLISECOND) == 0);
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_join(waiting, &result), 0);
    CHECK((intptr_t)result == -EBADF);
    return NULL;
}

static void end_early(void) {
    on_fiber(ends_waits, NULL);
}

static void refuse_bad_arguments(void) {
    char big[200];
    int fd = nyario_datagram("127.0.0.1:0", NULL);
    memset(big, 'x', sizeof big);
    GIVES(nyario_datagram(NULL, NULL), -EINVAL);
    GIVES(nyario_datagram("127.0.0.1:port", NULL), -EINVAL);
    GIVES(nyario_datagram("127.0.0.1:0", "/a/path"), -EINVAL);
    GIVES(nyario_datagram("127.0.0.1:0", "[::1]:1"), -EINVAL);
    big[199] = '\0';
    GIVES(nyario_datagram(big, NULL), -ENAMETOOLONG);
    GIVES(nyario_datagram(NULL, ""), -EINVAL);
    GIVES(nyario_send(fd, "x", 1, 0), -EDESTADDRREQ);
    GIVES(nyario_accept(fd, NULL, NULL), -EOPNOTSUPP);
    static char huge[70000];
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    CHECK(getsockname(fd, (struct sockaddr *)&to, &len) == 0);
    GIVES(nyario_sendto(fd, huge, sizeof huge, 0, (struct sockaddr *)&to, len), -EMSGSIZE);
    GIVES(nyario_close(fd), 0);
}

int main(void) {
    TEST(answer_over_udp);
    TEST(answer_over_unix_sockets);
    TEST(end_early);
    TEST(refuse_bad_arguments);
    return summary("datagram");
}
