/* SPDX-License-Identifier: MIT
 * Memory: little when idle, back to the limits by itself, and what happens when there is none. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

static struct {
    size_t held, blocks, most;
    bool empty; /* gives nothing any more */
} heap;

struct block {
    size_t size;
    uint64_t pad;
};

static void *get(void *ctx, size_t size) {
    (void)ctx;
    if (heap.empty)
        return NULL;
    struct block *b = calloc(1, sizeof *b + size);
    assert_non_null(b);
    b->size = size;
    heap.held += size;
    heap.blocks++;
    heap.most = heap.held > heap.most ? heap.held : heap.most;
    return b + 1;
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    if (memory == NULL)
        return;
    struct block *b = (struct block *)memory - 1;
    heap.held -= b->size;
    heap.blocks--;
    free(b);
}

static const struct bk_alloc counted = {get, put, NULL};

/* Side 0's memory is counted. Two NATs, as most agents have it. */
static void connected(struct bk_checker_config config, uint64_t seed) {
    memset(&heap, 0, sizeof heap);
    mini_init(&m, seed);
    mini_nat(&m, 0, "198.51.100.1", false);
    mini_nat(&m, 1, "203.0.113.1", false);
    for (int i = 0; i < 2; i++) {
        rng[i] = rng_from_seeded(&m.agent_seed);
        config.rng = &rng[i];
        config.controlling = i == 0;
        assert_int_equal(bk_checker_new(&config, i == 0 ? &counted : &test_alloc, &m.side[i].ice),
                         BK_OK);
    }
    mini_socket(&m, 0, "10.0.0.2:5000");
    mini_socket(&m, 1, "10.0.1.2:6000");
    mini_signal(&m);
    mini_run(&m, 20000);
    mini_assert_connected(&m);
}

static void an_idle_checker_fits_in_two_kilobytes(void **state) {
    (void)state;
    connected(bk_checker_config_default, 1);
    size_t before = bk_checker_size(m.side[0].ice);
    assert_int_equal(before, heap.held);
    bk_checker_settle(m.side[0].ice, m.now);
    bk_checker_check(m.side[0].ice);
    size_t after = bk_checker_size(m.side[0].ice);
    assert_int_equal(after, heap.held);
    if (getenv("MINI_PRINT") != NULL)
        print_message("%zu bytes, settled %zu; pairs %zu x %zu, candidates %zu, itself %zu\n",
                      before, after, bk_checker_pairs(m.side[0].ice), sizeof(struct ice_pair),
                      sizeof(struct ice_cand), sizeof(struct bk_checker));
    assert_in_range(after, 1, 2048);
    mini_run(&m, 600000); /* consent in both directions for ten minutes */
    mini_assert_connected(&m);
    assert_in_range(bk_checker_size(m.side[0].ice), 1, 2560); /* an answer's queue */
    mini_fini(&m);
    assert_int_equal(heap.blocks, 0);
    assert_int_equal(heap.held, 0);
}

static void tables_grow_back_to_their_limits(void **state) {
    (void)state;
    struct bk_checker_config config = bk_checker_config_default;
    config.locals_max = 8;
    config.remotes_max = 40;
    config.pairs_max = 30;
    connected(config, 2);
    struct bk_checker *ice = m.side[0].ice;
    bk_checker_settle(ice, m.now);
    size_t locals = 2; /* host, server-reflexive */
    for (uint16_t i = 0; i < 20; i++) {
        struct bk_ice_candidate c = {.addr = mini_addr("192.0.2.1:7000")};
        c.addr.port = (uint16_t)(c.addr.port + i);
        enum bk_err err = bk_checker_add_local_candidate(ice, &c, m.now, NULL);
        assert_true(err == BK_OK || err == BK_ERR_FULL);
        locals += err == BK_OK;
        c.addr = mini_addr("198.51.100.77:1000");
        for (uint16_t k = 0; k < 4; k++) {
            c.addr.port = (uint16_t)(1000 + 4 * i + k);
            err = bk_checker_add_remote_candidate(ice, &c, m.now);
            assert_true(err == BK_OK || err == BK_ERR_FULL);
        }
        bk_checker_check(ice);
    }
    assert_in_range(locals, 7, 8);
    assert_int_equal(bk_checker_pairs(ice), 30);
    const struct bk_checker_stats *stats = bk_checker_stats(ice);
    assert_true(stats->locals_full > 0 && stats->pairs_full + stats->pairs_evicted > 0);
    assert_int_equal(stats->memory_full, 0);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void a_settled_agent_restarts(void **state) {
    (void)state;
    connected(bk_checker_config_default, 3);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            bk_checker_settle(m.side[i].ice, m.now);
        for (int i = 0; i < 2; i++)
            assert_int_equal(bk_checker_restart(m.side[i].ice, NULL, NULL, m.now), BK_OK);
        for (int i = 0; i < 2; i++)
            bk_checker_settle(m.side[i].ice, m.now);
        mini_signal(&m);
        mini_run(&m, 2000);
        mini_assert_connected(&m);
        assert_false(mini_selected(&m, 0).old);
    }
    mini_fini(&m);
    assert_int_equal(heap.held, 0);
}

