/* SPDX-License-Identifier: MIT
 * The NAT classifier in scenes that no preset covers: ways of choosing ports, pools, two NATs,
 * servers with one address, networks that let little through, other hosts behind the same box,
 * routers that offer mappings. */
#include "natcheck_scene.h"

/* ---- ports ---- */

static void check_seeds(struct scene *s, void (*check)(struct run *r, const struct scene *s)) {
    for (uint32_t loss = 0; loss <= ONE_PERCENT; loss += ONE_PERCENT) {
        for (uint64_t seed = 1; seed <= seeds(); seed++) {
            struct run r;
            s->loss_ppm = loss;
            s->seed = seed;
            set_up(&r, s);
            run_to_end(&r, s);
            check(&r, s);
            tear_down(&r);
        }
    }
}

static void check_step(struct run *r, const struct scene *s) {
    expect_known(r, s, BK_NAT_PORTS, BK_NAT_PORTS_SEQUENTIAL);
    expect(r, s, "step", r->record->traits.step, s->box.port_step);
}

static void test_steps_of_a_counting_box(void **state) {
    (void)state;
    static const int32_t steps[] = {-16, -2, -1, 2, 4, 7, 256};
    static const enum nat_dep mappings[] = {NAT_EI, NAT_AD, NAT_APD};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        for (size_t m = 0; m < 3; m++) {
            struct scene s = {.name = "step", .box = nat_config_default};
            s.box.ports = NAT_PORT_SEQUENTIAL;
            s.box.port_step = steps[i];
            s.box.mapping = mappings[m];
            s.box.port_min = i % 2 == 0 ? 1024 : 40000;
            check_seeds(&s, check_step);
        }
    }
}

static void check_rate(struct run *r, const struct scene *s) {
    double rate = s->box.port_rate, seen = r->record->traits.ports_per_s;
    expect_known(r, s, BK_NAT_PORTS, BK_NAT_PORTS_TIME);
    if (seen < rate * 0.9 || seen > rate * 1.1)
        fail_run(r, s, "ports a second", (long long)seen, (long long)rate);
}

static void test_ports_that_tell_the_time(void **state) {
    (void)state;
    static const uint32_t rates[] = {100, 250, 1000, 5000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct scene s = {.name = "clock", .box = nat_config_default};
        s.box.ports = NAT_PORT_TIME;
        s.box.port_rate = rates[i];
        s.box.mapping = i % 2 == 0 ? NAT_EI : NAT_APD;
        check_seeds(&s, check_rate);
    }
}

static void check_parity(struct run *r, const struct scene *s) {
    expect_known(r, s, BK_NAT_PORTS, BK_NAT_PORTS_RANDOM);
    expect_known(r, s, BK_NAT_PARITY, s->box.port_parity ? BK_YES : BK_NO);
}

static void test_parity(void **state) {
    (void)state;
    for (int on = 0; on < 2; on++) {
        struct scene s = {.name = "parity", .box = nat_config_default};
        s.box.ports = NAT_PORT_RANDOM;
        s.box.port_parity = on == 1;
        check_seeds(&s, check_parity);
    }
}

/* The ports seen lie in the block that is told, and it is neither half as large nor twice. */
static void check_width(struct run *r, const struct scene *s) {
    const struct bk_nat_traits *t = &r->record->traits;
    uint32_t width = s->box.port_space == NAT_SPACE_BLOCKS
                         ? s->box.block_size
                         : (uint32_t)(s->box.port_max - s->box.port_min) + 1;
    expect_known(r, s, BK_NAT_PORTS, BK_NAT_PORTS_RANDOM);
    if (t->port_count * 2 < width || t->port_count > 2 * width)
        fail_run(r, s, "the block's size", t->port_count, width);
    for (size_t i = 0; i < r->record->observation_count; i++) {
        const struct bk_nat_observation *o = &r->record->observations[i];
        if (o->test == BK_NAT_TEST_BINDING && o->answered_us >= 0)
            expect(r, s, "within", o->seen.port >= t->port_min && o->seen.port <= t->port_max, 1);
    }
}

