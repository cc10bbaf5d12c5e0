/* SPDX-License-Identifier: MIT
 * Two peers behind Linux boxes whose input chain accepts, 40 ms apart, that start at different
 * times. On real ones it was measured (Linux 6.18): with 0, 20 and 38 ms between the starts they
 * are through after 40, 61 and 80 ms; with 45, 60 and 120 ms never, because the first packet of the
 * earlier one reaches the later one's box before that has sent, and moves its mapping. A first
 * packet that dies before the other box, and the real ones a round trip later, cured it.
 *
 *     alice 192.168.1.2 ── a 203.0.113.1 ──20 ms── core ──20 ms── b 203.0.113.2 ── bob 192.168.1.2
 */
#include "../unit/test.h"
#include "sim/world.h"

#include <stdio.h>

enum { PORT = 45001, RETRY_MS = 20, ONE_WAY_MS = 40, PATIENCE_MS = 40000, OWN_BOX_ONLY = 2 };

struct end {
    actor_id actor;
    socket_id socket;
    struct bk_addr peer;
    int64_t heard_ms; /* when it got its first packet; -1: not yet */
};

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct end *e = ctx;
    (void)socket;
    (void)in;
    if (e->heard_ms < 0)
        e->heard_ms = world_now(w).us / 1000;
}

static void send_one(struct world *w, const struct end *e, uint8_t ttl) {
    const struct bk_datagram out = {
        .remote = e->peer, .data = (const uint8_t *)"hello", .len = 5, .ttl = ttl};
    world_udp_send(w, e->socket, &out);
}

static void build(struct world *w, struct end *e, const char *preset, uint8_t number) {
    static const char *const names[] = {"a", "b", "alice", "bob"};
    struct world_link link = {.delay_us = ONE_WAY_MS / 2 * 1000};
    struct nat_config c;
    assert_int_equal(nat_preset(preset, &c), BK_OK);
    c.external[0] = bk_ipv4(203, 0, 113, number);
    c.external_count = 1;
    node_id box = world_add_nat(w, names[number - 1], WORLD_CORE, &c, &link);
    node_id host = world_add_host(w, names[number + 1], box, bk_ipv4(192, 168, 1, 2), NULL);
    const struct world_actor calls = {.ctx = e, .on_datagram = on_datagram};
    e->heard_ms = -1;
    e->peer = (struct bk_addr){bk_ipv4(203, 0, 113, (uint8_t)(3 - number)), PORT};
    e->actor = world_add_actor(w, host, &calls);
    const struct bk_addr any = {.ip = {.family = BK_IPV4}, .port = PORT};
    assert_int_equal(world_udp_bind(w, e->actor, any, &e->socket), BK_OK);
}

/* When both have heard the other, from the earlier start on; -1: they never do. `primed`: both send
 * a packet that reaches their own box only, a round trip before the earlier start. */
static int64_t meet(const char *preset, int64_t skew_ms, bool primed) {
    struct world_config config = world_config_default;
    struct world *w;
    struct end alice, bob;
    config.seed = 1;
    assert_int_equal(world_new(&config, &test_alloc, &w), BK_OK);
    build(w, &alice, preset, 1);
    build(w, &bob, preset, 2);
    int64_t begin_ms = world_now(w).us / 1000;
    int64_t wait = primed ? 2 * ONE_WAY_MS : 0;
    for (int64_t ms = 0; ms < PATIENCE_MS && (alice.heard_ms < 0 || bob.heard_ms < 0); ms++) {
        if (primed && ms == 0) {
            send_one(w, &alice, OWN_BOX_ONLY); /* so early that both boxes are open */
            send_one(w, &bob, OWN_BOX_ONLY);   /* when the first real packet comes */
        }
        if (ms >= wait && (ms - wait) % RETRY_MS == 0)
            send_one(w, &alice, 0);
        if (ms >= wait + skew_ms && (ms - wait - skew_ms) % RETRY_MS == 0)
            send_one(w, &bob, 0);
        world_run(w, 1000);
    }
    bool met = alice.heard_ms >= 0 && bob.heard_ms >= 0;
    int64_t last = alice.heard_ms > bob.heard_ms ? alice.heard_ms : bob.heard_ms;
    world_free(w);
    return met ? last - begin_ms - wait : -1;
}

static void starts_closer_than_the_way_meet(void **state) {
    (void)state;
    static const int64_t skew_ms[] = {0, 20, 38};
    for (size_t i = 0; i < 3; i++)
        assert_in_range(meet("linux-accept", skew_ms[i], false), skew_ms[i] + ONE_WAY_MS,
                        skew_ms[i] + ONE_WAY_MS + 2);
}

static void starts_further_apart_never_meet(void **state) {
    (void)state;
    static const int64_t skew_ms[] = {45, 60, 120, 1000};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(meet("linux-accept", skew_ms[i], false), -1);
}

static void a_first_packet_that_dies_on_the_way_cures_it(void **state) {
    (void)state;
    static const int64_t skew_ms[] = {0, 20, 38, 45, 60, 120, 1000};
    for (size_t i = 0; i < 7; i++)
        assert_in_range(meet("linux-accept", skew_ms[i], true), ONE_WAY_MS,
                        skew_ms[i] + ONE_WAY_MS + 2);
}

/* Boxes that drop do not care. */
static void a_dropping_box_needs_no_cure(void **state) {
    (void)state;
    static const int64_t skew_ms[] = {0, 38, 45, 120, 1000};
    for (size_t i = 0; i < 5; i++)
        assert_in_range(meet("linux-masquerade", skew_ms[i], false), skew_ms[i] + ONE_WAY_MS,
                        skew_ms[i] + ONE_WAY_MS + RETRY_MS + 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_closer_than_the_way_meet),
        cmocka_unit_test(starts_further_apart_never_meet),
        cmocka_unit_test(a_first_packet_that_dies_on_the_way_cures_it),
        cmocka_unit_test(a_dropping_box_needs_no_cure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
