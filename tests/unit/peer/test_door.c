/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "peer/door.h"

static struct signal_offer offer_of(uint8_t key, int secret, enum signal_purpose purpose) {
    struct signal_offer o = {.purpose = purpose, .has_secret = secret >= 0};
    memset(o.key.bytes, key, sizeof o.key.bytes);
    memset(o.secret, secret, sizeof o.secret);
    return o;
}

static enum signal_refusal knock(struct door *d, uint8_t key, int secret,
                                 enum signal_purpose purpose) {
    struct signal_offer o = offer_of(key, secret, purpose);
    enum signal_refusal refusal = 0;
    enum bk_err err = door_admit(d, &o, &refusal);
    assert_true((err == BK_OK) == (refusal == 0));
    return refusal;
}

static struct door *door_with_secret(void) {
    static struct door d;
    uint8_t secret[TICKET_SECRET_LEN];
    memset(secret, 7, sizeof secret);
    door_init(&d);
    assert_int_equal(door_add_secret(&d, secret), BK_OK);
    return &d;
}

static void test_a_secret_admits_one_peer(void **state) {
    (void)state;
    struct door *d = door_with_secret();
    assert_int_equal(knock(d, 1, 7, SIGNAL_PURPOSE_SESSION), 0);
    assert_int_equal(knock(d, 1, 7, SIGNAL_PURPOSE_SESSION), 0); /* again, after a break */
    assert_int_equal(knock(d, 2, 7, SIGNAL_PURPOSE_SESSION), SIGNAL_REFUSED_TICKET);
    door_fini(d);
}

static void test_wrong_and_used_look_the_same(void **state) {
    (void)state;
    struct door *d = door_with_secret();
    assert_int_equal(knock(d, 1, 7, SIGNAL_PURPOSE_SESSION), 0);
    assert_int_equal(knock(d, 2, 7, SIGNAL_PURPOSE_SESSION),
                     knock(d, 2, 8, SIGNAL_PURPOSE_SESSION));
    door_fini(d);
}

static void test_a_ping_does_not_use_it_up(void **state) {
    (void)state;
    struct door *d = door_with_secret();
    assert_int_equal(knock(d, 1, 7, SIGNAL_PURPOSE_PING), 0);
    assert_int_equal(knock(d, 2, 7, SIGNAL_PURPOSE_SESSION), 0);
    door_fini(d);
}

static void test_listed_peers_need_no_secret(void **state) {
    (void)state;
    struct door *d = door_with_secret();
    struct signal_offer friend = offer_of(9, -1, SIGNAL_PURPOSE_SESSION);
    assert_int_equal(door_add_peer(d, &friend.key), BK_OK);
    assert_int_equal(knock(d, 9, -1, SIGNAL_PURPOSE_SESSION), 0);
    assert_int_equal(knock(d, 9, 8, SIGNAL_PURPOSE_SESSION), 0); /* an old ticket does no harm */
    assert_int_equal(knock(d, 3, -1, SIGNAL_PURPOSE_SESSION), SIGNAL_REFUSED_PEER);
    assert_int_equal(knock(d, 4, 7, SIGNAL_PURPOSE_SESSION), 0); /* the secret is still there */
    door_fini(d);
}

static void test_limits(void **state) {
    (void)state;
    struct door *d = door_with_secret();
    uint8_t secret[TICKET_SECRET_LEN] = {0};
    for (size_t i = 1; i < DOOR_SECRETS_MAX; i++)
        assert_int_equal(door_add_secret(d, secret), BK_OK);
    assert_int_equal(door_add_secret(d, secret), BK_ERR_FULL);
    door_fini(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_secret_admits_one_peer),
        cmocka_unit_test(test_wrong_and_used_look_the_same),
        cmocka_unit_test(test_a_ping_does_not_use_it_up),
        cmocka_unit_test(test_listed_peers_need_no_secret),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
