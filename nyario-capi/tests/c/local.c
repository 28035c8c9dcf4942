/* Values of a fiber's own, and of a thread's. */
#include "check.h"

#include <pthread.h>

enum { FIBERS = 100, KEYS = 1024 };

static nyario_key key;
static atomic_long destroyed;

static void adds_up(void *value) {
    CHECK(nyario_get(key) == NULL);
    GIVES(nyario_yield(), 0);
    atomic_fetch_add(&destroyed, (intptr_t)value);
}

static void *has_its_own(void *arg) {
    CHECK(nyario_get(key) == NULL);
    GIVES(nyario_set(key, arg), 0);
    GIVES(nyario_yield(), 0);
    CHECK(nyario_get(key) == arg);
    if ((intptr_t)arg % 2)
        nyario_exit(NULL);
    return NULL;
}

static void are_each_fibers_own(void) {
    destroyed = 0;
    key = nyario_key_create(adds_up);
    CHECK(key > 0);
    for (intptr_t i = 0; i < FIBERS; i++)
        GIVES(nyario_detach(nyario_spawn(has_its_own, (void *)i)), 0);
    GIVES(nyario_loop(), 0);
    CHECK(destroyed == FIBERS * (FIBERS - 1) / 2);
    GIVES(nyario_key_delete(key), 0);
    GIVES(nyario_key_delete(key), -EINVAL);
    GIVES(nyario_set(key, &key), -EINVAL);
    CHECK(nyario_get(key) == NULL);
}

static void *deletes_the_key(void *arg) {
    GIVES(nyario_set(key, &key), 0);
    GIVES(nyario_key_delete(key), 0);
    CHECK(nyario_get(key) == NULL);
    return arg;
}

static void go_with_their_key(void) {
    destroyed = 0;
    key = nyario_key_create(adds_up);
    on_fiber(deletes_the_key, NULL);
    CHECK(destroyed == 0);
}

static void have_bounded_keys(void) {
    static nyario_key keys[KEYS];
    for (int i = 0; i < KEYS; i++)
        CHECK((keys[i] = nyario_key_create(NULL)) > 0);
    GIVES(nyario_key_create(NULL), -EAGAIN);
    for (int i = 0; i < KEYS; i++)
        CHECK(nyario_key_delete(keys[i]) == 0);
    GIVES(nyario_key_delete(0), -EINVAL);
    GIVES(nyario_key_delete(-1), -EINVAL);
    GIVES(nyario_set(-1, NULL), -EINVAL);
    CHECK(nyario_get(-1) == NULL && nyario_get(0) == NULL);
}

static void ends_the_thread(void *value) {
    /* The thread still has its loop. */
    CHECK(nyario_get(key) == NULL);
    GIVES(nyario_sleep(1), 0);
    atomic_fetch_add(&destroyed, (intptr_t)value);
}

static void *on_a_thread(void *arg) {
    CHECK(nyario_get(key) == NULL);
    GIVES(nyario_set(key, arg), 0);
    on_fiber(has_its_own, (void *)100);
    CHECK(nyario_get(key) == arg);
    return NULL;
}

static void are_a_threads_off_its_fibers(void) {
    pthread_t thread;
    destroyed = 0;
    key = nyario_key_create(ends_the_thread);
    CHECK(pthread_create(&thread, NULL, on_a_thread, (void *)7) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(destroyed == 107);
    GIVES(nyario_key_delete(key), 0);
}

int main(void) {
    TEST(are_each_fibers_own);
    TEST(go_with_their_key);
    TEST(have_bounded_keys);
    TEST(are_a_threads_off_its_fibers);
    return summary("local");
}
