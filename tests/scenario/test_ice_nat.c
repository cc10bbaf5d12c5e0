/* SPDX-License-Identifier: MIT
 * Real ICE agents behind every pair of the nine NAT types, with preserved and with random ports:
 * they connect exactly where plain hole punching can, and nowhere else.
 *
 *                       core
 *          ┌─────────────┼─────────────┐
 *     stun 198.51.100.1  a 203.0.113.1 b 203.0.113.2      each link 10 ms, with loss
 *                        │             │
 *              alice 192.168.1.2   bob 192.168.2.2
 *
 * A failing run prints its seed and its last packets. */
#include "../unit/test.h"
#include "base/text.h"
#include "sim/actor_ice.h"
#include "sim/actor_stun.h"
#include "sim/oracle_prove.h"

#include <stdio.h>

struct nat_type {
    enum nat_dep mapping, filtering;
    enum nat_port_choice ports;
};

enum { TYPES = 18, TYPES_PER_CHOICE = 9 };

static struct nat_type type_at(size_t i) {
    static const enum nat_port_choice ports[] = {NAT_PORT_PRESERVE, NAT_PORT_RANDOM};
    return (struct nat_type){.mapping = (enum nat_dep)(i / 3 % 3),
                             .filtering = (enum nat_dep)(i % 3),
                             .ports = ports[i / TYPES_PER_CHOICE]};
}

static struct nat_config box_of(struct nat_type type, uint8_t number) {
    struct nat_config c;
    assert_int_equal(nat_preset("home", &c), BK_OK);
    c.mapping = type.mapping;
    c.filtering = type.filtering;
    c.ports = type.ports;
    c.external[0] = bk_ipv4(203, 0, 113, number);
    c.external_count = 1;
    c.mappings_max = c.sessions_max = 512;
    return c;
}

/* What plain punching can do (checks from each side to the other's STUN mapping, peer-reflexive
 * candidates, no prediction), as the oracle knows. */
static bool can_punch(struct nat_type a, struct nat_type b) {
    struct bk_oracle_budget budget = bk_oracle_budget_default;
    struct nat_config boxes[2] = {box_of(a, 1), box_of(b, 2)};
    struct oracle_side_play sides[2] = {oracle_side_of(&boxes[0], 1), oracle_side_of(&boxes[1], 2)};
    struct bk_oracle_verdict v;
    budget.methods = 1U << BK_ORACLE_DIRECT | 1U << BK_ORACLE_PUNCH | 1U << BK_ORACLE_PRFLX;
    assert_int_equal(bk_oracle(&sides[0].traits, &sides[1].traits, &budget, &v), BK_OK);
    assert_true(v.certain);
    return v.method != BK_ORACLE_RELAY;
}

struct run {
    struct world *w;
    struct sim_stun stun;
    struct sim_ice a, b;
};

static node_id add_home(struct world *w, struct nat_type type, uint8_t number,
                        const struct world_link *link) {
    struct nat_config c = box_of(type, number);
    node_id box = world_add_nat(w, number == 1 ? "a" : "b", WORLD_CORE, &c, link);
    struct bk_ip inside = bk_ipv4(192, 168, number, 2);
    return world_add_host(w, number == 1 ? "alice" : "bob", box, inside, NULL);
}

static void run_init(struct run *r, struct nat_type a, struct nat_type b, uint64_t seed,
                     uint32_t loss_ppm) {
    struct world_config config = world_config_default;
    struct world_link link = {.delay_us = 10000, .jitter_us = 500, .loss_ppm = loss_ppm};
    struct bk_ip server_ip = bk_ipv4(198, 51, 100, 1);
    config.seed = seed;
    config.packets_max = 1024;
    config.trace_max = 1000;
    assert_int_equal(world_new(&config, &test_alloc, &r->w), BK_OK);
    node_id server = world_add_host(r->w, "stun", WORLD_CORE, server_ip, &link);
    node_id alice = add_home(r->w, a, 1, &link), bob = add_home(r->w, b, 2, &link);
    static const uint16_t stun_port = 3478;
    assert_int_equal(sim_stun_init(&r->stun, r->w, server, &stun_port, 1), BK_OK);
    struct sim_ice_config ice = sim_ice_config(bk_addr(server_ip, 3478), true);
    ice.port = 5000;
    sim_ice_init(&r->a, r->w, alice, &ice, &test_alloc);
    ice.ice.controlling = false;
    sim_ice_init(&r->b, r->w, bob, &ice, &test_alloc);
    sim_ice_join(&r->a, &r->b);
}

static void run_fini(struct run *r) {
    sim_ice_fini(&r->a);
    sim_ice_fini(&r->b);
    world_free(r->w);
}

static bool both_selected(void *ctx) {
    const struct run *r = ctx;
    return !bk_is_never(r->a.selected_at) && !bk_is_never(r->b.selected_at);
}

static void print_line(void *ctx, const char *text) {
    (void)ctx;
    print_error("  %s\n", text);
}

