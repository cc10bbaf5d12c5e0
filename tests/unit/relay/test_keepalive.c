/* SPDX-License-Identifier: MIT
 * How long a connection to the home may be silent, and that it then is. */
#include "fixture.h"
#include "relay/keepalive.h"

#define S BK_US_PER_S

/* A box that forgets after `memory_s`; 0: never. One question and its end. Returns the silence. */
static int64_t ask(struct keepalive *k, int64_t memory_s) {
    int64_t silence_us = k->interval_us;
    if (memory_s > 0 && silence_us >= memory_s * S)
        keepalive_died(k, silence_us);
    else
        keepalive_survived(k, silence_us);
    return silence_us;
}

static void it_grows_to_its_limit_and_stays(void **state) {
    static const uint32_t limits_s[] = {0, 60, 7200, 1000000, 1};
    (void)state;
    for (size_t i = 0; i < sizeof limits_s / sizeof limits_s[0]; i++) {
        struct keepalive k;
        int64_t limit_s = limits_s[i] == 0     ? KEEPALIVE_DEFAULT_S
                          : limits_s[i] > 7200 ? 7200
                          : limits_s[i] < 15   ? 15
                                               : limits_s[i];
        keepalive_init(&k, limits_s[i]);
        assert_true(k.interval_us <= 25 * S);
        for (int n = 0; n < 40; n++)
            assert_true(ask(&k, 0) <= limit_s * S);
        assert_int_equal(k.interval_us, limit_s * S);
        keepalive_survived(&k, 5 * S); /* asked early: says nothing */
        assert_int_equal(k.interval_us, limit_s * S);
        keepalive_forget(&k);
        assert_true(k.interval_us <= 25 * S);
    }
}

/* NATs of every memory: deaths are few, silence uses most of what is possible. */
static void it_settles_below_what_kills(void **state) {
    static const int64_t memories_s[] = {20, 30, 60, 65, 120, 240, 350, 600, 1800, 7440};
    (void)state;
    for (size_t i = 0; i < sizeof memories_s / sizeof memories_s[0]; i++) {
        struct keepalive k;
        int64_t memory_us = memories_s[i] * S, last = 0, hour = 0;
        unsigned deaths = 0, asked = 0;
        keepalive_init(&k, KEEPALIVE_MAX_S);
        while (hour < 24 * 3600 * S) {
            last = ask(&k, memories_s[i]);
            hour += last;
            asked++;
            if (last >= memory_us)
                deaths++;
        }
        print_message("memory %5d s: settled at %5d s, %u deaths and %u questions a day\n",
                      (int)memories_s[i], (int)(last / S), deaths, asked);
        assert_true(k.interval_us < memory_us * 3 / 2);
        assert_true(deaths <= 9); /* a day */
    }
}

static void what_breaks_at_once_is_no_box(void **state) {
    struct keepalive k;
    (void)state;
    keepalive_init(&k, 0);
    ask(&k, 0);
    int64_t before = k.interval_us;
    keepalive_died(&k, 3 * S);
    assert_int_equal(k.interval_us, before);
    keepalive_died(&k, 16 * S);
    assert_true(k.interval_us >= KEEPALIVE_MIN_S * S);
}

static void open_quiet(struct world *w, uint32_t quiet_s) {
    struct relay_hub_config hub = small_hub();
    struct relay_client_config c = relay_client_config_default;
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 1), 1000);
    uint8_t key[32];
    world_init(w, &hub);
    w->node[0].budget = SIZE_MAX;
    box_keypair(&w->rng, key, c.secret);
    c.start = RELAY_START_RAW;
    c.quiet_s = quiet_s;
    c.probe_us = quiet_s * S;
    assert_int_equal(relay_client_new(&c, &w->rng, &test_alloc, w->now, &w->node[0].client), BK_OK);
    assert_int_equal(relay_hub_accept(w->hub, &from, w->now, &w->node[0].conn), BK_OK);
    w->node[0].open = true;
    world_run(w);
    assert_int_equal(w->node[0].connected, 1);
    assert_int_equal(relay_client_ping(w->node[0].client, w->now), BK_OK); /* as home.c does */
    world_run(w);
}