static void test_blocks(void **state) {
    (void)state;
    static const uint32_t sizes[] = {64, 256, 512, 1000, 1024, 2048, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct scene s = {.name = "block", .box = nat_config_default};
        s.box.ports = NAT_PORT_RANDOM;
        s.box.mapping = i % 2 == 0 ? NAT_EI : NAT_APD;
        s.box.port_space = NAT_SPACE_BLOCKS;
        s.box.block_size = sizes[i];
        check_seeds(&s, check_width);
        s.name = "range";
        s.box.port_space = NAT_SPACE_RANGE;
        s.box.port_min = 20000;
        s.box.port_max = (uint16_t)(20000 + sizes[i] - 1);
        check_seeds(&s, check_width);
    }
}

static void check_set(struct run *r, const struct scene *s) {
    struct bk_nat_traits truth;
    const struct bk_nat_traits *t = &r->record->traits;
    nat_traits_of(&s->box, &truth);
    expect_known(r, s, BK_NAT_PORTS, BK_NAT_PORTS_RANDOM);
    if (t->port_count * 2 < truth.port_count || t->port_count > 2 * truth.port_count)
        fail_run(r, s, "ports in the set", t->port_count, truth.port_count);
    expect(r, s, "gaps", t->port_count * 4 < (uint32_t)(t->port_max - t->port_min), 1);
}

static void test_scattered_sets(void **state) {
    (void)state;
    static const struct { uint8_t offset, len; } sets[] = {{4, 8}, {6, 8}, {6, 6}, {4, 6}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct scene s = {.name = "MAP-E", .box = nat_config_default};
        s.box.ports = NAT_PORT_RANDOM;
        s.box.port_space = NAT_SPACE_PSID;
        s.box.psid_offset = sets[i].offset;
        s.box.psid_len = sets[i].len;
        s.box.psid = 0x2d;
        check_seeds(&s, check_set);
    }
}

/* Bob opens a new mapping every so often, too. */
struct bob {
    struct world *world;
    actor_id actor;
    struct bk_time next;
    int64_t every_us;
};

static void bob_sends(void *ctx, struct world *w, struct bk_time now) {
    struct bob *b = ctx;
    socket_id socket;
    if (!bk_due(b->next, now))
        return;
    b->next = bk_after(b->next, b->every_us);
    const struct bk_addr any = {.ip.family = BK_IPV4};
    assert_int_equal(world_udp_bind(w, b->actor, any, &socket), BK_OK);
    const struct bk_datagram d = {
        .remote = bk_addr(bk_ipv4(198, 51, 100, 1), 9), .data = (const uint8_t *)"x", .len = 1};
    world_udp_send(w, socket, &d);
}

static struct bk_time bob_deadline(void *ctx) {
    const struct bob *b = ctx;
    return b->next;
}

static void test_foreign_mappings_are_counted(void **state) {
    (void)state;
    static const int per_s[] = {10, 30, 60};
    for (size_t i = 0; i < sizeof per_s / sizeof *per_s; i++) {
        struct scene s = {.name = "busy", .seed = i + 1, .box = nat_config_default};
        struct run r;
        s.box.ports = NAT_PORT_SEQUENTIAL;
        s.box.mapping = NAT_APD;
        set_up(&r, &s);
        struct bob bob = {
            .world = r.world, .next = world_now(r.world), .every_us = BK_US_PER_S / per_s[i] + 137};
        node_id host = world_add_host(r.world, "bob", world_find(r.world, "box"),
                                      bk_ipv4(192, 168, 1, 3), NULL);
        const struct world_actor calls = {
            .ctx = &bob, .on_turn = bob_sends, .deadline = bob_deadline};
        bob.actor = world_add_actor(r.world, host, &calls);
        world_wake(r.world, bob.actor);
        run_to_end(&r, &s);
        expect_known(&r, &s, BK_NAT_PORTS, BK_NAT_PORTS_SEQUENTIAL);
        expect(&r, &s, "step", r.record->traits.step, 1);
        double seen = r.record->traits.foreign_per_s;
        if (seen < per_s[i] * 0.5 || seen > per_s[i] * 1.6)
            fail_run(&r, &s, "foreign mappings a second", (long long)seen, per_s[i]);
        tear_down(&r);
    }
}

static void check_strict(struct run *r, const struct scene *s) {
    expect_known(r, s, BK_NAT_UDP, BK_NAT_UDP_OPEN);
    expect_known(r, s, BK_NAT_PORTS, BK_NAT_PORTS_PRESERVE);
    expect_known(r, s, BK_NAT_MAPPING, s->box.mapping == NAT_AD ? BK_NAT_AD : BK_NAT_APD);
}