/* The longest credentials there are fit a settled agent, and so do its messages with them. */
static void long_credentials_fit_afterwards(void **state) {
    (void)state;
    connected(bk_checker_config_default, 4);
    char longest[BK_ICE_CRED_MAX + 1];
    memset(longest, 'x', BK_ICE_CRED_MAX);
    longest[BK_ICE_CRED_MAX] = '\0';
    bk_checker_settle(m.side[0].ice, m.now);
    for (int i = 0; i < 2; i++)
        assert_int_equal(bk_checker_restart(m.side[i].ice, longest, longest, m.now), BK_OK);
    bk_checker_settle(m.side[0].ice, m.now);
    mini_signal(&m);
    bk_checker_settle(m.side[0].ice, m.now);
    mini_run(&m, 2000);
    mini_assert_connected(&m);
    assert_int_equal(bk_checker_test_mtu(m.side[0].ice, m.now), BK_OK);
    mini_run(&m, 2000);
    assert_int_equal(mini_selected(&m, 0).mtu, 1472);
    mini_fini(&m);
}

/* Without memory limits are reached early, and that is counted. What is there goes on. */
static void no_memory_is_a_limit_reached(void **state) {
    (void)state;
    connected(bk_checker_config_default, 5);
    struct bk_checker *ice = m.side[0].ice;
    bk_checker_settle(ice, m.now);
    heap.empty = true;
    struct bk_ice_candidate c = {.addr = mini_addr("192.0.2.1:7000")};
    assert_int_equal(bk_checker_add_local_candidate(ice, &c, m.now, NULL), BK_ERR_FULL);
    enum bk_err err = BK_OK;
    for (uint16_t i = 0; i < 8 && err == BK_OK; i++) {
        c.addr = mini_addr("198.51.100.77:1000");
        c.addr.port = (uint16_t)(1000 + i);
        err = bk_checker_add_remote_candidate(ice, &c, m.now);
    }
    assert_true(bk_checker_stats(ice)->memory_full > 0);
    assert_int_equal(bk_checker_restart(ice, NULL, NULL, m.now), BK_ERR_FULL);
    assert_int_equal(bk_checker_test_mtu(ice, m.now), BK_ERR_FULL);
    (void)bk_checker_probe(ice, m.now);
    bk_checker_settle(ice, m.now); /* moves nowhere, loses nothing */
    mini_run(&m, 10000);
    assert_int_equal(bk_checker_get_state(ice), BK_ICE_SELECTED);
    heap.empty = false;
    mini_run(&m, 60000);
    mini_assert_connected(&m);
    assert_int_equal(bk_checker_restart(ice, NULL, NULL, m.now), BK_OK);
    mini_fini(&m);
}

static void memory_that_comes_and_goes_loses_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        connected(mini_config(), seed);
        for (int i = 0; i < 20; i++) {
            heap.empty = rng_below(&m.rng, 3) == 0;
            if (rng_below(&m.rng, 2) == 0)
                bk_checker_settle(m.side[0].ice, m.now);
            if (rng_below(&m.rng, 3) == 0)
                m.side[0].dead[0] = !m.side[0].dead[0];
            if (rng_below(&m.rng, 3) == 0)
                (void)bk_checker_probe(m.side[0].ice, m.now);
            mini_run(&m, rng_below(&m.rng, 20000));
            mini_forget_events(&m);
        }
        heap.empty = m.side[0].dead[0] = false;
        mini_run(&m, 200000);
        mini_forget_events(&m);
        mini_assert_connected(&m);
        mini_fini(&m);
        assert_int_equal(heap.held, 0);
    }
}

/* An idle agent is asked nothing and does nothing: its deadline is known, a call before it returns
 * at once. */
static void an_idle_agent_knows_its_deadline(void **state) {
    (void)state;
    connected(bk_checker_config_default, 6);
    struct bk_checker *ice = m.side[0].ice;
    assert_true(ice->quiet);
    struct bk_time deadline = bk_checker_deadline(ice);
    assert_int_equal(deadline.us, ice_deadline(ice).us);
    struct bk_time early = {deadline.us - 1};
    bk_checker_advance(ice, early);
    assert_true(ice->quiet);
    struct bk_datagram d;
    bk_checker_advance(ice, deadline);
    assert_true(bk_checker_next_datagram(ice, &d));
    assert_false(bk_checker_next_datagram(ice, &d));
    assert_true(ice->quiet && deadline.us < bk_checker_deadline(ice).us);
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_checker_fits_in_two_kilobytes),
        cmocka_unit_test(tables_grow_back_to_their_limits),
        cmocka_unit_test(a_settled_agent_restarts),
        cmocka_unit_test(long_credentials_fit_afterwards),
        cmocka_unit_test(no_memory_is_a_limit_reached),
        cmocka_unit_test(memory_that_comes_and_goes_loses_nothing),
        cmocka_unit_test(an_idle_agent_knows_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
