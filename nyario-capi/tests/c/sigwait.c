/* Signals: waited for by fibers. */
#include "check.h"
#include <pthread.h>

static const int64_t MILLISECOND = 1000000;

static sigset_t only(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

static void *raises_later(void *arg) {
    nyario_sleep(2 * MILLISECOND);
    CHECK(kill(getpid(), (int)(long)arg) == 0);
    return NULL;
}

static void *waits(void *arg) {
    sigset_t usr1 = only(SIGUSR1), usr2 = only(SIGUSR2), empty, both = only(SIGUSR1);
    siginfo_t info;
    sigemptyset(&empty);
    sigaddset(&both, SIGUSR2);
    GIVES(nyario_sigwait(NULL, &info), -EINVAL);
    GIVES(nyario_sigwait(&empty, &info), -EINVAL);

    GIVES(nyario_detach(nyario_spawn(raises_later, (void *)(long)SIGUSR1)), 0);
    memset(&info, 0xff, sizeof info);
    GIVES(nyario_sigwait(&both, &info), SIGUSR1);
    CHECK(info.si_signo == SIGUSR1 && info.si_code == SI_USER && info.si_pid == getpid() && info.si_uid == getuid());

    /* It is blocked now, so it waits for whoever asks. */
    CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR2) == 0);
    GIVES(nyario_sigwait(&usr2, NULL), SIGUSR2);
    GIVES(nyario_sigwait(&usr1, NULL), SIGUSR1);

    union sigval value;
    value.sival_ptr = &info;
    CHECK(sigqueue(getpid(), SIGUSR2, value) == 0);
    GIVES(nyario_sigwait(&both, &info), SIGUSR2);
    CHECK(info.si_signo == SIGUSR2 && info.si_code == SI_QUEUE && info.si_value.sival_ptr == &info);
    return arg;
}

static void come_to_a_fiber(void) {
    on_fiber(waits, NULL);
}

static void come_to_a_thread(void) {
    sigset_t usr1 = only(SIGUSR1);
    siginfo_t info;
    CHECK(raise(SIGUSR1) == 0);
    GIVES(nyario_sigwait(&usr1, &info), SIGUSR1);
    CHECK(info.si_signo == SIGUSR1);
}

static int taken;

static void *takes_one(void *arg) {
    sigset_t usr1 = only(SIGUSR1);
    GIVES(nyario_sigwait(&usr1, NULL), SIGUSR1);
    taken++;
    return arg;
}

static void *shares(void *arg) {
    for (int i = 0; i < 10; i++)
        GIVES(nyario_detach(nyario_spawn(takes_one, NULL)), 0);
    for (int i = 1; i <= 10; i++) {
        nyario_sleep(2 * MILLISECOND);
        CHECK(taken == i - 1);
        CHECK(raise(SIGUSR1) == 0);
        while (taken < i)
            nyario_sleep(MILLISECOND / 10);
    }
    return arg;
}

static void go_to_one_of_those_who_wait(void) {
    taken = 0;
    on_fiber(shares, NULL);
    CHECK(taken == 10);
}

static void *is_cancelled(void *arg) {
    sigset_t usr1 = only(SIGUSR1);
    GIVES(nyario_sigwait(&usr1, NULL), -ECANCELED);
    return arg;
}

static void *gives_up(void *arg) {
    sigset_t usr1 = only(SIGUSR1);
    nyario_fiber fiber = nyario_spawn(is_cancelled, NULL);
    nyario_sleep(2 * MILLISECOND);
    GIVES(nyario_cancel(fiber), 0);
    GIVES(nyario_join(fiber, NULL), 0);
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    GIVES(nyario_sigwait(&usr1, NULL), -ETIMEDOUT);
    CHECK(nyario_deadline(0) > 0);
    CHECK(raise(SIGUSR1) == 0);
    GIVES(nyario_sigwait(&usr1, NULL), SIGUSR1);
    return arg;
}

static void are_not_lost_on_who_gives_up(void) {
    int before = open("/dev/null", O_RDONLY);
    close(before);
    on_fiber(gives_up, NULL);
    int after = open("/dev/null", O_RDONLY);
    CHECK(after == before);
    close(after);
}

static void *reaps(void *arg) {
    sigset_t chld = only(SIGCHLD);
    siginfo_t info;
    CHECK(pthread_sigmask(SIG_BLOCK, &chld, NULL) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(6);
    GIVES(nyario_sigwait(&chld, &info), SIGCHLD);
    CHECK(info.si_signo == SIGCHLD && info.si_code == CLD_EXITED && info.si_pid == child && info.si_status == 6);
    GIVES(nyario_wait(child, NULL, WNOHANG), child);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &chld, NULL) == 0);
    return arg;
}

static void tell_of_children(void) {
    on_fiber(reaps, NULL);
}

static void *forks(void *arg) {
    sigset_t usr1 = only(SIGUSR1);
    nyario_fiber fiber = nyario_spawn(takes_one, NULL);
    nyario_sleep(2 * MILLISECOND);
    pid_t child = fork();
    if (child == 0) {
        /* What comes to the child is the child's. */
        CHECK(raise(SIGUSR1) == 0);
        taken = 0;
        on_fiber(takes_one, NULL);
        CHECK(taken == 1);
        _exit(atomic_load(&failures));
    }
    int status = -1;
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(status == 0 && taken == 0);
    CHECK(raise(SIGUSR1) == 0);
    GIVES(nyario_join(fiber, NULL), 0);
    CHECK(taken == 1);
    GIVES(nyario_deadline(nyario_now() + MILLISECOND), 0);
    GIVES(nyario_sigwait(&usr1, NULL), -ETIMEDOUT);
    return arg;
}

static void are_the_childs_own(void) {
    taken = 0;
    on_fiber(forks, NULL);
}

int main(void) {
    GIVES(nyario_loop(), 0);
    TEST(come_to_a_fiber);
    TEST(come_to_a_thread);
    TEST(go_to_one_of_those_who_wait);
    TEST(are_not_lost_on_who_gives_up);
    TEST(tell_of_children);
    TEST(are_the_childs_own);
    return summary("sigwait");
}
