/* SPDX-License-Identifier: MIT
 * The object by itself: what it asks for, what it refuses, that it ends, that it keeps its budget.
 * What it finds out is tested on the simulator: tests/scenario/test_natcheck*.c. */
#include "../test.h"

#include "base/rng.h"
#include "natcheck/state.h"
#include "wire/stun.h"

static struct rng_seeded seed;

static struct bk_natcheck_config config_of(void) {
    struct bk_natcheck_config c = bk_natcheck_config_default;
    c.server = bk_addr(bk_ipv4(198, 51, 100, 1), 3478);
    c.locals[c.local_count++] = bk_ipv4(192, 168, 1, 2);
    return c;
}

static struct bk_natcheck *start(const struct bk_natcheck_config *c) {
    struct bk_natcheck *nc = NULL;
    rng_seed(&seed, 5);
    struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(bk_natcheck_new(c, &test_alloc, &rng, test_at_ms(0), &nc), BK_OK);
    return nc;
}

/* Grants every socket; returns how many datagrams were to be sent. */
static unsigned drain(struct bk_natcheck *nc, struct bk_time now) {
    struct bk_natcheck_action a;
    struct bk_datagram out;
    uint32_t socket;
    unsigned sent = 0;
    while (bk_natcheck_next_action(nc, &a)) {
        if (a.kind == BK_NATCHECK_OPEN)
            bk_natcheck_opened(nc, a.socket, BK_OK, &a.local, now);
    }
    while (bk_natcheck_next_datagram(nc, &socket, &out)) {
        assert_true(out.len <= BK_NATCHECK_DATAGRAM_MAX);
        sent++;
    }
    return sent;
}

static void test_config_ranges(void **state) {
    (void)state;
    struct bk_natcheck_config c = bk_natcheck_config_default;
    assert_string_equal(bk_natcheck_config_check(&c), "server");
    c = config_of();
    assert_null(bk_natcheck_config_check(&c));
    c.server.port = 0;
    assert_string_equal(bk_natcheck_config_check(&c), "server");
    c = config_of();
    c.server6 = c.server;
    assert_string_equal(bk_natcheck_config_check(&c), "server6");
    c = config_of();
    c.packets_max = 9;
    assert_string_equal(bk_natcheck_config_check(&c), "packets_max");
    c = config_of();
    c.rto_us = 0;
    assert_string_equal(bk_natcheck_config_check(&c), "rto_us");
    c = config_of();
    c.local_count = BK_NATCHECK_LOCALS_MAX + 1;
    struct bk_natcheck *nc = NULL;
    struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(bk_natcheck_new(&c, &test_alloc, &rng, test_at_ms(0), &nc), BK_ERR_ARGUMENT);
    bk_natcheck_free(NULL);
}

/* A server that is not there: three requests, an end, every finding decided. */
static void test_silence_ends(void **state) {
    (void)state;
    struct bk_natcheck_config c = config_of();
    c.tcp = false;
    struct bk_natcheck *nc = start(&c);
    struct bk_natcheck_event e;
    struct bk_time now = test_at_ms(0);
    unsigned sent = drain(nc, now), done = 0;
    while (!bk_natcheck_is_done(nc)) {
        now = bk_natcheck_deadline(nc);
        assert_false(bk_is_never(now));
        bk_natcheck_advance(nc, now);
        sent += drain(nc, now);
    }
    assert_int_equal(sent, 3);
    assert_int_equal(now.us, 1500000);
    while (bk_natcheck_next_event(nc, &e))
        done += e.kind == BK_NATCHECK_DONE ? 1 : 0;
    assert_int_equal(done, 1);
    const struct bk_nat_record *r = bk_natcheck_record(nc);
    assert_int_equal(r->findings[BK_NAT_UDP].value, BK_NAT_UDP_BLOCKED);
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++)
        assert_int_not_equal(r->findings[a].status, BK_NAT_PENDING);
    assert_true(bk_is_never(bk_natcheck_deadline(nc)));
    bk_natcheck_free(nc);
}

static void test_no_sockets_end_it(void **state) {
    (void)state;
    struct bk_natcheck_config c = config_of();
    struct bk_natcheck *nc = start(&c);
    struct bk_natcheck_action a;
    unsigned opens = 0;
    for (int i = 0; i < 1000 && bk_natcheck_next_action(nc, &a); i++) {
        opens += a.kind == BK_NATCHECK_OPEN ? 1 : 0;
        if (a.kind == BK_NATCHECK_OPEN || a.kind == BK_NATCHECK_DIAL)
            bk_natcheck_opened(nc, a.socket, BK_ERR_PERMISSION, NULL, test_at_ms(1));
    }
    assert_int_equal(opens, 2); /* a port, any port */
    assert_true(bk_natcheck_is_done(nc));
    assert_int_equal(bk_natcheck_record(nc)->findings[BK_NAT_UDP].status, BK_NAT_UNCLEAR);
    bk_natcheck_free(nc);
}