static void test_a_box_that_refuses_second_mappings(void **state) {
    (void)state;
    struct scene s = {.name = "strict", .box = nat_config_default};
    s.box.ports = NAT_PORT_PRESERVE_STRICT;
    s.box.mapping = NAT_APD;
    check_seeds(&s, check_strict);
    s.box.mapping = NAT_AD;
    check_seeds(&s, check_strict);
}

/* ---- addresses ---- */

static void check_pool(struct run *r, const struct scene *s) {
    bool hash = s->box.mapping == NAT_DEP_HASH;
    expect_known(r, s, BK_NAT_POOLING, BK_NO);
    expect_known(r, s, BK_NAT_MAPPING, hash ? BK_NAT_APD : BK_NAT_EI);
    expect(r, s, "an external address", r->record->traits.external.family, 0);
}

static void test_pools(void **state) {
    (void)state;
    struct scene s = {.name = "pool", .externals = 4, .box = nat_config_default};
    s.box.pooling = NAT_POOL_ARBITRARY;
    check_seeds(&s, check_pool);
    s.box.ports = NAT_PORT_RANDOM;
    check_seeds(&s, check_pool);
    s.name = "hash";
    s.externals = 3;
    s.box.mapping = NAT_DEP_HASH;
    check_seeds(&s, check_pool);
}

static void check_inbound_first(struct run *r, const struct scene *s) {
    expect_known(r, s, BK_NAT_INBOUND_FIRST, s->box.inbound_first ? BK_YES : BK_NO);
    expect_known(r, s, BK_NAT_MAPPING, BK_NAT_EI);
}

static void test_packets_from_outside_that_come_first(void **state) {
    (void)state;
    static const enum nat_port_choice ports[] = {NAT_PORT_PRESERVE, NAT_PORT_PRESERVE_STRICT,
                                                 NAT_PORT_RANDOM};
    for (size_t i = 0; i < 6; i++) {
        struct scene s = {.name = "inbound first", .box = nat_config_default};
        s.box.overload = NAT_OVERLOAD_REMOTE;
        s.box.inbound_first = i % 2 == 1;
        s.box.ports = ports[i / 2];
        check_seeds(&s, check_inbound_first);
    }
}

/* ---- two NATs ---- */

static enum bk_nat_dep stricter(enum bk_nat_dep a, enum bk_nat_dep b) {
    return a > b ? a : b;
}

static void check_two(struct run *r, const struct scene *s) {
    struct bk_nat_traits in, out;
    nat_traits_of(&s->box, &in);
    nat_traits_of(&s->outer, &out);
    expect_known(r, s, BK_NAT_MAPPING, stricter(in.mapping, out.mapping));
    expect_known(r, s, BK_NAT_FILTERING, stricter(in.filtering, out.filtering));
    expect_known(r, s, BK_NAT_DOUBLE, BK_NAT_DOUBLE_CARRIER);
    expect(r, s, "two NATs", r->record->traits.two_nats, BK_YES);
    if (out.ports != BK_NAT_PORTS_PRESERVE)
        expect_known(r, s, BK_NAT_PORTS, out.ports);
}

static void know_inner_address(struct bk_natcheck_config *config) {
    config->portmap_external = bk_ipv4(100, 64, 1, 2);
}

static void test_home_behind_a_carrier(void **state) {
    (void)state;
    static const char *const outers[] = {"carrier", "full-cone", "symmetric", "symmetric-seq",
                                         "restricted"};
    static const char *const inners[] = {"home", "full-cone", "symmetric"};
    for (size_t i = 0; i < 15; i++) {
        struct scene s = {.name = outers[i % 5], .two_nats = true, .tune = know_inner_address};
        assert_int_equal(nat_preset(outers[i % 5], &s.outer), BK_OK);
        assert_int_equal(nat_preset(inners[i / 5], &s.box), BK_OK);
        check_seeds(&s, check_two);
    }
}

/* ---- less of a server, less of a network ---- */

static void check_one_address(struct run *r, const struct scene *s) {
    bool apdm = s->box.mapping == NAT_APD, apdf = s->box.filtering == NAT_APD;
    if (apdm)
        expect_known(r, s, BK_NAT_MAPPING, BK_NAT_APD);
    else
        expect_unclear(r, s, BK_NAT_MAPPING, BK_NAT_REASON_ONE_ADDRESS);
    if (apdf)
        expect_known(r, s, BK_NAT_FILTERING, BK_NAT_APD);
    else
        expect_unclear(r, s, BK_NAT_FILTERING, BK_NAT_REASON_ONE_ADDRESS);
    expect(r, s, "trait", r->record->traits.mapping, apdm ? BK_NAT_APD : BK_NAT_DEP_UNKNOWN);
}

