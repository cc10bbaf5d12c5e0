/* SPDX-License-Identifier: MIT
 * Whole sessions on virtual time: real endpoints, QUIC, ICE, relay and STUN between two NATs. A
 * failing run prints its seed and the last packets; the seed replays it. */
#include "../unit/test.h"

#include "sim/duo.h"

#include <stdio.h>

static void print_line(void *ctx, const char *text) {
    (void)ctx;
    fprintf(stderr, "%s\n", text);
}

#define check(d, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            world_dump((d)->world, print_line, NULL);                                              \
            fail_msg("seed %llu: %s", (unsigned long long)(d)->config.seed, #condition);           \
        }                                                                                          \
    } while (0)

static struct duo *start(const struct duo_config *config) {
    struct duo *d = calloc(1, sizeof *d);
    assert_non_null(d);
    assert_int_equal(duo_init(d, config, &test_alloc), BK_OK);
    return d;
}

static void stop(struct duo *d) {
    duo_fini(d);
    free(d);
}

static void test_direct_between_two_homes(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct duo_config config = duo_config_default;
        config.seed = seed;
        config.bytes = 200000;
        config.bytes_back = 100000;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
        /* 20 ms links: 40 ms to the home server and back, 80 ms between the peers and back. */
        check(d, bk_elapsed_us(d->a.started, d->a.first_byte) <= 2 * 40000 + 1000);
        check(d, bk_elapsed_us(d->a.exchanged, d->a.direct) <= 120000 + 100000);
        check(d, bk_elapsed_us(d->a.exchanged, d->b.direct) <= 120000 + 100000);
        check(d, duo_run_until_done(d, 20 * BK_US_PER_S));
        check(d, d->b.received == config.bytes && !d->b.corrupt);
        check(d, d->a.received == config.bytes_back && !d->a.corrupt);
        stop(d);
    }
}

static void test_loss_delays_but_does_not_prevent(void **state) {
    (void)state;
    static const uint32_t losses[] = {10000, 50000, 200000};
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct duo_config config = duo_config_default;
        config.seed = seed;
        config.bytes = 50000;
        config.link.loss_ppm = losses[seed % 3];
        config.link.jitter_us = 5000;
        config.link.duplicate_ppm = 10000;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 30 * BK_US_PER_S));
        check(d, duo_run_until_done(d, 120 * BK_US_PER_S));
        check(d, d->b.received == config.bytes && !d->b.corrupt);
        stop(d);
    }
}

/* What stays on the relay, and the word for it. */
static const struct {
    const char *nat_a, *nat_b;
    bool relay_only;
    enum why why_a;
} relayed_cases[] = {
    {"symmetric", "symmetric", false, WHY_MAPPING_BOTH},
    {"udp-blocked", "home", false, WHY_UDP_HERE},
    {"home", "udp-blocked", false, WHY_UDP_THERE},
    {"udp-blocked", "udp-blocked", false, WHY_UDP_BOTH},
    {"home", "home", true, WHY_ASKED_HERE},
};

static void test_relayed_and_why(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof relayed_cases / sizeof *relayed_cases; i++) {
        struct duo_config config = duo_config_default;
        config.seed = 100 + i;
        config.nat_a = relayed_cases[i].nat_a;
        config.nat_b = relayed_cases[i].nat_b;
        config.relay_only = relayed_cases[i].relay_only;
        config.bytes = 300000;
        struct duo *d = start(&config);
        check(d, duo_run_until_done(d, 30 * BK_US_PER_S));
        check(d, d->b.received == config.bytes && !d->b.corrupt);
        (void)duo_run_until_direct(d, 20 * BK_US_PER_S);
        check(d, !duo_side_is_direct(&d->a) && !duo_side_is_direct(&d->b));
        if (d->a.why != relayed_cases[i].why_a)
            fail_msg("%s with %s: \"%s\"", config.nat_a, config.nat_b, why_text(d->a.why));
        stop(d);
    }
}

/* One random side is no obstacle: many open ports on it meet many probes of the other. */
static void test_one_random_side_meets(void **state) {
    static const char *const nats[][2] = {{"symmetric", "home"}, {"home", "symmetric"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct duo_config config = duo_config_default;
        config.seed = 150 + i;
        config.nat_a = nats[i][0];
        config.nat_b = nats[i][1];
        config.bytes = 300000;
        config.surveyed = true;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 15 * BK_US_PER_S));
        check(d, duo_run_until_done(d, 30 * BK_US_PER_S));
        check(d, d->b.received == config.bytes && !d->b.corrupt);
        stop(d);
    }
}

