/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "peer/sockets.h"

static struct sockets t;

static int setup(void **state) {
    (void)state;
    memset(&t, 0, sizeof t);
    return 0;
}

static uint16_t open_next(uint16_t port) {
    struct sockets_action a;
    uint16_t place, index;
    assert_true(sockets_next(&t, &a));
    assert_true(a.open);
    assert_true(sockets_opened(&t, a.id, port, &place, &index));
    return a.id;
}

static void one_is_opened_found_and_closed(void **state) {
    (void)state;
    struct sockets_action a;
    uint16_t place, index;
    assert_int_equal(sockets_want(&t, 7, 3, 0), BK_OK);
    uint16_t id = open_next(4000);
    assert_false(sockets_next(&t, &a));
    assert_true(sockets_find(&t, 4000, &place, &index));
    assert_int_equal(place, 7);
    assert_int_equal(index, 3);
    assert_false(sockets_find(&t, 4001, &place, &index));
    sockets_drop(&t, 7, 4000);
    assert_true(sockets_next(&t, &a));
    assert_false(a.open);
    assert_int_equal(a.id, id);
    assert_false(sockets_find(&t, 4000, &place, &index));
    assert_false(sockets_next(&t, &a));
}

/* A session that ends leaves nothing behind, in whatever state. */
static void a_session_takes_its_sockets_along(void **state) {
    (void)state;
    struct sockets_action a;
    uint16_t place, index;
    for (uint16_t i = 0; i < 3; i++)
        assert_int_equal(sockets_want(&t, 1, i, 0), BK_OK);
    assert_int_equal(sockets_want(&t, 2, 0, 0), BK_OK);
    (void)open_next(4000);
    assert_true(sockets_next(&t, &a)); /* being opened when the session ends */
    sockets_drop_all(&t, 1);
    assert_false(sockets_opened(&t, a.id, 4001, &place, &index));
    int closed = 0, opened = 0;
    while (sockets_next(&t, &a)) {
        closed += !a.open;
        opened += a.open;
    }
    assert_int_equal(closed, 2);
    assert_int_equal(opened, 1); /* the other session's */
}

static void one_that_could_not_be_opened_is_free_again(void **state) {
    (void)state;
    struct sockets_action a;
    uint16_t place, index;
    assert_int_equal(sockets_want(&t, 1, 5, 0), BK_OK);
    assert_true(sockets_next(&t, &a));
    assert_true(sockets_opened(&t, a.id, 0, &place, &index));
    assert_int_equal(index, 5);
    assert_false(sockets_opened(&t, a.id, 4000, &place, &index)); /* an answer nobody waits for */
    assert_false(sockets_next(&t, &a));
    assert_int_equal(t.top, 0);
}

static void there_is_a_limit(void **state) {
    (void)state;
    for (uint16_t i = 0; i < SOCKETS_MAX; i++)
        assert_int_equal(sockets_want(&t, 1, i, 0), BK_OK);
    assert_int_equal(sockets_want(&t, 1, 0, 0), BK_ERR_FULL);
    sockets_drop_all(&t, 1);
    assert_int_equal(sockets_want(&t, 1, 0, 0), BK_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_is_opened_found_and_closed, setup),
        cmocka_unit_test_setup(a_session_takes_its_sockets_along, setup),
        cmocka_unit_test_setup(one_that_could_not_be_opened_is_free_again, setup),
        cmocka_unit_test_setup(there_is_a_limit, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
