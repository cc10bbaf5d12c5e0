/* SPDX-License-Identifier: MIT
 * The ledger that workers share, from several threads at once. What it says is tested in
 * tests/unit/turn/test_service_limits.c. */
#include "../test.h"

#include "server/turn_ledger.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, ROUNDS = 2000, MAX = 3, BYTES = 20000 };

static struct server_ledger *shared;
static atomic_int inside;
static atomic_llong leased;

static void check_worker(const struct turn_ledger *l, uint16_t me, uint64_t round) {
    struct bk_time now = test_at_ms((int64_t)round);
    struct turn_reserved r = {.token = (uint64_t)me << 32 | (round + 1),
                              .expires = bk_after(now, 30000000),
                              .port = (uint16_t)(50000 + me * 2),
                              .worker = me};
    struct turn_reserved got;
    assert_true(l->reserve(l->ctx, &r, now));
    assert_true(l->redeem(l->ctx, r.token, now, &got));
    assert_int_equal(got.port, r.port);
    assert_false(l->redeem(l->ctx, r.token, now, &got));
    r.token = 0;
    assert_true(l->reserve(l->ctx, &r, now));
    assert_true(l->overdue(l->ctx, me, now, &got));
    assert_int_equal(got.port, r.port);
    assert_false(l->overdue(l->ctx, me, now, &got));
    l->set_open(l->ctx, 0, r.port, true);
    assert_true(l->is_open(l->ctx, 0, r.port));
    l->set_open(l->ctx, 0, r.port, false);
    assert_false(l->is_open(l->ctx, 0, r.port));
}

static void *worker(void *arg) {
    const struct turn_ledger *l = server_ledger_face(shared);
    uint16_t me = *(const uint16_t *)arg;
    assert_true(l->enter(l->ctx, 8, THREADS));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        if (l->enter(l->ctx, 7, MAX)) {
            assert_true(atomic_fetch_add(&inside, 1) < MAX);
            atomic_fetch_sub(&inside, 1);
            l->leave(l->ctx, 7);
        }
        check_worker(l, me, round);
        l->hold(l->ctx, 8, TURN_HELD_CHANNELS, round % 2 == 0 ? 2 : -1);
        atomic_fetch_add(&leased, l->lease(l->ctx, 8, BYTES, 90, test_at_ms((int64_t)round)));
    }
    return NULL;
}

static void workers_agree(void **state) {
    pthread_t threads[THREADS];
    uint16_t numbers[THREADS];
    (void)state;
    assert_int_equal(server_ledger_new(THREADS, 100, &shared), BK_OK);
    for (uint16_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, worker, &numbers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    const struct turn_ledger *l = server_ledger_face(shared);
    assert_int_equal(l->held(l->ctx, 8, TURN_HELD_CHANNELS), THREADS * ROUNDS / 2);
    /* a full bucket, and two seconds */
    assert_in_range(atomic_load(&leased), BYTES, 3 * BYTES);
    for (int i = 0; i < MAX; i++)
        assert_true(l->enter(l->ctx, 7, MAX)); /* nobody was forgotten */
    assert_false(l->enter(l->ctx, 7, MAX));
    server_ledger_free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(workers_agree)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
