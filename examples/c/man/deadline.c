/* nyario_deadline, nyario_sleep, nyario_now: a fiber that gives what it does ten milliseconds, and then goes on
 * without a deadline. */
#include <nyario.h>
#include <stdio.h>

static void *patient(void *arg) {
    int64_t before = nyario_deadline(nyario_now() + 10 * 1000000);
    int result = nyario_sleep(1000 * (int64_t)1000000000);
    nyario_deadline(before);
    printf("sleep: %s\n", result < 0 ? nyario_err_name(result) : "enough");
    printf("a nap: %d\n", nyario_sleep(1000));
    return arg;
}

int main(void) {
    nyario_detach(nyario_spawn(patient, NULL));
    return nyario_loop();
}
