/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "server/inbox.h"
#include <pthread.h>

static struct inbox box;

static struct inbox_message packet(uint32_t from, const void *data, size_t len) {
    return (struct inbox_message){.kind = INBOX_PACKET, .from = from, .data = data, .len = len};
}

static void messages_come_out_as_they_went_in(void **state) {
    struct inbox_message in = packet(3, "hello", 5), out;
    bool first;
    (void)state;
    assert_int_equal(inbox_init(&box), BK_OK);
    assert_false(inbox_take(&box, &out));
    memset(in.key, 7, sizeof in.key);
    memset(in.dst, 9, sizeof in.dst);
    assert_int_equal(inbox_put(&box, &in, &first), BK_OK);
    assert_true(first);
    in.kind = INBOX_GONE;
    assert_int_equal(inbox_put(&box, &in, &first), BK_OK);
    assert_false(first); /* its owner has been woken already */
    assert_true(inbox_take(&box, &out));
    assert_int_equal(out.kind, INBOX_PACKET);
    assert_int_equal(out.from, 3);
    assert_int_equal(out.len, 5);
    assert_memory_equal(out.data, "hello", 5);
    assert_memory_equal(out.key, in.key, sizeof in.key);
    assert_memory_equal(out.dst, in.dst, sizeof in.dst);
    assert_true(inbox_take(&box, &out));
    assert_int_equal(out.kind, INBOX_GONE);
    assert_int_equal(out.len, 0);
    assert_false(inbox_take(&box, &out));
    inbox_fini(&box);
}

static void packets_leave_room_for_news(void **state) {
    static uint8_t data[INBOX_DATA_MAX + 1];
    struct inbox_message in = packet(0, data, INBOX_DATA_MAX), out;
    bool first;
    size_t packets = 0, news = 0, taken = 0;
    (void)state;
    assert_int_equal(inbox_init(&box), BK_OK);
    while (inbox_put(&box, &in, &first) == BK_OK)
        packets++;
    assert_true(packets * INBOX_DATA_MAX > INBOX_BYTES / 2);
    in.kind = INBOX_PRESENT;
    while (inbox_put(&box, &in, &first) == BK_OK)
        news++;
    assert_true(news > 1000);
    in.kind = INBOX_PACKET;
    in.len = INBOX_DATA_MAX + 1;
    assert_int_equal(inbox_put(&box, &in, &first), BK_ERR_TOO_LONG);
    while (inbox_take(&box, &out))
        taken++;
    assert_int_equal(taken, packets + news);
    inbox_fini(&box);
}

enum { WRITERS = 3, EACH = 20000 };

static void *write_many(void *from) {
    uint32_t number = *(const uint32_t *)from;
    for (uint32_t i = 0; i < EACH;) {
        struct inbox_message in = packet(number, &i, sizeof i);
        bool first;
        in.kind = i % 2 == 0 ? INBOX_PACKET : INBOX_PRESENT;
        memcpy(in.key, &i, sizeof i);
        i += inbox_put(&box, &in, &first) == BK_OK ? 1 : 0;
    }
    return NULL;
}

static void each_writers_messages_keep_their_order(void **state) {
    static uint32_t numbers[WRITERS], next[WRITERS];
    pthread_t threads[WRITERS];
    struct inbox_message out;
    (void)state;
    assert_int_equal(inbox_init(&box), BK_OK);
    for (uint32_t i = 0; i < WRITERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &numbers[i]), 0);
    }
    for (uint32_t taken = 0; taken < WRITERS * EACH;) {
        uint32_t value;
        if (!inbox_take(&box, &out))
            continue;
        memcpy(&value, out.key, sizeof value);
        assert_int_equal(value, next[out.from]++);
        taken++;
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    inbox_fini(&box);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_as_they_went_in),
        cmocka_unit_test(packets_leave_room_for_news),
        cmocka_unit_test(each_writers_messages_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
