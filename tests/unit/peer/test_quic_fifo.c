/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include <base/rng.h>
#include <peer/quic_fifo.h>

static struct fifo_pool pool;
static struct fifo fifo;
static uint8_t bytes[3 * FIFO_CHUNK_LEN];

static int setup(void **state) {
    (void)state;
    fifo_pool_init(&pool, &test_alloc);
    memset(&fifo, 0, sizeof fifo);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 13 + (i >> 9));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fifo_clear(&fifo, &pool);
    fifo_pool_fini(&pool);
    return 0;
}

static void what_goes_in_comes_out(void **state) {
    (void)state;
    size_t in = 0, out = 0;
    struct rng_seeded seeded;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    while (out < 5000000) {
        size_t n = rng_below(&rng, 40000);
        size_t from = in % sizeof bytes;
        n = n < sizeof bytes - from ? n : sizeof bytes - from;
        assert_int_equal(fifo_push(&fifo, &pool, bytes + from, n), n);
        in += n;
        size_t drop = rng_below(&rng, 60000);
        while (drop > 0 && fifo.len > 0) {
            size_t run = 0;
            const uint8_t *front = fifo_front(&fifo, &run);
            run = run < drop ? run : drop;
            for (size_t i = 0; i < run; i++)
                assert_true(front[i] == bytes[(out + i) % sizeof bytes]);
            fifo_drop(&fifo, &pool, run);
            out += run;
            drop -= run;
        }
        assert_int_equal(fifo.len, in - out);
    }
}

/* A mark stands where sending goes on: behind it bytes are dropped, before it bytes are added. */
static void marks_survive_drops_and_pushes(void **state) {
    (void)state;
    struct fifo_mark mark = {NULL, 0};
    size_t written = 0, sent = 0, acked = 0;
    struct rng_seeded seeded;
    rng_seed(&seeded, 2);
    struct bk_rng rng = rng_from_seeded(&seeded);
    for (int round = 0; round < 3000; round++) {
        /* Whole chunks now and then: the mark then stands exactly at a border. */
        size_t n = rng_below(&rng, 4) == 0 ? FIFO_CHUNK_LEN : rng_below(&rng, 3000);
        size_t from = written % sizeof bytes;
        n = n < sizeof bytes - from ? n : sizeof bytes - from;
        assert_int_equal(fifo_push(&fifo, &pool, bytes + from, n), n);
        fifo_settle(&fifo, &mark);
        written += n;
        size_t want = rng_below(&rng, 2) == 0 ? written - sent : rng_below(&rng, 4000);
        for (size_t len = 0; want > 0; want -= len, sent += len) {
            const uint8_t *run = fifo_run(&mark, want, &len);
            if (run == NULL)
                break;
            for (size_t i = 0; i < len; i++)
                assert_true(run[i] == bytes[(sent + i) % sizeof bytes]);
        }
        size_t ack =
            rng_below(&rng, 2) == 0 ? sent - acked : rng_below(&rng, 1 + (uint32_t)(sent - acked));
        fifo_drop(&fifo, &pool, ack);
        acked += ack;
        if (fifo.len == 0)
            mark = (struct fifo_mark){NULL, 0};
    }
    assert_true(sent > 1000000);
}

/* Sending stops exactly at the end of a chunk, all of it is acknowledged, and another stream gets
 * the chunk before sending goes on. */
static void a_mark_does_not_rest_on_a_chunk_that_goes(void **state) {
    (void)state;
    struct fifo other = {.last = NULL};
    struct fifo_mark mark = {NULL, 0};
    size_t n = 0;
    assert_int_equal(fifo_push(&fifo, &pool, bytes, 2 * FIFO_CHUNK_LEN), 2 * FIFO_CHUNK_LEN);
    fifo_settle(&fifo, &mark);
    fifo_skip(&mark, FIFO_CHUNK_LEN);
    fifo_drop(&fifo, &pool, FIFO_CHUNK_LEN);
    assert_int_equal(fifo_push(&other, &pool, bytes, 10), 10);
    const uint8_t *run = fifo_run(&mark, 1000, &n);
    assert_non_null(run);
    assert_int_equal(n, 1000);
    assert_memory_equal(run, bytes + FIFO_CHUNK_LEN, 1000);
    fifo_clear(&other, &pool);
}

static void spare_chunks_are_bounded(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(fifo_push(&fifo, &pool, bytes, sizeof bytes), sizeof bytes);
    fifo_clear(&fifo, &pool);
    assert_int_equal(pool.spare_count, FIFO_SPARE_MAX);
    assert_int_equal(fifo.len, 0);
    assert_null(fifo.first);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_goes_in_comes_out),
        CASE(marks_survive_drops_and_pushes),
        CASE(a_mark_does_not_rest_on_a_chunk_that_goes),
        CASE(spare_chunks_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
