/* SPDX-License-Identifier: MIT
 * table, heap and byteq against naive models, over many seeded steps. */
#include "../test.h"

#include "base/bytes.h"
#include "base/heap.h"
#include "base/rng.h"
#include "base/table.h"

static void test_siphash_vector(void **state) {
    (void)state;
    /* The example of the SipHash paper, appendix A: key 00..0f, message 00..0e. */
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t message[15];
    for (uint8_t i = 0; i < 15; i++)
        message[i] = i;
    assert_true(siphash24(key, message, 15) == UINT64_C(0xa129ca6149be45e5));
}

static void test_table_agrees_with_an_array(void **state) {
    (void)state;
    struct rng_seeded seeded;
    rng_seed(&seeded, 7);
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct table t;
    bool in[64] = {false};
    uint32_t value[64] = {0};
    size_t count = 0;
    assert_int_equal(table_init(&t, 2, 40, &rng, &test_alloc), BK_OK);
    for (int step = 0; step < 20000; step++) {
        uint8_t key[2] = {(uint8_t)rng_below(&rng, 64), 0x55};
        uint32_t got;
        if (rng_below(&rng, 2) == 0) {
            uint32_t v = rng_u32(&rng);
            enum bk_err err = table_put(&t, key, v);
            assert_int_equal(err, !in[key[0]] && count == 40 ? BK_ERR_FULL : BK_OK);
            if (err == BK_OK) {
                count += !in[key[0]];
                in[key[0]] = true;
                value[key[0]] = v;
            }
        } else {
            assert_int_equal(table_remove(&t, key), in[key[0]]);
            count -= in[key[0]];
            in[key[0]] = false;
        }
        key[0] = (uint8_t)rng_below(&rng, 64);
        assert_int_equal(table_get(&t, key, &got), in[key[0]]);
        if (in[key[0]])
            assert_int_equal(got, value[key[0]]);
        assert_int_equal(t.count, count);
    }
    table_fini(&t);
}

static void test_heap_gives_deadlines_in_order(void **state) {
    (void)state;
    struct rng_seeded seeded;
    rng_seed(&seeded, 8);
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct heap h;
    assert_int_equal(heap_init(&h, 100, &test_alloc), BK_OK);
    for (int round = 0; round < 200; round++) {
        struct bk_time when[100];
        for (uint32_t i = 0; i < 100; i++) {
            when[i] = rng_below(&rng, 5) == 0 ? BK_NEVER : test_at_ms(rng_below(&rng, 50));
            heap_set(&h, i, when[i]);
        }
        for (uint32_t i = 0; i < 100; i += 3) {
            when[i] = rng_below(&rng, 3) == 0 ? BK_NEVER : test_at_ms(rng_below(&rng, 50));
            heap_set(&h, i, when[i]);
        }
        int64_t last = -1;
        uint32_t id;
        while (heap_take_due(&h, test_at_ms(25), &id)) {
            assert_true(when[id].us >= last && when[id].us <= 25000);
            last = when[id].us;
            when[id] = BK_NEVER;
        }
        for (uint32_t i = 0; i < 100; i++)
            assert_true(when[i].us > 25000);
    }
    heap_fini(&h);
}

static void test_byteq_keeps_order(void **state) {
    (void)state;
    struct rng_seeded seeded;
    rng_seed(&seeded, 9);
    struct bk_rng rng = rng_from_seeded(&seeded);
    struct byteq q;
    uint8_t next_in = 0, next_out = 0;
    assert_int_equal(byteq_init(&q, 100, &test_alloc), BK_OK);
    for (int step = 0; step < 5000; step++) {
        uint8_t chunk[60];
        size_t want = rng_below(&rng, 60);
        for (size_t i = 0; i < want; i++)
            chunk[i] = (uint8_t)(next_in + i);
        next_in = (uint8_t)(next_in + byteq_push_some(&q, chunk, want));
        size_t take = rng_below(&rng, (uint32_t)byteq_len(&q) + 1);
        for (size_t i = 0; i < take; i++)
            assert_int_equal(byteq_front(&q)[i], next_out++);
        byteq_drop(&q, take);
    }
    assert_int_equal(byteq_push(&q, (uint8_t[101]){0}, 101), BK_ERR_FULL);
    byteq_fini(&q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_vector),
        cmocka_unit_test(test_table_agrees_with_an_array),
        cmocka_unit_test(test_heap_gives_deadlines_in_order),
        cmocka_unit_test(test_byteq_keeps_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
