/* SPDX-License-Identifier: MIT
 * Lifetimes of UDP mappings as the classifier measures them: within 10 % of what the box was told,
 * for answered and unanswered mappings, and which direction refreshes. */
#include "natcheck_scene.h"

static void check_within(struct run *r, const struct scene *s, enum bk_nat_attr attr,
                         int64_t truth_us) {
    const struct bk_nat_finding *f = &r->record->findings[attr];
    expect(r, s, bk_nat_attr_name(attr), f->status, BK_NAT_KNOWN);
    if (truth_us > bk_natcheck_config_default.lifetime_max_us) {
        expect(r, s, "at least", f->at_least, 1);
        return;
    }
    expect(r, s, "at least", f->at_least, 0);
    if (f->value > truth_us + truth_us / 10 || f->value < truth_us - truth_us / 10)
        fail_run(r, s, bk_nat_attr_name(attr), f->value, truth_us);
}

static void check_refresh(struct run *r, const struct scene *s) {
    bool out = s->box.refresh != NAT_REFRESH_IN, in = s->box.refresh != NAT_REFRESH_OUT;
    expect_known(r, s, BK_NAT_REFRESH_OUT, out ? BK_YES : BK_NO);
    expect_known(r, s, BK_NAT_REFRESH_IN, in ? BK_YES : BK_NO);
}

static void check_lifetimes(const struct scene *s) {
    struct run r;
    set_up(&r, s);
    run_to_end(&r, s);
    bool measurable = s->box.udp_replied_us <= bk_natcheck_config_default.lifetime_max_us;
    check_within(&r, s, BK_NAT_LIFE_FIRST, s->box.udp_first_us);
    check_within(&r, s, BK_NAT_LIFE_REPLIED, s->box.udp_replied_us);
    if (measurable)
        check_refresh(&r, s);
    expect_most(&r, s, "packets of deep", r.record->deep_packets_sent, 250);
    expect_most(&r, s, "sockets at once", r.check.open_max, 64);
    tear_down(&r);
}

static const struct {
    const char *name;
    int first_s, replied_s;
    enum nat_dep mapping, filtering;
    enum nat_port_choice ports;
    enum nat_refresh refresh;
} boxes[] = {
    {"linux", 30, 120, NAT_EI, NAT_APD, NAT_PORT_PRESERVE, NAT_REFRESH_BOTH},
    {"carrier of 10 s", 10, 10, NAT_EI, NAT_EI, NAT_PORT_RANDOM, NAT_REFRESH_BOTH},
    {"carrier", 35, 35, NAT_EI, NAT_APD, NAT_PORT_RANDOM, NAT_REFRESH_OUT},
    {"cellular", 65, 65, NAT_APD, NAT_APD, NAT_PORT_RANDOM, NAT_REFRESH_BOTH},
    {"by the book", 300, 300, NAT_EI, NAT_AD, NAT_PORT_PRESERVE, NAT_REFRESH_OUT},
    {"inbound", 60, 180, NAT_AD, NAT_AD, NAT_PORT_SEQUENTIAL, NAT_REFRESH_IN},
    {"for ever", 90, 3600, NAT_EI, NAT_APD, NAT_PORT_PRESERVE, NAT_REFRESH_BOTH},
    {"odd", 47, 453, NAT_APD, NAT_APD, NAT_PORT_SEQUENTIAL, NAT_REFRESH_BOTH},
};

static void test_lifetimes_within_ten_percent(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        struct scene s = {.name = boxes[i].name, .deep = true, .box = nat_config_default};
        s.box.udp_first_us = boxes[i].first_s * BK_US_PER_S;
        s.box.udp_replied_us = boxes[i].replied_s * BK_US_PER_S;
        s.box.mapping = boxes[i].mapping;
        s.box.filtering = boxes[i].filtering;
        s.box.ports = boxes[i].ports;
        s.box.refresh = boxes[i].refresh;
        for (uint32_t loss = 0; loss <= ONE_PERCENT; loss += ONE_PERCENT) {
            s.loss_ppm = loss;
            s.seed = i + 1;
            check_lifetimes(&s);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lifetimes_within_ten_percent),
    };
    return tell_most(cmocka_run_group_tests(tests, NULL, NULL));
}
