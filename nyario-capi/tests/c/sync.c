/* Mutexes, reader-writer locks, conditions, groups and semaphores. */
#include "check.h"
#include <pthread.h>

static const int64_t MILLISECOND = 1000000;

static nyario_mutex mutex = NYARIO_MUTEX_INIT;
static nyario_rwlock lock = NYARIO_RWLOCK_INIT;
static nyario_cond cond = NYARIO_COND_INIT;
static nyario_group group = NYARIO_GROUP_INIT;
static nyario_semaphore semaphore = NYARIO_SEMAPHORE_INIT;

static char order[16];

static void note(const char *sign) {
    strncat(order, sign, 1);
}

static void *locks_and_notes(void *sign) {
    GIVES(nyario_mutex_lock(&mutex), 0);
    note(sign);
    GIVES(nyario_sleep(MILLISECOND), 0);
    note(sign);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    return NULL;
}

static void *unlocks_anothers(void *arg) {
    (void)arg;
    GIVES(nyario_mutex_try_lock(&mutex), -EBUSY);
    GIVES(nyario_mutex_unlock(&mutex), -EPERM);
    return NULL;
}

static void *uses_a_mutex(void *arg) {
    nyario_fiber first, second, other;
    (void)arg;
    GIVES(nyario_mutex_unlock(&mutex), -EPERM);
    GIVES(nyario_mutex_lock(&mutex), 0);
    GIVES(nyario_mutex_lock(&mutex), -EDEADLK);
    first = nyario_spawn(locks_and_notes, "a");
    second = nyario_spawn(locks_and_notes, "b");
    other = nyario_spawn(unlocks_anothers, NULL);
    GIVES(nyario_join(other, NULL), 0);
    CHECK(order[0] == '\0');
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_join(second, NULL), 0);
    GIVES(nyario_join(first, NULL), 0);
    CHECK(strcmp(order, "aabb") == 0);
    return NULL;
}

static void a_mutex_is_held_by_one(void) {
    order[0] = '\0';
    on_fiber(uses_a_mutex, NULL);
}

static void *waits_for_the_mutex(void *arg) {
    (void)arg;
    return (void *)(intptr_t)nyario_mutex_lock(&mutex);
}

static void *waits_in_vain(void *arg) {
    void *result;
    nyario_fiber waiter;
    (void)arg;
    GIVES(nyario_mutex_lock(&mutex), 0);
    waiter = nyario_spawn(waits_for_the_mutex, NULL);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_cancel(waiter), 0);
    GIVES(nyario_join(waiter, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);
    GIVES(nyario_mutex_unlock(&mutex), 0);

    CHECK(nyario_deadline(nyario_now() + MILLISECOND) == 0);
    GIVES(nyario_semaphore_wait(&semaphore), -ETIMEDOUT);
    GIVES(nyario_mutex_lock(&mutex), 0);
    GIVES(nyario_cond_wait(&cond, &mutex), -ETIMEDOUT);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_group_add(&group, 1), 0);
    GIVES(nyario_group_wait(&group), -ETIMEDOUT);
    GIVES(nyario_group_done(&group), 0);
    return NULL;
}

static void cancels_and_deadlines_end_waiting(void) {
    on_fiber(waits_in_vain, NULL);
}

static int value, readers, most_readers;

static void *reads(void *arg) {
    for (int i = 0; i < 50; i++) {
        GIVES(nyario_rwlock_read(&lock), 0);
        int before = value;
        most_readers = ++readers > most_readers ? readers : most_readers;
        GIVES(nyario_sleep(0), 0);
        CHECK(value == before);
        readers--;
        GIVES(nyario_rwlock_unlock(&lock), 0);
        GIVES(nyario_yield(), 0);
    }
    return arg;
}

static void *writes(void *arg) {
    for (int i = 0; i < 50; i++) {
        GIVES(nyario_rwlock_write(&lock), 0);
        CHECK(readers == 0);
        int before = value;
        GIVES(nyario_yield(), 0);
        value = before + 1;
        GIVES(nyario_rwlock_unlock(&lock), 0);
    }
    return arg;
}

