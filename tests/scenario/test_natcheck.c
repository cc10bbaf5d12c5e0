/* SPDX-License-Identifier: MIT
 * The NAT classifier against every box of the model: what it says is compared with what the box was
 * told to do (nat_traits_of()). A failure prints the box, the seed and the packets.
 *
 *     198.51.100.1, .2 server ─ core ─┬─ 203.0.113.1 nat "box" ─ 192.168.1.2 alice
 *                                     └─ (between them, in some scenes) another NAT
 */
#include "../unit/test.h"

#include "sim/actor_natcheck.h"
#include "sim/actor_natserver.h"

#include <bodkin/nat_traits.h>
#include <stdio.h>

enum { DELAY_US = 20000, ONE_PERCENT = 10000, PACKETS_MAX = 40, RUN_MAX_S = 4000 };

/* The most of any run, told at the end; SEEDS=1000 in the environment runs that many per box. */
static uint32_t packets_most;
static int64_t took_most_us;
static uint64_t seeds = 4;

struct scene {
    const char *name;
    uint64_t seed;
    struct nat_config box;   /* next to alice; external addresses are filled in */
    struct nat_config outer; /* with two_nats */
    bool two_nats;
    bool ipv6;
    bool one_address; /* the server has one */
    bool no_portmap;
    uint32_t loss_ppm;
    uint32_t externals; /* 0: one */
    bool deep;
    void (*tune)(struct bk_natcheck_config *config);
};

struct run {
    struct world *world;
    struct sim_natserver server;
    struct sim_natcheck check;
    const struct bk_nat_record *record;
    struct nat_config box;
};

static struct bk_ip ip6(uint8_t net, uint8_t host) {
    uint8_t b[16] = {0x20, 0x01, 0x0d, 0xb8, 0, net};
    b[15] = host;
    return bk_ipv6(b);
}

static void give_externals(struct nat_config *c, uint32_t count, uint8_t first) {
    c->external_count = 0;
    for (uint32_t i = 0; i < (count == 0 ? 1 : count); i++)
        c->external[c->external_count++] = bk_ipv4(203, 0, 113, (uint8_t)(first + i));
}

static node_id add_boxes(struct run *r, const struct scene *s) {
    struct world_link link = {.delay_us = DELAY_US, .loss_ppm = s->loss_ppm};
    struct nat_config outer = s->outer;
    node_id parent = WORLD_CORE;
    r->box = s->box;
    give_externals(&r->box, s->externals, 1);
    if (s->two_nats) {
        give_externals(&outer, s->externals, 1);
        parent = world_add_nat(r->world, "outer", parent, &outer, &link);
        r->box.external[0] = bk_ipv4(100, 64, 1, 2);
        r->box.external_count = 1;
        link = (struct world_link){0};
    }
    return world_add_nat(r->world, "box", parent, &r->box, &link);
}

static void set_up(struct run *r, const struct scene *s) {
    static const uint16_t ports[2] = {3478, 3479};
    struct world_config config = world_config_default;
    config.seed = s->seed;
    config.packets_max = 512;
    memset(r, 0, sizeof *r);
    assert_int_equal(world_new(&config, &test_alloc, &r->world), BK_OK);
    node_id server = world_add_host(r->world, "server", WORLD_CORE, bk_ipv4(198, 51, 100, 1), NULL);
    if (!s->one_address)
        world_add_address(r->world, server, bk_ipv4(198, 51, 100, 2));
    if (s->ipv6) {
        world_add_address(r->world, server, ip6(1, 1));
        world_add_address(r->world, server, ip6(1, 2));
    }
    node_id box = add_boxes(r, s);
    node_id alice = world_add_host(r->world, "alice", box, bk_ipv4(192, 168, 1, 2), NULL);
    if (s->ipv6)
        world_add_address(r->world, alice, ip6(2, 2));
    assert_int_equal(sim_natserver_init(&r->server, r->world, server, ports, &test_alloc), BK_OK);
    struct bk_natcheck_config check = bk_natcheck_config_default;
    check.server = bk_addr(bk_ipv4(198, 51, 100, 1), 3478);
    if (s->ipv6)
        check.server6 = bk_addr(ip6(1, 1), 3478);
    if (!s->no_portmap)
        check.gateway = bk_ipv4(192, 168, 1, 1);
    check.deep = s->deep;
    if (s->tune != NULL)
        s->tune(&check);
    assert_int_equal(sim_natcheck_init(&r->check, r->world, alice, &check, &test_alloc), BK_OK);
    r->record = bk_natcheck_record(r->check.natcheck);
}

