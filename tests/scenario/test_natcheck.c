/* SPDX-License-Identifier: MIT
 * The NAT classifier against every named box of the model: what it says is compared with what the
 * box was told to do (nat_traits_of()). */
#include "natcheck_scene.h"

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
        for (uint64_t seed = 1; seed <= seeds(); seed++) {
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

static void ask_on_53(struct bk_natcheck_config *config) {
    config->fallback = bk_addr(config->server.ip, 53);
}

/* A network that lets UDP out to port 53 only, for those who ask there. */
static void check_limited(struct scene *s) {
    struct run r;
    assert_int_equal(s->box.udp_allow.ports[0], 53);
    s->second_port = 53;
    s->tune = ask_on_53;
    s->seed = 1;
    set_up(&r, s);
    run_to_end(&r, s);
    expect_known(&r, s, BK_NAT_UDP, BK_NAT_UDP_SOME_PORTS);
    expect(&r, s, "udp_limited", r.record->traits.udp_limited, BK_YES);
    tear_down(&r);
}

static void test_every_preset(void **state) {
    (void)state;
    for (size_t i = 0; nat_preset_name(i, NULL) != NULL; i++) {
        struct scene s = {.name = nat_preset_name(i, NULL)};
        assert_int_equal(nat_preset(s.name, &s.box), BK_OK);
        if (s.box.udp_allow.limited && s.box.udp_allow.count > 0) {
            check_limited(&s);
            continue;
        }
        bool spread = s.box.pooling == NAT_POOL_ARBITRARY || s.box.mapping == NAT_DEP_HASH;
        s.externals = spread ? 4 : 1;
        check_with_seeds(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_27_types),
        cmocka_unit_test(test_every_preset),
    };
    return tell_most(cmocka_run_group_tests(tests, NULL, NULL));
}
