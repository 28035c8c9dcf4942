/* Forks: a child starts afresh, and leaves what is its parent's alone. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

static void *asks_once(void *arg) {
    int fd = nyario_dial(arg);
    CHECK(fd >= 0);
    check_echo(fd, "who is there?");
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

/* A whole life of a loop. */
static void live(void) {
    char address[128];
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    on_fiber(asks_once, address);
}

static int failures_so_far(void) {
    return atomic_load(&failures);
}

/* Whether the child has found nothing wrong. */
static int is_well(pid_t child) {
    int status = -1;
    return waitpid(child, &status, 0) == child && status == 0;
}

static void live_like_their_parents(void) {
    live();
    pid_t child = fork();
    if (child == 0) {
        /* With exit rather than _exit: what runs at the end must not reach for the parent's loop either. */
        live();
        exit(failures_so_far());
    }
    live();
    CHECK(is_well(child));
    live();
}

static void *forks_meanwhile(void *arg) {
    char *address = arg;
    int fd = nyario_dial(address);
    check_echo(fd, "before");
    pid_t child = fork();
    if (child == 0) {
        /* This is no fiber of the child's: whatever waits blocks its thread. */
        GIVES(nyario_self(), 0);
        GIVES(nyario_stop(), -ESRCH);
        GIVES(nyario_deadline(0), -EINVAL);
        GIVES(nyario_sleep(MILLISECOND), 0);
        live();
        _exit(failures_so_far());
    }
    check_echo(fd, "meanwhile");
    CHECK(is_well(child));
    check_echo(fd, "after");
    GIVES(nyario_close(fd), 0);
    fd = nyario_dial(address);
    check_echo(fd, "and anew");
    GIVES(nyario_close(fd), 0);
    GIVES(nyario_stop(), 0);
    return NULL;
}

static void leave_a_running_loop_alone(void) {
    char address[128];
    open_server("127.0.0.1:0", sends_back, NULL, 0, address);
    on_fiber(forks_meanwhile, address);
}

static void have_children_themselves(void) {
    pid_t child = fork();
    if (child == 0) {
        live();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            live();
            _exit(failures_so_far());
        }
        CHECK(is_well(grandchild));
        live();
        _exit(failures_so_far());
    }
    CHECK(is_well(child));
}

/* Nothing of the loop's goes to a program that a child becomes. */
static void pass_nothing_on(void) {
    live();
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "for fd in /proc/$$/fd/*; do case $(readlink $fd) in *anon_inode*) exit 1;; esac; done",
              (char *)NULL);
        _exit(2);
    }
    CHECK(is_well(child));
}

int main(void) {
    TEST(live_like_their_parents);
    TEST(leave_a_running_loop_alone);
    TEST(have_children_themselves);
    TEST(pass_nothing_on);
    return summary("fork");
}
