/* SPDX-License-Identifier: MIT
 * What is near is found and preferred, on virtual time: two peers behind one NAT or behind two,
 * with and without beacons, with and without telling their own addresses. */
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

static struct bk_ip remote_of(const struct duo_side *side) {
    struct session_path path;
    session_path(side->session, &path);
    return path.direct ? path.remote.ip : (struct bk_ip){.family = BK_FAMILY_NONE};
}

static bool is_private(const struct bk_ip *ip) {
    return ip->family != BK_FAMILY_NONE && bk_ip_scope(ip) == BK_SCOPE_PRIVATE;
}

/* On the network they share: by the addresses they have there. */
static bool both_near(const struct duo *d) {
    struct bk_ip a = remote_of(&d->a), b = remote_of(&d->b);
    return is_private(&a) && is_private(&b);
}

/* Has this side ever been told a private address of the other? */
static bool knows_private(const struct duo_side *side) {
    const struct bk_checker *ice = session_ice(side->session);
    for (size_t i = 0; i < bk_checker_pairs(ice); i++) {
        struct bk_ice_pair_info info = {.size = sizeof info};
        if (bk_checker_pair_at(ice, i, &info) == BK_OK && is_private(&info.remote.addr.ip))
            return true;
    }
    return false;
}

static struct duo_config at_one_home(uint64_t seed) {
    struct duo_config config = duo_config_default;
    config.seed = seed;
    config.one_nat = true;
    return config;
}

static void private_peers_meet_by_beacon(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct duo_config config = at_one_home(seed);
        config.nat_a = "home"; /* no hairpin */
        config.private_addresses = true;
        config.beacons = true;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
        check(d, both_near(d));
        /* A beacon and its answer cost nothing beside the exchange over the server. */
        check(d, bk_elapsed_us(d->a.exchanged, d->a.direct) <= 60000);
        stop(d);
    }
}

static void without_beacons_they_do_not(void **state) {
    (void)state;
    struct duo_config config = at_one_home(40);
    config.nat_a = "home";
    config.private_addresses = true;
    struct duo *d = start(&config);
    check(d, !duo_run_until_direct(d, 20 * BK_US_PER_S));
    check(d, d->a.session != NULL && d->b.session != NULL);
    check(d, !knows_private(&d->a) && !knows_private(&d->b));
    stop(d);
}

static void far_peers_learn_no_private_address(void **state) {
    (void)state;
    for (uint64_t seed = 50; seed < 60; seed++) {
        struct duo_config config = duo_config_default;
        config.seed = seed;
        config.private_addresses = true;
        config.beacons = true;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
        world_run(d->world, 20 * BK_US_PER_S);
        check(d, duo_side_is_direct(&d->a) && duo_side_is_direct(&d->b));
        check(d, !knows_private(&d->a) && !knows_private(&d->b));
        /* Nobody answers: one search, then silence. */
        check(d, d->a.peer.beacons_sent == BEACON_SEEKS);
        check(d, d->b.peer.beacons_sent == BEACON_SEEKS);
        stop(d);
    }
}

/* A public address is no secret: the STUN server has seen it. */
static void a_public_address_is_told_all_the_same(void **state) {
    (void)state;
    struct duo_config config = duo_config_default;
    config.seed = 70;
    config.nat_a = config.nat_b = NULL;
    config.private_addresses = true;
    struct duo *d = start(&config);
    check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
    stop(d);
    config.nat_a = config.nat_b = "home";
    config.ipv6 = true; /* with firewalls that drop what comes unasked */
    d = start(&config);
    check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
    stop(d);
}

/* The way over the NAT's outside works as well, and may be there first: it must not be kept. */
static void the_near_path_wins_over_a_hairpin(void **state) {
    (void)state;
    static const struct {
        bool subnets, beacons, private_addresses;
        uint32_t loss_ppm;
    } cases[] = {
        {false, false, false, 0},    {true, false, false, 0},      {false, true, true, 0},
        {false, true, true, 100000}, {true, false, false, 100000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            struct duo_config config = at_one_home(100 + 10 * i + seed);
            config.nat_a = "full-cone";
            config.subnets = cases[i].subnets;
            config.beacons = cases[i].beacons;
            config.private_addresses = cases[i].private_addresses;
            config.link.loss_ppm = cases[i].loss_ppm;
            struct duo *d = start(&config);
            struct nat_config nat = *nat_get_config(world_nat(d->world, d->box_a));
            assert_int_not_equal(nat.hairpin, NAT_HAIRPIN_OFF);
            check(d, duo_run_until_direct(d, 20 * BK_US_PER_S));
            world_run(d->world, 2 * BK_US_PER_S);
            check(d, both_near(d));
            stop(d);
        }
}

/* IPv6 behind firewalls that drop what comes unasked, and IPv4 behind NATs: both work. */
static void ipv6_comes_first(void **state) {
    (void)state;
    for (uint64_t seed = 200; seed < 220; seed++) {
        struct duo_config config = duo_config_default;
        config.seed = seed;
        config.ipv6_too = true;
        config.private_addresses = seed % 2 == 0;
        config.link.loss_ppm = seed < 210 ? 0 : 20000;
        struct duo *d = start(&config);
        check(d, duo_run_until_direct(d, 10 * BK_US_PER_S));
        world_run(d->world, 2 * BK_US_PER_S);
        check(d, remote_of(&d->a).family == BK_IPV6 && remote_of(&d->b).family == BK_IPV6);
        stop(d);
    }
}

/* Every host with a translator of its own has this address: it would mean the peer itself. */
static void a_translators_address_is_told_to_nobody(void **state) {
    (void)state;
    struct duo_config config = duo_config_default;
    config.seed = 300;
    config.clat = true;
    struct duo *d = start(&config);
    check(d, duo_run_until_direct(d, 5 * BK_US_PER_S));
    const struct bk_checker *ice = session_ice(d->b.session);
    for (size_t i = 0; i < bk_checker_pairs(ice); i++) {
        struct bk_ice_pair_info info = {.size = sizeof info};
        struct bk_ip clat = bk_ipv4(192, 0, 0, 2);
        assert_int_equal(bk_checker_pair_at(ice, i, &info), BK_OK);
        check(d, !bk_ip_equal(&info.remote.addr.ip, &clat));
    }
    stop(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_peers_meet_by_beacon),
        cmocka_unit_test(without_beacons_they_do_not),
        cmocka_unit_test(far_peers_learn_no_private_address),
        cmocka_unit_test(a_public_address_is_told_all_the_same),
        cmocka_unit_test(the_near_path_wins_over_a_hairpin),
        cmocka_unit_test(ipv6_comes_first),
        cmocka_unit_test(a_translators_address_is_told_to_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
