/* The backend that NYARIO_BACKEND names is the one at work. Ends with 77 where the kernel or its guard denies it, for
 * then the other tests over that backend mean nothing. */
#include "check.h"
#include <dirent.h>

enum { SKIPPED = 77 };

static int holds(const char *kind) {
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *entry;
    int found = 0;
    if (!fds)
        return 0;
    while ((entry = readdir(fds)) != NULL) {
        char target[64] = "";
        if (readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1) > 0)
            found |= strcmp(target, kind) == 0;
    }
    closedir(fds);
    return found;
}

static void is_the_one_that_was_asked_for(void) {
    const char *wanted = getenv("NYARIO_BACKEND");
    int uring = wanted && strcmp(wanted, "uring") == 0;
    CHECK(holds("anon_inode:[io_uring]") == uring);
    CHECK(holds("anon_inode:[eventpoll]") == !uring);
}

static void is_refused_when_there_is_none_of_that_name(void) {
    pid_t child = fork();
    if (child == 0) {
        setenv("NYARIO_BACKEND", "steam", 1);
        /* What nyario has to say of it cannot be said, and even then errno is left alone. */
        close(2);
        GIVES(nyario_loop(), -EINVAL);
        GIVES(nyario_sleep(1), -EINVAL);
        _exit(atomic_load(&failures));
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
    int made = nyario_loop();
    if (made == -EPERM || made == -ENOSYS || made == -EOPNOTSUPP || made == -ENOMEM) {
        printf("backend: skipped, as the kernel denies it: %s\n", nyario_strerror(made));
        return SKIPPED;
    }
    GIVES(made, 0);
    TEST(is_the_one_that_was_asked_for);
    TEST(is_refused_when_there_is_none_of_that_name);
    return summary("backend");
}