static void describe(struct nat_type t, char *out, size_t cap) {
    struct text text = text_in(out, cap);
    text_str(&text, nat_dep_text(t.mapping));
    text_str(&text, "M/");
    text_str(&text, nat_dep_text(t.filtering));
    text_str(&text, t.ports == NAT_PORT_RANDOM ? "F random" : "F preserve");
}

static void fail_run(const struct run *r, struct nat_type a, struct nat_type b, uint64_t seed,
                     uint32_t loss_ppm, const char *why) {
    char ta[32], tb[32];
    describe(a, ta, sizeof ta);
    describe(b, tb, sizeof tb);
    print_error("%s x %s, loss %u ppm, seed %llu: %s\n", ta, tb, loss_ppm, (unsigned long long)seed,
                why);
    world_dump(r->w, print_line, NULL);
    fail();
}

/* Long enough for five losses in a row; short enough to run thousands. A pair that cannot connect
 * has to stay apart for the same time. */
enum { WAIT_S = 12 };

static uint64_t run_pair(struct nat_type a, struct nat_type b, uint64_t seed, uint32_t loss_ppm) {
    struct run r;
    memset(&r, 0, sizeof r);
    run_init(&r, a, b, seed, loss_ppm);
    bool connected = world_run_until(r.w, both_selected, &r, WAIT_S * BK_US_PER_S);
    if (connected != can_punch(a, b))
        fail_run(&r, a, b, seed, loss_ppm, connected ? "connected" : "did not connect");
    if (connected) { /* and it holds */
        world_run(r.w, 2 * BK_US_PER_S);
        if (!sim_ice_is_connected(&r.a) || !sim_ice_is_connected(&r.b))
            fail_run(&r, a, b, seed, loss_ppm, "did not stay connected");
    }
    uint64_t hash = world_hash(r.w);
    run_fini(&r);
    return hash;
}

static uint64_t seeds_per_pair(void) {
    const char *text = getenv("BODKIN_SEEDS"); /* more at night: BODKIN_SEEDS=100 */
    return text != NULL ? strtoull(text, NULL, 10) : 2;
}

static void run_matrix(uint32_t loss_ppm) {
    unsigned runs = 0, connects = 0;
    for (uint64_t seed = 1; seed <= seeds_per_pair(); seed++) {
        for (size_t i = 0; i < TYPES; i++) {
            for (size_t j = i; j < TYPES; j++) {
                (void)run_pair(type_at(i), type_at(j), seed * 1000 + i * TYPES + j, loss_ppm);
                runs++;
                connects += can_punch(type_at(i), type_at(j)) ? 1 : 0;
            }
        }
    }
    print_message("%u runs, %u connected, %u could not, as foretold\n", runs, connects,
                  runs - connects);
}

static void test_matrix_without_loss(void **state) {
    (void)state;
    run_matrix(0);
}

static void test_matrix_with_1_percent_loss(void **state) {
    (void)state;
    run_matrix(10000);
}

static void test_matrix_with_5_percent_loss(void **state) {
    (void)state;
    run_matrix(50000);
}

static void test_runs_repeat_exactly(void **state) {
    (void)state;
    struct nat_type easy = type_at(2), hard = type_at(TYPES - 1);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        uint64_t hash = run_pair(easy, easy, seed, 50000);
        assert_true(run_pair(easy, easy, seed, 50000) == hash);
        assert_true(run_pair(easy, easy, seed + 100, 50000) != hash);
        assert_true(run_pair(easy, hard, seed, 50000) != hash);
    }
}

/* ---- other places ---- */

/* A world with a STUN server; the caller adds hosts, then joins the agents. */
static void place_init(struct run *r, uint64_t seed, struct bk_ip server_ip) {
    static const uint16_t stun_port = 3478;
    struct world_config config = world_config_default;
    memset(r, 0, sizeof *r);
    config.seed = seed;
    config.packets_max = 1024;
    assert_int_equal(world_new(&config, &test_alloc, &r->w), BK_OK);
    node_id server = world_add_host(r->w, "stun", WORLD_CORE, server_ip, NULL);
    assert_int_equal(sim_stun_init(&r->stun, r->w, server, &stun_port, 1), BK_OK);
}

static void place_join(struct run *r, node_id alice, node_id bob, struct bk_ip server_ip) {
    struct sim_ice_config ice = sim_ice_config(bk_addr(server_ip, 3478), true);
    sim_ice_init(&r->a, r->w, alice, &ice, &test_alloc);
    ice.ice.controlling = false;
    sim_ice_init(&r->b, r->w, bob, &ice, &test_alloc);
    sim_ice_join(&r->a, &r->b);
}

static void expect(struct run *r, bool connects, const char *why) {
    struct nat_type none = type_at(0);
    if (world_run_until(r->w, both_selected, r, WAIT_S * BK_US_PER_S) != connects)
        fail_run(r, none, none, world_seed(r->w), 0, why);
}