/* From deadline to deadline for `hours`; returns how often either side had something to do. */
static unsigned pass_time(struct world *w, int hours) {
    struct bk_time end = bk_after(w->now, hours * 3600 * S);
    unsigned steps = 0;
    while (bk_before(w->now, end) && relay_client_is_connected(w->node[0].client)) {
        struct bk_time next =
            bk_earlier(relay_hub_deadline(w->hub), relay_client_deadline(w->node[0].client));
        int64_t ms = (bk_elapsed_us(w->now, bk_earlier(next, end)) + 999) / 1000;
        world_pass_ms(w, ms);
        world_run(w);
        steps++;
    }
    return steps;
}

static void a_quiet_connection_sends_nothing_else(void **state) {
    static const uint32_t quiet_s[] = {60, 300, 7200};
    (void)state;
    for (size_t i = 0; i < sizeof quiet_s / sizeof quiet_s[0]; i++) {
        struct world w;
        struct relay_hub_stats stats;
        open_quiet(&w, quiet_s[i]);
        unsigned steps = pass_time(&w, 24);
        relay_hub_stats(w.hub, &stats);
        unsigned pings = 24 * 3600 / quiet_s[i];
        print_message("%u s: %u pings in 24 h, %u steps\n", quiet_s[i], (unsigned)stats.pings,
                      steps);
        assert_true(relay_client_is_connected(w.node[0].client));
        assert_true(stats.pings <= pings + 2 && stats.pings + 2 >= pings);
        assert_true(steps <= 2 * pings + 4); /* a ping, and a deadline that had moved */
        world_fini(&w);
    }
}

/* A server that knows nothing of quiet sends its KeepAlive, and nobody asks it anything. */
static void a_talkative_server_is_not_asked(void **state) {
    struct world w;
    struct relay_hub_stats stats;
    (void)state;
    open_quiet(&w, 0);
    relay_client_set_probe(w.node[0].client, 300 * S);
    pass_time(&w, 2);
    relay_hub_stats(w.hub, &stats);
    assert_true(relay_client_is_connected(w.node[0].client));
    assert_int_equal(stats.pings, 1);
    world_fini(&w);
}

/* The client went away without a word: the hub asks when its promise is over. */
static void a_promise_that_is_not_kept_is_noticed(void **state) {
    struct world w;
    struct bk_time before;
    (void)state;
    open_quiet(&w, 300);
    before = w.now;
    struct bk_time due = relay_hub_deadline(w.hub);
    assert_true(bk_elapsed_us(before, due) >= 300 * S);
    assert_true(bk_elapsed_us(before, due) <= 445 * S);
    relay_hub_advance(w.hub, due);
    struct relay_ready ready;
    bool writes = false;
    while (relay_hub_next_ready(w.hub, &ready))
        writes = writes || ready.write;
    assert_true(writes);
    world_fini(&w);
}

static void a_death_tells_how_long_the_silence_was(void **state) {
    struct world w;
    (void)state;
    open_quiet(&w, 300);
    struct relay_client *c = w.node[0].client;
    assert_int_equal(relay_client_silence_us(c), 0);
    struct bk_time asked = relay_client_deadline(c);
    relay_client_advance(c, asked);
    assert_int_equal(relay_client_silence_us(c), 300 * S);
    relay_client_doubt_for(c, S, asked); /* sooner */
    assert_int_equal(bk_elapsed_us(asked, relay_client_deadline(c)), S);
    relay_client_doubt_for(c, 60 * S, asked); /* not later */
    assert_int_equal(bk_elapsed_us(asked, relay_client_deadline(c)), S);
    relay_client_advance(c, relay_client_deadline(c));
    assert_false(relay_client_is_connected(c));
    assert_int_equal(relay_client_silence_us(c), 300 * S);
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_to_its_limit_and_stays),
        cmocka_unit_test(it_settles_below_what_kills),
        cmocka_unit_test(what_breaks_at_once_is_no_box),
        cmocka_unit_test(a_quiet_connection_sends_nothing_else),
        cmocka_unit_test(a_talkative_server_is_not_asked),
        cmocka_unit_test(a_promise_that_is_not_kept_is_noticed),
        cmocka_unit_test(a_death_tells_how_long_the_silence_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
