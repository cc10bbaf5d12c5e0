/* SPDX-License-Identifier: MIT
 * Mobility (RFC 8016), secrets that change, and draining. */
#include "ask.h"

#include "turn/ticket.h"

static const struct bk_addr peer = {{.family = BK_IPV4, .bytes = {9, 9, 9, 9}}, 80};

struct held {
    uint8_t bytes[256];
    size_t len;
};

static void keep(const struct asker *a, struct held *out) {
    struct wire_span ticket;
    assert_int_equal(stun_get_bytes(&a->msg, TURN_MOBILITY_TICKET, &ticket), BK_OK);
    assert_in_range(ticket.len, 1, sizeof out->bytes);
    memcpy(out->bytes, ticket.data, ticket.len);
    out->len = ticket.len;
}

static struct bk_addr allocate_mobile(struct asker *a, unsigned n, struct held *ticket) {
    struct bk_addr relay;
    a->client = ask_client(n);
    ask_learn(a);
    ask_allocate_start(a);
    stun_put_bytes(&a->b, TURN_MOBILITY_TICKET, "", 0);
    ask_send(a);
    ask_expect(a, 0);
    keep(a, ticket);
    assert_int_equal(stun_get_addr(&a->msg, TURN_XOR_RELAYED_ADDRESS, &relay), BK_OK);
    return relay;
}

static void refresh_with(struct asker *a, const struct held *ticket, uint32_t lifetime_s) {
    ask_new(a, STUN_REQUEST, TURN_REFRESH);
    stun_put_u32(&a->b, TURN_LIFETIME, lifetime_s);
    stun_put_bytes(&a->b, TURN_MOBILITY_TICKET, ticket->bytes, ticket->len);
    ask_send(a);
}

static void start(struct asker *a, bool mobility) {
    ask_init(a);
    a->config.mobility = mobility;
    a->config.flows = true;
    a->config.worker = 1;
    a->config.workers = 2;
    a->config.port_max = 50023;
    ask_start(a);
}

/* Everything is as it was, at another address; the old one is nobody's. */
static void a_client_moves(void **state) {
    struct asker a;
    struct held ticket, next;
    static int old_door, new_door;
    (void)state;
    start(&a, true);
    turn_service_from(a.service, &old_door);
    struct bk_addr relay = allocate_mobile(&a, 1, &ticket);
    ask_bind(&a, 0x4000, &peer);
    ask_expect(&a, 0);
    (void)ask_action(&a, TURN_OPEN);
    uint32_t flow = ask_action(&a, TURN_FLOW).flow.id;
    struct bk_addr old = a.client;
    a.client = ask_client(2);
    ask_learn(&a);
    turn_service_from(a.service, &new_door);
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 0);
    keep(&a, &next);
    assert_memory_not_equal(ticket.bytes, next.bytes, ticket.len);
    assert_int_equal(ask_action(&a, TURN_FLOW_END).flow.id, flow);
    struct turn_action action = ask_action(&a, TURN_FLOW);
    assert_true(bk_addr_equal(&action.flow.client, &a.client));
    assert_ptr_equal(action.via, &new_door);
    ask_no_action(&a);
    assert_int_equal(ask_info(&a).counts[TURN_COUNT_MOVED], 1);
    assert_int_equal(ask_info(&a).allocations, 1);
    ask_channel(&a, 0x4000, "from the new address");
    assert_true(a.answered);
    assert_true(bk_addr_equal(&a.d.local, &relay));
    ask_bytes(&a, &peer, &relay, "back", 4);
    assert_true(a.answered);
    assert_true(bk_addr_equal(&a.d.remote, &a.client));
    refresh_with(&a, &ticket, 600); /* the answer was lost: the same again */
    ask_expect(&a, 0);
    a.client = old;
    ask_channel(&a, 0x4000, "from the old one");
    assert_false(a.answered);
    ask_learn(&a);
    ask_refresh(&a, 600);
    ask_expect(&a, 437);
    refresh_with(&a, &next, 600); /* and back */
    ask_expect(&a, 0);
    ask_refresh(&a, 0);
    ask_expect(&a, 0);
    refresh_with(&a, &next, 600); /* it has ended */
    ask_expect(&a, 400);
    ask_fini(&a);
}