static void test_direct_in_other_places(void **state) {
    (void)state;
    static const struct {
        const char *nat_a, *nat_b;
        bool one_nat, ipv6;
    } cases[] = {
        {"home", "home", true, false}, /* both behind the same NAT */
        {"home", "home", false, true}, /* IPv6 only, stateful firewalls */
        {NULL, "home", false, false},
        {NULL, NULL, false, false},
        {"symmetric", NULL, false, false},
        {"symmetric", "full-cone", false, false},
        {"symmetric", "restricted", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct duo_config config = duo_config_default;
        config.seed = 200 + i;
        config.nat_a = cases[i].nat_a;
        config.nat_b = cases[i].nat_b;
        config.one_nat = cases[i].one_nat;
        config.ipv6 = cases[i].ipv6;
        struct duo *d = start(&config);
        if (!duo_run_until_direct(d, 5 * BK_US_PER_S))
            fail_msg("case %zu does not get direct", i);
        check(d, duo_run_until_done(d, 5 * BK_US_PER_S));
        /* Also where QUIC is done on the direct path before the answer comes by way of the relay.
         */
        check(d, session_get_state(d->a.session) == SESSION_OPEN);
        check(d, session_get_state(d->b.session) == SESSION_OPEN);
        stop(d);
    }
}

/* The direct path is cut silently in the middle of a transfer: data goes on over the relay after at
 * most half a second, and directly again when the path is back. */
static void test_silent_cut_and_return(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct duo_config config = duo_config_default;
        config.seed = seed;
        config.bytes = 40000000;
        config.link.rate_bps = 20000000;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
        world_run(d->world, 2 * BK_US_PER_S);
        for (int round = 0; round < 2; round++) {
            d->a.longest_gap_us = d->b.longest_gap_us = 0;
            world_cut_hosts(d->world, d->host_a, d->host_b, WORLD_CUT_UDP);
            check(d, duo_run_until_relayed(d, 2 * BK_US_PER_S));
            world_run(d->world, BK_US_PER_S);
            check(d, d->b.longest_gap_us <= 500000);
            world_cut_hosts(d->world, d->host_a, d->host_b, WORLD_CUT_NONE);
            check(d, duo_run_until_direct(d, 10 * BK_US_PER_S));
        }
        check(d, duo_run_until_done(d, 200 * BK_US_PER_S));
        check(d, d->b.received == config.bytes && !d->b.corrupt);
        stop(d);
    }
}

static void test_wrong_secret_is_refused(void **state) {
    (void)state;
    struct duo_config config = duo_config_default;
    config.wrong_secret = true;
    struct duo *d = start(&config);
    check(d, duo_run_until_ended(d, 5 * BK_US_PER_S));
    check(d, d->a.end == SESSION_END_REFUSED_TICKET);
    check(d, d->b.session == NULL);
    stop(d);
}

static void test_relay_restart_is_survived(void **state) {
    (void)state;
    static const char *const nats[] = {"home", "udp-blocked"};
    for (size_t i = 0; i < 2; i++) {
        struct duo_config config = duo_config_default;
        config.seed = 300 + i;
        config.nat_b = nats[i];
        config.bytes = 4000000;
        config.link.rate_bps = 10000000;
        struct duo *d = start(&config);
        world_run(d->world, 100000);
        (void)duo_run_until_direct(d, BK_US_PER_S);
        assert_int_equal(sim_relay_restart(&d->relay, &test_alloc), BK_OK);
        check(d, duo_run_until_done(d, 60 * BK_US_PER_S));
        check(d, d->b.received == config.bytes && !d->b.corrupt);
        stop(d);
    }
}

static void test_nat_reboot_is_survived(void **state) {
    (void)state;
    struct duo_config config = duo_config_default;
    config.bytes = 10000000;
    config.link.rate_bps = 10000000;
    struct duo *d = start(&config);
    check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
    world_run(d->world, BK_US_PER_S);
    world_reboot_nat(d->world, d->box_a);
    check(d, duo_run_until_done(d, 120 * BK_US_PER_S));
    check(d, d->b.received == config.bytes && !d->b.corrupt);
    check(d, duo_run_until_direct(d, 30 * BK_US_PER_S));
    stop(d);
}

/* Neither has a way to the home server for two minutes, with a description that wants to be sent
 * again: all deadlines are kept meanwhile, and nobody turns in circles. */
static void test_no_relay_is_waited_for_quietly(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct duo_config config = duo_config_default;
        config.seed = seed;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
        assert_int_equal(world_cut_path(d->world, d->server, WORLD_CORE, WORLD_TCP), BK_OK);
        world_reboot_nat(d->world, d->box_a);
        world_cut_hosts(d->world, d->host_a, d->host_b, WORLD_CUT_UDP);
        uint64_t before = world_get_counters(d->world)->events;
        world_run(d->world, 120 * BK_US_PER_S);
        check(d, world_get_counters(d->world)->events - before < 10000);
        stop(d);
    }
}

/* Keys of TLS come from the library's own generator, but no length and no time depends on them. */
static void test_a_seed_replays_exactly(void **state) {
    (void)state;
    uint64_t hashes[2], other;
    for (int run = 0; run < 3; run++) {
        struct duo_config config = duo_config_default;
        config.seed = run < 2 ? 42 : 43;
        config.bytes = 300000;
        config.link.loss_ppm = 50000;
        config.link.jitter_us = 3000;
        struct duo *d = start(&config);
        (void)duo_run_until_done(d, 20 * BK_US_PER_S);
        world_run(d->world, BK_US_PER_S);
        *(run < 2 ? &hashes[run] : &other) = world_hash(d->world);
        stop(d);
    }
    assert_true(hashes[0] == hashes[1]);
    assert_true(hashes[0] != other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_replays_exactly),
        cmocka_unit_test(test_direct_between_two_homes),
        cmocka_unit_test(test_loss_delays_but_does_not_prevent),
        cmocka_unit_test(test_relayed_and_why),
        cmocka_unit_test(test_one_random_side_meets),
        cmocka_unit_test(test_direct_in_other_places),
        cmocka_unit_test(test_silent_cut_and_return),
        cmocka_unit_test(test_wrong_secret_is_refused),
        cmocka_unit_test(test_relay_restart_is_survived),
        cmocka_unit_test(test_nat_reboot_is_survived),
        cmocka_unit_test(test_no_relay_is_waited_for_quietly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
