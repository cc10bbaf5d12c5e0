/* SPDX-License-Identifier: MIT
 * A selected pair falls silent: who notices, when, and what follows. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

static uint32_t silent_us;

/* IPv6 (selected) and IPv4 (warm), connected, 20 ms one way. */
static void connected(uint32_t doubt_us, bool first_controls) {
    struct bk_checker_config config = mini_config();
    config.doubt_us = doubt_us;
    config.silent_us = silent_us;
    mini_two_public(&m, 7, rng, config, first_controls, !first_controls);
    m.delay_us = 20000;
    mini_socket(&m, 0, "[2001:db8::1]:5000");
    mini_socket(&m, 1, "[2001:db8::2]:6000");
    mini_signal(&m);
    mini_run(&m, 3000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6);
    mini_forget_events(&m);
}

static void a_break_moves_both_sides_to_the_warm_pair_within_two_seconds(void **state) {
    (void)state;
    for (int control = 0; control < 2; control++) {
        connected(1000000, control == 0);
        struct bk_time broken = m.now;
        m.side[0].dead[1] = true;
        mini_run(&m, 2000);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(mini_selected(&m, i).remote.addr.ip.family, BK_IPV4);
            assert_in_range(mini_when_us(&m, i, BK_CHECKER_SELECTED, broken), 1, 1500000);
            assert_int_equal(mini_count(&m, i, BK_CHECKER_STATE), 0); /* never FAILED */
        }
        mini_fini(&m);
    }
}

/* The next best is as dead as the selected one: both were asked, and neither may be taken. */
static void of_four_pairs_the_one_that_answers_takes_over(void **state) {
    (void)state;
    for (int control = 0; control < 2; control++) {
        connected(1000000, control == 0);
        mini_socket(&m, 0, "[2001:db8::3]:5000");
        mini_socket(&m, 0, "[2001:db8::4]:5000");
        mini_signal_candidates(&m, 0);
        mini_run(&m, 3000);
        mini_forget_events(&m);
        struct bk_time broken = m.now;
        m.side[0].dead[1] = m.side[0].dead[2] = m.side[0].dead[3] = true;
        mini_run(&m, 3000);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(mini_selected(&m, i).remote.addr.ip.family, BK_IPV4);
            assert_in_range(mini_when_us(&m, i, BK_CHECKER_SELECTED, broken), 1, 1500000);
            assert_int_equal(mini_count(&m, i, BK_CHECKER_SELECTED), 1);
        }
        mini_fini(&m);
    }
}

static void with_no_spare_the_pair_stays_and_is_said_to_be_silent_and_back(void **state) {
    (void)state;
    connected(1000000, true);
    for (size_t i = 0; i < 2; i++)
        m.side[0].dead[i] = true;
    mini_run(&m, 10000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mini_count(&m, i, BK_CHECKER_SILENT), 1);
        assert_int_equal(mini_count(&m, i, BK_CHECKER_PAIR_DIED), 0);
        assert_int_equal(bk_checker_get_state(m.side[i].ice), BK_ICE_SELECTED);
    }
    for (size_t i = 0; i < 2; i++)
        m.side[0].dead[i] = false;
    struct bk_time mended = m.now;
    mini_run(&m, 2000);
    for (int i = 0; i < 2; i++)
        assert_in_range(mini_when_us(&m, i, BK_CHECKER_BACK, mended), 1, 1100000);
    mini_assert_connected(&m);
    mini_fini(&m);
}

/* RFC 7675 section 5.1: consent ends all the same. */
static void silence_beyond_consent_is_death(void **state) {
    (void)state;
    connected(1000000, true);
    for (size_t i = 0; i < 2; i++)
        m.side[0].dead[i] = true;
    mini_run(&m, 70000);
    for (int i = 0; i < 2; i++)
        assert_int_not_equal(bk_checker_get_state(m.side[i].ice), BK_ICE_SELECTED);
    mini_fini(&m);
}

static void data_puts_the_doubt_off(void **state) {
    (void)state;
    connected(1000000, true);
    struct bk_ice_pair_info info = mini_selected(&m, 0);
    m.side[0].dead[0] = m.side[0].dead[1] = true; /* checks are lost, data is not */
    for (int i = 0; i < 40; i++) {
        mini_run(&m, 100);
        for (int k = 0; k < 2; k++) {
            info = mini_selected(&m, k);
            bk_checker_heard(m.side[k].ice, &info.local.base, &info.remote.addr, m.now);
        }
    }
    for (int k = 0; k < 2; k++)
        assert_int_equal(mini_count(&m, k, BK_CHECKER_SILENT), 0);
    mini_fini(&m);
}

/* The controlled side lost its IPv6 and knows; the other side sees data on IPv4 only. */
static void data_on_a_spare_alone_brings_the_doubt_on(void **state) {
    (void)state;
    connected(1000000, false);
    struct bk_addr gone = m.side[0].base[1], base = m.side[1].base[0], from = m.side[0].base[0];
    struct bk_time start = m.now;
    m.side[0].dead[1] = true;
    assert_int_equal(bk_checker_remove_local(m.side[0].ice, &gone, m.now), BK_OK);
    for (int i = 0; i < 20; i++) {
        mini_run(&m, 20);
        bk_checker_heard(m.side[1].ice, &base, &from, m.now);
    }
    mini_run(&m, 100);
    assert_in_range(mini_when_us(&m, 1, BK_CHECKER_SELECTED, start), 100000, 400000);
    mini_assert_connected(&m);
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV4);
    mini_fini(&m);
}

