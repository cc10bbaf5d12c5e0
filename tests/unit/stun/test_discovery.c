/* SPDX-License-Identifier: MIT
 * The binding server as RFC 5780 wants it, rule by rule, and what it refuses. */
#include "../test.h"

#include "base/rng.h"
#include "stun/seal.h"
#include "stun/service.h"

#define TXID ((const uint8_t *)"abcdefghijkl")
#define A1 "203.0.113.1"
#define A2 "203.0.113.2"
#define B1 "[2001:db8::1]"
#define B2 "[2001:db8::2]"

enum { CHANGE_IP = 4, CHANGE_PORT = 2 };

struct fixture {
    struct rng_seeded seed;
    struct stun_service service;
    struct bk_datagram in, reply;
    struct stun_msg answer;
    struct bk_time now;
    struct stun_builder b;
    uint8_t request[2048], buf[STUN_SERVICE_REPLY_MAX];
};

static struct bk_addr addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static struct stun_discovery_config two_addresses(void) {
    struct stun_discovery_config c = stun_discovery_config_default;
    c.askers_max = 1024;
    c.sources_max = 1024;
    c.ports[0] = 3478;
    c.ports[1] = 3479;
    c.ips[0][0] = addr(A1 ":1").ip;
    c.ips[0][1] = addr(A2 ":1").ip;
    c.ips[1][0] = addr(B1 ":1").ip;
    c.ips[1][1] = addr(B2 ":1").ip;
    return c;
}

static void start_with(struct fixture *f, const struct stun_discovery_config *config) {
    memset(f, 0, sizeof *f);
    rng_seed(&f->seed, 1);
    struct bk_rng rng = rng_from_seeded(&f->seed);
    assert_int_equal(stun_discovery_new(config, &rng, &test_alloc, &f->service.discovery), BK_OK);
    f->now = test_at_ms(5000);
}

static void start(struct fixture *f) {
    struct stun_discovery_config config = two_addresses();
    start_with(f, &config);
}

static void end(struct fixture *f) {
    stun_discovery_free(f->service.discovery);
}

static void begin(struct fixture *f, const char *from, const char *to) {
    f->in = (struct bk_datagram){.local = addr(to), .remote = addr(from), .data = f->request};
    f->b = stun_start(f->request, sizeof f->request, STUN_REQUEST, STUN_BINDING, TXID);
}

static void pad_to(struct fixture *f, size_t len) {
    static const uint8_t zeros[256];
    if (f->b.w.len < len)
        stun_put_bytes(&f->b, STUN_SOFTWARE, zeros, len - f->b.w.len - 4);
}

static enum stun_service_result ask(struct fixture *f) {
    assert_int_equal(stun_finish(&f->b, &f->in.len), BK_OK);
    memset(&f->reply, 0, sizeof f->reply);
    enum stun_service_result result =
        stun_service_answer(&f->service, &f->in, f->now, f->buf, &f->reply);
    if (stun_service_answered(result)) {
        assert_int_equal(stun_parse(&f->answer, f->reply.data, f->reply.len), BK_OK);
        assert_memory_equal(f->answer.txid, TXID, STUN_TXID_LEN);
    }
    return result;
}

static enum stun_service_result ask_plainly(struct fixture *f, const char *from, const char *to) {
    begin(f, from, to);
    return ask(f);
}

static enum stun_service_result ask_change(struct fixture *f, const char *from, const char *to,
                                           uint32_t flags) {
    begin(f, from, to);
    stun_put_u32(&f->b, STUN_CHANGE_REQUEST, flags);
    return ask(f);
}

static enum stun_service_result ask_redirect(struct fixture *f, const char *from, uint16_t port) {
    begin(f, from, A1 ":3478");
    stun_put_port(&f->b, STUN_RESPONSE_PORT, port);
    return ask(f);
}

static void assert_addr(const struct fixture *f, uint16_t type, const char *want) {
    struct bk_addr got, wanted = addr(want);
    assert_int_equal(stun_get_addr(&f->answer, type, &got), BK_OK);
    if (!bk_addr_equal(&got, &wanted)) {
        char text[BK_ADDR_TEXT_MAX];
        fail_msg("%s is %s, not %s", stun_attr_name(type), bk_addr_format(&got, text), want);
    }
}