static void tear_down(struct run *r) {
    sim_natcheck_fini(&r->check);
    sim_natserver_fini(&r->server);
    world_free(r->world);
}

static void print_line(void *ctx, const char *text) {
    (void)ctx;
    print_message("%s\n", text);
}

static void print_findings(const struct bk_nat_record *r) {
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++) {
        const struct bk_nat_finding *f = &r->findings[a];
        print_message("  %-20s status %d %-24s %4u %s (%lld)\n", bk_nat_attr_name(a), f->status,
                      bk_nat_value_text(a, f->value), f->permille, bk_nat_reason_text(f->reason),
                      (long long)f->value);
    }
    for (size_t i = 0; i < r->observation_count; i++) {
        const struct bk_nat_observation *o = &r->observations[i];
        char l[BK_ADDR_TEXT_MAX], t[BK_ADDR_TEXT_MAX], s[BK_ADDR_TEXT_MAX], f[BK_ADDR_TEXT_MAX];
        print_message("  %-24s %s -> %s: %s from %s, %u sends, %lld to %lld us\n",
                      bk_nat_test_name(o->test), bk_addr_format(&o->local, l),
                      bk_addr_format(&o->remote, t), bk_addr_format(&o->seen, s),
                      bk_addr_format(&o->from, f), o->sends, (long long)o->sent_us,
                      (long long)o->answered_us);
    }
}

static void fail_run(struct run *r, const struct scene *s, const char *what, long long got,
                     long long want) {
    world_dump(r->world, print_line, NULL);
    print_findings(r->record);
    print_message("%s, seed %llu, loss %u ppm: %s is %lld, expected %lld; %u packets, %lld us\n",
                  s->name, (unsigned long long)s->seed, s->loss_ppm, what, got, want,
                  r->record->packets_sent, (long long)r->record->took_us);
    fail();
}

static void expect(struct run *r, const struct scene *s, const char *what, long long got,
                   long long want) {
    if (got != want)
        fail_run(r, s, what, got, want);
}

static void expect_most(struct run *r, const struct scene *s, const char *what, long long got,
                        long long most) {
    if (got > most)
        fail_run(r, s, what, got, most);
}

static void expect_known(struct run *r, const struct scene *s, enum bk_nat_attr attr,
                         long long want) {
    expect(r, s, bk_nat_attr_name(attr), r->record->findings[attr].status, BK_NAT_KNOWN);
    expect(r, s, bk_nat_attr_name(attr), r->record->findings[attr].value, want);
}

static void expect_unclear(struct run *r, const struct scene *s, enum bk_nat_attr attr,
                           enum bk_nat_reason reason) {
    expect(r, s, bk_nat_attr_name(attr), r->record->findings[attr].status, BK_NAT_UNCLEAR);
    expect(r, s, "its reason", r->record->findings[attr].reason, reason);
}

static void run_to_end(struct run *r, const struct scene *s) {
    if (!world_run_until(r->world, sim_natcheck_is_done, &r->check, RUN_MAX_S * BK_US_PER_S))
        fail_run(r, s, "done", 0, 1);
    world_run(r->world, BK_US_PER_S); /* late answers */
    expect(r, s, "open sockets", r->check.open, 0);
    expect_most(r, s, "packets sent", r->record->packets_sent, PACKETS_MAX);
    packets_most = r->record->packets_sent > packets_most ? r->record->packets_sent : packets_most;
    took_most_us = r->record->took_us > took_most_us ? r->record->took_us : took_most_us;
    if (!s->deep)
        expect(r, s, "packets counted", r->check.sent, r->record->packets_sent);
    expect_most(r, s, "duration in ms", r->record->took_us / 1000, 2000);
}

/* ---- what a box is ---- */

static void check_block(struct run *r, const struct scene *s, const struct bk_nat_traits *truth) {
    const struct bk_nat_traits *seen = &r->record->traits;
    uint32_t width = (uint32_t)(truth->port_max - truth->port_min) + 1;
    uint32_t count = truth->port_count != 0 ? truth->port_count : width;
    if (count > 16384) {
        expect(r, s, "a block's size", seen->port_count, 0);
        return;
    }
    if (seen->port_count * 2 < count || seen->port_count > count * 2)
        fail_run(r, s, "a block's size", seen->port_count, count);
}

