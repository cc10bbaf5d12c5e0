/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include <peer/refusals.h>

static const uint8_t from[PEER_KEY_LEN] = {7};

static struct signal offer_of(uint8_t who) {
    struct signal s = {.type = SIGNAL_DESCRIBE, .session = {who}};
    s.description.offer.key.bytes[0] = who;
    return s;
}

static void add(struct refusals *r, uint8_t who) {
    struct signal offer = offer_of(who);
    refusals_add(r, &offer, from, SIGNAL_REFUSED_PEER);
}

static void each_is_sent_once_and_told_once(void **state) {
    (void)state;
    struct refusals r = {.count = 0};
    struct signal out;
    struct peer_key peer;
    enum signal_refusal why;
    const uint8_t *to;
    for (uint8_t who = 1; who <= 2; who++)
        add(&r, who);
    for (uint8_t who = 1; who <= 2; who++) {
        assert_true(refusals_next(&r, &out, &to));
        assert_int_equal(out.type, SIGNAL_REFUSE);
        assert_int_equal(out.refusal, SIGNAL_REFUSED_PEER);
        assert_int_equal(out.session[0], who);
        assert_memory_equal(to, from, PEER_KEY_LEN);
        assert_true(refusals_next_told(&r, &peer, &why));
        assert_int_equal(peer.bytes[0], who);
        assert_int_equal(why, SIGNAL_REFUSED_PEER);
    }
    assert_false(refusals_next(&r, &out, &to));
    assert_false(refusals_next_told(&r, &peer, &why));
}

static void only_what_was_sent_and_told_makes_room(void **state) {
    (void)state;
    struct refusals r = {.count = 0};
    struct signal out;
    struct peer_key peer;
    enum signal_refusal why;
    const uint8_t *to;
    for (uint8_t who = 0; who < REFUSALS_MAX; who++)
        add(&r, who);
    assert_true(refusals_next(&r, &out, &to)); /* sent, not told */
    add(&r, 100);
    for (uint8_t who = 0; who < REFUSALS_MAX; who++)
        assert_true(refusals_next_told(&r, &peer, &why));
    assert_false(refusals_next_told(&r, &peer, &why)); /* the list was full: 100 was dropped */
    add(&r, 101);
    assert_true(refusals_next_told(&r, &peer, &why));
    assert_int_equal(peer.bytes[0], 101);
    for (uint8_t who = 1; who < REFUSALS_MAX; who++) { /* the others still wait to be sent */
        assert_true(refusals_next(&r, &out, &to));
        assert_int_equal(out.session[0], who);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_sent_once_and_told_once),
        cmocka_unit_test(only_what_was_sent_and_told_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
