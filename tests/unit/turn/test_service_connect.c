/* SPDX-License-Identifier: MIT
 * TCP allocations, RFC 6062. */
#include "ask.h"

static const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};

static void start(struct asker *a) {
    ask_init(a);
    a->protocol = BK_TCP;
    a->config.tcp = true;
    a->config.worker = 1;
    a->config.workers = 3;
    a->config.port_max = 50023;
    ask_start(a);
}

static void tcp_allocate(struct asker *a, uint16_t code) {
    ask_learn(a);
    ask_new(a, STUN_REQUEST, TURN_ALLOCATE);
    stun_put_u32(&a->b, TURN_REQUESTED_TRANSPORT, 6u << 24);
    ask_send(a);
    ask_expect(a, code);
}

static void set_up(struct asker *a) {
    start(a);
    tcp_allocate(a, 0);
    struct turn_action action = ask_action(a, TURN_OPEN);
    assert_int_equal(action.protocol, BK_TCP);
    ask_no_action(a);
}

static void ask_connect(struct asker *a, const struct bk_addr *to) {
    ask_new(a, STUN_REQUEST, TURN_METHOD_CONNECT);
    stun_put_addr(&a->b, TURN_XOR_PEER_ADDRESS, to);
    ask_send(a);
}

/* ConnectionBind from another connection of the same host. */
static void bind_data(struct asker *a, uint32_t number, int door) {
    struct bk_addr control = a->client;
    static int doors[8];
    a->client.port = (uint16_t)(a->client.port + 1000 + door);
    ask_learn(a);
    turn_service_from(a->service, &doors[door]);
    ask_new(a, STUN_REQUEST, TURN_CONNECTION_BIND);
    stun_put_u32(&a->b, TURN_CONNECTION_ID, number);
    ask_send(a);
    if (a->answered)
        assert_int_equal(stun_login_check(&a->login, &a->msg), STUN_LOGIN_ACCEPT);
    a->client = control;
}

/* The answer that waits, to the control connection. */
static void fetch(struct asker *a) {
    a->answered = turn_service_next_datagram(a->service, &a->d);
    assert_true(a->answered);
    assert_int_equal(a->d.protocol, BK_TCP);
    memcpy(a->in, a->d.data, a->d.len);
    assert_int_equal(stun_parse(&a->msg, a->in, a->d.len), BK_OK);
    a->code = 0;
    if (a->msg.cls == STUN_ERROR)
        assert_int_equal(stun_get_error(&a->msg, &a->code, NULL), BK_OK);
    assert_true(bk_addr_equal(&a->d.remote, &a->client));
}

/* Section 5.1: over a stream, and nothing of datagrams. Without the extension: 442. */
static void only_streams_get_one(void **state) {
    struct asker a;
    const uint8_t even = 0x80;
    (void)state;
    start(&a);
    ask_learn(&a);
    ask_new(&a, STUN_REQUEST, TURN_ALLOCATE);
    stun_put_u32(&a.b, TURN_REQUESTED_TRANSPORT, 6u << 24);
    stun_put_bytes(&a.b, TURN_EVEN_PORT, &even, 1);
    ask_send(&a);
    ask_expect(&a, 400);
    a.protocol = BK_UDP;
    tcp_allocate(&a, 400);
    ask_fini(&a);
    ask_init(&a);
    ask_start(&a);
    tcp_allocate(&a, 442);
    ask_fini(&a);
}

/* Section 5.2. */
static void a_peer_is_connected_to(void **state) {
    struct asker a;
    uint32_t number;
    (void)state;
    set_up(&a);
    ask_connect(&a, &peer);
    assert_false(a.answered);
    struct turn_action action = ask_action(&a, TURN_CONNECT);
    assert_true(bk_addr_equal(&action.peer, &peer));
    assert_true(bk_ip_equal(&action.addr.ip, &a.config.relay[0]));
    number = action.connection;
    ask_again(&a); /* a retransmission is not another connection */
    assert_false(a.answered);
    ask_no_action(&a);
    ask_connect(&a, &peer); /* one under way */
    ask_expect(&a, 446);
    bind_data(&a, number, 0); /* too early */
    assert_int_equal(a.code, 400);
    ask_learn(&a);
    turn_service_connected(a.service, number, BK_OK, a.now);
    fetch(&a);
    uint32_t told = 0;
    assert_int_equal(a.code, 0);
    assert_int_equal(stun_get_u32(&a.msg, TURN_CONNECTION_ID, &told), BK_OK);
    assert_int_equal(told, number);
    assert_int_equal(number >> 24, 1); /* names its worker */
    assert_int_not_equal(a.msg.integrity_sha256_at, 0);
    ask_learn(&a);
    ask_connect(&a, &peer); /* one that waits */
    ask_expect(&a, 446);
    bind_data(&a, number, 1);
    assert_int_equal(a.code, 0);
    action = ask_action(&a, TURN_JOIN);
    assert_int_equal(action.connection, number);
    assert_non_null(action.via);
    bind_data(&a, number, 2); /* once */
    assert_int_equal(a.code, 400);
    ask_wait(&a, 120); /* joined ones have no timer */
    ask_no_action(&a);
    turn_service_disconnected(a.service, number, a.now);
    ask_no_action(&a);
    ask_learn(&a);
    ask_connect(&a, &peer); /* and again */
    assert_false(a.answered);
    (void)ask_action(&a, TURN_CONNECT);
    ask_fini(&a);
}