static void test_stop(void **state) {
    (void)state;
    struct bk_natcheck_config c = config_of();
    struct bk_natcheck *nc = start(&c);
    struct bk_natcheck_action a;
    struct bk_datagram out;
    uint32_t socket;
    (void)drain(nc, test_at_ms(0));
    bk_natcheck_stop(nc, test_at_ms(10));
    assert_true(bk_natcheck_is_done(nc));
    assert_true(bk_natcheck_next_action(nc, &a));
    assert_int_equal(a.kind, BK_NATCHECK_CLOSE);
    assert_false(bk_natcheck_next_action(nc, &a));
    assert_false(bk_natcheck_next_datagram(nc, &socket, &out));
    const struct bk_nat_finding *f = &bk_natcheck_record(nc)->findings[BK_NAT_MAPPING];
    assert_true(f->status == BK_NAT_UNCLEAR && f->reason == BK_NAT_REASON_STOPPED);
    bk_natcheck_stop(nc, test_at_ms(20));
    bk_natcheck_free(nc);
}

/* Only the answer with the right transaction id, on the right socket, counts; the second time it
 * is nobody's. */
static void test_answers_are_matched(void **state) {
    (void)state;
    struct bk_natcheck_config c = config_of();
    struct bk_natcheck *nc = start(&c);
    struct bk_natcheck_action a;
    struct bk_datagram out;
    struct stun_msg request;
    uint8_t buf[128], copy[BK_NATCHECK_DATAGRAM_MAX];
    uint32_t socket = 0;
    size_t len = 0;
    assert_true(bk_natcheck_next_action(nc, &a));
    bk_natcheck_opened(nc, a.socket, BK_OK, &a.local, test_at_ms(0));
    assert_true(bk_natcheck_next_datagram(nc, &socket, &out));
    assert_true(out.len >= 80); /* so that every attribute fits into 1.6 times that */
    memcpy(copy, out.data, out.len);
    assert_int_equal(stun_parse(&request, copy, out.len), BK_OK);
    const struct bk_addr seen = bk_addr(bk_ipv4(203, 0, 113, 1), 1234);
    struct stun_builder b = stun_start_reply(buf, sizeof buf, STUN_SUCCESS, &request);
    stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &seen);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    struct bk_datagram in = {.remote = c.server, .data = buf, .len = len};
    assert_int_equal(bk_natcheck_recv(nc, socket + 1, &in, test_at_ms(30)), BK_ERR_NOT_OURS);
    assert_int_equal(bk_natcheck_recv(nc, BK_NATCHECK_SOCKETS_MAX, &in, test_at_ms(30)),
                     BK_ERR_NOT_OURS);
    buf[10] ^= 1;
    assert_int_equal(bk_natcheck_recv(nc, socket, &in, test_at_ms(30)), BK_ERR_NOT_OURS);
    buf[10] ^= 1;
    in.len--;
    assert_int_equal(bk_natcheck_recv(nc, socket, &in, test_at_ms(30)), BK_ERR_MALFORMED);
    in.len++;
    assert_int_equal(bk_natcheck_recv(nc, socket, &in, test_at_ms(30)), BK_OK);
    assert_int_equal(bk_natcheck_recv(nc, socket, &in, test_at_ms(31)), BK_ERR_NOT_OURS);
    const struct bk_nat_record *r = bk_natcheck_record(nc);
    assert_int_equal(r->traits.translated, BK_YES);
    assert_int_equal(r->rtt_us, 30000);
    assert_true(bk_addr_equal(&r->observations[0].seen, &seen));
    bk_natcheck_free(nc);
}

/* A port-restricted cone that keeps ports: the answer of a server on two addresses, or nothing. */
static void answer_as_cone(struct bk_natcheck *nc, uint32_t socket, const struct bk_datagram *out,
                           struct bk_time now) {
    struct stun_msg request;
    uint8_t buf[128], copy[BK_NATCHECK_DATAGRAM_MAX];
    uint32_t flags = 0;
    size_t len = 0;
    memcpy(copy, out->data, out->len);
    if (out->remote.port < 3478 || out->remote.port > 3479 ||
        stun_parse(&request, copy, out->len) != BK_OK ||
        stun_get_u32(&request, STUN_CHANGE_REQUEST, &flags) == BK_OK)
        return;
    const struct bk_addr seen = bk_addr(bk_ipv4(203, 0, 113, 1), out->local.port);
    const struct bk_addr other = bk_addr(bk_ipv4(198, 51, 100, 2), 3479);
    struct stun_builder b = stun_start_reply(buf, sizeof buf, STUN_SUCCESS, &request);
    stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &seen);
    stun_put_addr(&b, STUN_OTHER_ADDRESS, &other);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    const struct bk_datagram in = {.remote = out->remote, .data = buf, .len = len};
    assert_int_equal(bk_natcheck_recv(nc, socket, &in, now), BK_OK);
}

