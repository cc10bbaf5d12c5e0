/* SPDX-License-Identifier: MIT
 * The schedules of RFC 8489 sections 6.2.1 and 6.2.2, to the millisecond. */
#include "../test.h"

#include "stun/txn.h"

#define TXID ((const uint8_t *)"abcdefghijkl")

static struct stun_msg response(enum stun_class cls, const uint8_t *txid) {
    struct stun_msg m = {.cls = cls, .method = STUN_BINDING, .txid = txid};
    return m;
}

/* Runs to the end; writes when it sent, returns when it gave up. */
static int64_t run(struct stun_txn *t, int64_t *sent_ms, size_t *count) {
    struct bk_time now = test_at_ms(1000);
    *count = 0;
    for (;;) {
        if (stun_txn_take_send(t))
            sent_ms[(*count)++] = now.us / 1000 - 1000;
        assert_false(stun_txn_take_send(t)); /* once per send */
        if (t->state != STUN_TXN_WAITING)
            return now.us / 1000 - 1000;
        now = stun_txn_deadline(t);
        assert_false(bk_is_never(now));
        struct bk_time early = {now.us - 1};
        stun_txn_advance(t, early);
        assert_false(t->want_send);
        stun_txn_advance(t, now);
    }
}

static void test_udp_schedule_of_the_rfc(void **state) {
    (void)state;
    static const int64_t want[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    struct stun_txn t = {0};
    int64_t sent[16];
    size_t count;
    stun_txn_start(&t, &stun_txn_config_default, TXID, test_at_ms(1000));
    assert_int_equal(run(&t, sent, &count), 39500);
    assert_int_equal(t.state, STUN_TXN_TIMED_OUT);
    assert_int_equal(count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(sent[i], want[i]);
    assert_true(bk_is_never(stun_txn_deadline(&t)));
}

static void test_tcp_sends_once_and_waits_ti(void **state) {
    (void)state;
    struct stun_txn_config config = stun_txn_config_default;
    struct stun_txn t = {0};
    int64_t sent[16];
    size_t count;
    config.reliable = true;
    stun_txn_start(&t, &config, TXID, test_at_ms(1000));
    assert_int_equal(run(&t, sent, &count), 39500);
    assert_int_equal(count, 1);
}

static void test_other_settings(void **state) {
    (void)state;
    static const struct {
        int64_t rto_ms;
        uint8_t rc, rm;
        size_t sends;
        int64_t end_ms;
    } cases[] = {
        {100, 1, 1, 1, 100},
        {100, 2, 1, 2, 200},
        {50, 5, 4, 5, 950},
        {60000, 16, 255, 16, 0},
    };
    for (size_t i = 0; i < 4; i++) {
        struct stun_txn_config config = stun_txn_config_default;
        struct stun_txn t = {0};
        int64_t sent[16];
        size_t count;
        config.rto_us = cases[i].rto_ms * 1000;
        config.rc = cases[i].rc;
        config.rm = cases[i].rm;
        assert_null(stun_txn_config_check(&config));
        stun_txn_start(&t, &config, TXID, test_at_ms(1000));
        int64_t end = run(&t, sent, &count);
        assert_int_equal(count, cases[i].sends);
        if (cases[i].end_ms != 0)
            assert_int_equal(end, cases[i].end_ms);
    }
}

static void test_config_check_names_the_field(void **state) {
    (void)state;
    struct stun_txn_config c = stun_txn_config_default;
    assert_null(stun_txn_config_check(&c));
    c.rto_us = 999;
    assert_string_equal(stun_txn_config_check(&c), "rto_us");
    c = stun_txn_config_default;
    c.rc = 17;
    assert_string_equal(stun_txn_config_check(&c), "rc");
    c = stun_txn_config_default;
    c.rm = 0;
    assert_string_equal(stun_txn_config_check(&c), "rm");
    c = stun_txn_config_default;
    c.ti_us = 0;
    assert_string_equal(stun_txn_config_check(&c), "ti_us");
}

static void test_only_its_own_response_matches(void **state) {
    (void)state;
    struct stun_txn t = {0};
    struct stun_msg m = response(STUN_SUCCESS, TXID);
    assert_false(stun_txn_matches(&t, &m)); /* idle */
    stun_txn_start(&t, &stun_txn_config_default, TXID, test_at_ms(0));
    assert_true(stun_txn_matches(&t, &m));
    m = response(STUN_ERROR, TXID);
    assert_true(stun_txn_matches(&t, &m));
    m = response(STUN_REQUEST, TXID);
    assert_false(stun_txn_matches(&t, &m));
    m = response(STUN_INDICATION, TXID);
    assert_false(stun_txn_matches(&t, &m));
    m = response(STUN_SUCCESS, (const uint8_t *)"abcdefghijkL");
    assert_false(stun_txn_matches(&t, &m));
    stun_txn_stop(&t);
    m = response(STUN_SUCCESS, TXID);
    assert_false(stun_txn_matches(&t, &m));
}

/* Karn's rule: after a retransmission nobody knows which copy was answered. */
static void test_rtt(void **state) {
    (void)state;
    struct stun_txn t = {0};
    stun_txn_start(&t, &stun_txn_config_default, TXID, test_at_ms(10));
    struct stun_rtt rtt = stun_txn_answer(&t, test_at_ms(50));
    assert_true(rtt.exact);
    assert_int_equal(rtt.us, 40000);
    assert_true(bk_is_never(stun_txn_deadline(&t)));
    assert_false(stun_txn_take_send(&t));
    stun_txn_start(&t, &stun_txn_config_default, TXID, test_at_ms(100));
    stun_txn_advance(&t, test_at_ms(600));
    rtt = stun_txn_answer(&t, test_at_ms(620));
    assert_false(rtt.exact);
    assert_int_equal(rtt.us, 520000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_udp_schedule_of_the_rfc),
        cmocka_unit_test(test_tcp_sends_once_and_waits_ti),
        cmocka_unit_test(test_other_settings),
        cmocka_unit_test(test_config_check_names_the_field),
        cmocka_unit_test(test_only_its_own_response_matches),
        cmocka_unit_test(test_rtt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