static void assert_error(const struct fixture *f, uint16_t want) {
    uint16_t code = 0;
    assert_int_equal(f->answer.cls, STUN_ERROR);
    assert_int_equal(stun_get_error(&f->answer, &code, NULL), BK_OK);
    assert_int_equal(code, want);
}

static void assert_way(const struct fixture *f, const char *local, const char *remote) {
    struct bk_addr from = addr(local), to = addr(remote);
    assert_true(bk_addr_equal(&f->reply.local, &from));
    assert_true(bk_addr_equal(&f->reply.remote, &to));
}

/* RFC 5780 section 6.1, table 1, whole, for both families. */
static void answers_leave_as_table_1_says(void **state) {
    (void)state;
    static const struct {
        uint32_t flags;
        const char *to, *leaves, *other;
    } rows[] = {
        {0, A1 ":3478", A1 ":3478", A2 ":3479"},
        {CHANGE_IP, A1 ":3478", A2 ":3478", A2 ":3479"},
        {CHANGE_PORT, A1 ":3478", A1 ":3479", A2 ":3479"},
        {CHANGE_IP | CHANGE_PORT, A1 ":3478", A2 ":3479", A2 ":3479"},
        {0, A2 ":3478", A2 ":3478", A1 ":3479"},
        {CHANGE_IP, A2 ":3478", A1 ":3478", A1 ":3479"},
        {CHANGE_PORT, A1 ":3479", A1 ":3478", A2 ":3478"},
        {CHANGE_IP | CHANGE_PORT, A2 ":3479", A1 ":3478", A1 ":3478"},
        {0, B1 ":3478", B1 ":3478", B2 ":3479"},
        {CHANGE_IP, B2 ":3479", B1 ":3479", B1 ":3478"},
        {CHANGE_IP | CHANGE_PORT, B1 ":3478", B2 ":3479", B2 ":3479"},
    };
    struct fixture f;
    start(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *client = rows[i].to[0] == '[' ? "[2001:db8::9]:4000" : "192.0.2.9:4000";
        begin(&f, client, rows[i].to);
        stun_put_u32(&f.b, STUN_CHANGE_REQUEST, rows[i].flags);
        pad_to(&f, 80);
        assert_int_equal(ask(&f), rows[i].flags == 0 ? STUN_SERVICE_MAPPED : STUN_SERVICE_CHANGED);
        assert_way(&f, rows[i].leaves, client);
        assert_addr(&f, STUN_RESPONSE_ORIGIN, rows[i].leaves);
        assert_addr(&f, STUN_OTHER_ADDRESS, rows[i].other);
        assert_addr(&f, STUN_XOR_MAPPED_ADDRESS, client);
        assert_addr(&f, STUN_MAPPED_ADDRESS, client); /* an ALG would change this one only */
    }
    end(&f);
}

/* The order in which attributes go when a request is too short for all. */
static void short_requests_get_less(void **state) {
    (void)state;
    static const struct {
        const char *client, *to;
        size_t len; /* of the request */
        bool other, origin, mapped;
    } rows[] = {
        {"192.0.2.9:4000", A1 ":3478", 20, true, false, false},
        {"192.0.2.9:4000", A1 ":3478", 32, true, false, false},
        {"192.0.2.9:4000", A1 ":3478", 36, true, true, false},
        {"192.0.2.9:4000", A1 ":3478", 44, true, true, true},
        {"[2001:db8::9]:4000", B1 ":3478", 20, false, false, false},
        {"[2001:db8::9]:4000", B1 ":3478", 28, true, false, false},
        {"[2001:db8::9]:4000", B1 ":3478", 60, true, true, false},
        {"[2001:db8::9]:4000", B1 ":3478", 76, true, true, true},
    };
    struct fixture f;
    start(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(&f, rows[i].client, rows[i].to);
        pad_to(&f, rows[i].len);
        assert_int_equal(ask(&f), STUN_SERVICE_MAPPED);
        assert_int_equal(f.in.len, rows[i].len);
        assert_true(stun_has(&f.answer, STUN_XOR_MAPPED_ADDRESS));
        assert_int_equal(stun_has(&f.answer, STUN_OTHER_ADDRESS), rows[i].other);
        assert_int_equal(stun_has(&f.answer, STUN_RESPONSE_ORIGIN), rows[i].origin);
        assert_int_equal(stun_has(&f.answer, STUN_MAPPED_ADDRESS), rows[i].mapped);
    }
    end(&f);
}

