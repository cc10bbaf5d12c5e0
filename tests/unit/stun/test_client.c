/* SPDX-License-Identifier: MIT
 * The binding client against the binding service and against liars; the public header as well. */
#include "../test.h"

#include "base/rng.h"
#include "stun/client.h"
#include "stun/seal.h"
#include "stun/service.h"

#include <bodkin/stun.h>

static struct rng_seeded seed;

static struct bk_addr addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static struct bk_addr local, server, outside; /* set once, in main() */

static struct stun_client_config config_of(int64_t every_ms) {
    struct stun_client_config c = stun_client_config_default;
    c.local = local;
    c.server = server;
    c.every_us = every_ms * 1000;
    return c;
}

static void start(struct stun_client *c, const struct stun_client_config *config) {
    rng_seed(&seed, 5);
    struct bk_rng rng = rng_from_seeded(&seed);
    assert_int_equal(stun_client_init(c, config, &rng, test_at_ms(0)), BK_OK);
}

/* A client whose request comes from `from`: the datagram to hand back to it. */
static struct bk_datagram serve(struct stun_client *c, struct bk_addr from, uint8_t *buf) {
    static struct stun_service service;
    struct bk_datagram out, reply;
    assert_true(stun_client_next_datagram(c, &out));
    assert_true(bk_addr_equal(&out.remote, &c->config.server));
    struct bk_datagram in = {.local = out.remote, .remote = from, .data = out.data, .len = out.len};
    assert_int_equal(stun_service_answer(&service, &in, test_at_ms(0), buf, &reply),
                     STUN_SERVICE_MAPPED);
    reply.local = c->config.local;
    reply.remote = c->config.server;
    return reply;
}

static void test_one_shot(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(0);
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    struct bk_datagram none;
    start(&c, &config);
    struct bk_datagram reply = serve(&c, outside, buf);
    assert_false(stun_client_next_datagram(&c, &none));
    assert_int_equal(stun_client_recv(&c, &reply, test_at_ms(33)), BK_OK);
    assert_true(stun_client_next_event(&c, &e));
    assert_int_equal(e.kind, STUN_CLIENT_MAPPED);
    assert_true(bk_addr_equal(&e.mapped, &outside) && bk_addr_equal(&e.local, &local));
    assert_true(e.changed && e.rtt.exact);
    assert_int_equal(e.rtt.us, 33000);
    assert_false(stun_client_next_event(&c, &e));
    assert_true(bk_is_never(stun_client_deadline(&c)));
    /* the same answer again is nobody's */
    assert_int_equal(stun_client_recv(&c, &reply, test_at_ms(34)), BK_ERR_NOT_OURS);
}

static void test_tailnode_is_what_derper_asks_for(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_config config = config_of(0);
    struct bk_datagram out;
    struct stun_msg m;
    struct stun_attr a;
    config.tailnode = true;
    start(&c, &config);
    assert_true(stun_client_next_datagram(&c, &out));
    assert_int_equal(out.len, 40);
    assert_int_equal(stun_parse(&m, out.data, out.len), BK_OK);
    assert_true(stun_find(&m, STUN_SOFTWARE, &a));
    assert_int_equal(a.at, STUN_HEADER_LEN); /* directly behind the header */
    assert_memory_equal(a.value, "tailnode", 8);
    assert_int_equal(stun_check_fingerprint(&m), BK_OK);
}

static void test_timeout_after_the_whole_schedule(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(0);
    struct bk_datagram out;
    uint8_t first[64];
    int sends = 0;
    start(&c, &config);
    while (!bk_is_never(stun_client_deadline(&c))) {
        while (stun_client_next_datagram(&c, &out)) {
            if (sends++ == 0)
                memcpy(first, out.data, out.len);
            assert_memory_equal(first, out.data, out.len); /* retransmissions are the same bytes */
        }
        stun_client_advance(&c, stun_client_deadline(&c));
    }
    assert_int_equal(sends, 7);
    assert_true(stun_client_next_event(&c, &e));
    assert_int_equal(e.kind, STUN_CLIENT_FAILED);
    assert_int_equal(e.err, BK_ERR_TIMEOUT);
    assert_int_equal(c.now.us, 39500000);
    assert_int_equal(c.counts.timed_out, 1);
}