/* Grants every socket and answers everything, but for what sample `dead` of ports.c asks; until
 * nothing is left to do at `now`. */
static void play_cone(struct bk_natcheck *nc, int dead, struct bk_time now) {
    struct bk_natcheck_action a;
    struct bk_datagram out;
    uint32_t socket;
    bool busy = true;
    while (busy) {
        busy = bk_natcheck_next_action(nc, &a);
        if (busy && a.kind == BK_NATCHECK_OPEN)
            bk_natcheck_opened(nc, a.socket, BK_OK, &a.local, now);
        while (bk_natcheck_next_datagram(nc, &socket, &out)) {
            busy = true;
            if (socket != nc->ports.socket[dead])
                answer_as_cone(nc, socket, &out, now);
        }
    }
}

/* Some boxes choose the outside port by a hash, and give a socket whose port is taken no mapping.
 * It must not cost a finding that needs two sockets, whichever two. */
static void test_a_socket_without_mapping_costs_no_hairpin(void **state) {
    (void)state;
    for (int dead = 0; dead < PORT_SAMPLES; dead++) {
        struct bk_natcheck_config c = config_of();
        c.tcp = false;
        struct bk_natcheck *nc = start(&c);
        for (struct bk_time now = test_at_ms(0); !bk_natcheck_is_done(nc);
             now = bk_natcheck_deadline(nc)) {
            assert_false(bk_is_never(now));
            bk_natcheck_advance(nc, now);
            play_cone(nc, dead, now);
        }
        const struct bk_nat_finding *f = &bk_natcheck_record(nc)->findings[BK_NAT_HAIRPIN];
        assert_int_equal(f->status, BK_NAT_KNOWN);
        assert_int_equal(f->value, BK_NAT_HAIRPIN_NONE);
        bk_natcheck_free(nc);
    }
}

static void test_every_word_is_there(void **state) {
    (void)state;
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++) {
        assert_true(strlen(bk_nat_attr_name((enum bk_nat_attr)a)) > 2);
        for (int64_t v = -1; v < 6; v++)
            assert_non_null(bk_nat_value_text((enum bk_nat_attr)a, v));
    }
    for (unsigned t = 0; t < BK_NAT_TESTS; t++)
        assert_true(strlen(bk_nat_test_name((enum bk_nat_test)t)) > 2);
    for (unsigned r = BK_NAT_REASON_UDP_BLOCKED; r <= BK_NAT_REASON_NOT_APPLICABLE; r++)
        assert_true(strlen(bk_nat_reason_text((enum bk_nat_reason)r)) > 2);
}

/* RFC 6886 section 3.2, RFC 6887 section 7.2, SSDP: what counts as an answer. */
static void test_answers_of_routers(void **state) {
    (void)state;
    struct bk_ip ip = {0}, expected = bk_ipv4(203, 0, 113, 9);
    uint8_t pmp[12] = {0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9};
    assert_true(natpmp_read(pmp, sizeof pmp, &ip));
    assert_true(bk_ip_equal(&ip, &expected));
    pmp[3] = 3; /* network failure: there, but without an address */
    ip.family = BK_FAMILY_NONE;
    assert_true(natpmp_read(pmp, 8, &ip));
    assert_int_equal(ip.family, BK_FAMILY_NONE);
    pmp[0] = 2; /* a router that knows PCP only */
    assert_false(natpmp_read(pmp, sizeof pmp, &ip));
    uint8_t pcp[24] = {2, 0x80};
    assert_true(pcp_read(pcp, sizeof pcp));
    assert_false(pcp_read(pcp, 20));
    pcp[1] = 0; /* our own request */
    assert_false(pcp_read(pcp, sizeof pcp));
    static const char good[] = "HTTP/1.1 200 OK\r\nST: InternetGatewayDevice:1\r\n\r\n";
    static const char other[] = "HTTP/1.1 200 OK\r\nST: MediaServer:1\r\n\r\n";
    assert_true(upnp_read((const uint8_t *)good, sizeof good - 1));
    assert_false(upnp_read((const uint8_t *)other, sizeof other - 1));
    for (size_t n = 0; n < sizeof good - 1; n++)
        (void)upnp_read((const uint8_t *)good, n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_ranges),
        cmocka_unit_test(test_silence_ends),
        cmocka_unit_test(test_no_sockets_end_it),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_answers_are_matched),
        cmocka_unit_test(test_every_word_is_there),
        cmocka_unit_test(test_answers_of_routers),
        cmocka_unit_test(test_a_socket_without_mapping_costs_no_hairpin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