/* Section 3.2.2: 400 for a ticket that is not one; 405 where there is no mobility. */
static void tickets_are_sealed(void **state) {
    struct asker a;
    struct held ticket;
    (void)state;
    start(&a, true);
    (void)allocate_mobile(&a, 1, &ticket);
    a.client = ask_client(2);
    ask_learn(&a);
    for (size_t i = 0; i < ticket.len; i++) {
        ticket.bytes[i] ^= 1;
        refresh_with(&a, &ticket, 600);
        ask_expect(&a, 400);
        ticket.bytes[i] ^= 1;
    }
    ticket.len--;
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 400);
    ask_allocate_start(&a); /* an Allocate brings none */
    stun_put_bytes(&a.b, TURN_MOBILITY_TICKET, "x", 1);
    ask_send(&a);
    ask_expect(&a, 400);
    ask_fini(&a);
    start(&a, false);
    ask_learn(&a);
    ask_allocate_start(&a);
    stun_put_bytes(&a.b, TURN_MOBILITY_TICKET, "", 0);
    ask_send(&a);
    ask_expect(&a, 405);
    ticket.len = TURN_TICKET_LEN;
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 405);
    ask_fini(&a);
}

static void a_ticket_names_its_worker(void **state) {
    struct asker a;
    struct held ticket = {.len = TURN_TICKET_LEN};
    struct turn_ticket_keys keys;
    const struct turn_ticket t = {.worker = 0, .alloc = 3, .id = 5};
    (void)state;
    start(&a, true);
    ask_learn(&a);
    turn_ticket_keys_set(&keys, a.config.secret, NULL);
    turn_ticket_seal(&keys, &t, &a.rng, ticket.bytes);
    refresh_with(&a, &ticket, 600);
    assert_int_equal(a.err, BK_OK);
    assert_false(a.answered);
    assert_int_equal(ask_action(&a, TURN_PASS).worker, 0);
    turn_service_stay(a.service, true);
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 400);
    ask_no_action(&a);
    turn_service_stay(a.service, false);
    ask_fini(&a);
}

/* A stream that breaks does not take an allocation along that may move. */
static void a_broken_connection_is_survived(void **state) {
    struct asker a;
    struct held ticket;
    (void)state;
    start(&a, true);
    a.protocol = BK_TCP;
    struct bk_addr relay = allocate_mobile(&a, 1, &ticket);
    ask_bind(&a, 0x4000, &peer);
    const struct bk_datagram gone = {.local = a.server, .remote = a.client, .protocol = BK_TCP};
    turn_service_left(a.service, &gone, a.now);
    assert_int_equal(ask_info(&a).allocations, 1);
    ask_bytes(&a, &peer, &relay, "lost", 4);
    assert_false(a.answered);
    a.protocol = BK_UDP;
    a.client = ask_client(2);
    ask_learn(&a);
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 0);
    ask_bytes(&a, &peer, &relay, "back", 4);
    assert_true(a.answered);
    assert_int_equal(a.d.protocol, BK_UDP);
    ask_fini(&a);
}

/* What was made with the last secret is good until the next one comes. */
static void secrets_change(void **state) {
    struct asker a;
    struct held ticket;
    const uint8_t first[32] = {0}, second[32] = {2}, third[32] = {3};
    (void)state;
    start(&a, true);
    (void)allocate_mobile(&a, 1, &ticket);
    turn_service_set_secret(a.service, second, first);
    ask_refresh(&a, 600);
    ask_expect(&a, 0);
    a.client = ask_client(2);
    ask_learn(&a);
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 0);
    turn_service_set_secret(a.service, third, NULL);
    ask_refresh(&a, 600);
    assert_int_equal(a.code, 438);
    a.client = ask_client(3);
    ask_learn(&a);
    refresh_with(&a, &ticket, 600);
    ask_expect(&a, 400);
    ask_fini(&a);
}

/* RFC 8489 section 10. What is there goes on. */
static void who_drains_sends_elsewhere(void **state) {
    struct asker a;
    struct bk_addr told;
    struct wire_span domain;
    const struct bk_addr elsewhere = bk_addr(bk_ipv4(192, 0, 2, 77), 3478);
    (void)state;
    start(&a, true);
    (void)ask_allocate(&a, 1);
    turn_service_drain_to(a.service, &elsewhere, "turn2.example.org");
    ask_refresh(&a, 600);
    ask_expect(&a, 0);
    a.client = ask_client(2);
    ask_learn(&a);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 300);
    assert_int_equal(stun_get_addr(&a.msg, STUN_ALTERNATE_SERVER, &told), BK_OK);
    assert_true(bk_addr_equal(&told, &elsewhere));
    assert_int_equal(stun_get_bytes(&a.msg, STUN_ALTERNATE_DOMAIN, &domain), BK_OK);
    assert_int_equal(domain.len, 17);
    const struct bk_addr none = {.port = 0};
    turn_service_drain(a.service, &none);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 508);
    turn_service_drain(a.service, NULL);
    ask_allocate_start(&a);
    ask_send(&a);
    ask_expect(&a, 0);
    ask_fini(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_moves),
        cmocka_unit_test(tickets_are_sealed),
        cmocka_unit_test(a_ticket_names_its_worker),
        cmocka_unit_test(a_broken_connection_is_survived),
        cmocka_unit_test(secrets_change),
        cmocka_unit_test(who_drains_sends_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
