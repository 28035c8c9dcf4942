/* The same calls off a fiber: they block the thread and give the same answers. */
#include "check.h"
#include <pthread.h>

static const int64_t MILLISECOND = 1000000;

static char address[128];

static void sends_back_until_told(int fd, void *arg) {
    char buf[65536];
    ssize_t n;
    (void)arg;
    while ((n = nyario_read(fd, buf, sizeof buf)) > 0) {
        if (n == 4 && memcmp(buf, "stop", 4) == 0) {
            nyario_stop();
            return;
        }
        if (nyario_write(fd, buf, (size_t)n) != n)
            return;
    }
}

static void *serves(void *arg) {
    GIVES(nyario_register(*(int *)arg, sends_back_until_told, NULL, 0), 0);
    GIVES(nyario_loop(), 0);
    return NULL;
}

static pthread_t start_server(void) {
    static int server;
    pthread_t thread;
    server = nyario_listen("127.0.0.1:0");
    CHECK(nyario_address(server, address, sizeof address) > 0);
    CHECK(pthread_create(&thread, NULL, serves, &server) == 0);
    return thread;
}

static void stop_server(pthread_t thread) {
    int fd = nyario_dial(address);
    GIVES(nyario_write(fd, "stop", 4), 4);
    CHECK(pthread_join(thread, NULL) == 0);
    GIVES(nyario_close(fd), 0);
}

static void talk_to_a_server(void) {
    pthread_t thread = start_server();
    int fd = nyario_dial(address);
    CHECK(fd >= 0);
    GIVES(nyario_self(), 0);
    check_echo(fd, "from a thread");
    check_echo(fd, "and back");
    GIVES(nyario_close(fd), 0);
    stop_server(thread);
    GIVES(nyario_dial(address), -ECONNREFUSED);
}

enum { BIG = 8 << 20 };
static unsigned char outgoing[BIG], incoming[BIG];

static void *drinks(void *arg) {
    CHECK(read_all(*(int *)arg, incoming, BIG));
    return NULL;
}

static void carry_much_in_both_directions(void) {
    pthread_t server = start_server(), drinking;
    for (size_t i = 0; i < BIG; i++)
        outgoing[i] = (unsigned char)(i * 2654435761u >> 16);
    int fd = nyario_dial(address);
    CHECK(pthread_create(&drinking, NULL, drinks, &fd) == 0);
    GIVES(nyario_write(fd, outgoing, BIG), BIG);
    CHECK(pthread_join(drinking, NULL) == 0);
    CHECK(memcmp(incoming, outgoing, BIG) == 0);
    GIVES(nyario_close(fd), 0);
    stop_server(server);
}

static void *writes_at_leisure(void *arg) {
    int fd = *(int *)arg;
    GIVES(nyario_sleep(5 * MILLISECOND), 0);
    GIVES(nyario_write(fd, outgoing, BIG), BIG);
    GIVES(nyario_close(fd), 0);
    return NULL;
}

static void wait_for_a_pipe(void) {
    pthread_t writing;
    char byte;
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(pthread_create(&writing, NULL, writes_at_leisure, &ends[1]) == 0);
    memset(incoming, 0, BIG);
    CHECK(read_all(ends[0], incoming, BIG));
    CHECK(memcmp(incoming, outgoing, BIG) == 0);
    GIVES(nyario_read(ends[0], &byte, 1), 0);
    CHECK(pthread_join(writing, NULL) == 0);
    CHECK((fcntl(ends[0], F_GETFL) & O_NONBLOCK) == 0);
    GIVES(nyario_close(ends[0]), 0);
}

static void read_and_write_files(void) {
    char path[108], back[6] = "";
    fresh_path(path, "file");
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    GIVES(nyario_write(fd, "words", 5), 5);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    GIVES(nyario_read(fd, back, 0), 0);
    GIVES(nyario_read(fd, back, 3), 3);
    GIVES(nyario_read(fd, back + 3, 3), 2);
    GIVES(nyario_read(fd, back, 1), 0);
    CHECK(strcmp(back, "words") == 0);
    GIVES(nyario_close(fd), 0);
    unlink(path);
}

static void measure_time(void) {
    int64_t before = nyario_now();
    GIVES(nyario_sleep(2 * MILLISECOND), 0);
    CHECK(nyario_now() - before >= 2 * MILLISECOND);
    GIVES(nyario_sleep(0), 0);
    GIVES(nyario_yield(), 0);
}

int main(void) {
    TEST(talk_to_a_server);
    TEST(carry_much_in_both_directions);
    TEST(wait_for_a_pipe);
    TEST(read_and_write_files);
    TEST(measure_time);
    return summary("blocking");
}
