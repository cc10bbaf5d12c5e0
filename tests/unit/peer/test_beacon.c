/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "base/rng.h"
#include "peer/beacon.h"

enum { LINK_A = 2, LINK_B = 7 }; /* what each side calls the one link between them */

struct pair {
    struct rng_seeded seed[2];
    struct beacon side[2];
    struct bk_time now;
};

static const uint8_t id[BEACON_ID_LEN] = {1, 2, 3};
static const uint8_t secret[BEACON_SECRET_LEN] = {9, 9};

static struct beacon_link link_of(uint32_t index, uint8_t host) {
    struct beacon_link link = {.index = index, .count = 2};
    link.addrs[0] = bk_addr(bk_ipv4(192, 168, 7, host), 4000);
    link.prefix_len[0] = 24;
    link.addrs[1] = bk_addr(bk_ipv6((const uint8_t[16]){0xfe, 0x80, [15] = host}), 4001);
    link.addrs[1].ip.zone = index;
    link.prefix_len[1] = 64;
    return link;
}

static void set_up(struct pair *p) {
    const struct beacon_link links[2] = {link_of(LINK_A, 1), link_of(LINK_B, 2)};
    p->now = (struct bk_time){5 * BK_US_PER_S};
    for (int i = 0; i < 2; i++) {
        rng_seed(&p->seed[i], 77 + (uint64_t)i);
        struct bk_rng rng = rng_from_seeded(&p->seed[i]);
        beacon_init(&p->side[i], &rng);
        beacon_set_links(&p->side[i], &links[i], 1, p->now);
        assert_int_equal(beacon_watch(&p->side[i], id, secret, i == 0), BK_OK);
    }
}

static struct bk_datagram arrival(const uint8_t *data, int from) {
    return (struct bk_datagram){.remote = bk_addr(bk_ipv4(192, 168, 7, from == 0 ? 1 : 2), 5000),
                                .data = data,
                                .len = BEACON_LEN,
                                .ttl = BEACON_HOPS};
}

/* Delivers from one side to the other; how many packets there were. */
static size_t carry(struct pair *p, int from) {
    struct beacon_packet out;
    size_t n = 0;
    beacon_advance(&p->side[from], p->now);
    while (beacon_next_packet(&p->side[from], &out)) {
        const struct bk_datagram in = arrival(out.data, from);
        assert_int_equal(out.len, BEACON_LEN);
        (void)!beacon_recv(&p->side[1 - from], from == 0 ? LINK_B : LINK_A, &in, p->now);
        n++;
    }
    return n;
}

/* Takes one packet without delivering it. */
static void take(struct pair *p, int from, uint8_t out[BEACON_LEN]) {
    struct beacon_packet packet;
    beacon_advance(&p->side[from], p->now);
    assert_true(beacon_next_packet(&p->side[from], &packet));
    memcpy(out, packet.data, BEACON_LEN);
}

static enum bk_err give(struct pair *p, int from, const uint8_t data[BEACON_LEN]) {
    const struct bk_datagram in = arrival(data, from);
    return beacon_recv(&p->side[1 - from], from == 0 ? LINK_B : LINK_A, &in, p->now);
}

static void both_sides_learn_where_the_other_is(void **state) {
    (void)state;
    struct pair p;
    struct beacon_event e;
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    assert_int_equal(carry(&p, 0), 1);
    assert_true(beacon_next_event(&p.side[1], &e));
    assert_memory_equal(e.id, id, sizeof id);
    assert_int_equal(e.link, LINK_B);
    assert_int_equal(e.count, 2);
    const struct bk_addr a4 = bk_addr(bk_ipv4(192, 168, 7, 1), 4000);
    assert_true(bk_addr_equal(&e.addrs[0], &a4));
    assert_int_equal(e.addrs[1].ip.zone, LINK_B); /* ours, not the seeker's */
    assert_int_equal(carry(&p, 1), 1);            /* the answer */
    assert_true(beacon_next_event(&p.side[0], &e));
    const struct bk_addr b4 = bk_addr(bk_ipv4(192, 168, 7, 2), 4000);
    assert_true(bk_addr_equal(&e.addrs[0], &b4));
    assert_true(bk_is_never(beacon_deadline(&p.side[0]))); /* found: no more seeks */
    assert_int_equal(carry(&p, 0) + carry(&p, 1), 0);
}

static void an_answer_goes_to_the_asker_alone(void **state) {
    (void)state;
    struct pair p;
    struct beacon_packet out;
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    assert_true(beacon_next_packet(&p.side[0], &out));
    assert_int_equal(out.to.ip.family, BK_FAMILY_NONE); /* to all */
    assert_int_equal(carry(&p, 0), 0);
    beacon_stop(&p.side[0], id);
    p.now = bk_after(p.now, BK_US_PER_S);
    beacon_seek(&p.side[0], id, p.now);
    assert_int_equal(carry(&p, 0), 1);
    assert_true(beacon_next_packet(&p.side[1], &out));
    const struct bk_addr asker = bk_addr(bk_ipv4(192, 168, 7, 1), 5000);
    assert_true(bk_addr_equal(&out.to, &asker));
    assert_int_equal(out.link, LINK_B);
    assert_int_equal(out.len, BEACON_LEN); /* as long as the question */
}