/* What turnutils_natdiscovery and stunclient send. */
static void other_peoples_clients_learn_the_other_address(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(ask_plainly(&f, "192.0.2.9:4000", A1 ":3478"), STUN_SERVICE_MAPPED);
    assert_addr(&f, STUN_OTHER_ADDRESS, A2 ":3479");
    assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", 0), STUN_SERVICE_MAPPED);
    assert_addr(&f, STUN_OTHER_ADDRESS, A2 ":3479");
    end(&f);
}

static void one_address_is_told_honestly(void **state) {
    (void)state;
    struct stun_discovery_config config = two_addresses();
    struct stun_types unknown;
    struct fixture f;
    uint16_t port = 0;
    config.ips[0][1] = (struct bk_ip){.family = BK_FAMILY_NONE};
    start_with(&f, &config);
    assert_int_equal(stun_discovery_reach(f.service.discovery, BK_IPV4), STUN_DISCOVERY_PORTS);
    assert_int_equal(stun_discovery_reach(f.service.discovery, BK_IPV6), STUN_DISCOVERY_FULL);
    begin(&f, "192.0.2.9:4000", A1 ":3478");
    pad_to(&f, 44);
    assert_int_equal(ask(&f), STUN_SERVICE_MAPPED);
    assert_false(stun_has(&f.answer, STUN_OTHER_ADDRESS)); /* RFC 5780 section 7.4 */
    assert_int_equal(stun_get_port(&f.answer, STUN_OTHER_PORT, &port), BK_OK);
    assert_int_equal(port, 3479);
    assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", CHANGE_PORT),
                     STUN_SERVICE_CHANGED);
    assert_way(&f, A1 ":3479", "192.0.2.9:4000");
    for (uint32_t flags = CHANGE_IP; flags <= (CHANGE_IP | CHANGE_PORT); flags += CHANGE_PORT) {
        assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", flags),
                         STUN_SERVICE_UNKNOWN_ATTRIBUTE);
        assert_error(&f, 420);
        assert_int_equal(stun_get_unknown(&f.answer, &unknown), BK_OK);
        assert_int_equal(unknown.count, 1);
        assert_int_equal(unknown.types[0], STUN_CHANGE_REQUEST);
        assert_way(&f, A1 ":3478", "192.0.2.9:4000");
    }
    end(&f);
}

static void an_address_outside_the_pair_has_no_other(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    begin(&f, "127.0.0.1:4000", "127.0.0.1:3478");
    pad_to(&f, 44);
    assert_int_equal(ask(&f), STUN_SERVICE_MAPPED);
    assert_false(stun_has(&f.answer, STUN_OTHER_ADDRESS));
    assert_true(stun_has(&f.answer, STUN_OTHER_PORT));
    assert_int_equal(ask_change(&f, "127.0.0.1:4000", "127.0.0.1:3478", CHANGE_IP),
                     STUN_SERVICE_UNKNOWN_ATTRIBUTE);
    end(&f);
}

/* Behind a one-to-one NAT requests come in on inside addresses; clients are told the outside. */
static void clients_are_told_the_outside_addresses(void **state) {
    (void)state;
    struct stun_discovery_config config = two_addresses();
    struct fixture f;
    config.outside[0][0] = addr("198.51.100.7:1").ip;
    config.outside[0][1] = addr("198.51.100.8:1").ip;
    start_with(&f, &config);
    begin(&f, "192.0.2.9:4000", A1 ":3478");
    stun_put_u32(&f.b, STUN_CHANGE_REQUEST, CHANGE_PORT);
    pad_to(&f, 60);
    assert_int_equal(ask(&f), STUN_SERVICE_CHANGED);
    assert_way(&f, A1 ":3479", "192.0.2.9:4000");
    assert_addr(&f, STUN_RESPONSE_ORIGIN, "198.51.100.7:3479");
    assert_addr(&f, STUN_OTHER_ADDRESS, "198.51.100.8:3479");
    end(&f);
}

