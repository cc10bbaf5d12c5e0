/* SPDX-License-Identifier: MIT
 * Relay ports that cannot be opened. */
#include "ask.h"

enum { TRIES = 32 };

/* Hands in what ask_send() would, and leaves the actions and the answer where they are. */
static void begin_allocate(struct asker *a, bool pair) {
    const uint8_t even = 0x80;
    ask_learn(a);
    ask_allocate_start(a);
    if (pair)
        stun_put_bytes(&a->b, TURN_EVEN_PORT, &even, 1);
    stun_login_put(&a->login, &a->b);
    assert_int_equal(stun_finish(&a->b, &a->len), BK_OK);
    const struct bk_datagram in = {
        .local = a->server, .remote = a->client, .data = a->out, .len = a->len};
    assert_int_equal(turn_service_recv(a->service, &in, a->now), BK_OK);
}

/* Refuses the next port that is to be opened; gives it. */
static struct bk_addr refuse(struct asker *a, enum bk_err err) {
    struct turn_action action;
    assert_true(turn_service_next_action(a->service, &action));
    assert_int_equal(action.kind, TURN_OPEN);
    turn_service_cannot_open(a->service, &action.addr, err, a->now);
    return action.addr;
}

/* Opens what is left; gives how many. */
static int open_all(struct asker *a, struct bk_addr *last) {
    struct turn_action action;
    int count = 0;
    for (; turn_service_next_action(a->service, &action); count++)
        *last = action.addr;
    return count;
}

static void end_allocate(struct asker *a, uint16_t code, struct bk_addr *relayed) {
    assert_true(turn_service_next_datagram(a->service, &a->d));
    assert_int_equal(stun_parse(&a->msg, a->d.data, a->d.len), BK_OK);
    a->code = 0;
    if (a->msg.cls == STUN_ERROR)
        assert_int_equal(stun_get_error(&a->msg, &a->code, NULL), BK_OK);
    assert_int_equal(a->code, code);
    assert_int_equal(stun_login_check(&a->login, &a->msg), STUN_LOGIN_ACCEPT);
    if (code == 0)
        assert_int_equal(stun_get_addr(&a->msg, TURN_XOR_RELAYED_ADDRESS, relayed), BK_OK);
}

static void start(struct asker *a, uint16_t last, bool shared) {
    ask_init(a);
    a->config.port_max = last;
    a->config.shared = shared;
    ask_start(a);
}

static void another_one_is_opened_at_once(void **state) {
    struct asker a;
    struct bk_addr opened, relayed;
    (void)state;
    start(&a, 50009, false);
    begin_allocate(&a, false);
    const struct bk_addr first = refuse(&a, BK_ERR_EXISTS), second = refuse(&a, BK_ERR_EXISTS);
    assert_int_equal(open_all(&a, &opened), 1);
    end_allocate(&a, 0, &relayed);
    assert_int_not_equal(relayed.port, first.port);
    assert_int_not_equal(relayed.port, second.port);
    assert_true(bk_addr_equal(&relayed, &opened));
    assert_int_equal(ask_info(&a).allocations, 1);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_ALLOCATED], 1);
    ask_fini(&a);
}

static void after_some_tries_there_is_none(void **state) {
    struct asker a;
    struct bk_addr opened;
    (void)state;
    start(&a, 50099, false);
    begin_allocate(&a, false);
    for (int i = 0; i < TRIES; i++)
        (void)refuse(&a, BK_ERR_EXISTS);
    assert_int_equal(open_all(&a, &opened), 0);
    end_allocate(&a, 508, NULL);
    assert_int_equal(ask_info(&a).allocations, 0);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_ALLOCATED], 0);
    assert_int_equal(ask_info(&a).refused[TURN_RULE_PORTS], 1);
    ask_fini(&a);
}

static void it_is_tried_again_after_a_while(void **state) {
    struct asker a;
    struct bk_addr opened, relayed;
    (void)state;
    start(&a, 50001, false);
    begin_allocate(&a, false);
    (void)refuse(&a, BK_ERR_EXISTS);
    (void)refuse(&a, BK_ERR_EXISTS);
    end_allocate(&a, 508, NULL);
    a.now = bk_after(a.now, 59 * BK_US_PER_S);
    begin_allocate(&a, false);
    end_allocate(&a, 508, NULL);
    a.now = bk_after(a.now, 2 * BK_US_PER_S);
    begin_allocate(&a, false);
    assert_int_equal(open_all(&a, &opened), 1);
    end_allocate(&a, 0, &relayed);
    ask_fini(&a);
}

/* However many there are, none is lost. */
static void all_come_back(void **state) {
    struct asker a;
    struct bk_addr opened, relayed;
    (void)state;
    ask_init(&a);
    a.config.port_max = 50099;
    a.config.allocations_max = 100;
    ask_start(&a);
    for (int n = 0; n < 40; n++) {
        begin_allocate(&a, false);
        for (int i = 0; i < TRIES; i++)
            (void)refuse(&a, BK_ERR_EXISTS);
        end_allocate(&a, 508, NULL);
    }
    a.now = bk_after(a.now, 61 * BK_US_PER_S);
    for (unsigned n = 1; n <= 100; n++) {
        a.client = ask_client(n);
        begin_allocate(&a, false);
        assert_int_equal(open_all(&a, &opened), 1);
        end_allocate(&a, 0, &relayed);
    }
    ask_fini(&a);
}

