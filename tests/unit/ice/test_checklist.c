/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "ice/checklist.h"

enum { CAP = 8 };

static struct ice_cand local_slots[4], remote_slots[32];
static struct ice_cands locals, remotes;
static struct ice_pair pairs[CAP];
static struct ice_checklist list;

static int fresh(void **state) {
    (void)state;
    memset(local_slots, 0, sizeof local_slots);
    memset(remote_slots, 0, sizeof remote_slots);
    memset(pairs, 0, sizeof pairs);
    struct ice_cands l = {.slots = local_slots, .cap = 4}, r = {.slots = remote_slots, .cap = 32};
    locals = l;
    remotes = r;
    ice_checklist_init(&list, pairs, CAP);
    struct bk_ice_candidate host = {.kind = BK_ICE_HOST, .addr = bk_addr(bk_ipv4(10, 0, 0, 1), 5)};
    assert_int_equal(ice_cands_add(&locals, &host, 0), 0);
    return 0;
}

/* A remote candidate; `foundation` one letter. Its pair's index, or ICE_NONE when the list says no.
 * Makes room as the agent does. */
static uint16_t add(enum bk_ice_kind kind, char foundation, uint32_t priority) {
    struct bk_ice_candidate c = {.kind = kind,
                                 .addr = bk_addr(bk_ipv4(192, 0, 2, 1), 1000),
                                 .priority = priority,
                                 .foundation = {foundation}};
    c.addr.port = (uint16_t)(1000 + remotes.top);
    uint16_t r = ice_cands_add(&remotes, &c, 0);
    uint64_t rank = ice_pair_priority_of(&local_slots[0], &remote_slots[r], true);
    if (list.count == CAP) {
        uint16_t victim = ice_checklist_victim(&list, &locals, &remotes, 0, r, rank);
        if (victim == ICE_NONE)
            return ICE_NONE;
        ice_checklist_remove(&list, victim);
    }
    uint16_t at = ice_checklist_add(&list, &locals, &remotes, 0, r, true);
    ice_checklist_check(&list);
    return at;
}

static void move(uint16_t at, enum bk_ice_pair_state to) {
    ice_pair_move(&pairs[at], to, NULL, test_at_ms(1));
}

static void the_first_of_a_foundation_waits_the_others_are_frozen(void **state) {
    (void)state;
    uint16_t a1 = add(BK_ICE_HOST, 'a', 100), a2 = add(BK_ICE_HOST, 'a', 90);
    uint16_t b1 = add(BK_ICE_HOST, 'b', 80);
    assert_int_equal(pairs[a1].state, BK_ICE_PAIR_WAITING);
    assert_int_equal(pairs[a2].state, BK_ICE_PAIR_FROZEN);
    assert_int_equal(pairs[b1].state, BK_ICE_PAIR_WAITING);
    assert_int_equal(ice_checklist_ordinary(&list, 0), a1);
    move(a1, BK_ICE_PAIR_IN_PROGRESS);
    assert_int_equal(ice_checklist_ordinary(&list, 0), b1);
    move(b1, BK_ICE_PAIR_IN_PROGRESS);
    assert_int_equal(ice_checklist_ordinary(&list, 0), ICE_NONE);
    assert_int_equal(ice_checklist_thawable(&list, 0), ICE_NONE);
    pairs[a1].overdue = true; /* retransmitted: it holds the others back no longer */
    assert_int_equal(ice_checklist_thawable(&list, 0), a2);
}

static void kinds_take_turns(void **state) {
    (void)state;
    uint16_t h1 = add(BK_ICE_HOST, 'a', 100), h2 = add(BK_ICE_HOST, 'b', 90);
    uint16_t h3 = add(BK_ICE_HOST, 'c', 80), s1 = add(BK_ICE_SRFLX, 'd', 20);
    uint16_t s2 = add(BK_ICE_SRFLX, 'e', 10), r1 = add(BK_ICE_RELAYED, 'f', 1);
    const uint16_t order[] = {h1, s1, r1, h2, s2, h3};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(ice_checklist_ordinary(&list, 0), order[i]);
        move(order[i], BK_ICE_PAIR_IN_PROGRESS);
    }
}

static void success_thaws_its_foundation(void **state) {
    (void)state;
    uint16_t a1 = add(BK_ICE_HOST, 'a', 100), a2 = add(BK_ICE_HOST, 'a', 90);
    move(a1, BK_ICE_PAIR_IN_PROGRESS);
    move(a1, BK_ICE_PAIR_SUCCEEDED);
    ice_checklist_thaw_like(&list, pairs[a1].foundation, NULL, test_at_ms(1));
    assert_int_equal(pairs[a2].state, BK_ICE_PAIR_WAITING);
    uint16_t a3 = add(BK_ICE_HOST, 'a', 80); /* RFC 8838 section 12 */
    assert_int_equal(pairs[a3].state, BK_ICE_PAIR_WAITING);
}