static void one_port_cannot_change_anything(void **state) {
    (void)state;
    struct stun_discovery_config config = two_addresses();
    struct fixture f;
    config.ports[1] = 0;
    start_with(&f, &config);
    assert_int_equal(stun_discovery_reach(f.service.discovery, BK_IPV4), STUN_DISCOVERY_NOTHING);
    begin(&f, "192.0.2.9:4000", A1 ":3478");
    pad_to(&f, 44);
    assert_int_equal(ask(&f), STUN_SERVICE_MAPPED);
    assert_false(stun_has(&f.answer, STUN_OTHER_ADDRESS)); /* RFC 5780 section 6 */
    assert_false(stun_has(&f.answer, STUN_OTHER_PORT));
    for (uint32_t flags = CHANGE_PORT; flags <= 6; flags += 2)
        assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", flags),
                         STUN_SERVICE_UNKNOWN_ATTRIBUTE);
    end(&f);
}

/* RFC 5780 section 4.6: Y asks, later X asks that Y's port be answered. */
static void response_port_reaches_who_asked(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(ask_plainly(&f, "192.0.2.9:4001", A2 ":3479"), STUN_SERVICE_MAPPED);
    f.now = bk_after(f.now, 600 * BK_US_PER_S);
    assert_int_equal(ask_redirect(&f, "192.0.2.9:4000", 4001), STUN_SERVICE_REDIRECTED);
    assert_way(&f, A1 ":3478", "192.0.2.9:4001");
    assert_addr(&f, STUN_XOR_MAPPED_ADDRESS, "192.0.2.9:4000"); /* who asked, not who hears */
    end(&f);
}

static void response_port_with_change_request(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    (void)ask_plainly(&f, "192.0.2.9:4001", A1 ":3478");
    begin(&f, "192.0.2.9:4000", A1 ":3478");
    stun_put_u32(&f.b, STUN_CHANGE_REQUEST, CHANGE_IP | CHANGE_PORT);
    stun_put_port(&f.b, STUN_RESPONSE_PORT, 4001);
    assert_int_equal(ask(&f), STUN_SERVICE_REDIRECTED);
    assert_way(&f, A2 ":3479", "192.0.2.9:4001");
    end(&f);
}

static void response_port_towards_strangers_is_refused(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    (void)ask_plainly(&f, "192.0.2.9:4001", A1 ":3478");
    (void)ask_plainly(&f, "192.0.2.8:5000", A1 ":3478");
    static const uint16_t ports[] = {0, 1, 53, 4002, 5000, 65535};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        assert_int_equal(ask_redirect(&f, "192.0.2.9:4000", ports[i]), STUN_SERVICE_NOT_ASKED);
        assert_error(&f, 403);
        assert_way(&f, A1 ":3478", "192.0.2.9:4000");
    }
    f.now = bk_after(f.now, 3700 * BK_US_PER_S); /* and lately means lately */
    assert_int_equal(ask_redirect(&f, "192.0.2.9:4000", 4001), STUN_SERVICE_NOT_ASKED);
    end(&f);
}

static void what_is_refused_makes_nobody_an_asker(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    begin(&f, "192.0.2.9:4001", A1 ":3478");
    stun_put_bytes(&f.b, 0x7001, "", 0);
    assert_int_equal(ask(&f), STUN_SERVICE_UNKNOWN_ATTRIBUTE);
    assert_int_equal(ask_redirect(&f, "192.0.2.9:4000", 4001), STUN_SERVICE_NOT_ASKED);
    end(&f);
}

