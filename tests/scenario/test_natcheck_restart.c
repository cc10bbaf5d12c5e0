/* SPDX-License-Identifier: MIT
 * The server forgets who asked while lifetimes are being measured: it restarts, or a flood pushes
 * the notes out of its table. From then on it answers RESPONSE-PORT with 403, which says nothing
 * about the NAT. */
#include "natcheck_scene.h"

/* Less is learned than in an undisturbed run, so it may be vague, but not wrong. */
static void check_not_wrong(struct run *r, const struct scene *s, enum bk_nat_attr attr,
                            int64_t truth_us) {
    const struct bk_nat_finding *f = &r->record->findings[attr];
    int64_t slack_us = f->permille >= 900 ? truth_us / 10 : truth_us / 4;
    if (f->status != BK_NAT_KNOWN)
        return;
    if (f->value > truth_us + slack_us || (!f->at_least && f->value < truth_us - slack_us))
        fail_run(r, s, bk_nat_attr_name(attr), f->value, truth_us);
}

static void test_refusals_are_no_dead_mappings(void **state) {
    (void)state;
    static const int64_t restart_s[] = {3, 12, 25, 60, 110};
    for (size_t i = 0; i < sizeof restart_s / sizeof *restart_s; i++) {
        struct scene s = {.name = "restart", .seed = i + 1, .deep = true};
        struct run r;
        s.box = nat_config_default;
        s.box.udp_first_us = 40 * BK_US_PER_S;
        s.box.udp_replied_us = 120 * BK_US_PER_S;
        set_up(&r, &s);
        world_run(r.world, restart_s[i] * BK_US_PER_S);
        assert_int_equal(sim_natserver_restart(&r.server, &test_alloc), BK_OK);
        run_to_end(&r, &s);
        check_not_wrong(&r, &s, BK_NAT_LIFE_FIRST, s.box.udp_first_us);
        check_not_wrong(&r, &s, BK_NAT_LIFE_REPLIED, s.box.udp_replied_us);
        expect_known(&r, &s, BK_NAT_MAPPING, BK_NAT_EI);
        tear_down(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals_are_no_dead_mappings),
    };
    return tell_most(cmocka_run_group_tests(tests, NULL, NULL));
}