static void *reads_and_writes(void *arg) {
    nyario_fiber fibers[6];
    for (int i = 0; i < 6; i++)
        fibers[i] = nyario_spawn(i % 3 ? reads : writes, NULL);
    for (int i = 0; i < 6; i++)
        GIVES(nyario_join(fibers[i], NULL), 0);
    CHECK(value == 100);
    CHECK(most_readers > 1);
    GIVES(nyario_rwlock_unlock(&lock), -EPERM);
    GIVES(nyario_rwlock_try_read(&lock), 0);
    GIVES(nyario_rwlock_try_read(&lock), 0);
    GIVES(nyario_rwlock_try_write(&lock), -EBUSY);
    GIVES(nyario_rwlock_unlock(&lock), 0);
    GIVES(nyario_rwlock_unlock(&lock), 0);
    GIVES(nyario_rwlock_try_write(&lock), 0);
    GIVES(nyario_rwlock_try_read(&lock), -EBUSY);
    GIVES(nyario_rwlock_read(&lock), -EDEADLK);
    GIVES(nyario_rwlock_write(&lock), -EDEADLK);
    GIVES(nyario_rwlock_unlock(&lock), 0);
    return arg;
}

static void writers_are_alone(void) {
    on_fiber(reads_and_writes, NULL);
}

static int items;

static void *takes_an_item(void *sign) {
    GIVES(nyario_mutex_lock(&mutex), 0);
    while (items == 0)
        GIVES(nyario_cond_wait(&cond, &mutex), 0);
    items--;
    note(sign);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    return NULL;
}

static void *makes_items(void *arg) {
    nyario_fiber fibers[3];
    (void)arg;
    GIVES(nyario_cond_wait(&cond, &mutex), -EPERM);
    fibers[0] = nyario_spawn(takes_an_item, "x");
    fibers[1] = nyario_spawn(takes_an_item, "y");
    fibers[2] = nyario_spawn(takes_an_item, "z");
    GIVES(nyario_yield(), 0);
    GIVES(nyario_mutex_lock(&mutex), 0);
    items = 1;
    GIVES(nyario_cond_signal(&cond), 0);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_join(fibers[0], NULL), 0);
    GIVES(nyario_mutex_lock(&mutex), 0);
    items = 2;
    GIVES(nyario_cond_broadcast(&cond), 0);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_join(fibers[1], NULL), 0);
    GIVES(nyario_join(fibers[2], NULL), 0);
    CHECK(strcmp(order, "xyz") == 0);
    return NULL;
}

static void a_condition_gives_word(void) {
    order[0] = '\0';
    on_fiber(makes_items, NULL);
}

static void *is_done(void *arg) {
    GIVES(nyario_sleep(MILLISECOND), 0);
    ++*(int *)arg;
    GIVES(nyario_group_done(&group), 0);
    return NULL;
}

static void *waits_for_all(void *arg) {
    int done = 0;
    GIVES(nyario_group_wait(&group), 0);
    GIVES(nyario_group_done(&group), -EINVAL);
    GIVES(nyario_group_add(&group, 10), 0);
    GIVES(nyario_group_add(&group, INT64_MAX), -EOVERFLOW);
    for (int i = 0; i < 10; i++)
        GIVES(nyario_detach(nyario_spawn(is_done, &done)), 0);
    GIVES(nyario_group_wait(&group), 0);
    CHECK(done == 10);
    return arg;
}

static void a_group_waits_for_all(void) {
    on_fiber(waits_for_all, NULL);
}

static atomic_int taken;

static void *takes_on_a_fiber(void *arg) {
    for (int i = 0; i < 100; i++) {
        GIVES(nyario_semaphore_wait(&semaphore), 0);
        atomic_fetch_add(&taken, 1);
    }
    return arg;
}

static void *takes_on_a_loop(void *arg) {
    for (int i = 0; i < 10; i++)
        GIVES(nyario_detach(nyario_spawn(takes_on_a_fiber, NULL)), 0);
    GIVES(nyario_loop(), 0);
    return arg;
}

static void *takes_on_a_thread(void *arg) {
    for (int i = 0; i < 1000; i++) {
        GIVES(nyario_semaphore_wait(&semaphore), 0);
        atomic_fetch_add(&taken, 1);
    }
    /* No loop is made for that. */
    GIVES(nyario_stop(), -ESRCH);
    return arg;
}

static void *posts(void *arg) {
    for (int i = 0; i < 1000; i++)
        GIVES(nyario_semaphore_post(&semaphore), 0);
    return arg;
}

