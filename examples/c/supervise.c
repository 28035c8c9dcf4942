/* Runs several commands at a time and says how each of them ended. A signal that asks this program to end is passed on to
 * those that run: supervise COMMAND... */
#include <nyario.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { COMMANDS_MAX = 64 };

struct child {
    char *command;
    pid_t pid; /* 0 when it has ended */
};

static struct child children[COMMANDS_MAX];
static int count, running;
static sigset_t endings;
static nyario_fiber listener;

/* A fiber for each child. */
static void *watch(void *arg) {
    struct child *child = arg;
    int status = 0, result = nyario_wait(child->pid, &status, 0);
    child->pid = 0;
    if (result < 0)
        printf("%s: %s\n", child->command, nyario_strerror(result));
    else if (WIFSIGNALED(status))
        printf("%s: killed by signal %d\n", child->command, WTERMSIG(status));
    else
        printf("%s: exit %d\n", child->command, WEXITSTATUS(status));
    fflush(stdout);
    if (--running == 0)
        nyario_cancel(listener);
    return NULL;
}

/* No handler: a fiber, which may do whatever fibers do. */
static void *listen_to_signals(void *arg) {
    int signal;
    while ((signal = nyario_sigwait(&endings, NULL)) > 0)
        for (int i = 0; i < count; i++)
            if (children[i].pid > 0)
                kill(children[i].pid, signal);
    return arg;
}

/* Starts a command, with the signals as they were before this program blocked them. */
static int start(struct child *child, const sigset_t *mask) {
    char *const argv[] = {"sh", "-c", child->command, NULL};
    posix_spawnattr_t how;
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, mask);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(&child->pid, "/bin/sh", NULL, &how, argv, environ);
    posix_spawnattr_destroy(&how);
    return error;
}

int main(int argc, char **argv) {
    sigset_t before;
    sigemptyset(&endings);
    sigaddset(&endings, SIGTERM);
    sigaddset(&endings, SIGINT);
    sigprocmask(SIG_BLOCK, &endings, &before);
    listener = nyario_spawn(listen_to_signals, NULL);
    nyario_detach(listener);
    for (int i = 1; i < argc && count < COMMANDS_MAX; i++) {
        struct child *child = &children[count];
        child->command = argv[i];
        int error = start(child, &before);
        if (error) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(error));
            continue;
        }
        count++;
        running++;
        nyario_detach(nyario_spawn(watch, child));
    }
    if (running == 0) {
        fprintf(stderr, "usage: %s COMMAND... (at most %d)\n", argv[0], COMMANDS_MAX);
        return 2;
    }
    int error = nyario_loop();
    if (error < 0)
        fprintf(stderr, "%s\n", nyario_strerror(error));
    return error < 0;
}