static void check_ports(struct run *r, const struct scene *s, const struct bk_nat_traits *truth) {
    const struct bk_nat_traits *seen = &r->record->traits;
    expect_known(r, s, BK_NAT_PORTS, truth->ports);
    switch (truth->ports) {
    case BK_NAT_PORTS_SEQUENTIAL:
        expect(r, s, "step", seen->step, truth->step);
        expect_most(r, s, "foreign mappings", (long long)seen->foreign_per_s, 3);
        break;
    case BK_NAT_PORTS_PRESERVE:
        if (truth->mapping != BK_NAT_EI)
            expect(r, s, "step", seen->step, truth->step);
        break;
    case BK_NAT_PORTS_RANDOM:
        check_block(r, s, truth);
        break;
    case BK_NAT_PORTS_TIME:
        expect_most(r, s, "rate", (long long)seen->ports_per_s,
                    (long long)(truth->ports_per_s * 1.1));
        expect_most(r, s, "rate", (long long)(truth->ports_per_s * 0.9),
                    (long long)seen->ports_per_s);
        break;
    case BK_NAT_PORTS_UNKNOWN:
        break;
    }
}

static void check_hairpin(struct run *r, const struct scene *s, const struct bk_nat_traits *truth) {
    bool hidden = truth->mapping != BK_NAT_EI && truth->filtering != BK_NAT_EI;
    if (truth->translated == BK_NO)
        expect_unclear(r, s, BK_NAT_HAIRPIN, BK_NAT_REASON_NOT_APPLICABLE);
    else if (hidden)
        expect_unclear(r, s, BK_NAT_HAIRPIN, BK_NAT_REASON_HIDDEN);
    else
        expect_known(r, s, BK_NAT_HAIRPIN, truth->hairpin);
}

static void check_inbound_first(struct run *r, const struct scene *s,
                                const struct bk_nat_traits *truth) {
    if (truth->mapping == BK_NAT_EI)
        expect_known(r, s, BK_NAT_INBOUND_FIRST, truth->inbound_first);
    else if (truth->filtering != BK_NAT_EI)
        expect_unclear(r, s, BK_NAT_INBOUND_FIRST, BK_NAT_REASON_HIDDEN);
}

static void check_truth(struct run *r, const struct scene *s, const struct bk_nat_traits *truth) {
    const struct bk_nat_traits *seen = &r->record->traits;
    expect(r, s, "udp_blocked", seen->udp_blocked, truth->udp_blocked);
    if (truth->udp_blocked == BK_YES) {
        expect_known(r, s, BK_NAT_UDP, BK_NAT_UDP_BLOCKED);
        return;
    }
    expect_known(r, s, BK_NAT_UDP, BK_NAT_UDP_OPEN);
    expect_known(r, s, BK_NAT_TRANSLATED, truth->translated);
    expect_known(r, s, BK_NAT_MAPPING, truth->mapping);
    expect_known(r, s, BK_NAT_FILTERING, truth->filtering);
    expect_known(r, s, BK_NAT_POOLING, truth->paired);
    check_ports(r, s, truth);
    check_hairpin(r, s, truth);
    check_inbound_first(r, s, truth);
    if (truth->external.family != 0)
        expect(r, s, "external", bk_ip_equal(&seen->external, &truth->external), 1);
}

static void check_box(const struct scene *s) {
    struct run r;
    struct bk_nat_traits truth;
    set_up(&r, s);
    nat_traits_of(&r.box, &truth);
    run_to_end(&r, s);
    check_truth(&r, s, &truth);
    enum bk_maybe alg = r.box.alg != NAT_ALG_OFF && truth.translated == BK_YES ? BK_YES : BK_NO;
    if (truth.udp_blocked != BK_YES)
        expect_known(&r, s, BK_NAT_ALG, alg);
    tear_down(&r);
}

/* ---- the tests ---- */

static void check_with_seeds(struct scene *s) {
    static const uint32_t losses[] = {0, ONE_PERCENT};
    for (size_t l = 0; l < 2; l++) {
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            s->loss_ppm = losses[l];
            s->seed = seed;
            check_box(s);
        }
    }
}

static void test_all_27_types(void **state) {
    (void)state;
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        struct scene s = {.ipv6 = i % 2 == 0};
        s.name = nat_type27(i, &s.box);
        check_with_seeds(&s);
    }
}

static void test_every_preset(void **state) {
    (void)state;
    for (size_t i = 0; nat_preset_name(i, NULL) != NULL; i++) {
        struct scene s = {.name = nat_preset_name(i, NULL)};
        assert_int_equal(nat_preset(s.name, &s.box), BK_OK);
        if (s.box.udp_allow.limited || s.box.tcp_allow.limited)
            continue; /* tests of their own */
        check_with_seeds(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_27_types),
        cmocka_unit_test(test_every_preset),
    };
    if (getenv("SEEDS") != NULL)
        seeds = strtoull(getenv("SEEDS"), NULL, 10);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    print_message("at most %u packets and %lld ms\n", packets_most, (long long)took_most_us / 1000);
    return failed;
}