static void triggered_checks_leave_in_order_and_once(void **state) {
    (void)state;
    uint16_t a = add(BK_ICE_HOST, 'a', 100), b = add(BK_ICE_HOST, 'b', 90);
    uint16_t c = add(BK_ICE_HOST, 'c', 80);
    ice_checklist_trigger(&list, c);
    ice_checklist_trigger(&list, b);
    ice_checklist_trigger(&list, c);
    ice_checklist_check(&list);
    assert_int_equal(ice_checklist_ordinary(&list, 0), a); /* the others are not ordinary now */
    assert_int_equal(ice_checklist_triggered(&list), c);
    ice_checklist_untrigger(&list, c);
    assert_int_equal(ice_checklist_triggered(&list), b);
    ice_checklist_remove(&list, b);
    ice_checklist_check(&list);
    assert_int_equal(ice_checklist_triggered(&list), ICE_NONE);
}

/* The bug this guards against: 100 host pairs push out every relayed one, and nothing connects. */
static void the_limit_never_takes_the_last_of_a_kind(void **state) {
    (void)state;
    uint16_t relay = add(BK_ICE_RELAYED, 'r', 1), srflx = add(BK_ICE_SRFLX, 's', 2);
    uint32_t relay_id = pairs[relay].id, srflx_id = pairs[srflx].id;
    for (uint32_t i = 0; i < 20; i++)
        (void)add(BK_ICE_HOST, 'h', 1000 + i);
    assert_int_equal(list.count, CAP);
    assert_int_not_equal(ice_checklist_find_id(&list, relay_id), ICE_NONE);
    assert_int_not_equal(ice_checklist_find_id(&list, srflx_id), ICE_NONE);
    assert_int_equal(add(BK_ICE_HOST, 'h', 1), ICE_NONE); /* worth less than all of its kind */
    assert_int_not_equal(add(BK_ICE_RELAYED, 'r', 3), ICE_NONE); /* few of this kind: welcome */
    assert_int_not_equal(ice_checklist_find_id(&list, relay_id), ICE_NONE);
}

static void valid_pairs_are_never_pushed_out(void **state) {
    (void)state;
    for (uint32_t i = 0; i < CAP; i++) {
        uint16_t at = add(BK_ICE_HOST, (char)('a' + i), 100 + i);
        move(at, BK_ICE_PAIR_IN_PROGRESS);
        move(at, BK_ICE_PAIR_SUCCEEDED);
    }
    assert_int_equal(add(BK_ICE_RELAYED, 'r', 1000), ICE_NONE);
    assert_int_equal(add(BK_ICE_HOST, 'z', 1000), ICE_NONE);
}

static void old_and_current_pairs_with_equal_addresses_are_told_apart(void **state) {
    (void)state;
    uint16_t at = add(BK_ICE_HOST, 'a', 100);
    struct bk_addr base = pairs[at].base, to = pairs[at].to;
    struct ice_path path = {&base, &to, false};
    assert_int_equal(ice_checklist_find(&list, &path, false), at);
    assert_int_equal(ice_checklist_find(&list, &path, true), ICE_NONE);
    assert_int_equal(ice_checklist_find_id(&list, 0), ICE_NONE);
}

static void a_role_switch_reranks(void **state) {
    (void)state;
    uint16_t at = add(BK_ICE_HOST, 'a', 100);
    uint64_t before = pairs[at].priority;
    ice_checklist_rerank(&list, &locals, &remotes, false);
    assert_true(pairs[at].priority != before);
    ice_checklist_rerank(&list, &locals, &remotes, true);
    assert_true(pairs[at].priority == before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_first_of_a_foundation_waits_the_others_are_frozen, fresh),
        cmocka_unit_test_setup(kinds_take_turns, fresh),
        cmocka_unit_test_setup(success_thaws_its_foundation, fresh),
        cmocka_unit_test_setup(triggered_checks_leave_in_order_and_once, fresh),
        cmocka_unit_test_setup(the_limit_never_takes_the_last_of_a_kind, fresh),
        cmocka_unit_test_setup(valid_pairs_are_never_pushed_out, fresh),
        cmocka_unit_test_setup(old_and_current_pairs_with_equal_addresses_are_told_apart, fresh),
        cmocka_unit_test_setup(a_role_switch_reranks, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
