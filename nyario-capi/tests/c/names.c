/* Names: only such as are known without a network. */
#include "check.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

static const int64_t MILLISECOND = 1000000;

static uint32_t ip(const struct addrinfo *entry) {
    return ntohl(((struct sockaddr_in *)entry->ai_addr)->sin_addr.s_addr);
}

static int port(const struct addrinfo *entry) {
    return ntohs(((struct sockaddr_in *)entry->ai_addr)->sin_port);
}

static struct addrinfo ipv4(int flags) {
    struct addrinfo hints;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    return hints;
}

static void look_up(const char *node, const char *service, uint32_t address, int number) {
    struct addrinfo hints = ipv4(0), *found = NULL;
    GIVES(nyario_getaddrinfo(node, service, &hints, &found), 0);
    CHECK(found && found->ai_family == AF_INET && found->ai_socktype == SOCK_STREAM);
    CHECK(found && ip(found) == address && port(found) == number);
    freeaddrinfo(found);
}

static void *asks(void *arg) {
    struct addrinfo *found, hints = ipv4(0);
    look_up("127.0.0.1", "80", INADDR_LOOPBACK, 80);
    look_up("localhost", "80", INADDR_LOOPBACK, 80);
    look_up("192.0.2.7", NULL, 0xc0000207, 0);
    look_up(NULL, "7", INADDR_LOOPBACK, 7);
    GIVES(nyario_getaddrinfo("::1", "80", NULL, &found), 0);
    CHECK(found->ai_family == AF_INET6);
    freeaddrinfo(found);

    found = (struct addrinfo *)&found;
    GIVES(nyario_getaddrinfo(NULL, NULL, &hints, &found), -EINVAL);
    GIVES(nyario_getaddrinfo("localhost", "80", &hints, NULL), -EINVAL);
    GIVES(nyario_getaddrinfo("localhost", "no such service", &hints, &found), NYARIO_EAI_SERVICE);
    GIVES(nyario_getaddrinfo("::1", "80", &hints, &found), NYARIO_EAI_ADDRFAMILY);
    int none = nyario_getaddrinfo("host.invalid", "80", &hints, &found);
    CHECK(none == NYARIO_EAI_NONAME || none == NYARIO_EAI_AGAIN);
    hints.ai_flags = AI_NUMERICHOST;
    GIVES(nyario_getaddrinfo("localhost", "80", &hints, &found), NYARIO_EAI_NONAME);
    hints.ai_flags = 1 << 30;
    GIVES(nyario_getaddrinfo("localhost", "80", &hints, &found), NYARIO_EAI_BADFLAGS);
    hints.ai_flags = 0;
    hints.ai_family = 4711;
    GIVES(nyario_getaddrinfo("localhost", "80", &hints, &found), NYARIO_EAI_FAMILY);
    hints.ai_family = AF_INET;
    hints.ai_socktype = 4711;
    GIVES(nyario_getaddrinfo("localhost", "80", &hints, &found), NYARIO_EAI_SOCKTYPE);
    CHECK(found == (struct addrinfo *)&found);
    return arg;
}

static void find_addresses(void) {
    on_fiber(asks, NULL);
    asks(NULL);
}

static void *asks_for_names(void *arg) {
    struct sockaddr_in address;
    char host[64], service[32];
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(65000);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const struct sockaddr *raw = (struct sockaddr *)&address;
    int numbers = NI_NUMERICHOST | NI_NUMERICSERV;
    GIVES(nyario_getnameinfo(raw, sizeof address, host, sizeof host, service, sizeof service, numbers), 0);
    CHECK(strcmp(host, "127.0.0.1") == 0 && strcmp(service, "65000") == 0);
    strcpy(service, "untouched");
    GIVES(nyario_getnameinfo(raw, sizeof address, host, sizeof host, NULL, 0, NI_NAMEREQD), 0);
    CHECK(strcmp(host, "localhost") == 0 && strcmp(service, "untouched") == 0);
    GIVES(nyario_getnameinfo(raw, sizeof address, NULL, 0, service, sizeof service, 0), 0);
    CHECK(strcmp(service, "65000") == 0);
    GIVES(nyario_getnameinfo(raw, sizeof address, host, 2, NULL, 0, 0), NYARIO_EAI_OVERFLOW);
    GIVES(nyario_getnameinfo(raw, sizeof address, host, 2, NULL, 0, NI_NUMERICHOST), NYARIO_EAI_OVERFLOW);
    GIVES(nyario_getnameinfo(NULL, sizeof address, host, sizeof host, NULL, 0, 0), -EINVAL);
    GIVES(nyario_getnameinfo(raw, 0, host, sizeof host, NULL, 0, 0), -EINVAL);
    GIVES(nyario_getnameinfo(raw, sizeof address, NULL, sizeof host, NULL, 0, 0), -EINVAL);
    GIVES(nyario_getnameinfo(raw, sizeof address, host, 0, service, 0, 0), -EINVAL);
    GIVES(nyario_getnameinfo(raw, 3, host, sizeof host, NULL, 0, 0), NYARIO_EAI_FAMILY);
    address.sin_family = 4711;
    GIVES(nyario_getnameinfo(raw, sizeof address, host, sizeof host, NULL, 0, 0), NYARIO_EAI_FAMILY);
    return arg;
}

