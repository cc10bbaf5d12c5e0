/* SPDX-License-Identifier: MIT
 * Relay ports that several allocations share. */
#include "ask.h"

static const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};
static const struct bk_addr other = {{.family = BK_IPV4, .bytes = {8, 8, 8, 8}}, 80};

enum { PORTS = 2, CLIENTS = 6 };

static unsigned set_up(struct asker *a, struct bk_addr relay[CLIENTS + 1]) {
    struct turn_action action;
    unsigned opened = 0;
    static int socket;
    ask_init(a);
    a->config.shared = true;
    a->config.allocations_max = CLIENTS;
    a->config.port_max = a->config.port_min + PORTS - 1;
    ask_start(a);
    for (unsigned n = 1; n <= CLIENTS; n++) {
        relay[n] = ask_allocate(a, n);
        while (turn_service_next_action(a->service, &action)) {
            assert_int_equal(action.kind, TURN_OPEN);
            turn_service_opened(a->service, &action.addr, &socket);
            opened++;
        }
    }
    return opened;
}

static void be(struct asker *a, unsigned n) {
    a->client = ask_client(n);
    ask_learn(a);
}

/* Two clients at one port. */
static void find_pair(const struct bk_addr relay[CLIENTS + 1], unsigned *x, unsigned *y) {
    for (*x = 1; *x <= CLIENTS; (*x)++)
        for (*y = *x + 1; *y <= CLIENTS; (*y)++)
            if (relay[*x].port == relay[*y].port)
                return;
    fail();
}

static void more_clients_than_ports(void **state) {
    struct asker a;
    struct bk_addr relay[CLIENTS + 1];
    unsigned x, y;
    struct turn_refusal r;
    (void)state;
    assert_int_equal(set_up(&a, relay), PORTS); /* a socket for each port, no more */
    find_pair(relay, &x, &y);
    be(&a, x);
    ask_bind(&a, 0x4000, &peer);
    ask_expect(&a, 0);
    be(&a, y);
    ask_bind(&a, 0x4000, &peer); /* the same peer at the same port: whose would its data be? */
    ask_expect(&a, 508);
    assert_true(turn_service_next_refusal(a.service, &r));
    assert_int_equal(r.rule, TURN_RULE_SHARED_PORT);
    ask_permission(&a, &peer);
    ask_expect(&a, 508);
    ask_bind(&a, 0x4000, &other);
    ask_expect(&a, 0);
    /* each one's peer reaches it */
    ask_bytes(&a, &peer, &relay[x], "x", 1);
    struct bk_addr client = ask_client(x);
    assert_true(a.answered && bk_addr_equal(&a.d.remote, &client));
    ask_bytes(&a, &other, &relay[x], "y", 1);
    client = ask_client(y);
    assert_true(a.answered && bk_addr_equal(&a.d.remote, &client));
    struct bk_addr stranger = bk_addr(bk_ipv4(7, 7, 7, 7), 80);
    ask_bytes(&a, &stranger, &relay[x], "z", 1);
    assert_false(a.answered);
    /* and is reached from the port */
    ask_channel(&a, 0x4000, "out");
    assert_true(a.answered && bk_addr_equal(&a.d.local, &relay[y]));
    struct turn_route route;
    const struct bk_datagram in = {.local = relay[x], .remote = other, .data = a.in, .len = 1};
    assert_int_equal(turn_service_route(a.service, &in, a.now, &route), BK_OK);
    assert_true(bk_addr_equal(&route.remote, &client));
    ask_fini(&a);
}

/* The port goes on until its last client is gone; the peer is free when its client is. */
static void the_last_one_closes_it(void **state) {
    struct asker a;
    struct bk_addr relay[CLIENTS + 1];
    unsigned x, y, closed = 0;
    struct turn_action action;
    (void)state;
    (void)set_up(&a, relay);
    find_pair(relay, &x, &y);
    be(&a, x);
    ask_bind(&a, 0x4000, &peer);
    ask_expect(&a, 0);
    ask_refresh(&a, 0);
    ask_no_action(&a);
    be(&a, y);
    ask_bind(&a, 0x4000, &peer);
    ask_expect(&a, 0);
    ask_bytes(&a, &peer, &relay[y], "y", 1);
    assert_true(a.answered && bk_addr_equal(&a.d.remote, &a.client));
    ask_wait(&a, 700);
    while (turn_service_next_action(a.service, &action))
        closed += action.kind == TURN_CLOSE;
    assert_int_equal(closed, PORTS);
    assert_int_equal(ask_info(&a).allocations, 0);
    (void)ask_allocate(&a, 1);
    ask_fini(&a);
}

/* Even ports are nobody else's. */
static void pairs_are_not_shared(void **state) {
    struct asker a;
    const uint8_t even = 0;
    (void)state;
    ask_init(&a);
    a.config.shared = true;
    a.config.port_max = a.config.port_min + 1;
    ask_start(&a);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_bytes(&a.b, TURN_EVEN_PORT, &even, 1);
    ask_send(&a);
    ask_expect(&a, 0);
    struct bk_addr second = ask_allocate(&a, 2), third = ask_allocate(&a, 3);
    assert_int_equal(second.port % 2, 1);
    assert_true(bk_addr_equal(&second, &third));
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_clients_than_ports),
        cmocka_unit_test(the_last_one_closes_it),
        cmocka_unit_test(pairs_are_not_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