static void test_one_address_is_honest(void **state) {
    (void)state;
    for (size_t i = 0; i < NAT_TYPES27; i++) {
        struct scene s = {.one_address = true};
        s.name = nat_type27(i, &s.box);
        check_seeds(&s, check_one_address);
    }
}

static void check_other_port(struct run *r, const struct scene *s) {
    expect_known(r, s, BK_NAT_UDP, BK_NAT_UDP_SOME_PORTS);
    expect(r, s, "udp_limited", r->record->traits.udp_limited, BK_YES);
    expect(r, s, "udp_blocked", r->record->traits.udp_blocked, BK_NO);
    expect_known(r, s, BK_NAT_TRANSLATED, BK_YES);
    expect_unclear(r, s, BK_NAT_FILTERING, BK_NAT_REASON_HIDDEN);
}

static void ask_on_443(struct bk_natcheck_config *config) {
    config->fallback = bk_addr(config->server.ip, 443);
}

static void test_networks_that_let_some_ports_out(void **state) {
    (void)state;
    static const uint16_t allowed[] = {443, 3478};
    for (size_t i = 0; i < 2; i++) {
        struct scene s = {.name = "some ports",
                          .box = nat_config_default,
                          .second_port = 443,
                          .limit_ms = 3000,
                          .tune = ask_on_443};
        s.box.udp_allow =
            (struct nat_allow){.limited = true, .ports = {53, allowed[i]}, .count = 2};
        check_seeds(&s, check_other_port);
    }
}

static void check_web_only(struct run *r, const struct scene *s) {
    bool tcp = s->box.tcp_allow.ports[1] == 3478;
    expect_known(r, s, BK_NAT_UDP, BK_NAT_UDP_BLOCKED);
    expect(r, s, "sure", r->record->findings[BK_NAT_UDP].permille, tcp ? 990 : 900);
    expect_unclear(r, s, BK_NAT_MAPPING, BK_NAT_REASON_UDP_BLOCKED);
    expect(r, s, "translated", r->record->traits.translated, tcp ? BK_YES : BK_UNKNOWN);
}

static void test_networks_without_udp(void **state) {
    (void)state;
    static const uint16_t tcp_ports[] = {443, 3478};
    for (size_t i = 0; i < 2; i++) {
        struct scene s = {.name = "web only", .box = nat_config_default};
        s.box.udp_blocked = true;
        s.box.tcp_allow =
            (struct nat_allow){.limited = true, .ports = {80, tcp_ports[i]}, .count = 2};
        check_seeds(&s, check_web_only);
    }
}

/* ---- IPv6 and TCP ---- */

static void check_ipv6(struct run *r, const struct scene *s) {
    if (s->box.ipv6 == NAT_MODE_BLOCK) {
        expect_known(r, s, BK_NAT_IPV6, BK_NO);
        expect_unclear(r, s, BK_NAT_IPV6_MAPPING, BK_NAT_REASON_NO_ANSWER);
        return;
    }
    bool open = s->box.ipv6 == NAT_MODE_ROUTE;
    expect_known(r, s, BK_NAT_IPV6, BK_YES);
    expect_known(r, s, BK_NAT_IPV6_TRANSLATED, BK_NO);
    expect_known(r, s, BK_NAT_IPV6_MAPPING, BK_NAT_EI);
    expect_known(r, s, BK_NAT_IPV6_FILTERING,
                 open ? BK_NAT_EI : (enum bk_nat_dep)(BK_NAT_EI + (int)s->box.filtering));
}

static void test_ipv6_behind_firewalls(void **state) {
    (void)state;
    static const enum nat_mode modes[] = {NAT_MODE_FIREWALL, NAT_MODE_FIREWALL, NAT_MODE_FIREWALL,
                                          NAT_MODE_ROUTE, NAT_MODE_BLOCK};
    for (size_t i = 0; i < 5; i++) {
        struct scene s = {.name = "IPv6", .ipv6 = true, .box = nat_config_default};
        s.box.ipv6 = modes[i];
        s.box.filtering = (enum nat_dep)(i % 3);
        check_seeds(&s, check_ipv6);
    }
}

