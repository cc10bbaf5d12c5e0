/* SPDX-License-Identifier: MIT
 * What the scenarios of the NAT classifier share: a scene, a run, what is expected of it. A failure
 * prints the scene, the seed, the packets and the findings.
 *
 *     198.51.100.1, .2 server ─ core ─┬─ 203.0.113.1 nat "box" ─ 192.168.1.2 alice
 *                                     └─ (between them, in some scenes) another NAT
 */
#ifndef TESTS_SCENARIO_NATCHECK_SCENE_H
#define TESTS_SCENARIO_NATCHECK_SCENE_H

#include "../unit/test.h"

#include "sim/actor_natcheck.h"
#include "sim/actor_natserver.h"

#include <bodkin/nat_traits.h>
#include <stdio.h>

enum { DELAY_US = 20000, ONE_PERCENT = 10000, PACKETS_MAX = 40, RUN_MAX_S = 4000 };

/* The most of any run, told at the end. */
static uint32_t packets_most;
static int64_t took_most_us;

static inline int tell_most(int failed) {
    print_message("at most %u packets and %lld ms\n", packets_most, (long long)took_most_us / 1000);
    return failed;
}

/* Per box; more when the environment says SEEDS=1000. */
static inline uint64_t seeds(void) {
    const char *text = getenv("SEEDS");
    return text != NULL ? strtoull(text, NULL, 10) : 3;
}

struct scene {
    const char *name;
    uint64_t seed;
    struct nat_config box;   /* next to alice; external addresses are filled in */
    struct nat_config outer; /* with two_nats */
    bool two_nats;
    bool ipv6;
    bool one_address;     /* the server has one */
    uint16_t second_port; /* of the server; 0: 3479 */
    bool no_portmap;
    uint32_t loss_ppm;
    uint32_t externals; /* 0: one */
    bool deep;
    int limit_ms; /* for the run; 0: 2000 */
    void (*tune)(struct bk_natcheck_config *config);
};

struct run {
    struct world *world;
    struct sim_natserver server;
    struct sim_natcheck check;
    const struct bk_nat_record *record;
    struct nat_config box;
};

static inline struct bk_ip ip6(uint8_t net, uint8_t host) {
    uint8_t b[16] = {0x20, 0x01, 0x0d, 0xb8, 0, net};
    b[15] = host;
    return bk_ipv6(b);
}

static inline void give_externals(struct nat_config *c, uint32_t count, uint8_t first) {
    c->external_count = 0;
    for (uint32_t i = 0; i < (count == 0 ? 1 : count); i++)
        c->external[c->external_count++] = bk_ipv4(203, 0, 113, (uint8_t)(first + i));
}

/* Tables as small as one host needs: see set_up(). */
static inline void shrink(struct nat_config *c) {
    c->mappings_max = c->mappings_max < 1024 ? c->mappings_max : 1024;
    c->sessions_max = c->sessions_max < 2048 ? c->sessions_max : 2048;
}

static inline node_id add_boxes(struct run *r, const struct scene *s) {
    struct world_link link = {.delay_us = DELAY_US, .loss_ppm = s->loss_ppm};
    struct nat_config outer = s->outer;
    node_id parent = WORLD_CORE;
    r->box = s->box;
    shrink(&r->box);
    shrink(&outer);
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

static inline void set_up(struct run *r, const struct scene *s) {
    const uint16_t ports[2] = {3478, s->second_port != 0 ? s->second_port : 3479};
    struct world_config config = world_config_default;
    config.seed = s->seed;
    config.packets_max = 256; /* thousands of runs: most of their time would go into empty tables */
    config.trace_max = 512;
    config.sockets_max = 256;
    config.streams_max = 16;
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

static inline void tear_down(struct run *r) {
    sim_natcheck_fini(&r->check);
    sim_natserver_fini(&r->server);
    world_free(r->world);
}

static inline void print_line(void *ctx, const char *text) {
    (void)ctx;
    print_message("%s\n", text);
}

static inline void print_findings(const struct bk_nat_record *r) {
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

static inline void fail_run(struct run *r, const struct scene *s, const char *what, long long got,
                            long long want) {
    world_dump(r->world, print_line, NULL);
    print_findings(r->record);
    print_message("%s, seed %llu, loss %u ppm: %s is %lld, expected %lld; %u packets, %lld us\n",
                  s->name, (unsigned long long)s->seed, s->loss_ppm, what, got, want,
                  r->record->packets_sent, (long long)r->record->took_us);
    fail();
}

static inline void expect(struct run *r, const struct scene *s, const char *what, long long got,
                          long long want) {
    if (got != want)
        fail_run(r, s, what, got, want);
}

static inline void expect_most(struct run *r, const struct scene *s, const char *what,
                               long long got, long long most) {
    if (got > most)
        fail_run(r, s, what, got, most);
}

static inline void expect_known(struct run *r, const struct scene *s, enum bk_nat_attr attr,
                                long long want) {
    expect(r, s, bk_nat_attr_name(attr), r->record->findings[attr].status, BK_NAT_KNOWN);
    expect(r, s, bk_nat_attr_name(attr), r->record->findings[attr].value, want);
}

static inline void expect_unclear(struct run *r, const struct scene *s, enum bk_nat_attr attr,
                                  enum bk_nat_reason reason) {
    expect(r, s, bk_nat_attr_name(attr), r->record->findings[attr].status, BK_NAT_UNCLEAR);
    expect(r, s, "its reason", r->record->findings[attr].reason, reason);
}

static inline void run_to_end(struct run *r, const struct scene *s) {
    if (!world_run_until(r->world, sim_natcheck_is_done, &r->check, RUN_MAX_S * BK_US_PER_S))
        fail_run(r, s, "done", 0, 1);
    world_run(r->world, BK_US_PER_S); /* late answers */
    expect(r, s, "open sockets", r->check.open, 0);
    expect_most(r, s, "packets sent", r->record->packets_sent, PACKETS_MAX);
    packets_most = r->record->packets_sent > packets_most ? r->record->packets_sent : packets_most;
    took_most_us = r->record->took_us > took_most_us ? r->record->took_us : took_most_us;
    if (!s->deep)
        expect(r, s, "packets counted", r->check.sent, r->record->packets_sent);
    expect_most(r, s, "duration in ms", r->record->took_us / 1000,
                s->limit_ms != 0 ? s->limit_ms : 2000);
}

#endif
