/* SPDX-License-Identifier: MIT
 * A check byte by byte, against one put together by hand with independently computed seals. */
#include "../test.h"

#include "ice/message.h"
#include "stun/seal.h"

/* RFC 5769 section 2.1, without its SOFTWARE attribute: that sample request is an ICE check with
 * user "evtj:h6vY", password "VOkJxbRl1RmTxUk/WvJxBt", priority 0x6e0001ff, controlled, tie-breaker
 * 0x932ff9b151263b36. MESSAGE-INTEGRITY and FINGERPRINT were computed with Python's hmac
 * and zlib for the shorter message. */
static const uint8_t expected[] = {
    0x00,
    0x01,
    0x00,
    0x44,
    0x21,
    0x12,
    0xa4,
    0x42, /* Binding request, 68 bytes, cookie */
    0xb7,
    0xe7,
    0xa7,
    0x01,
    0xbc,
    0x34,
    0xd6,
    0x86,
    0xfa,
    0x87,
    0xdf,
    0xae, /* transaction id */
    0x00,
    0x06,
    0x00,
    0x09,
    'e',
    'v',
    't',
    'j',
    ':',
    'h',
    '6',
    'v',
    'Y',
    0,
    0,
    0,
    0x00,
    0x24,
    0x00,
    0x04,
    0x6e,
    0x00,
    0x01,
    0xff, /* PRIORITY */
    0x80,
    0x29,
    0x00,
    0x08,
    0x93,
    0x2f,
    0xf9,
    0xb1,
    0x51,
    0x26,
    0x3b,
    0x36, /* ICE-CONTROLLED */
    /* MESSAGE-INTEGRITY, FINGERPRINT */
    0x00,
    0x08,
    0x00,
    0x14,
    0x7a,
    0x4f,
    0xd3,
    0x81,
    0x02,
    0x4d,
    0xda,
    0x8c,
    0xe7,
    0x96,
    0xb8,
    0x52,
    0xd3,
    0x1b,
    0x21,
    0x7e,
    0xf9,
    0xbe,
    0xa4,
    0x91,
    0x80,
    0x28,
    0x00,
    0x04,
    0xe4,
    0xd4,
    0x76,
    0x51,
};

static const uint8_t txid[STUN_TXID_LEN] = {0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
                                            0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae};
static struct ice_cred ours, theirs;

static int fresh(void **state) {
    (void)state;
    assert_int_equal(ice_cred_set(&ours, "h6vY", "ourownpasswordisnotused"), BK_OK);
    assert_int_equal(ice_cred_set(&theirs, "evtj", "VOkJxbRl1RmTxUk/WvJxBt"), BK_OK);
    return 0;
}

static struct ice_check_message sample(void) {
    struct ice_check_message m = {.txid = txid,
                                  .local = ice_cred_view(&ours),
                                  .remote = ice_cred_view(&theirs),
                                  .priority = 0x6e0001ff,
                                  .role = {false, UINT64_C(0x932ff9b151263b36)}};
    return m;
}