/* A peer that goes on sending there: it is asked once a second, and nothing moves. */
static void data_on_a_spare_moves_nothing_while_the_selected_pair_answers(void **state) {
    (void)state;
    connected(1000000, true);
    struct bk_addr base = m.side[1].base[0], from = m.side[0].base[0];
    uint64_t before = bk_checker_stats(m.side[1].ice)->requests_sent;
    for (int i = 0; i < 500; i++) {
        mini_run(&m, 20);
        bk_checker_heard(m.side[1].ice, &base, &from, m.now);
    }
    uint64_t asked = bk_checker_stats(m.side[1].ice)->requests_sent - before;
    assert_in_range(asked, 10, 40);
    assert_int_equal(mini_selected(&m, 1).remote.addr.ip.family, BK_IPV6);
    assert_int_equal(mini_count(&m, 1, BK_CHECKER_SELECTED), 0);
    mini_fini(&m);
}

/* A pair that answers is asked alone, and its answers are consent enough. */
static void spares_are_asked_only_when_the_first_question_was_lost(void **state) {
    (void)state;
    connected(1000000, true);
    uint64_t before = bk_checker_stats(m.side[0].ice)->requests_sent +
                      bk_checker_stats(m.side[1].ice)->requests_sent;
    mini_run(&m, 60000);
    uint64_t asked = bk_checker_stats(m.side[0].ice)->requests_sent +
                     bk_checker_stats(m.side[1].ice)->requests_sent - before;
    assert_in_range(asked, 40, 90); /* once a second by one side; the spare every 15 s */
    for (int i = 0; i < 2; i++)
        assert_int_equal(mini_count(&m, i, BK_CHECKER_SILENT), 0);
    mini_fini(&m);
}

static uint64_t asked_in_a_minute(void) {
    uint64_t before = bk_checker_stats(m.side[0].ice)->requests_sent +
                      bk_checker_stats(m.side[1].ice)->requests_sent;
    for (int i = 0; i < 10; i++)
        mini_run(&m, 6000);
    return bk_checker_stats(m.side[0].ice)->requests_sent +
           bk_checker_stats(m.side[1].ice)->requests_sent - before;
}

/* Without data there is no haste: it is enough that silence is told in time. */
static void an_idle_pair_is_asked_as_late_as_can_be(void **state) {
    (void)state;
    connected(1200000, true);
    uint64_t hasty = asked_in_a_minute();
    mini_fini(&m);
    silent_us = 2000000;
    for (int control = 0; control < 2; control++) {
        connected(1200000, control == 0);
        assert_in_range(asked_in_a_minute(), 20, hasty * 4 / 5);
        struct bk_time broken = m.now;
        for (size_t i = 0; i < 2; i++)
            m.side[0].dead[i] = true;
        mini_run(&m, 3000);
        for (int i = 0; i < 2; i++)
            assert_in_range(mini_when_us(&m, i, BK_CHECKER_SILENT, broken), 1, 2000000);
        mini_fini(&m);
    }
    silent_us = 0;
}

static void a_pair_with_data_is_asked_early(void **state) {
    (void)state;
    silent_us = 2000000;
    connected(1200000, true);
    struct bk_time broken = m.now;
    struct bk_ice_pair_info info = mini_selected(&m, 0);
    bk_checker_heard(m.side[0].ice, &info.local.base, &info.remote.addr, m.now);
    for (size_t i = 0; i < 2; i++)
        m.side[0].dead[i] = true;
    mini_run(&m, 3000);
    assert_in_range(mini_when_us(&m, 0, BK_CHECKER_SILENT, broken), 1, 1600000);
    mini_fini(&m);
    silent_us = 0;
}

static void without_doubt_nothing_is_asked(void **state) {
    (void)state;
    connected(0, true);
    m.side[0].dead[1] = true;
    mini_run(&m, 10000);
    assert_int_equal(mini_selected(&m, 0).remote.addr.ip.family, BK_IPV6);
    assert_int_equal(mini_count(&m, 0, BK_CHECKER_SILENT), 0);
    mini_fini(&m);
}

static void loss_alone_moves_nothing(void **state) {
    (void)state;
    connected(1000000, true);
    m.loss_permille = 100;
    mini_run(&m, 60000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(mini_selected(&m, i).remote.addr.ip.family, BK_IPV6);
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_break_moves_both_sides_to_the_warm_pair_within_two_seconds),
        cmocka_unit_test(of_four_pairs_the_one_that_answers_takes_over),
        cmocka_unit_test(with_no_spare_the_pair_stays_and_is_said_to_be_silent_and_back),
        cmocka_unit_test(silence_beyond_consent_is_death),
        cmocka_unit_test(data_puts_the_doubt_off),
        cmocka_unit_test(data_on_a_spare_alone_brings_the_doubt_on),
        cmocka_unit_test(data_on_a_spare_moves_nothing_while_the_selected_pair_answers),
        cmocka_unit_test(spares_are_asked_only_when_the_first_question_was_lost),
        cmocka_unit_test(an_idle_pair_is_asked_as_late_as_can_be),
        cmocka_unit_test(a_pair_with_data_is_asked_early),
        cmocka_unit_test(without_doubt_nothing_is_asked),
        cmocka_unit_test(loss_alone_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