static void are_found_for_addresses(void) {
    on_fiber(asks_for_names, NULL);
    asks_for_names(NULL);
}

static void *is_in_a_hurry(void *arg) {
    struct addrinfo hints = ipv4(0), *found = NULL;
    char host[64];
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    GIVES(nyario_cancel(nyario_self()), 0);
    GIVES(nyario_getaddrinfo("localhost", NULL, &hints, &found), -ECANCELED);
    GIVES(nyario_deadline(nyario_now() - MILLISECOND), 0);
    GIVES(nyario_getaddrinfo("localhost", NULL, &hints, &found), -ETIMEDOUT);
    GIVES(nyario_getnameinfo((struct sockaddr *)&address, sizeof address, host, sizeof host, NULL, 0, 0), -ETIMEDOUT);
    /* What is numeric does not wait. */
    GIVES(nyario_getaddrinfo("127.0.0.1", NULL, &hints, &found), 0);
    freeaddrinfo(found);
    return arg;
}

static void are_given_up(void) {
    on_fiber(is_in_a_hurry, NULL);
}

static int is_unknown(int result) {
    return result == NYARIO_EAI_NONAME || result == NYARIO_EAI_AGAIN;
}

/* Another name for the loopback address. `localhost` is none: that is read without the resolver. */
static const char *other_name(void) {
    static char name[256];
    struct addrinfo hints = ipv4(0), *found = NULL;
    if (gethostname(name, sizeof name) == 0 && getaddrinfo(name, NULL, &hints, &found) == 0) {
        int local = (ip(found) >> 24) == 127;
        freeaddrinfo(found);
        if (local)
            return name;
    }
    return "LOCALHOST";
}

static void *dials(void *arg) {
    char address[300], bound[128];
    (void)arg;
    snprintf(address, sizeof address, "%s:0", other_name());
    int server = nyario_listen(address);
    CHECK(server >= 0);
    GIVES(nyario_register(server, sends_back, NULL, 0), 0);
    CHECK(nyario_address(server, bound, sizeof bound) > 0);
    snprintf(address, sizeof address, "%s:%s", other_name(), strrchr(bound, ':') + 1);
    int fd = nyario_dial(address);
    CHECK(fd >= 0);
    check_echo(fd, "who goes by that name?");
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_close(server), 0);
    GIVES(nyario_dial(address), -ECONNREFUSED);

    CHECK(is_unknown(nyario_dial("host.invalid:80")));
    CHECK(is_unknown(nyario_listen("host.invalid:80")));
    CHECK(is_unknown(nyario_listen_shared("host.invalid:80")));
    GIVES(nyario_dial("host.invalid:http"), -EINVAL);
    GIVES(nyario_dial("host.invalid"), -ENOENT);
    GIVES(nyario_cancel(nyario_self()), 0);
    GIVES(nyario_dial(address), -ECANCELED);
    GIVES(nyario_deadline(1), 0);
    GIVES(nyario_dial(address), -ETIMEDOUT);
    GIVES(nyario_listen("host.invalid:80"), -ETIMEDOUT);
    return arg;
}

static void are_dialled_and_listened_at(void) {
    on_fiber(dials, NULL);
}

static void have_errors_of_their_own(void) {
    CHECK(strcmp(nyario_err_name(NYARIO_EAI_NONAME), "EAI_NONAME") == 0);
    int all[] = {NYARIO_EAI_BADFLAGS, NYARIO_EAI_NONAME,   NYARIO_EAI_AGAIN,   NYARIO_EAI_FAIL,       NYARIO_EAI_NODATA,
                 NYARIO_EAI_FAMILY,   NYARIO_EAI_SOCKTYPE, NYARIO_EAI_SERVICE, NYARIO_EAI_ADDRFAMILY, NYARIO_EAI_OVERFLOW};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(strncmp(nyario_err_name(all[i]), "EAI_", 4) == 0);
        CHECK(strcmp(nyario_strerror(all[i]), nyario_strerror(4095)) != 0);
    }
}

int main(void) {
    TEST(find_addresses);
    TEST(are_found_for_addresses);
    TEST(are_given_up);
    TEST(are_dialled_and_listened_at);
    TEST(have_errors_of_their_own);
    return summary("names");
}
