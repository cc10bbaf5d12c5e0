/* SPDX-License-Identifier: MIT
 * Allocations handed to a new process. */
#include "ask.h"

static const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};
static const struct bk_addr other = {{.family = BK_IPV4, .bytes = {8, 8, 8, 8}}, 80};

struct bytes {
    uint8_t data[8192];
    size_t len;
    struct turn_exported what;
};

/* One allocation with a channel of 100 s ago, and a permission of 50 s ago. */
static struct bk_addr export_one(struct asker *a, struct bytes *out) {
    uint32_t cursor = 0;
    struct bytes more;
    ask_init(a);
    ask_start(a);
    struct bk_addr relay = ask_allocate(a, 1);
    ask_bind(a, 0x4000, &peer);
    ask_wait(a, 50);
    ask_permission(a, &other);
    ask_wait(a, 50);
    assert_true(turn_service_export_max(a->service) <= sizeof out->data);
    assert_true(turn_service_export(a->service, &cursor, out->data, sizeof out->data, &out->what));
    out->len = out->what.len;
    assert_true(bk_addr_equal(&out->what.client.remote, &a->client));
    assert_true(bk_addr_equal(&out->what.relay[0], &relay));
    assert_int_equal(out->what.relay[1].ip.family, BK_FAMILY_NONE);
    assert_false(turn_service_export(a->service, &cursor, more.data, sizeof more.data, &more.what));
    return relay;
}

/* The same program, started anew: another clock, the same secret. */
static void restart(struct asker *a) {
    turn_service_free(a->service);
    a->now = test_at_ms(77);
    ask_start(a);
}

static void it_goes_on_in_another_process(void **state) {
    struct asker a;
    struct bytes b;
    struct turn_imported got;
    static int socket, door;
    (void)state;
    struct bk_addr relay = export_one(&a, &b);
    restart(&a);
    turn_service_from(a.service, &door);
    assert_int_equal(turn_service_import(a.service, b.data, b.len, a.now, &got), BK_OK);
    assert_true(bk_addr_equal(&got.relay[0], &relay));
    assert_int_equal(got.relay[1].ip.family, BK_FAMILY_NONE);
    assert_true(bk_addr_equal(&got.client.remote, &a.client));
    turn_service_opened(a.service, &relay, &socket);
    ask_no_action(&a);
    ask_channel(&a, 0x4000, "still there");
    assert_true(a.answered);
    assert_true(bk_addr_equal(&a.d.remote, &peer));
    assert_true(bk_addr_equal(&a.d.local, &relay));
    ask_bytes(&a, &other, &relay, "x", 1);
    assert_true(a.answered);
    assert_int_equal(turn_service_import(a.service, b.data, b.len, a.now, &got), BK_ERR_FULL);
    ask_no_action(&a);
    /* times go on where they were: permissions 200 and 250 s, the allocation 500 s */
    ask_wait(&a, 200);
    assert_int_equal(ask_info(&a).permissions, 1);
    ask_wait(&a, 50);
    assert_int_equal(ask_info(&a).permissions, 0);
    ask_learn(&a);
    ask_bind(&a, 0x4000, &peer); /* the user is the same */
    ask_expect(&a, 0);
    ask_wait(&a, 249);
    assert_int_equal(ask_info(&a).allocations, 1);
    ask_wait(&a, 1);
    assert_int_equal(ask_info(&a).allocations, 0);
    (void)ask_action(&a, TURN_CLOSE);
    ask_no_action(&a);
    ask_fini(&a);
}

static void what_was_damaged_is_refused(void **state) {
    struct asker a;
    struct bytes b;
    struct turn_imported got;
    struct turn_action action;
    (void)state;
    (void)export_one(&a, &b);
    restart(&a);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *copy = malloc(len == 0 ? 1 : len);
        assert_non_null(copy);
        memcpy(copy, b.data, len);
        assert_int_not_equal(turn_service_import(a.service, copy, len, a.now, &got), BK_OK);
        free(copy);
        while (turn_service_next_action(a.service, &action))
            assert_int_equal(action.kind, TURN_CLOSE);
        assert_int_equal(ask_info(&a).allocations, 0);
        assert_int_equal(ask_info(&a).permissions, 0);
    }
    b.data[1] ^= 2; /* another version */
    assert_int_equal(turn_service_import(a.service, b.data, b.len, a.now, &got), BK_ERR_MALFORMED);
    b.data[1] ^= 2;
    ask_fini(&a);
    ask_init(&a); /* a filter that got stricter */
    static const struct turn_range deny = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 32};
    a.config.filter.deny = &deny;
    a.config.filter.deny_count = 1;
    ask_start(&a);
    assert_int_equal(turn_service_import(a.service, b.data, b.len, a.now, &got), BK_OK);
    assert_int_equal(ask_info(&a).channels, 0);
    assert_int_equal(ask_info(&a).permissions, 1);
    ask_fini(&a);
    ask_init(&a); /* other ports */
    a.config.port_min = 60000;
    a.config.port_max = 60009;
    ask_start(&a);
    assert_int_equal(turn_service_import(a.service, b.data, b.len, a.now, &got), BK_ERR_FULL);
    ask_fini(&a);
}

/* Here it is over, but its relay port is somebody's still. */
static void it_ends_where_it_was(void **state) {
    struct asker a;
    struct bytes b;
    (void)state;
    struct bk_addr relay = export_one(&a, &b);
    (void)ask_action(&a, TURN_OPEN);
    turn_service_exported(a.service, &b.what, a.now);
    assert_int_equal(ask_action(&a, TURN_CLOSE).addr.port, relay.port);
    ask_no_action(&a);
    assert_int_equal(ask_info(&a).allocations, 0);
    (void)ask_allocate(&a, 2);
    ask_permission(&a, &relay);
    ask_expect(&a, 0);
    ask_indicate(&a, &relay, "x");
    assert_true(a.answered && bk_addr_equal(&a.d.remote, &relay));
    turn_service_elsewhere(a.service, &relay, false);
    ask_indicate(&a, &relay, "x");
    assert_false(a.answered);
    turn_service_exported(a.service, &b.what, a.now); /* its place is another's meanwhile */
    assert_int_equal(ask_info(&a).allocations, 1);
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on_in_another_process),
        cmocka_unit_test(it_ends_where_it_was),
        cmocka_unit_test(what_was_damaged_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