static void a_check_is_exactly_these_bytes(void **state) {
    (void)state;
    uint8_t buf[256];
    size_t len = 0;
    struct ice_check_message m = sample();
    assert_int_equal(ice_build_check(&m, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(len, sizeof expected);
    assert_memory_equal(buf, expected, len);
    for (size_t cap = 0; cap < sizeof expected; cap++)
        assert_int_equal(ice_build_check(&m, buf, cap, &len), BK_ERR_TOO_LONG);
}

/* Reads RFC 5769 section 2.1 itself (from its vector) as a request. */
static void the_sample_request_of_rfc_5769_is_read(void **state) {
    (void)state;
    static const uint8_t rfc[] = {
        0x00, 0x01, 0x00, 0x58, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34,
        0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x10, 0x53, 0x54, 0x55, 0x4e,
        0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, 0x69, 0x65, 0x6e, 0x74, 0x00, 0x24,
        0x00, 0x04, 0x6e, 0x00, 0x01, 0xff, 0x80, 0x29, 0x00, 0x08, 0x93, 0x2f, 0xf9, 0xb1,
        0x51, 0x26, 0x3b, 0x36, 0x00, 0x06, 0x00, 0x09, 0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68,
        0x36, 0x76, 0x59, 0x20, 0x20, 0x20, 0x00, 0x08, 0x00, 0x14, 0x9a, 0xea, 0xa7, 0x0c,
        0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, 0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5,
        0x71, 0xa2, 0x80, 0x28, 0x00, 0x04, 0xe5, 0x7a, 0x3b, 0xcf};
    struct stun_msg msg;
    struct ice_request r;
    struct wire_span username;
    assert_int_equal(stun_parse(&msg, rfc, sizeof rfc), BK_OK);
    assert_int_equal(stun_check_integrity(&msg, theirs.pwd, strlen(theirs.pwd)), BK_OK);
    assert_int_equal(stun_get_bytes(&msg, STUN_USERNAME, &username), BK_OK);
    assert_true(ice_cred_is_addressed(ice_cred_view(&theirs), username));
    assert_int_equal(ice_read_request(&msg, &r), BK_OK);
    assert_true(r.has_priority && r.priority == 0x6e0001ff);
    assert_true(r.has_role && !r.role.controlling);
    assert_true(r.role.tie_breaker == UINT64_C(0x932ff9b151263b36));
    assert_true(!r.use_candidate && r.nomination == 0);
}

static void a_nominating_check_carries_its_number(void **state) {
    (void)state;
    uint8_t buf[256];
    size_t len = 0;
    struct stun_msg msg;
    struct ice_request r;
    struct ice_check_message m = sample();
    m.role.controlling = m.use_candidate = true;
    m.nomination = 7;
    assert_int_equal(ice_build_check(&m, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(stun_parse(&msg, buf, len), BK_OK);
    assert_int_equal(ice_read_request(&msg, &r), BK_OK);
    assert_true(r.use_candidate && r.nomination == 7 && r.role.controlling);
    struct stun_types unknown; /* nothing a plain RFC 8445 agent would have to refuse */
    stun_unknown_required(&msg, STUN_USE_BASE | STUN_USE_ICE, &unknown);
    assert_int_equal(unknown.count, 0);
}

static void padding_reaches_the_wanted_size(void **state) {
    (void)state;
    uint8_t buf[2048];
    static const size_t sizes[] = {200, 1200, 1452, 1472, 2048};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t len = 0;
        struct stun_msg msg;
        struct stun_types unknown;
        struct ice_check_message m = sample();
        m.pad_to = sizes[i];
        assert_int_equal(ice_build_check(&m, buf, sizeof buf, &len), BK_OK);
        assert_int_equal(len, sizes[i]);
        assert_int_equal(stun_parse(&msg, buf, len), BK_OK);
        assert_int_equal(stun_check_fingerprint(&msg), BK_OK);
        stun_unknown_required(&msg, STUN_USE_BASE | STUN_USE_ICE, &unknown);
        assert_int_equal(unknown.count, 0);
    }
}

static void the_longest_credentials_fit(void **state) {
    (void)state;
    char longest[257];
    memset(longest, 'x', 256);
    longest[256] = '\0';
    uint8_t buf[ICE_MESSAGE_MAX];
    size_t len = 0;
    assert_int_equal(ice_cred_set(&ours, longest, longest), BK_OK);
    assert_int_equal(ice_cred_set(&theirs, longest, longest), BK_OK);
    struct ice_check_message m = sample();
    m.use_candidate = true;
    m.nomination = 1;
    assert_int_equal(ice_build_check(&m, buf, sizeof buf, &len), BK_OK);
}

static void two_roles_at_once_are_malformed(void **state) {
    (void)state;
    uint8_t buf[128];
    size_t len = 0;
    struct stun_msg msg;
    struct ice_request r;
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_u64(&b, STUN_ICE_CONTROLLING, 1);
    stun_put_u64(&b, STUN_ICE_CONTROLLED, 1);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    assert_int_equal(stun_parse(&msg, buf, len), BK_OK);
    assert_int_equal(ice_read_request(&msg, &r), BK_ERR_MALFORMED);
}

static void answers_are_signed_and_say_what_they_must(void **state) {
    (void)state;
    uint8_t buf[256];
    size_t len = 0;
    struct stun_msg msg;
    struct bk_addr mapped;
    uint16_t code = 0;
    struct ice_answer_message a = {.txid = txid,
                                   .local = ice_cred_view(&ours),
                                   .mapped = bk_addr(bk_ipv4(192, 0, 2, 1), 32853)};
    assert_int_equal(ice_build_answer(&a, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(stun_parse(&msg, buf, len), BK_OK);
    assert_int_equal(msg.cls, STUN_SUCCESS);
    assert_int_equal(stun_get_addr(&msg, STUN_XOR_MAPPED_ADDRESS, &mapped), BK_OK);
    assert_true(bk_addr_equal(&mapped, &a.mapped));
    assert_int_equal(stun_check_integrity(&msg, ours.pwd, strlen(ours.pwd)), BK_OK);
    a.code = STUN_CODE_ROLE_CONFLICT;
    assert_int_equal(ice_build_answer(&a, buf, sizeof buf, &len), BK_OK);
    assert_int_equal(stun_parse(&msg, buf, len), BK_OK);
    assert_int_equal(stun_get_error(&msg, &code, NULL), BK_OK);
    assert_int_equal(code, 487);
    assert_int_equal(stun_check_integrity(&msg, ours.pwd, strlen(ours.pwd)), BK_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_check_is_exactly_these_bytes, fresh),
        cmocka_unit_test_setup(the_sample_request_of_rfc_5769_is_read, fresh),
        cmocka_unit_test_setup(a_nominating_check_carries_its_number, fresh),
        cmocka_unit_test_setup(padding_reaches_the_wanted_size, fresh),
        cmocka_unit_test_setup(the_longest_credentials_fit, fresh),
        cmocka_unit_test_setup(two_roles_at_once_are_malformed, fresh),
        cmocka_unit_test_setup(answers_are_signed_and_say_what_they_must, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