static struct bk_ip ip(const char *text) {
    struct bk_ip out;
    assert_int_equal(bk_ip_parse(text, &out), BK_OK);
    return out;
}

/* IPv6 only, each behind a stateful firewall: nothing is translated, both must send first. */
static void test_ipv6_behind_firewalls(void **state) {
    (void)state;
    const struct world_link link = {.delay_us = 10000, .loss_ppm = 10000};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run r;
        struct nat_config c;
        assert_int_equal(nat_preset("firewall", &c), BK_OK);
        c.mappings_max = c.sessions_max = 64;
        place_init(&r, seed, ip("2001:db8::1"));
        node_id a = world_add_nat(r.w, "a", WORLD_CORE, &c, &link);
        node_id b = world_add_nat(r.w, "b", WORLD_CORE, &c, &link);
        node_id alice = world_add_host(r.w, "alice", a, ip("2001:db8:a::2"), NULL);
        node_id bob = world_add_host(r.w, "bob", b, ip("2001:db8:b::2"), NULL);
        place_join(&r, alice, bob, ip("2001:db8::1"));
        expect(&r, true, "IPv6 behind firewalls");
        run_fini(&r);
    }
}

/* Behind one box, without hairpin: the private addresses do it. */
static void test_both_behind_one_box(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run r;
        place_init(&r, seed, ip("198.51.100.1"));
        struct world_link link = {.delay_us = 10000};
        node_id alice = add_home(r.w, type_at(TYPES - 1), 1, &link);
        node_id box = world_find(r.w, "a");
        node_id bob = world_add_host(r.w, "bob", box, ip("192.168.1.3"), NULL);
        place_join(&r, alice, bob, ip("198.51.100.1"));
        expect(&r, true, "both behind one symmetric box");
        run_fini(&r);
    }
}

static void test_udp_blocked_on_one_side(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct run r;
        place_init(&r, seed, ip("198.51.100.1"));
        struct world_link link = {.delay_us = 10000};
        node_id alice = add_home(r.w, type_at(0), 1, &link),
                bob = add_home(r.w, type_at(0), 2, &link);
        nat_block_udp(world_nat(r.w, world_find(r.w, "b")), true);
        place_join(&r, alice, bob, ip("198.51.100.1"));
        expect(&r, false, "connected through a box that blocks UDP");
        run_fini(&r);
    }
}

/* Both boxes lose their mappings; ports are preserved, so the same holes open again by themselves.
 */
static void test_boxes_reboot(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run r;
        memset(&r, 0, sizeof r);
        run_init(&r, type_at(2), type_at(2), seed, 10000);
        expect(&r, true, "before the reboot");
        world_reboot_nat(r.w, world_find(r.w, "a"));
        world_reboot_nat(r.w, world_find(r.w, "b"));
        world_run(r.w, 60 * BK_US_PER_S);
        if (!sim_ice_is_connected(&r.a) || !sim_ice_is_connected(&r.b))
            fail_run(&r, type_at(2), type_at(2), seed, 10000, "after the reboot");
        run_fini(&r);
    }
}

static int compare_us(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* From the last candidate that arrived to the selected pair, on both sides: within 1.5 round trips
 * and 100 ms, loss or not in the median. One way is 20 ms. */
static void test_time_to_connect(void **state) {
    (void)state;
    enum { RUNS = 100 };
    static const uint32_t losses[] = {0, 10000, 50000};
    for (size_t i = 0; i < 3; i++) {
        int64_t took[RUNS];
        for (uint64_t seed = 0; seed < RUNS; seed++) {
            struct run r;
            memset(&r, 0, sizeof r);
            run_init(&r, type_at(2), type_at(2), seed, losses[i]);
            expect(&r, true, "EIM/APDF x EIM/APDF");
            struct bk_time both = bk_later(r.a.selected_at, r.b.selected_at);
            struct bk_time known = bk_later(r.a.signalled_at, r.b.signalled_at);
            took[seed] = bk_elapsed_us(known, both);
            run_fini(&r);
        }
        qsort(took, RUNS, sizeof took[0], compare_us);
        print_message("loss %u ppm: selected after p50 %lld ms, p95 %lld ms\n", losses[i],
                      (long long)took[RUNS / 2] / 1000, (long long)took[RUNS * 95 / 100] / 1000);
        assert_true(took[RUNS / 2] <= 60000 + 100000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix_without_loss),
        cmocka_unit_test(test_matrix_with_1_percent_loss),
        cmocka_unit_test(test_matrix_with_5_percent_loss),
        cmocka_unit_test(test_runs_repeat_exactly),
        cmocka_unit_test(test_ipv6_behind_firewalls),
        cmocka_unit_test(test_both_behind_one_box),
        cmocka_unit_test(test_udp_blocked_on_one_side),
        cmocka_unit_test(test_boxes_reboot),
        cmocka_unit_test(test_time_to_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
