/* Fibers that pay into one account, and that wait between reading the balance and writing it: without a lock, and with
 * one. */
#include <nyario.h>
#include <stdio.h>

enum { PAYERS = 20 };

struct account {
    int64_t balance;
    nyario_mutex *mutex; /* or NULL */
    nyario_group payments;
};

static void *pay(void *arg) {
    struct account *account = arg;
    if (account->mutex)
        nyario_mutex_lock(account->mutex);
    int64_t before = account->balance;
    nyario_sleep(1000000); /* the bank is asked, and the others run */
    account->balance = before + 1;
    if (account->mutex)
        nyario_mutex_unlock(account->mutex);
    nyario_group_done(&account->payments);
    return NULL;
}

static void collect(const char *how, nyario_mutex *mutex) {
    struct account account = {0, mutex, NYARIO_GROUP_INIT};
    nyario_group_add(&account.payments, PAYERS);
    for (int i = 0; i < PAYERS; i++)
        nyario_detach(nyario_spawn(pay, &account));
    nyario_group_wait(&account.payments);
    printf("%s a lock: %d payments, a balance of %d\n", how, PAYERS, (int)account.balance);
}

static void *open_bank(void *arg) {
    nyario_mutex mutex = NYARIO_MUTEX_INIT;
    collect("without", NULL);
    collect("with", &mutex);
    return arg;
}

int main(void) {
    nyario_detach(nyario_spawn(open_bank, NULL));
    int error = nyario_loop();
    if (error < 0)
        fprintf(stderr, "%s\n", nyario_strerror(error));
    return error < 0;
}
