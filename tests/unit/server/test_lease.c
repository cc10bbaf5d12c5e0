/* SPDX-License-Identifier: MIT
 * How long connections and sessions live, told by the answers that pass by. */
#include "../test.h"
#include "server/lease.h"
#include "wire/stun.h"

static size_t answer(uint8_t *out, enum stun_class class, uint16_t method, int64_t lifetime_s) {
    static const uint8_t txid[STUN_TXID_LEN] = {1};
    size_t len = 0;
    struct stun_builder b = stun_start(out, 200, class, method, txid);
    if (lifetime_s >= 0)
        stun_put_u32(&b, TURN_LIFETIME, (uint32_t)lifetime_s);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    return len;
}

static void idle_ones_end_after_half_a_minute(void **state) {
    struct lease l = {test_at_ms(5000), test_at_ms(5000)};
    (void)state;
    assert_int_equal(lease_end(&l).us, test_at_ms(35000).us);
    assert_false(lease_has_allocation(&l, test_at_ms(5000)));
}

static void an_allocation_keeps_them(void **state) {
    struct lease l = {test_at_ms(0), test_at_ms(0)};
    uint8_t buf[200];
    size_t len = answer(buf, STUN_SUCCESS, TURN_ALLOCATE, 600);
    (void)state;
    assert_true(lease_is_answer(buf, len));
    assert_true(lease_learn(&l, buf, len, test_at_ms(1000)));
    assert_true(lease_has_allocation(&l, test_at_ms(600999)));
    assert_false(lease_has_allocation(&l, test_at_ms(601000)));
    assert_int_equal(lease_end(&l).us, test_at_ms(606000).us);
    len = answer(buf, STUN_SUCCESS, TURN_REFRESH, 0);
    assert_false(lease_learn(&l, buf, len, test_at_ms(2000)));
    assert_false(lease_has_allocation(&l, test_at_ms(2000)));
    assert_int_equal(lease_end(&l).us, test_at_ms(30000).us);
}

static void other_messages_say_nothing(void **state) {
    struct lease l = {test_at_ms(0), test_at_ms(0)};
    uint8_t buf[200], channel[24] = {0x40, 1, 0, 20};
    size_t len = answer(buf, STUN_ERROR, TURN_ALLOCATE, 600);
    (void)state;
    assert_true(lease_is_answer(buf, len));
    assert_false(lease_learn(&l, buf, len, test_at_ms(0)));
    len = answer(buf, STUN_SUCCESS, TURN_ALLOCATE, -1);
    assert_false(lease_learn(&l, buf, len, test_at_ms(0)));
    len = answer(buf, STUN_INDICATION, TURN_DATA, -1);
    assert_false(lease_is_answer(buf, len));
    assert_false(lease_is_answer(channel, sizeof channel));
    assert_false(lease_is_answer(buf, 4));
    assert_false(lease_has_allocation(&l, test_at_ms(0)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_ones_end_after_half_a_minute),
        cmocka_unit_test(an_allocation_keeps_them),
        cmocka_unit_test(other_messages_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
