/* Channels between fibers: elements, capacities, closing, choosing. */
#include "check.h"

static const int64_t MILLISECOND = 1000000;

struct message {
    int number;
    char text[20];
};

static void *sends_three(void *channel) {
    for (int i = 1; i <= 3; i++) {
        struct message message = {i, ""};
        snprintf(message.text, sizeof message.text, "message %d", i);
        GIVES(nyario_channel_send(channel, &message), 0);
    }
    GIVES(nyario_channel_close(channel), 0);
    return NULL;
}

static void *receives_three(void *arg) {
    nyario_channel channels[] = {NYARIO_CHANNEL_INIT(sizeof(struct message), 0),
                                 NYARIO_CHANNEL_INIT(sizeof(struct message), 2),
                                 NYARIO_CHANNEL_INIT(sizeof(struct message), NYARIO_UNBOUNDED)};
    for (int c = 0; c < 3; c++) {
        struct message message;
        nyario_fiber sender = nyario_spawn(sends_three, &channels[c]);
        for (int i = 1; i <= 3; i++) {
            char text[20];
            snprintf(text, sizeof text, "message %d", i);
            GIVES(nyario_channel_receive(&channels[c], &message), 0);
            CHECK(message.number == i && strcmp(message.text, text) == 0);
        }
        GIVES(nyario_channel_receive(&channels[c], &message), -EPIPE);
        GIVES(nyario_channel_try_receive(&channels[c], &message), -EPIPE);
        GIVES(nyario_channel_send(&channels[c], &message), -EPIPE);
        GIVES(nyario_channel_try_send(&channels[c], &message), -EPIPE);
        GIVES(nyario_channel_close(&channels[c]), -EPIPE);
        GIVES(nyario_join(sender, NULL), 0);
        GIVES(nyario_channel_destroy(&channels[c]), 0);
    }
    return arg;
}

static void hand_elements_over_by_value(void) {
    on_fiber(receives_three, NULL);
}

static void are_tried_without_waiting(void) {
    nyario_channel channel;
    int value = 1;
    GIVES(nyario_channel_init(&channel, sizeof value, 1), 0);
    GIVES(nyario_channel_try_receive(&channel, &value), -EAGAIN);
    GIVES(nyario_channel_try_send(&channel, &value), 0);
    GIVES(nyario_channel_try_send(&channel, &value), -EAGAIN);
    value = 0;
    GIVES(nyario_channel_try_receive(&channel, &value), 0);
    CHECK(value == 1);
    /* What has room does not wait off a fiber either. */
    GIVES(nyario_channel_send(&channel, &value), 0);
    GIVES(nyario_channel_receive(&channel, &value), 0);
    GIVES(nyario_channel_destroy(&channel), 0);
}

static void *receives_a_signal(void *channel) {
    return (void *)(intptr_t)nyario_channel_receive(channel, NULL);
}

static void *signals(void *arg) {
    nyario_channel signal = NYARIO_CHANNEL_INIT(0, 0);
    void *result;
    nyario_fiber first = nyario_spawn(receives_a_signal, &signal), second = nyario_spawn(receives_a_signal, &signal);
    GIVES(nyario_yield(), 0);
    GIVES(nyario_channel_destroy(&signal), -EBUSY);
    GIVES(nyario_channel_send(&signal, NULL), 0);
    GIVES(nyario_join(first, &result), 0);
    CHECK((intptr_t)result == 0);
    GIVES(nyario_cancel(second), 0);
    GIVES(nyario_join(second, &result), 0);
    CHECK((intptr_t)result == -ECANCELED);
    GIVES(nyario_deadline(nyario_now() + MILLISECOND), 0);
    GIVES(nyario_channel_send(&signal, NULL), -ETIMEDOUT);
    GIVES(nyario_channel_receive(&signal, NULL), -ETIMEDOUT);
    GIVES(nyario_channel_destroy(&signal), 0);
    return arg;
}

static void carry_nothing_but_a_signal(void) {
    on_fiber(signals, NULL);
}

static nyario_channel numbers = NYARIO_CHANNEL_INIT(sizeof(int), 0), texts = NYARIO_CHANNEL_INIT(sizeof(char *), 3);