static void test_periodic_rounds_notice_a_new_mapping(void **state) {
    (void)state;
    static const char *const seen[] = {"198.51.100.7:1", "198.51.100.7:1", "198.51.100.7:2"};
    static const bool changed[] = {true, false, true};
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(15000);
    uint8_t txid[STUN_TXID_LEN] = {0};
    start(&c, &config);
    for (int i = 0; i < 3; i++) {
        uint8_t buf[STUN_SERVICE_REPLY_MAX];
        struct bk_datagram none;
        assert_memory_not_equal(txid, c.txn.txid, sizeof txid); /* new in each round */
        memcpy(txid, c.txn.txid, sizeof txid);
        struct bk_datagram reply = serve(&c, addr(seen[i]), buf);
        assert_int_equal(stun_client_recv(&c, &reply, c.now), BK_OK);
        assert_true(stun_client_next_event(&c, &e));
        assert_int_equal(e.changed, changed[i]);
        struct bk_time next = stun_client_deadline(&c);
        assert_int_equal(next.us, c.now.us + 15000000);
        struct bk_time early = {next.us - 1};
        stun_client_advance(&c, early);
        assert_false(stun_client_next_datagram(&c, &none));
        stun_client_advance(&c, next);
    }
}

/* A change that nobody fetched is not lost when the next round brings the same address. */
static void test_an_unfetched_change_stays(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(15000);
    start(&c, &config);
    for (int i = 0; i < 2; i++) {
        uint8_t buf[STUN_SERVICE_REPLY_MAX];
        struct bk_datagram reply = serve(&c, outside, buf);
        assert_int_equal(stun_client_recv(&c, &reply, c.now), BK_OK);
        stun_client_advance(&c, stun_client_deadline(&c));
    }
    assert_true(stun_client_next_event(&c, &e));
    assert_true(e.changed);
}

/* Rounds of one transmission, given up after 1 s: when do they begin? */
static void test_a_silent_server_is_asked_soon_then_rarely(void **state) {
    (void)state;
    static const int64_t begins_ms[] = {0, 2000, 5000, 10000, 19000, 35000, 51000};
    struct stun_client c;
    struct stun_client_config config = config_of(15000);
    struct bk_datagram out;
    config.retry_us = BK_US_PER_S;
    config.txn =
        (struct stun_txn_config){.rto_us = BK_US_PER_S, .rc = 1, .rm = 1, .ti_us = 39500000};
    start(&c, &config);
    for (size_t i = 0; i < sizeof begins_ms / sizeof *begins_ms; i++) {
        stun_client_advance(&c, test_at_ms(begins_ms[i] - 1));
        assert_true(i == 0 || !stun_client_next_datagram(&c, &out));
        stun_client_advance(&c, test_at_ms(begins_ms[i]));
        assert_true(stun_client_next_datagram(&c, &out));
        stun_client_advance(&c, test_at_ms(begins_ms[i] + 1000));
    }
}

static void test_an_answer_ends_the_hurry(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_config config = config_of(15000);
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    config.retry_us = BK_US_PER_S;
    start(&c, &config);
    struct bk_datagram reply = serve(&c, outside, buf);
    assert_int_equal(stun_client_recv(&c, &reply, test_at_ms(20)), BK_OK);
    assert_int_equal(stun_client_deadline(&c).us, 15020 * 1000);
}

static void test_ask_now_and_stop(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(0);
    struct bk_datagram out;
    uint8_t buf[STUN_SERVICE_REPLY_MAX], old[STUN_SERVICE_REPLY_MAX];
    start(&c, &config);
    struct bk_datagram late = serve(&c, outside, old);
    stun_client_ask_now(&c, test_at_ms(100));
    assert_int_equal(stun_client_recv(&c, &late, test_at_ms(101)), BK_ERR_NOT_OURS);
    struct bk_datagram reply = serve(&c, outside, buf);
    assert_int_equal(stun_client_recv(&c, &reply, test_at_ms(102)), BK_OK);
    stun_client_stop(&c);
    assert_false(stun_client_next_event(&c, &e));
    assert_false(stun_client_next_datagram(&c, &out));
    assert_true(bk_is_never(stun_client_deadline(&c)));
    stun_client_ask_now(&c, test_at_ms(200));
    stun_client_stop(&c);
    assert_false(stun_client_next_datagram(&c, &out));
}