static void response_port_of_the_asker_itself_is_no_detour(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(ask_redirect(&f, "192.0.2.9:4000", 4000), STUN_SERVICE_MAPPED);
    assert_way(&f, A1 ":3478", "192.0.2.9:4000");
    end(&f);
}

static void padding_is_answered_with_padding(void **state) {
    (void)state;
    static const uint8_t zeros[1500];
    struct wire_span padding;
    struct fixture f;
    start(&f);
    for (size_t len = 0; len <= sizeof zeros; len += 100) {
        begin(&f, "192.0.2.9:4000", A1 ":3478");
        stun_put_bytes(&f.b, STUN_PADDING, zeros, len);
        assert_int_equal(ask(&f), STUN_SERVICE_MAPPED);
        assert_true(f.reply.len * 10 <= f.in.len * 16 || len == 0);
        if (len < 100)
            continue;
        assert_int_equal(stun_get_bytes(&f.answer, STUN_PADDING, &padding), BK_OK);
        assert_true(padding.len >= (len > 1100 ? 1500 : len)); /* section 6.1: the MTU */
    }
    end(&f);
}

static void padding_with_response_port_is_a_bad_request(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    (void)ask_plainly(&f, "192.0.2.9:4001", A1 ":3478");
    begin(&f, "192.0.2.9:4000", A1 ":3478");
    stun_put_port(&f.b, STUN_RESPONSE_PORT, 4001);
    stun_put_bytes(&f.b, STUN_PADDING, "abcd", 4);
    assert_int_equal(ask(&f), STUN_SERVICE_BAD_REQUEST);
    assert_error(&f, 400);
    assert_way(&f, A1 ":3478", "192.0.2.9:4000");
    end(&f);
}

static void a_source_has_so_many_detours_and_no_more(void **state) {
    (void)state;
    struct stun_discovery_config config = two_addresses();
    struct fixture f;
    config.burst = 10;
    config.per_s = 10;
    start_with(&f, &config);
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", CHANGE_PORT),
                         STUN_SERVICE_CHANGED);
    assert_int_equal(ask_change(&f, "192.0.2.9:4999", A1 ":3478", CHANGE_PORT),
                     STUN_SERVICE_TOO_OFTEN);
    assert_error(&f, 500);
    assert_way(&f, A1 ":3478", "192.0.2.9:4999");
    assert_int_equal(ask_plainly(&f, "192.0.2.9:4000", A1 ":3478"), STUN_SERVICE_MAPPED);
    assert_int_equal(ask_change(&f, "192.0.2.8:4000", A1 ":3478", CHANGE_PORT),
                     STUN_SERVICE_CHANGED);
    f.now = bk_after(f.now, BK_US_PER_S / 10);
    assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", CHANGE_PORT),
                     STUN_SERVICE_CHANGED);
    end(&f);
}

/* In the long run payload alone is bounded, too: 44 bytes for 20 are a favour. */
static void a_source_gets_long_answers_now_and_then(void **state) {
    (void)state;
    struct stun_discovery_config config = two_addresses();
    struct fixture f;
    config.burst = 10;
    config.per_s = 10;
    start_with(&f, &config);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask_plainly(&f, "192.0.2.9:4000", A1 ":3478"), STUN_SERVICE_MAPPED);
        assert_int_equal(f.reply.len, i < 10 ? 44 : 32);
    }
    assert_int_equal(ask_change(&f, "192.0.2.9:4000", A1 ":3478", CHANGE_PORT),
                     STUN_SERVICE_CHANGED);          /* another account */
    assert_addr(&f, STUN_OTHER_ADDRESS, A2 ":3479"); /* and 28 bytes are enough for it */
    f.now = bk_after(f.now, BK_US_PER_S / 10);
    (void)ask_plainly(&f, "192.0.2.9:4000", A1 ":3478");
    assert_int_equal(f.reply.len, 44);
    end(&f);
}