static void what_fails_gets_447(void **state) {
    struct asker a;
    (void)state;
    set_up(&a);
    ask_connect(&a, &peer);
    struct turn_action action = ask_action(&a, TURN_CONNECT);
    turn_service_connected(a.service, action.connection, BK_ERR_TIMEOUT, a.now);
    fetch(&a);
    ask_expect(&a, 447);
    ask_no_action(&a);
    struct bk_addr inside = bk_addr(bk_ipv4(10, 0, 0, 1), 22);
    ask_connect(&a, &inside);
    ask_expect(&a, 403);
    struct turn_refusal r;
    assert_true(turn_service_next_refusal(a.service, &r));
    assert_int_equal(r.rule, TURN_RULE_PEER);
    assert_true(bk_addr_equal(&r.peer, &inside));
    assert_true(bk_addr_equal(&r.client, &a.client));
    assert_string_equal(r.name, "george");
    ask_fini(&a);
}

/* Section 5.3: only with a permission; 30 s to be fetched. */
static void a_peer_may_connect(void **state) {
    struct asker a;
    uint32_t number, told;
    struct bk_addr from;
    (void)state;
    start(&a);
    tcp_allocate(&a, 0);
    struct bk_addr relay = ask_action(&a, TURN_OPEN).addr;
    assert_int_equal(turn_service_accepted(a.service, &relay, &peer, a.now, &number), BK_ERR_AUTH);
    ask_permission(&a, &peer);
    ask_expect(&a, 0);
    assert_int_equal(turn_service_accepted(a.service, &relay, &peer, a.now, &number), BK_OK);
    fetch(&a);
    assert_int_equal(a.msg.method, TURN_CONNECTION_ATTEMPT);
    assert_int_equal(a.msg.cls, STUN_INDICATION);
    assert_int_equal(stun_get_u32(&a.msg, TURN_CONNECTION_ID, &told), BK_OK);
    assert_int_equal(told, number);
    assert_int_equal(stun_get_addr(&a.msg, TURN_XOR_PEER_ADDRESS, &from), BK_OK);
    assert_true(bk_addr_equal(&from, &peer));
    ask_wait(&a, 29);
    ask_no_action(&a);
    ask_wait(&a, 1);
    assert_int_equal(ask_action(&a, TURN_CUT).connection, number);
    bind_data(&a, number, 0);
    assert_int_equal(a.code, 400);
    ask_fini(&a);
}

/* Channels and Send are for datagrams; the end of the allocation is the end of all. */
static void the_end_cuts_everything(void **state) {
    struct asker a;
    (void)state;
    set_up(&a);
    ask_bind(&a, 0x4000, &peer);
    ask_expect(&a, 400);
    ask_connect(&a, &peer);
    uint32_t number = ask_action(&a, TURN_CONNECT).connection;
    turn_service_connected(a.service, number, BK_OK, a.now);
    bind_data(&a, number, 0);
    (void)ask_action(&a, TURN_JOIN);
    const struct bk_datagram gone = {.local = a.server, .remote = a.client, .protocol = BK_TCP};
    turn_service_left(a.service, &gone, a.now);
    assert_int_equal(ask_action(&a, TURN_CUT).connection, number);
    assert_int_equal(ask_action(&a, TURN_CLOSE).protocol, BK_TCP);
    ask_no_action(&a);
    assert_true(bk_is_never(turn_service_deadline(a.service)));
    ask_fini(&a);
}

/* A number of another worker's, and another user's. */
static void numbers_name_their_worker(void **state) {
    struct asker a;
    (void)state;
    set_up(&a);
    bind_data(&a, 2u << 24 | 5, 0);
    assert_false(a.answered);
    assert_int_equal(ask_action(&a, TURN_PASS).worker, 2);
    bind_data(&a, 3u << 24 | 5, 1); /* there is no such worker */
    assert_int_equal(a.code, 400);
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_streams_get_one),    cmocka_unit_test(a_peer_is_connected_to),
        cmocka_unit_test(what_fails_gets_447),     cmocka_unit_test(a_peer_may_connect),
        cmocka_unit_test(the_end_cuts_everything), cmocka_unit_test(numbers_name_their_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