static void a_search_that_finds_nobody_ends(void **state) {
    (void)state;
    struct pair p;
    size_t sent = 0;
    set_up(&p);
    beacon_forget(&p.side[1], id);
    beacon_seek(&p.side[0], id, p.now);
    for (int i = 0; i < 100; i++) {
        sent += carry(&p, 0);
        if (bk_is_never(beacon_deadline(&p.side[0])))
            break;
        p.now = beacon_deadline(&p.side[0]);
    }
    assert_int_equal(sent, BEACON_SEEKS);
    assert_true(bk_is_never(beacon_deadline(&p.side[0])));
    assert_false(beacon_is_watching(&p.side[1]));
}

/* No two packets agree in more places than chance allows: nothing in them can be followed. */
static void strangers_see_noise(void **state) {
    (void)state;
    enum { PACKETS = 200 };
    static uint8_t seen[PACKETS][BEACON_LEN];
    struct pair p;
    set_up(&p);
    for (int i = 0; i < PACKETS; i++) {
        p.now = bk_after(p.now, BK_US_PER_S);
        beacon_stop(&p.side[0], id);
        beacon_seek(&p.side[0], id, p.now);
        take(&p, 0, seen[i]);
    }
    for (size_t at = 0; at < BEACON_LEN; at++) {
        int agree = 0; /* with the first packet at this place: PACKETS / 256 are expected */
        uint8_t ones = 0, zeros = 0;
        for (int i = 1; i < PACKETS; i++) {
            agree += seen[i][at] == seen[0][at];
            ones |= seen[i][at];
            zeros |= (uint8_t)~seen[i][at];
        }
        assert_true(agree < 12);
        assert_int_equal(ones, 0xff);
        assert_int_equal(zeros, 0xff);
    }
}

static void only_the_peer_of_the_session_opens_it(void **state) {
    (void)state;
    static const uint8_t other_id[BEACON_ID_LEN] = {4}, other_secret[BEACON_SECRET_LEN] = {5};
    static const struct {
        const uint8_t *id, *secret;
    } strangers[] = {{id, other_secret}, {other_id, secret}};
    for (size_t i = 0; i < 2; i++) {
        struct pair p;
        set_up(&p);
        beacon_forget(&p.side[1], id);
        assert_int_equal(beacon_watch(&p.side[1], strangers[i].id, strangers[i].secret, false),
                         BK_OK);
        beacon_seek(&p.side[0], id, p.now);
        assert_int_equal(carry(&p, 0), 1);
        assert_int_equal(p.side[1].counts.strange, 1);
        assert_int_equal(carry(&p, 1), 0); /* and is told nothing, not even that somebody is here */
    }
}

static void a_changed_bit_is_noise(void **state) {
    (void)state;
    struct pair p;
    uint8_t data[BEACON_LEN];
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    take(&p, 0, data);
    for (size_t i = 0; i < BEACON_LEN; i++) {
        data[i] ^= 0x40;
        p.now = bk_after(p.now, BK_US_PER_S);
        assert_int_equal(give(&p, 0, data), BK_ERR_NOT_OURS);
        data[i] ^= 0x40;
    }
    assert_int_equal(give(&p, 0, data), BK_OK);
}

static void what_was_heard_before_counts_no_more(void **state) {
    (void)state;
    struct pair p;
    uint8_t first[BEACON_LEN], later[BEACON_LEN];
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    take(&p, 0, first);
    p.now = bk_after(p.now, BK_US_PER_S);
    take(&p, 0, later);
    assert_int_equal(give(&p, 0, later), BK_OK);
    assert_int_equal(give(&p, 0, first), BK_OK); /* overtaken */
    assert_int_equal(give(&p, 0, first), BK_ERR_EXISTS);
    assert_int_equal(give(&p, 0, later), BK_ERR_EXISTS);
    assert_int_equal(p.side[1].counts.repeated, 2);
    assert_int_equal(carry(&p, 1), 2); /* two seeks, two answers */
}

static void our_own_voice_is_no_peer(void **state) {
    (void)state;
    struct pair p;
    uint8_t data[BEACON_LEN];
    struct beacon_event e;
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    take(&p, 0, data);
    const struct bk_datagram in = arrival(data, 0);
    assert_int_equal(beacon_recv(&p.side[0], LINK_A, &in, p.now), BK_ERR_EXISTS);
    assert_false(beacon_next_event(&p.side[0], &e));
    assert_int_equal(carry(&p, 0), 0); /* and not answered */
}

/* Somebody who keeps an answer back must not place the peer where it was long ago. */
static void an_answer_is_for_its_search_only(void **state) {
    (void)state;
    struct pair p;
    uint8_t old[BEACON_LEN];
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    assert_int_equal(carry(&p, 0), 1);
    take(&p, 1, old);
    p.now = bk_after(p.now, 11 * BK_US_PER_S);
    assert_int_equal(give(&p, 1, old), BK_ERR_EXISTS);
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    assert_int_equal(carry(&p, 0), 1);
    take(&p, 1, old);
    beacon_stop(&p.side[0], id);
    beacon_seek(&p.side[0], id, p.now);
    assert_int_equal(give(&p, 1, old), BK_ERR_EXISTS);
}