/* Over TCP there is one way back; the addresses are told. */
static void over_tcp_only_the_addresses(void **state) {
    (void)state;
    static const struct {
        uint16_t type;
        enum stun_service_result want;
    } rows[] = {
        {STUN_CHANGE_REQUEST, STUN_SERVICE_UNKNOWN_ATTRIBUTE},
        {STUN_RESPONSE_PORT, STUN_SERVICE_UNKNOWN_ATTRIBUTE},
        {STUN_PADDING, STUN_SERVICE_UNKNOWN_ATTRIBUTE},
        {STUN_SOFTWARE, STUN_SERVICE_MAPPED},
    };
    static const uint8_t value[4] = {0, 0, 0, CHANGE_IP};
    struct fixture f;
    start(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(&f, "192.0.2.9:4000", A1 ":3478");
        uint8_t *room = stun_put_room(&f.b, rows[i].type, sizeof value);
        memcpy(room, value, sizeof value);
        assert_int_equal(stun_finish(&f.b, &f.in.len), BK_OK);
        assert_int_equal(stun_service_answer_stream(&f.service, &f.in, f.now, f.buf, &f.reply),
                         rows[i].want);
        assert_int_equal(stun_parse(&f.answer, f.reply.data, f.reply.len), BK_OK);
    }
    begin(&f, "192.0.2.9:4000", A1 ":3478");
    pad_to(&f, 44);
    assert_int_equal(stun_finish(&f.b, &f.in.len), BK_OK);
    assert_int_equal(stun_service_answer_stream(&f.service, &f.in, f.now, f.buf, &f.reply),
                     STUN_SERVICE_MAPPED);
    assert_int_equal(stun_parse(&f.answer, f.reply.data, f.reply.len), BK_OK);
    assert_addr(&f, STUN_OTHER_ADDRESS, A2 ":3479");
    assert_addr(&f, STUN_RESPONSE_ORIGIN, A1 ":3478");
    assert_addr(&f, STUN_MAPPED_ADDRESS, "192.0.2.9:4000");
    end(&f);
}

/* A dual-stack socket shows IPv4 as ::ffff:a.b.c.d: both ends of it. */
static void ipv4_on_an_ipv6_socket(void **state) {
    (void)state;
    struct fixture f;
    start(&f);
    assert_int_equal(
        ask_change(&f, "[::ffff:192.0.2.9]:4000", "[::ffff:203.0.113.1]:3478", CHANGE_IP),
        STUN_SERVICE_CHANGED);
    assert_addr(&f, STUN_OTHER_ADDRESS, A2 ":3479");
    end(&f);
}

static void a_config_out_of_range_is_refused(void **state) {
    (void)state;
    struct stun_discovery *d = NULL;
    struct rng_seeded seed;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    struct stun_discovery_config bad[9];
    for (size_t i = 0; i < 9; i++)
        bad[i] = two_addresses();
    bad[0].ports[0] = 0;
    bad[1].ports[1] = bad[1].ports[0];
    bad[2].ips[0][0] = bad[2].ips[1][0];
    bad[3].ips[0][1] = bad[3].ips[0][0];
    bad[4].ips[0][0].family = BK_FAMILY_NONE;
    bad[5].burst = 0;
    bad[6].askers_max = 1;
    bad[7].asked_us = 1;
    bad[8].outside[0][0] = bad[8].ips[1][0];
    for (size_t i = 0; i < 9; i++)
        if (stun_discovery_new(&bad[i], &rng, &test_alloc, &d) != BK_ERR_ARGUMENT)
            fail_msg("config %zu was taken", i);
    stun_discovery_free(NULL);
}

/* ---- never an amplifier ------------------------------------------------------------------------
 * Every request that can be put together from these parts, over both families, on a server of each
 * kind. Payload alone may pass 1.6 for two reasons only, which the header names. */
struct shape {
    bool v6, fingerprint, redirect, padded;
    unsigned flags; /* of CHANGE-REQUEST; 1: none */
    unsigned unknown;
    size_t software; /* bytes; 1: none */
};