static void a_semaphore_is_shared_by_threads(void) {
    void *(*works[])(void *) = {takes_on_a_loop, takes_on_a_loop, takes_on_a_thread, posts, posts, posts};
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        CHECK(pthread_create(&threads[i], NULL, works[i], NULL) == 0);
    for (int i = 0; i < 6; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(atomic_load(&taken) == 3000);
    GIVES(nyario_semaphore_try_wait(&semaphore), -EAGAIN);
    GIVES(nyario_semaphore_init(&semaphore, 1), 0);
    GIVES(nyario_semaphore_try_wait(&semaphore), 0);
    GIVES(nyario_semaphore_wait(NULL), -EINVAL);
    GIVES(nyario_semaphore_init(&semaphore, INT64_MAX), 0);
    GIVES(nyario_semaphore_post(&semaphore), -EOVERFLOW);
    GIVES(nyario_semaphore_init(&semaphore, 0), 0);
}

static void *is_refused(void *arg) {
    GIVES(nyario_mutex_lock(&mutex), -EPERM);
    GIVES(nyario_mutex_try_lock(&mutex), -EPERM);
    GIVES(nyario_mutex_unlock(&mutex), -EPERM);
    GIVES(nyario_rwlock_read(&lock), -EPERM);
    GIVES(nyario_rwlock_write(&lock), -EPERM);
    GIVES(nyario_rwlock_unlock(&lock), -EPERM);
    GIVES(nyario_group_add(&group, 1), -EPERM);
    GIVES(nyario_group_wait(&group), -EPERM);
    return arg;
}

static void another_thread_is_refused(void) {
    pthread_t thread;
    GIVES(nyario_mutex_lock(&mutex), 0);
    GIVES(nyario_rwlock_read(&lock), 0);
    GIVES(nyario_group_add(&group, 1), 0);
    CHECK(pthread_create(&thread, NULL, is_refused, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_rwlock_unlock(&lock), 0);
    GIVES(nyario_group_done(&group), 0);
}

static void off_a_fiber_nothing_waits_for_ever(void) {
    GIVES(nyario_mutex_lock(&mutex), 0);
    GIVES(nyario_mutex_lock(&mutex), -EDEADLK);
    GIVES(nyario_cond_wait(&cond, &mutex), -EDEADLK);
    GIVES(nyario_mutex_unlock(&mutex), 0);
    GIVES(nyario_rwlock_write(&lock), 0);
    GIVES(nyario_rwlock_read(&lock), -EDEADLK);
    GIVES(nyario_rwlock_unlock(&lock), 0);
    GIVES(nyario_group_add(&group, 1), 0);
    GIVES(nyario_group_wait(&group), -EDEADLK);
    GIVES(nyario_group_done(&group), 0);
    GIVES(nyario_cond_signal(&cond), 0);
    GIVES(nyario_cond_broadcast(&cond), 0);
}

static void null_is_refused(void) {
    char place[sizeof(nyario_mutex) + 1] = "";
    GIVES(nyario_mutex_lock(NULL), -EINVAL);
    GIVES(nyario_mutex_try_lock(NULL), -EINVAL);
    GIVES(nyario_mutex_unlock(NULL), -EINVAL);
    GIVES(nyario_mutex_lock((nyario_mutex *)(void *)(place + ((uintptr_t)place % 2 == 0))), -EINVAL);
    GIVES(nyario_rwlock_read(NULL), -EINVAL);
    GIVES(nyario_rwlock_write(NULL), -EINVAL);
    GIVES(nyario_rwlock_try_read(NULL), -EINVAL);
    GIVES(nyario_rwlock_try_write(NULL), -EINVAL);
    GIVES(nyario_rwlock_unlock(NULL), -EINVAL);
    GIVES(nyario_cond_wait(NULL, &mutex), -EINVAL);
    GIVES(nyario_cond_wait(&cond, NULL), -EINVAL);
    GIVES(nyario_cond_signal(NULL), -EINVAL);
    GIVES(nyario_cond_broadcast(NULL), -EINVAL);
    GIVES(nyario_group_add(NULL, 1), -EINVAL);
    GIVES(nyario_group_add(&group, -1), -EINVAL);
    GIVES(nyario_group_done(NULL), -EINVAL);
    GIVES(nyario_group_wait(NULL), -EINVAL);
    GIVES(nyario_semaphore_init(NULL, 1), -EINVAL);
    GIVES(nyario_semaphore_init(&semaphore, -1), -EINVAL);
    GIVES(nyario_semaphore_try_wait(NULL), -EINVAL);
    GIVES(nyario_semaphore_post(NULL), -EINVAL);
}

int main(void) {
    TEST(a_mutex_is_held_by_one);
    TEST(cancels_and_deadlines_end_waiting);
    TEST(writers_are_alone);
    TEST(a_condition_gives_word);
    TEST(a_group_waits_for_all);
    TEST(a_semaphore_is_shared_by_threads);
    TEST(another_thread_is_refused);
    TEST(off_a_fiber_nothing_waits_for_ever);
    TEST(null_is_refused);
    return summary("sync");
}
