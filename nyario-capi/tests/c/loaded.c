/* The library is loaded late, with dlopen, as interpreters load it: into a thread that was there before, too. Only what
 * dlsym finds is called, so the program is linked without the library. */
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>

static nyario_fiber (*spawn)(nyario_entry entry, void *arg);
static int (*yield)(void);
static int (*join)(nyario_fiber fiber, void **result);
static int (*loop)(void);

static void *find(void *library, const char *name) {
    void *symbol = dlsym(library, name);
    CHECK(symbol != NULL);
    return symbol;
}

static void *counts(void *count) {
    for (int i = 0; i < 1000; i++) {
        CHECK(yield() == 0);
        ++*(int *)count;
    }
    return count;
}

static void *joins(void *unused) {
    int count = 0;
    void *result = NULL;
    nyario_fiber other = spawn(counts, &count);
    CHECK(other > 0);
    CHECK(join(other, &result) == 0);
    CHECK(result == &count && count == 1000);
    return unused;
}

static void *runs(void *unused) {
    CHECK(spawn(joins, NULL) > 0);
    CHECK(loop() == 0);
    return unused;
}

static pthread_barrier_t loaded;

static void *waits_and_runs(void *unused) {
    pthread_barrier_wait(&loaded);
    return runs(unused);
}

static void serves_threads_older_than_itself(void) {
    pthread_t older;
    CHECK(pthread_barrier_init(&loaded, NULL, 2) == 0);
    CHECK(pthread_create(&older, NULL, waits_and_runs, NULL) == 0);
    void *library = dlopen(LIBRARY, RTLD_NOW);
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    *(void **)&spawn = find(library, "nyario_spawn");
    *(void **)&yield = find(library, "nyario_yield");
    *(void **)&join = find(library, "nyario_join");
    *(void **)&loop = find(library, "nyario_loop");
    pthread_barrier_wait(&loaded);
    runs(NULL);
    CHECK(pthread_join(older, NULL) == 0);
}

int main(void) {
    TEST(serves_threads_older_than_itself);
    return summary("loaded");
}