static void *feeds(void *arg) {
    int number = 5;
    const char *text = "five";
    GIVES(nyario_sleep(MILLISECOND), 0);
    GIVES(nyario_channel_send(&texts, &text), 0);
    GIVES(nyario_sleep(MILLISECOND), 0);
    GIVES(nyario_channel_send(&numbers, &number), 0);
    GIVES(nyario_channel_receive(&numbers, &number), 0);
    CHECK(number == 6);
    GIVES(nyario_channel_close(&texts), 0);
    return arg;
}

static void *chooses(void *arg) {
    int number = 0, more = 6;
    const char *text = NULL;
    nyario_case cases[] = {NYARIO_CASE_RECEIVE(&numbers, &number), NYARIO_CASE_RECEIVE(&texts, &text),
                           NYARIO_CASE_RECEIVE(NULL, NULL)};
    nyario_case sends[] = {NYARIO_CASE_SEND(&numbers, &more), NYARIO_CASE_RECEIVE(&texts, &text)};
    nyario_fiber feeder = nyario_spawn(feeds, NULL);
    GIVES(nyario_choose(cases, 3, NYARIO_NOWAIT), -EAGAIN);
    GIVES(nyario_choose(cases, 3, 0), 1);
    CHECK(cases[1].result == 0 && strcmp(text, "five") == 0);
    GIVES(nyario_choose(cases, 3, 0), 0);
    CHECK(cases[0].result == 0 && number == 5);
    GIVES(nyario_choose(sends, 2, 0), 0);
    CHECK(sends[0].result == 0);
    GIVES(nyario_choose(cases, 3, 0), 1);
    CHECK(cases[1].result == -EPIPE);
    GIVES(nyario_join(feeder, NULL), 0);
    GIVES(nyario_deadline(nyario_now() + MILLISECOND), 0);
    GIVES(nyario_choose(cases, 1, 0), -ETIMEDOUT);
    GIVES(nyario_choose(NULL, 0, 0), -ETIMEDOUT);
    GIVES(nyario_channel_destroy(&numbers), 0);
    GIVES(nyario_channel_destroy(&texts), 0);
    return arg;
}

static void are_chosen_from(void) {
    on_fiber(chooses, NULL);
}

static void refuse_nonsense(void) {
    nyario_channel channel = NYARIO_CHANNEL_INIT(sizeof(int), 1);
    int value = 0;
    nyario_case odd = NYARIO_CASE_SEND(&channel, &value), nowhere = NYARIO_CASE_SEND(&channel, NULL);
    GIVES(nyario_channel_init(NULL, 1, 1), -EINVAL);
    GIVES(nyario_channel_send(NULL, &value), -EINVAL);
    GIVES(nyario_channel_send(&channel, NULL), -EINVAL);
    GIVES(nyario_channel_receive(NULL, &value), -EINVAL);
    GIVES(nyario_channel_receive(&channel, NULL), -EINVAL);
    GIVES(nyario_channel_try_send(NULL, &value), -EINVAL);
    GIVES(nyario_channel_try_send(&channel, NULL), -EINVAL);
    GIVES(nyario_channel_try_receive(NULL, &value), -EINVAL);
    GIVES(nyario_channel_try_receive(&channel, NULL), -EINVAL);
    GIVES(nyario_channel_close(NULL), -EINVAL);
    GIVES(nyario_channel_destroy(NULL), -EINVAL);
    GIVES(nyario_choose(NULL, 1, 0), -EINVAL);
    GIVES(nyario_choose(NULL, 0, 0), -EDEADLK);
    GIVES(nyario_choose(NULL, 0, NYARIO_NOWAIT), -EAGAIN);
    GIVES(nyario_choose(&odd, 1, 2), -EINVAL);
    GIVES(nyario_choose(&odd, 40000, 0), -EINVAL);
    GIVES(nyario_choose(&nowhere, 1, 0), -EINVAL);
    odd.kind = 3;
    GIVES(nyario_choose(&odd, 1, 0), -EINVAL);
    GIVES(nyario_channel_destroy(&channel), 0);
    GIVES(nyario_channel_init(&channel, (size_t)-1 / 2, 1), 0);
    GIVES(nyario_channel_try_send(&channel, &value), -ENOMEM);
}

int main(void) {
    TEST(hand_elements_over_by_value);
    TEST(are_tried_without_waiting);
    TEST(carry_nothing_but_a_signal);
    TEST(are_chosen_from);
    TEST(refuse_nonsense);
    return summary("channel");
}