enum lie {
    LIE_ADDRESS,
    LIE_TXID,
    LIE_REQUEST,
    LIE_METHOD,
    LIE_NO_ADDRESS,
    LIE_PORT_0,
    LIE_UNKNOWN_REQUIRED,
    LIE_FINGERPRINT,
    LIE_ERROR_WITHOUT_CODE,
    LIE_GARBAGE,
    LIES
};

static size_t build_lie(enum lie lie, const uint8_t *txid, uint8_t *buf, size_t cap) {
    struct bk_addr mapped = outside;
    uint8_t other[STUN_TXID_LEN] = {9};
    size_t len;
    enum stun_class cls = lie == LIE_REQUEST              ? STUN_REQUEST
                          : lie == LIE_ERROR_WITHOUT_CODE ? STUN_ERROR
                                                          : STUN_SUCCESS;
    struct stun_builder b =
        stun_start(buf, cap, cls, lie == LIE_METHOD ? TURN_ALLOCATE : STUN_BINDING,
                   lie == LIE_TXID ? other : txid);
    if (lie == LIE_PORT_0)
        mapped.port = 0;
    if (lie != LIE_NO_ADDRESS)
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &mapped);
    if (lie == LIE_UNKNOWN_REQUIRED)
        stun_put_bytes(&b, 0x7001, "", 0);
    if (lie == LIE_FINGERPRINT)
        stun_put_u32(&b, STUN_FINGERPRINT, 1);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    if (lie == LIE_GARBAGE)
        buf[0] = 0xff;
    return len;
}

static void test_liars_are_dropped_and_the_truth_still_counts(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(0);
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    start(&c, &config);
    struct bk_datagram reply = serve(&c, outside, buf);
    for (int lie = 0; lie < LIES; lie++) {
        uint8_t forged[128];
        struct bk_datagram in = {.local = local, .remote = server, .data = forged};
        in.len = build_lie((enum lie)lie, c.txn.txid, forged, sizeof forged);
        if (lie == LIE_ADDRESS)
            in.remote.port++;
        bool named = lie == LIE_METHOD || lie == LIE_NO_ADDRESS || lie == LIE_PORT_0 ||
                     lie == LIE_UNKNOWN_REQUIRED || lie == LIE_ERROR_WITHOUT_CODE;
        enum bk_err want = named ? BK_ERR_MALFORMED : BK_ERR_NOT_OURS;
        if (stun_client_recv(&c, &in, test_at_ms(1)) != want || c.has_event)
            fail_msg("lie %d", lie);
    }
    assert_int_equal(c.counts.malformed, 5);
    assert_int_equal(c.counts.not_ours, LIES - 5);
    assert_int_equal(stun_client_recv(&c, &reply, test_at_ms(2)), BK_OK);
    assert_true(stun_client_next_event(&c, &e));
}

static void test_error_response_is_told(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(15000);
    uint8_t buf[64];
    struct bk_datagram out, in = {.local = local, .remote = server, .data = buf};
    start(&c, &config);
    assert_true(stun_client_next_datagram(&c, &out));
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_ERROR, STUN_BINDING, c.txn.txid);
    stun_put_error(&b, STUN_CODE_TRY_ALTERNATE, "Try Alternate");
    stun_put_addr(&b, STUN_ALTERNATE_SERVER, &outside);
    assert_int_equal(stun_finish(&b, &in.len), BK_OK);
    assert_int_equal(stun_client_recv(&c, &in, test_at_ms(9)), BK_OK);
    assert_true(stun_client_next_event(&c, &e));
    assert_int_equal(e.kind, STUN_CLIENT_FAILED);
    assert_int_equal(e.err, BK_ERR_REFUSED);
    assert_int_equal(e.code, 300);
    assert_true(bk_addr_equal(&e.alternate, &outside));
    assert_int_equal(stun_client_deadline(&c).us, 15009000); /* and tries again */
}