static void a_pair_is_replaced_as_a_whole(void **state) {
    struct asker a;
    struct bk_addr even, odd, opened;
    uint64_t token;
    (void)state;
    start(&a, 50003, false);
    begin_allocate(&a, true);
    const struct bk_addr first = refuse(&a, BK_ERR_EXISTS);
    assert_int_equal(open_all(&a, &opened), 1);
    end_allocate(&a, 0, &even);
    assert_int_equal(even.port % 2, 0);
    assert_int_not_equal(even.port, first.port);
    assert_int_equal(stun_get_u64(&a.msg, TURN_RESERVATION_TOKEN, &token), BK_OK);
    a.client = ask_client(2);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_u64(&a.b, TURN_RESERVATION_TOKEN, token);
    ask_send(&a);
    ask_expect(&a, 0);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_RELAYED_ADDRESS, &odd), BK_OK);
    assert_int_equal(odd.port, even.port + 1);
    a.client = ask_client(3); /* the first one's neighbour is free again */
    begin_allocate(&a, false);
    assert_int_equal(open_all(&a, &opened), 2);
    end_allocate(&a, 0, &odd);
    assert_int_equal(odd.port, first.port + 1);
    ask_fini(&a);
}

static void without_descriptors_an_open_one_is_shared(void **state) {
    struct asker a;
    struct bk_addr first, second, opened;
    (void)state;
    start(&a, 50009, true);
    begin_allocate(&a, false);
    assert_int_equal(open_all(&a, &opened), 1);
    end_allocate(&a, 0, &first);
    a.client = ask_client(2);
    begin_allocate(&a, false);
    (void)refuse(&a, BK_ERR_NO_MEMORY);
    assert_int_equal(open_all(&a, &opened), 0);
    end_allocate(&a, 0, &second);
    assert_int_equal(second.port, first.port);
    ask_fini(&a);
}

static void without_descriptors_there_is_none(void **state) {
    struct asker a;
    struct bk_addr relayed, opened;
    (void)state;
    start(&a, 50000, false);
    begin_allocate(&a, false);
    (void)refuse(&a, BK_ERR_NO_MEMORY);
    assert_int_equal(open_all(&a, &opened), 0);
    end_allocate(&a, 508, NULL);
    assert_int_equal(ask_info(&a).refused[TURN_RULE_DESCRIPTORS], 1);
    begin_allocate(&a, false); /* it is not the port's fault */
    assert_int_equal(open_all(&a, &opened), 1);
    end_allocate(&a, 0, &relayed);
    ask_fini(&a);
}

/* RFC 8656 section 7.2, point 9. */
static void one_of_two_families_is_enough(void **state) {
    struct asker a;
    struct bk_addr relayed, opened;
    struct turn_action action;
    (void)state;
    ask_init(&a);
    a.config.relay[1] = (struct bk_ip){.family = BK_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8, 1}};
    ask_start(&a);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_u32(&a.b, TURN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
    stun_login_put(&a.login, &a.b);
    assert_int_equal(stun_finish(&a.b, &a.len), BK_OK);
    const struct bk_datagram in = {
        .local = a.server, .remote = a.client, .data = a.out, .len = a.len};
    assert_int_equal(turn_service_recv(a.service, &in, a.now), BK_OK);
    opened.ip.family = BK_FAMILY_NONE;
    while (turn_service_next_action(a.service, &action)) {
        if (action.addr.ip.family == BK_IPV6)
            turn_service_cannot_open(a.service, &action.addr, BK_ERR_NO_MEMORY, a.now);
        else
            opened = action.addr;
    }
    end_allocate(&a, 0, &relayed);
    assert_true(bk_addr_equal(&relayed, &opened));
    assert_true(stun_has(&a.msg, TURN_ADDRESS_ERROR_CODE));
    ask_fini(&a);
}

static void the_servers_own_ports_are_left_out(void **state) {
    struct asker a;
    (void)state;
    ask_init(&a);
    a.config.port_max = 50003;
    a.config.own_ports[0] = 50002;
    a.config.own_ports[1] = 3478; /* not in the range */
    ask_start(&a);
    for (unsigned n = 1; n <= 3; n++)
        assert_int_not_equal(ask_allocate(&a, n).port, 50002);
    a.client = ask_client(4);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 508);
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_one_is_opened_at_once),
        cmocka_unit_test(after_some_tries_there_is_none),
        cmocka_unit_test(it_is_tried_again_after_a_while),
        cmocka_unit_test(all_come_back),
        cmocka_unit_test(a_pair_is_replaced_as_a_whole),
        cmocka_unit_test(without_descriptors_an_open_one_is_shared),
        cmocka_unit_test(without_descriptors_there_is_none),
        cmocka_unit_test(one_of_two_families_is_enough),
        cmocka_unit_test(the_servers_own_ports_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