static void put_shape(struct fixture *f, const struct shape *s) {
    static const uint8_t zeros[256];
    begin(f, s->v6 ? "[2001:db8::9]:4000" : "192.0.2.9:4000", s->v6 ? B1 ":3478" : A1 ":3478");
    if (s->flags != 1)
        stun_put_u32(&f->b, STUN_CHANGE_REQUEST, s->flags);
    if (s->redirect)
        stun_put_port(&f->b, STUN_RESPONSE_PORT, 4001);
    if (s->padded)
        stun_put_bytes(&f->b, STUN_PADDING, zeros, s->software);
    for (uint16_t i = 0; i < s->unknown; i++)
        stun_put_bytes(&f->b, (uint16_t)(0x7000 + i), "", 0);
    if (s->software != 1)
        stun_put_bytes(&f->b, STUN_SOFTWARE, zeros, s->software);
    if (s->fingerprint)
        stun_put_fingerprint(&f->b);
}

static void check_shape(struct fixture *f, const struct shape *s) {
    put_shape(f, s);
    assert_true(stun_service_answered(ask(f)));
    size_t headers = s->v6 ? 48 : 28, base = s->v6 ? 44 : 32;
    size_t other = stun_has(&f->answer, STUN_OTHER_ADDRESS) ? base - 20 : 0;
    size_t must = base + other + (s->fingerprint ? 8u : 0u);
    bool bare = f->answer.cls == STUN_SUCCESS && f->reply.len == must;
    if ((f->reply.len + headers) * 10 > (f->in.len + headers) * 16 ||
        (f->reply.len * 10 > f->in.len * 16 && !bare))
        fail_msg("%zu bytes answered with %zu", f->in.len, f->reply.len);
    assert_int_equal(stun_check_fingerprint(&f->answer) == BK_OK, s->fingerprint);
}

static void check_shapes(struct fixture *f, bool v6, bool fingerprint, bool redirect, bool padded) {
    for (unsigned flags = 0; flags <= 7; flags++)
        for (unsigned unknown = 0; unknown < 36; unknown += unknown < 4 ? 1 : 8)
            for (size_t software = 1; software < 130; software += 3) {
                const struct shape s = {v6,    fingerprint, redirect, padded,
                                        flags, unknown,     software};
                check_shape(f, &s);
            }
}

static void no_shape_of_request_is_amplified(void **state) {
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct stun_discovery_config config = two_addresses();
        struct fixture f;
        config.per_s = 1000;
        config.burst = 100000;
        for (size_t i = 0; i < 2 && kind > 0; i++)
            config.ips[i][1].family = BK_FAMILY_NONE;
        config.ports[1] = kind == 2 ? 0 : 3479;
        start_with(&f, &config);
        (void)ask_plainly(&f, "192.0.2.9:4001", A1 ":3478");
        (void)ask_plainly(&f, "[2001:db8::9]:4001", B1 ":3478");
        for (unsigned bits = 0; bits < 16; bits++)
            check_shapes(&f, bits & 1, bits & 2, bits & 4, bits & 8);
        end(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_leave_as_table_1_says),
        cmocka_unit_test(short_requests_get_less),
        cmocka_unit_test(other_peoples_clients_learn_the_other_address),
        cmocka_unit_test(one_address_is_told_honestly),
        cmocka_unit_test(an_address_outside_the_pair_has_no_other),
        cmocka_unit_test(clients_are_told_the_outside_addresses),
        cmocka_unit_test(one_port_cannot_change_anything),
        cmocka_unit_test(response_port_reaches_who_asked),
        cmocka_unit_test(response_port_with_change_request),
        cmocka_unit_test(response_port_towards_strangers_is_refused),
        cmocka_unit_test(what_is_refused_makes_nobody_an_asker),
        cmocka_unit_test(response_port_of_the_asker_itself_is_no_detour),
        cmocka_unit_test(padding_is_answered_with_padding),
        cmocka_unit_test(padding_with_response_port_is_a_bad_request),
        cmocka_unit_test(a_source_has_so_many_detours_and_no_more),
        cmocka_unit_test(a_source_gets_long_answers_now_and_then),
        cmocka_unit_test(over_tcp_only_the_addresses),
        cmocka_unit_test(ipv4_on_an_ipv6_socket),
        cmocka_unit_test(a_config_out_of_range_is_refused),
        cmocka_unit_test(no_shape_of_request_is_amplified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