static void test_old_servers_without_xor(void **state) {
    (void)state;
    struct stun_client c;
    struct stun_client_event e;
    struct stun_client_config config = config_of(0);
    uint8_t buf[64];
    struct bk_addr mapped = outside;
    struct bk_datagram in = {.local = local, .remote = server, .data = buf};
    start(&c, &config);
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, c.txn.txid);
    stun_put_addr(&b, STUN_MAPPED_ADDRESS, &mapped);
    assert_int_equal(stun_finish(&b, &in.len), BK_OK);
    assert_int_equal(stun_client_recv(&c, &in, test_at_ms(9)), BK_OK);
    assert_true(stun_client_next_event(&c, &e));
    assert_true(bk_addr_equal(&e.mapped, &mapped));
}

static void test_config_is_checked(void **state) {
    (void)state;
    struct rng_seeded r;
    rng_seed(&r, 1);
    struct bk_rng rng = rng_from_seeded(&r);
    for (int i = 0; i < 4; i++) {
        struct stun_client_config config = config_of(0);
        struct stun_client c;
        if (i == 0)
            config.server.ip.family = BK_FAMILY_NONE;
        if (i == 1)
            config.server.port = 0;
        if (i == 2)
            config.every_us = 999999;
        if (i == 3)
            config.txn.rc = 0;
        assert_int_equal(stun_client_init(&c, &config, &rng, test_at_ms(0)), BK_ERR_ARGUMENT);
    }
}

static void *no_memory(void *ctx, size_t size) {
    (void)ctx;
    (void)size;
    return NULL;
}

static void test_public_object(void **state) {
    (void)state;
    struct bk_stun_config config = bk_stun_config_default;
    struct bk_alloc poor = {no_memory, test_put, NULL};
    static struct stun_service service;
    struct bk_stun *stun = NULL;
    struct bk_stun_event e;
    struct bk_datagram out, reply;
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    rng_seed(&seed, 6);
    struct bk_rng rng = rng_from_seeded(&seed);
    bk_stun_free(NULL);
    assert_int_equal(bk_stun_new(&config, &test_alloc, &rng, test_at_ms(0), &stun),
                     BK_ERR_ARGUMENT);
    config.local = local;
    config.server = server;
    assert_int_equal(bk_stun_new(&config, &poor, &rng, test_at_ms(0), &stun), BK_ERR_NO_MEMORY);
    assert_null(stun);
    assert_int_equal(bk_stun_new(&config, &test_alloc, &rng, test_at_ms(0), &stun), BK_OK);
    assert_true(bk_stun_next_datagram(stun, &out));
    assert_int_equal(bk_stun_deadline(stun).us, 500000);
    bk_stun_advance(stun, test_at_ms(500));
    assert_true(bk_stun_next_datagram(stun, &out));
    struct bk_datagram in = {.local = server, .remote = outside, .data = out.data, .len = out.len};
    assert_int_equal(stun_service_answer(&service, &in, test_at_ms(0), buf, &reply),
                     STUN_SERVICE_MAPPED);
    reply.remote = server;
    assert_int_equal(bk_stun_recv(stun, &reply, test_at_ms(520)), BK_OK);
    assert_true(bk_stun_next_event(stun, &e));
    assert_int_equal(e.kind, BK_STUN_MAPPED);
    assert_true(bk_addr_equal(&e.mapped, &outside));
    assert_false(e.rtt_exact);
    assert_int_equal(e.rtt_us, 520000);
    assert_false(bk_stun_next_event(stun, &e));
    bk_stun_ask_now(stun, test_at_ms(600));
    assert_true(bk_stun_next_datagram(stun, &out));
    bk_stun_free(stun);
}

int main(void) {
    local = addr("10.0.0.2:5000");
    server = addr("203.0.113.1:3478");
    outside = addr("198.51.100.7:40000");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_shot),
        cmocka_unit_test(test_tailnode_is_what_derper_asks_for),
        cmocka_unit_test(test_timeout_after_the_whole_schedule),
        cmocka_unit_test(test_periodic_rounds_notice_a_new_mapping),
        cmocka_unit_test(test_an_unfetched_change_stays),
        cmocka_unit_test(test_a_silent_server_is_asked_soon_then_rarely),
        cmocka_unit_test(test_an_answer_ends_the_hurry),
        cmocka_unit_test(test_ask_now_and_stop),
        cmocka_unit_test(test_liars_are_dropped_and_the_truth_still_counts),
        cmocka_unit_test(test_error_response_is_told),
        cmocka_unit_test(test_old_servers_without_xor),
        cmocka_unit_test(test_config_is_checked),
        cmocka_unit_test(test_public_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