static void packets_must_come_from_the_link(void **state) {
    (void)state;
    struct pair p;
    uint8_t data[BEACON_LEN];
    set_up(&p);
    beacon_seek(&p.side[0], id, p.now);
    take(&p, 0, data);
    struct bk_datagram bad[6];
    for (size_t i = 0; i < 6; i++)
        bad[i] = arrival(data, 0);
    bad[0].ttl = 254;                               /* a router was in between */
    bad[1].remote.ip = bk_ipv4(192, 168, 8, 1);     /* another subnet */
    bad[2].remote.ip = bk_ipv4(255, 255, 255, 255); /* would make us call to all */
    bad[3].remote.ip = bk_ipv4(127, 0, 0, 1);
    bad[4].remote.port = 0;
    bad[5].len--;
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(beacon_recv(&p.side[1], LINK_B, &bad[i], p.now), BK_ERR_UNREACHABLE);
    const struct bk_datagram good = arrival(data, 0);
    assert_int_equal(beacon_recv(&p.side[1], 99, &good, p.now), BK_ERR_UNREACHABLE);
    assert_int_equal(p.side[1].counts.off_link, 7);
    assert_int_equal(beacon_recv(&p.side[1], LINK_B, &good, p.now), BK_OK);
}

/* A peer cannot aim our checks at somebody outside the link. */
static void addresses_elsewhere_are_not_told(void **state) {
    (void)state;
    struct pair p;
    struct beacon_event e;
    set_up(&p);
    struct beacon_link link = link_of(LINK_A, 1);
    link.addrs[0].ip = bk_ipv4(203, 0, 113, 5);
    beacon_set_links(&p.side[0], &link, 1, p.now);
    beacon_seek(&p.side[0], id, p.now);
    assert_int_equal(carry(&p, 0), 1);
    assert_true(beacon_next_event(&p.side[1], &e));
    assert_int_equal(e.count, 1); /* the link-local one */
    assert_int_equal(e.addrs[0].ip.family, BK_IPV6);
}

static void a_flood_is_not_opened(void **state) {
    (void)state;
    struct pair p;
    uint8_t noise[BEACON_LEN] = {0};
    set_up(&p);
    for (int i = 0; i < 1000; i++) {
        p.now = bk_after(p.now, 1000); /* one a millisecond */
        noise[0] = (uint8_t)i;
        assert_int_not_equal(give(&p, 0, noise), BK_OK);
    }
    assert_true(p.side[1].counts.strange <= BEACON_OPENS_PER_S + 20);
    assert_true(p.side[1].counts.too_many >= 1000 - BEACON_OPENS_PER_S - 20);
}

static void sending_has_a_pace(void **state) {
    (void)state;
    struct pair p;
    struct beacon_packet out;
    size_t at_once = 0, in_a_second = 0;
    set_up(&p);
    for (uint8_t i = 1; i < BEACON_SESSIONS_MAX; i++) {
        const uint8_t other[BEACON_ID_LEN] = {i, 0xff};
        assert_int_equal(beacon_watch(&p.side[0], other, secret, true), BK_OK);
        beacon_seek(&p.side[0], other, p.now);
    }
    const uint8_t last[BEACON_ID_LEN] = {0xee};
    assert_int_equal(beacon_watch(&p.side[0], last, secret, true), BK_ERR_FULL);
    while (beacon_next_packet(&p.side[0], &out))
        at_once++;
    assert_int_equal(at_once, 16);
    struct bk_time end = bk_after(p.now, BK_US_PER_S);
    while (bk_before(beacon_deadline(&p.side[0]), end)) {
        p.now = bk_later(p.now, beacon_deadline(&p.side[0]));
        beacon_advance(&p.side[0], p.now);
        while (beacon_next_packet(&p.side[0], &out))
            in_a_second++;
    }
    assert_in_range(in_a_second, BEACON_SENDS_PER_S - 2, BEACON_SENDS_PER_S + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_learn_where_the_other_is),
        cmocka_unit_test(an_answer_goes_to_the_asker_alone),
        cmocka_unit_test(a_search_that_finds_nobody_ends),
        cmocka_unit_test(strangers_see_noise),
        cmocka_unit_test(only_the_peer_of_the_session_opens_it),
        cmocka_unit_test(a_changed_bit_is_noise),
        cmocka_unit_test(what_was_heard_before_counts_no_more),
        cmocka_unit_test(our_own_voice_is_no_peer),
        cmocka_unit_test(an_answer_is_for_its_search_only),
        cmocka_unit_test(packets_must_come_from_the_link),
        cmocka_unit_test(addresses_elsewhere_are_not_told),
        cmocka_unit_test(a_flood_is_not_opened),
        cmocka_unit_test(sending_has_a_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
