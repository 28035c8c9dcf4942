/* Children: waited for by fibers. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

/* A child that raises `signal`, and ends with `code` when the pipe's other end is closed. */
static pid_t child_until_after(int *gate, int code, int signal) {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        if (signal != 0)
            raise(signal);
        _exit(read(ends[0], &byte, 1) == 0 ? code : 1);
    }
    close(ends[0]);
    *gate = ends[1];
    return child;
}

static pid_t child_until(int *gate, int code) {
    return child_until_after(gate, code, 0);
}

static pid_t child_at_once(int code) {
    pid_t child = fork();
    if (child == 0)
        _exit(code);
    return child;
}

static void *closes_later(void *arg) {
    nyario_sleep(2 * MILLISECOND);
    close((int)(long)arg);
    return NULL;
}

static void *waits(void *arg) {
    int status = -1, gate;
    pid_t child = child_until(&gate, 7);
    GIVES(nyario_wait(child, &status, WNOHANG), 0);
    CHECK(status == -1);
    GIVES(nyario_detach(nyario_spawn(closes_later, (void *)(long)gate)), 0);
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    GIVES(nyario_wait(child, &status, 0), -ECHILD);
    GIVES(nyario_wait(-1, &status, 0), -ECHILD);

    child = child_at_once(0);
    GIVES(nyario_wait(child, NULL, 0), child);

    child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    CHECK(kill(child, SIGKILL) == 0);
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    GIVES(nyario_wait(getpid(), &status, 0), -ECHILD);
    GIVES(nyario_wait(child, &status, 1 << 20), -EINVAL);
    /* Linux has more options than waitpid. */
    GIVES(nyario_wait(child, &status, __WALL), -EINVAL);
    return arg;
}

static void are_waited_for(void) {
    on_fiber(waits, NULL);
}

static void are_waited_for_off_a_fiber(void) {
    int status = -1;
    pid_t child = child_at_once(3);
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    child = child_at_once(4);
    GIVES(nyario_wait(-1, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 4);
    GIVES(nyario_wait(child, &status, 0), -ECHILD);
}

static void *waits_for_any(void *arg) {
    int status = -1, gates[3], seen = 0;
    pid_t children[3];
    for (int i = 0; i < 3; i++)
        children[i] = child_until(&gates[i], i);
    /* The last one first, as it holds the gates of those before it. */
    for (int i = 2; i >= 0; i--)
        GIVES(nyario_detach(nyario_spawn(closes_later, (void *)(long)gates[i])), 0);
    for (int i = 0; i < 3; i++) {
        pid_t child = nyario_wait(i == 1 ? 0 : -1, &status, 0);
        for (int j = 0; j < 3; j++)
            if (child == children[j]) {
                CHECK(WIFEXITED(status) && WEXITSTATUS(status) == j);
                seen |= 1 << j;
            }
    }
    CHECK(seen == 7);
    GIVES(nyario_wait(-1, &status, 0), -ECHILD);
    return arg;
}

static void are_waited_for_together(void) {
    on_fiber(waits_for_any, NULL);
}

static void *waits_for_a_stop(void *arg) {
    int status = -1, gate;
    /* Its gate keeps it from ending, which would be seen in place of that it goes on. */
    pid_t child = child_until_after(&gate, 5, SIGSTOP);
    GIVES(nyario_wait(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(kill(child, SIGCONT) == 0);
    GIVES(nyario_wait(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    close(gate);
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    return arg;
}

static void are_seen_to_stop(void) {
    on_fiber(waits_for_a_stop, NULL);
}

static void *is_cancelled(void *arg) {
    GIVES(nyario_wait((pid_t)(long)arg, NULL, 0), -ECANCELED);
    return NULL;
}

static void *gives_up(void *arg) {
    int status = -1, gate;
    pid_t child = child_until(&gate, 9);
    nyario_fiber fiber = nyario_spawn(is_cancelled, (void *)(long)child);
    nyario_sleep(2 * MILLISECOND);
    GIVES(nyario_cancel(fiber), 0);
    GIVES(nyario_join(fiber, NULL), 0);
    GIVES(nyario_deadline(nyario_now() + 2 * MILLISECOND), 0);
    GIVES(nyario_wait(child, &status, 0), -ETIMEDOUT);
    GIVES(nyario_wait(-1, &status, 0), -ETIMEDOUT);
    CHECK(nyario_deadline(0) > 0);
    close(gate);
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    return arg;
}

static void are_left_to_be_waited_for(void) {
    on_fiber(gives_up, NULL);
}

static void *waits_for_one_of_many(void *arg) {
    int status = -1, code = (int)(long)arg;
    pid_t child = child_at_once(code);
    GIVES(nyario_wait(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
    return NULL;
}

static void are_many(void) {
    int before = open("/dev/null", O_RDONLY);
    close(before);
    for (long i = 0; i < 50; i++)
        GIVES(nyario_detach(nyario_spawn(waits_for_one_of_many, (void *)i)), 0);
    GIVES(nyario_loop(), 0);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
    int after = open("/dev/null", O_RDONLY);
    CHECK(after == before);
    close(after);
}

int main(void) {
    GIVES(nyario_loop(), 0);
    TEST(are_waited_for);
    TEST(are_waited_for_off_a_fiber);
    TEST(are_waited_for_together);
    TEST(are_seen_to_stop);
    TEST(are_left_to_be_waited_for);
    TEST(are_many);
    return summary("process");
}
