/* SPDX-License-Identifier: MIT
 * Checks of no pair, and first checks that die on the way. */
#include "mini.h"

static struct mini m;
static struct bk_rng rng[2];

/* A probe from a port that nobody signalled arrives: the peer learns the address, answers, and its
 * triggered check makes the path, RFC 8445 section 7.3.1.3. */
static void a_loose_check_that_arrives_makes_a_path(void **state) {
    (void)state;
    mini_two_public(&m, 1, rng, mini_config(), true, false);
    mini_signal_credentials(&m, 0);
    mini_signal_credentials(&m, 1);
    struct bk_addr fresh = m.side[0].base[mini_base(&m, 0, "198.51.100.7:5555")];
    struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = fresh, .base = fresh};
    struct bk_datagram out;
    assert_int_equal(bk_checker_loose_check(m.side[0].ice, &fresh, &m.side[1].base[0], &out),
                     BK_OK);
    assert_true(bk_addr_equal(&out.local, &fresh));
    mini_send(&m, 0, &out);
    mini_run(&m, 50);
    assert_int_equal(mini_count(&m, 1, BK_CHECKER_REMOTE_PRFLX), 1);
    assert_int_equal(bk_checker_add_local_candidate(m.side[0].ice, &c, m.now, NULL), BK_OK);
    mini_run(&m, 1000);
    assert_int_equal(mini_selected(&m, 0).local.base.port, 5555);
    mini_fini(&m);
}

static void nobody_is_probed_before_his_password_is_known(void **state) {
    (void)state;
    struct bk_datagram out;
    mini_two_public(&m, 1, rng, mini_config(), true, false);
    assert_int_equal(
        bk_checker_loose_check(m.side[0].ice, &m.side[0].base[0], &m.side[1].base[0], &out),
        BK_ERR_STATE);
    mini_fini(&m);
}

/* Takes what side 0 sends until `until_ms`, and says when and with which TTL the first and the
 * second check left. */
struct seen {
    uint8_t ttl[2];
    int64_t at_us[2];
    size_t count;
};

static struct seen watch(int64_t ms) {
    struct seen seen = {.count = 0};
    struct bk_time start = m.now;
    struct bk_datagram out;
    for (int64_t i = 0; i < ms && seen.count < 2; i++) {
        bk_checker_advance(m.side[0].ice, m.now);
        while (bk_checker_next_datagram(m.side[0].ice, &out) && seen.count < 2) {
            seen.ttl[seen.count] = out.ttl;
            seen.at_us[seen.count++] = bk_elapsed_us(start, m.now);
        }
        m.now = bk_after(m.now, 1000);
    }
    return seen;
}

static void the_first_check_dies_and_the_second_is_held(void **state) {
    (void)state;
    mini_two_public(&m, 1, rng, mini_config(), true, false);
    bk_checker_set_opener(m.side[0].ice, 3, 250000);
    mini_signal(&m);
    struct seen seen = watch(1000);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.ttl[0], 3);
    assert_int_equal(seen.ttl[1], 0);
    assert_in_range(seen.at_us[1] - seen.at_us[0], 249000, 252000);
    mini_fini(&m);
}

/* The peer's check has come: its door is open, nothing needs to wait. */
static void what_was_heard_ends_the_hold(void **state) {
    (void)state;
    mini_two_public(&m, 1, rng, mini_config(), true, false);
    bk_checker_set_opener(m.side[0].ice, 3, 10000000);
    mini_signal(&m);
    assert_int_equal(watch(1).count, 1);
    mini_run(&m, 300);
    mini_assert_connected(&m);
    mini_fini(&m);
}

static void private_addresses_need_no_opener(void **state) {
    (void)state;
    mini_init(&m, 1);
    rng[0] = rng[1] = rng_from_seeded(&m.agent_seed);
    mini_agent(&m, 0, &rng[0], mini_config(), true);
    mini_agent(&m, 1, &rng[1], mini_config(), false);
    mini_socket(&m, 0, "10.0.0.2:5000");
    mini_socket(&m, 1, "10.0.0.3:5000");
    bk_checker_set_opener(m.side[0].ice, 3, 250000);
    mini_signal(&m);
    assert_int_equal(watch(1).ttl[0], 0);
    mini_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loose_check_that_arrives_makes_a_path),
        cmocka_unit_test(nobody_is_probed_before_his_password_is_known),
        cmocka_unit_test(the_first_check_dies_and_the_second_is_held),
        cmocka_unit_test(what_was_heard_ends_the_hold),
        cmocka_unit_test(private_addresses_need_no_opener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
