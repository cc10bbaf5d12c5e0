/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "peer/path.h"

enum { RTT_MS = 80 };

static struct path direct_path(int64_t at_ms) {
    struct path p;
    path_init(&p, &path_config_default);
    path_up(&p, RTT_MS * 1000, test_at_ms(at_ms));
    return p;
}

static void test_starts_on_the_relay(void **state) {
    (void)state;
    struct path p;
    path_init(&p, &path_config_default);
    assert_int_equal(p.state, PATH_RELAYED);
    assert_true(bk_is_never(path_deadline(&p)));
    path_up(&p, 1000, test_at_ms(0));
    assert_true(path_is_direct(&p));
}

static void test_an_idle_path_is_never_in_doubt(void **state) {
    (void)state;
    struct path p = direct_path(0);
    assert_true(bk_is_never(path_deadline(&p)));
    path_advance(&p, test_at_ms(100000));
    assert_true(path_is_direct(&p));
}

static void test_silence_after_sending_raises_a_doubt(void **state) {
    (void)state;
    struct path p = direct_path(0);
    path_sent_direct(&p, test_at_ms(1000));
    path_sent_direct(&p, test_at_ms(1100)); /* the first one counts */
    /* a round trip, a quarter more, and the margin: 80 + 20 + 50 */
    assert_int_equal(path_deadline(&p).us, test_at_ms(1150).us);
    path_advance(&p, test_at_ms(1149));
    assert_true(path_is_direct(&p));
    path_advance(&p, test_at_ms(1150));
    assert_int_equal(p.state, PATH_IN_DOUBT);
    assert_false(path_is_direct(&p));
    assert_true(path_take_probe(&p));
    assert_false(path_take_probe(&p));
}

static void test_an_answer_keeps_it(void **state) {
    (void)state;
    struct path p = direct_path(0);
    path_sent_direct(&p, test_at_ms(1000));
    path_heard_direct(&p, test_at_ms(1140));
    path_advance(&p, test_at_ms(1150));
    assert_true(path_is_direct(&p));
    path_sent_direct(&p, test_at_ms(1160));
    assert_int_equal(path_deadline(&p).us, test_at_ms(1310).us);
}

static void test_only_a_probe_ends_the_doubt(void **state) {
    (void)state;
    struct path p = direct_path(0);
    path_sent_direct(&p, test_at_ms(1000));
    path_advance(&p, test_at_ms(1150));
    path_heard_direct(&p, test_at_ms(1160)); /* one direction is not enough */
    assert_int_equal(p.state, PATH_IN_DOUBT);
    path_up(&p, RTT_MS * 1000, test_at_ms(1200));
    assert_true(path_is_direct(&p));
}

static void test_without_one_it_is_given_up(void **state) {
    (void)state;
    struct path p = direct_path(0);
    path_sent_direct(&p, test_at_ms(1000));
    path_advance(&p, test_at_ms(1150));
    path_advance(&p, test_at_ms(1449));
    assert_int_equal(p.state, PATH_IN_DOUBT);
    path_advance(&p, test_at_ms(1450));
    assert_int_equal(p.state, PATH_RELAYED);
    assert_true(bk_is_never(path_deadline(&p)));
}

static void test_the_peer_on_the_relay_raises_a_doubt(void **state) {
    (void)state;
    struct path p = direct_path(1000);
    path_heard_relay(&p, test_at_ms(1130)); /* may still be on its way from before the switch */
    assert_true(path_is_direct(&p));
    path_heard_relay(&p, test_at_ms(1131));
    assert_int_equal(p.state, PATH_IN_DOUBT);
}

static void test_short_paths_get_the_least_silence(void **state) {
    (void)state;
    struct path p;
    path_init(&p, &path_config_default);
    path_up(&p, 200, test_at_ms(0));
    path_sent_direct(&p, test_at_ms(10));
    assert_int_equal(path_deadline(&p).us, test_at_ms(110).us);
}

static void test_what_quic_measures_stretches_the_silence(void **state) {
    (void)state;
    struct path p = direct_path(0);
    path_measured(&p, 100000, 15000); /* 100 + 4 * 15 + 25 */
    path_sent_direct(&p, test_at_ms(1000));
    assert_int_equal(path_deadline(&p).us, test_at_ms(1185).us);
    path_measured(&p, 80000, 1000); /* never below what the path itself allows */
    assert_int_equal(path_deadline(&p).us, test_at_ms(1150).us);
    path_measured(&p, 400000, 200000); /* a dead path is not kept for long */
    assert_int_equal(path_deadline(&p).us, test_at_ms(1200).us);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_starts_on_the_relay),
        cmocka_unit_test(test_an_idle_path_is_never_in_doubt),
        cmocka_unit_test(test_silence_after_sending_raises_a_doubt),
        cmocka_unit_test(test_an_answer_keeps_it),
        cmocka_unit_test(test_only_a_probe_ends_the_doubt),
        cmocka_unit_test(test_without_one_it_is_given_up),
        cmocka_unit_test(test_the_peer_on_the_relay_raises_a_doubt),
        cmocka_unit_test(test_short_paths_get_the_least_silence),
        cmocka_unit_test(test_what_quic_measures_stretches_the_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
