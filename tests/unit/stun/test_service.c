/* SPDX-License-Identifier: MIT
 * The binding server: what it answers, what it drops and why, and that it is no amplifier. */
#include "../test.h"

#include "stun/seal.h"
#include "stun/service.h"

#define TXID ((const uint8_t *)"abcdefghijkl")

struct fixture {
    struct stun_service service;
    struct bk_datagram in, reply;
    uint8_t request[512], buf[STUN_SERVICE_REPLY_MAX];
};

static struct bk_addr addr(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static struct stun_builder begin(struct fixture *f, enum stun_class cls, uint16_t method) {
    memset(f, 0, sizeof *f);
    f->in.local = addr("203.0.113.1:3478");
    f->in.remote = addr("192.0.2.9:40000");
    f->in.data = f->request;
    return stun_start(f->request, sizeof f->request, cls, method, TXID);
}

static enum stun_service_result ask(struct fixture *f, struct stun_builder *b) {
    assert_int_equal(stun_finish(b, &f->in.len), BK_OK);
    return stun_service_answer(&f->service, &f->in, (struct bk_time){0}, f->buf, &f->reply);
}

static struct stun_msg reply_of(const struct fixture *f) {
    struct stun_msg m;
    assert_int_equal(stun_parse(&m, f->reply.data, f->reply.len), BK_OK);
    assert_memory_equal(m.txid, TXID, STUN_TXID_LEN);
    assert_true(bk_addr_equal(&f->reply.remote, &f->in.remote));
    assert_true(bk_addr_equal(&f->reply.local, &f->in.local));
    return m;
}

static void test_plain_request(void **state) {
    (void)state;
    struct fixture f;
    struct bk_addr mapped;
    struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
    assert_int_equal(ask(&f, &b), STUN_SERVICE_MAPPED);
    struct stun_msg m = reply_of(&f);
    assert_int_equal(m.cls, STUN_SUCCESS);
    assert_int_equal(stun_get_addr(&m, STUN_XOR_MAPPED_ADDRESS, &mapped), BK_OK);
    assert_true(bk_addr_equal(&mapped, &f.in.remote));
    assert_int_equal(f.reply.len, 32);
    assert_int_equal(m.fingerprint_at, 0);
    assert_int_equal(f.service.counts[STUN_SERVICE_MAPPED], 1);
}

/* What derper clients send: SOFTWARE "tailnode" and FINGERPRINT. */
static void test_tailnode_request(void **state) {
    (void)state;
    struct fixture f;
    struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
    stun_put_bytes(&b, STUN_SOFTWARE, "tailnode", 8);
    stun_put_fingerprint(&b);
    assert_int_equal(ask(&f, &b), STUN_SERVICE_MAPPED);
    struct stun_msg m = reply_of(&f);
    assert_int_equal(stun_check_fingerprint(&m), BK_OK);
    assert_false(stun_has(&m, STUN_SOFTWARE));
}

static void test_mapped_ipv4_in_ipv6_is_told_as_ipv4(void **state) {
    (void)state;
    struct fixture f;
    struct bk_addr mapped, want = addr("192.0.2.9:40000");
    struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
    f.in.remote = addr("[::ffff:192.0.2.9]:40000");
    assert_int_equal(ask(&f, &b), STUN_SERVICE_MAPPED);
    struct stun_msg m = reply_of(&f);
    assert_int_equal(stun_get_addr(&m, STUN_XOR_MAPPED_ADDRESS, &mapped), BK_OK);
    assert_true(bk_addr_equal(&mapped, &want));
}

static void test_unknown_attributes_are_named(void **state) {
    (void)state;
    struct fixture f;
    uint16_t code;
    struct stun_types unknown;
    struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
    stun_put_bytes(&b, 0x7001, "", 0);
    stun_put_bytes(&b, 0x7002, "", 0);
    stun_put_bytes(&b, 0xf001, "", 0);
    stun_put_fingerprint(&b);
    assert_int_equal(ask(&f, &b), STUN_SERVICE_UNKNOWN_ATTRIBUTE);
    struct stun_msg m = reply_of(&f);
    assert_int_equal(m.cls, STUN_ERROR);
    assert_int_equal(stun_get_error(&m, &code, NULL), BK_OK);
    assert_int_equal(code, STUN_CODE_UNKNOWN_ATTRIBUTE);
    assert_int_equal(stun_get_unknown(&m, &unknown), BK_OK);
    assert_int_equal(unknown.count, 2);
    assert_int_equal(unknown.types[1], 0x7002);
    assert_int_equal(stun_check_fingerprint(&m), BK_OK);
}

static void test_silence(void **state) {
    (void)state;
    static const struct {
        const char *name, *from;
        enum stun_class cls;
        uint16_t method;
        enum stun_service_result want;
    } cases[] = {
        {"indication", "192.0.2.9:1", STUN_INDICATION, 1, STUN_SERVICE_DROP_NOT_REQUEST},
        {"success response", "192.0.2.9:1", STUN_SUCCESS, 1, STUN_SERVICE_DROP_NOT_REQUEST},
        {"error response", "192.0.2.9:1", STUN_ERROR, 1, STUN_SERVICE_DROP_NOT_REQUEST},
        {"TURN", "192.0.2.9:1", STUN_REQUEST, TURN_ALLOCATE, STUN_SERVICE_DROP_METHOD},
        {"from port 0", "192.0.2.9:0", STUN_REQUEST, 1, STUN_SERVICE_DROP_SOURCE},
        {"from a group", "224.0.0.1:9", STUN_REQUEST, 1, STUN_SERVICE_DROP_SOURCE},
        {"from everybody", "255.255.255.255:9", STUN_REQUEST, 1, STUN_SERVICE_DROP_SOURCE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct stun_builder b = begin(&f, cases[i].cls, cases[i].method);
        f.in.remote = addr(cases[i].from);
        enum stun_service_result got = ask(&f, &b);
        if (got != cases[i].want || stun_service_answered(got) || f.reply.data != NULL ||
            f.service.counts[got] != 1)
            fail_msg("%s: %s", cases[i].name, stun_service_result_name(got));
    }
}

static void test_wrong_fingerprint_is_another_protocol(void **state) {
    (void)state;
    struct fixture f;
    struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
    stun_put_u32(&b, STUN_FINGERPRINT, 1);
    assert_int_equal(ask(&f, &b), STUN_SERVICE_DROP_NOT_STUN);
}

static void test_cut_requests_are_malformed(void **state) {
    (void)state;
    struct fixture f;
    struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
    stun_put_bytes(&b, STUN_SOFTWARE, "x", 1);
    assert_int_equal(stun_finish(&b, &f.in.len), BK_OK);
    size_t full = f.in.len;
    for (f.in.len = 0; f.in.len < full; f.in.len++)
        assert_int_equal(
            stun_service_answer(&f.service, &f.in, (struct bk_time){0}, f.buf, &f.reply),
            STUN_SERVICE_DROP_MALFORMED);
}

/* The promise of the header, for every shape of request that gets an answer. */
static void test_no_amplification(void **state) {
    (void)state;
    for (int v6 = 0; v6 < 2; v6++)
        for (int fingerprint = 0; fingerprint < 2; fingerprint++)
            for (uint16_t unknown = 0; unknown < 40; unknown++) {
                struct fixture f;
                struct stun_builder b = begin(&f, STUN_REQUEST, STUN_BINDING);
                if (v6)
                    f.in.remote = addr("[2001:db8::9]:40000");
                for (uint16_t i = 0; i < unknown; i++)
                    stun_put_bytes(&b, (uint16_t)(0x7000 + i), "", 0);
                if (fingerprint)
                    stun_put_fingerprint(&b);
                assert_true(stun_service_answered(ask(&f, &b)));
                size_t headers = v6 ? 48 : 0; /* IPv6 and UDP; over IPv4 the payload alone */
                if ((f.reply.len + headers) * 10 > (f.in.len + headers) * 16)
                    fail_msg("%zu bytes answered with %zu", f.in.len, f.reply.len);
            }
}

static void test_every_result_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < STUN_SERVICE_RESULTS; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(stun_service_result_name((enum stun_service_result)i),
                                    stun_service_result_name((enum stun_service_result)j));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_request),
        cmocka_unit_test(test_tailnode_request),
        cmocka_unit_test(test_mapped_ipv4_in_ipv6_is_told_as_ipv4),
        cmocka_unit_test(test_unknown_attributes_are_named),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_wrong_fingerprint_is_another_protocol),
        cmocka_unit_test(test_cut_requests_are_malformed),
        cmocka_unit_test(test_no_amplification),
        cmocka_unit_test(test_every_result_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