static void check_tcp(struct run *r, const struct scene *s) {
    enum nat_dep dep = s->box.tcp_mapping == NAT_DEP_AS_UDP ? s->box.mapping : s->box.tcp_mapping;
    expect_known(r, s, BK_NAT_TCP_MAPPING, BK_NAT_EI + (int)dep);
}

static void test_tcp_mapping(void **state) {
    (void)state;
    static const enum nat_dep deps[] = {NAT_EI, NAT_AD, NAT_APD, NAT_DEP_AS_UDP};
    for (size_t i = 0; i < 12; i++) {
        struct scene s = {.name = "TCP", .box = nat_config_default};
        s.box.ports = NAT_PORT_RANDOM;
        s.box.mapping = (enum nat_dep)(i % 3);
        s.box.tcp_mapping = deps[i / 3];
        check_seeds(&s, check_tcp);
    }
}

/* ---- a router that answers ---- */

struct router {
    bool pcp, pmp, upnp;
    struct bk_ip external;
};

static void router_hears(void *ctx, struct world *w, socket_id socket,
                         const struct bk_datagram *in) {
    const struct router *router = ctx;
    static const char ssdp[] = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:"
                               "InternetGatewayDevice:1\r\n\r\n";
    uint8_t pmp[12] = {0, 128}, pcp[24] = {2, 0x80};
    struct bk_datagram out = {.remote = in->remote};
    memcpy(pmp + 8, router->external.bytes, 4);
    if (in->local.port == 1900 && router->upnp) {
        out.data = (const uint8_t *)ssdp;
        out.len = sizeof ssdp - 1;
    } else if (in->local.port == 5351 && in->data[0] == 0 && router->pmp) {
        out.data = pmp;
        out.len = sizeof pmp;
    } else if (in->local.port == 5351 && in->data[0] == 2 && router->pcp) {
        out.data = pcp;
        out.len = sizeof pcp;
    }
    if (out.len > 0)
        world_udp_send(w, socket, &out);
}

static void test_routers_that_answer(void **state) {
    (void)state;
    for (unsigned set = 0; set < 8; set++) {
        struct scene s = {.name = "router", .seed = set + 1, .box = nat_config_default};
        struct run r;
        struct router router = {
            .pcp = (set & 1) != 0, .pmp = (set & 2) != 0, .upnp = (set & 4) != 0};
        router.external = bk_ipv4(203, 0, 113, 1);
        set_up(&r, &s);
        node_id host = world_add_host(r.world, "router", world_find(r.world, "box"),
                                      bk_ipv4(192, 168, 1, 1), NULL);
        const struct world_actor calls = {.ctx = &router, .on_datagram = router_hears};
        actor_id actor = world_add_actor(r.world, host, &calls);
        static const uint16_t ports[] = {1900, 5351};
        for (size_t i = 0; i < 2; i++) {
            socket_id socket;
            const struct bk_addr any = {.ip.family = BK_IPV4, .port = ports[i]};
            assert_int_equal(world_udp_bind(r.world, actor, any, &socket), BK_OK);
        }
        run_to_end(&r, &s);
        expect_known(&r, &s, BK_NAT_PCP, router.pcp ? BK_YES : BK_NO);
        expect_known(&r, &s, BK_NAT_PMP, router.pmp ? BK_YES : BK_NO);
        expect_known(&r, &s, BK_NAT_UPNP, router.upnp ? BK_YES : BK_NO);
        expect(&r, &s, "external", r.record->portmap_external.family, router.pmp ? BK_IPV4 : 0);
        expect_known(&r, &s, BK_NAT_DOUBLE, BK_NAT_DOUBLE_NO_SIGN);
        tear_down(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_of_a_counting_box),
        cmocka_unit_test(test_ports_that_tell_the_time),
        cmocka_unit_test(test_parity),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_scattered_sets),
        cmocka_unit_test(test_foreign_mappings_are_counted),
        cmocka_unit_test(test_a_box_that_refuses_second_mappings),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_packets_from_outside_that_come_first),
        cmocka_unit_test(test_home_behind_a_carrier),
        cmocka_unit_test(test_one_address_is_honest),
        cmocka_unit_test(test_networks_that_let_some_ports_out),
        cmocka_unit_test(test_networks_without_udp),
        cmocka_unit_test(test_ipv6_behind_firewalls),
        cmocka_unit_test(test_tcp_mapping),
        cmocka_unit_test(test_routers_that_answer),
    };
    return tell_most(cmocka_run_group_tests(tests, NULL, NULL));
}
