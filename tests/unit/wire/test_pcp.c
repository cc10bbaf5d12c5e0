/* SPDX-License-Identifier: MIT */
#include "../test.h"

#include "wire/natpmp.h"
#include "wire/pcp.h"

/* RFC 6887 sections 7.1 and 11.1, figures 2 and 9, filled in by hand. */
static const uint8_t map_request[] = {2,    1,  0, 0, 0, 0,    0x1c, 0x20, 0,    0,   0,
                                      0,    0,  0, 0, 0, 0,    0,    0xff, 0xff, 192, 168,
                                      1,    2, /* 7200 */
                                      1,    2,  3, 4, 5, 6,    7,    8,    9,    10,  11,
                                      12,   17, 0, 0, 0, 0x9c, 0x40, 0x9c, 0x41, /* 40000 */
                                      0,    0,  0, 0, 0, 0,    0,    0,    0,    0,   0xff,
                                      0xff, 0,  0, 0, 0, 2,    0,    0,    0}; /* PREFER_FAILURE */

static const uint8_t map_response[] = {
    2,    0x81, 0,    0,    0, 0, 0x0e, 0x10, 0, 0, 1, 0, 0, 0,  0,    0,    0,   0,  0,   0,
    0,    0,    0,    0,    1, 2, 3,    4,    5, 6, 7, 8, 9, 10, 11,   12,   17,  0,  0,   0,
    0x9c, 0x40, 0x9c, 0x41, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0,  0xff, 0xff, 198, 51, 100, 7};

static struct pcp_request request(void) {
    struct pcp_request q = {.opcode = PCP_MAP, .lifetime_s = 7200, .prefer_failure = true};
    q.client = bk_ipv4(192, 168, 1, 2);
    q.map.protocol = PCP_PROTOCOL_UDP;
    q.map.internal_port = 40000;
    q.map.external.port = 40001;
    for (uint8_t i = 0; i < PCP_NONCE_LEN; i++)
        q.map.nonce[i] = (uint8_t)(i + 1);
    return q;
}

static void a_map_request_has_the_bytes_of_the_rfc(void **state) {
    (void)state;
    uint8_t buf[PCP_MESSAGE_MAX];
    struct pcp_request q = request(), back;
    assert_int_equal(pcp_build_request(&q, buf, sizeof buf), sizeof map_request);
    assert_memory_equal(buf, map_request, sizeof map_request);
    assert_int_equal(pcp_build_request(&q, buf, sizeof map_request - 1), 0);
    assert_int_equal(pcp_parse_request(map_request, sizeof map_request, &back), BK_OK);
    assert_true(back.prefer_failure && !back.other_options);
    assert_true(bk_ip_equal(&back.client, &q.client));
    assert_int_equal(back.map.internal_port, 40000);
    assert_int_equal(back.lifetime_s, 7200);
}

static void a_map_response_is_read(void **state) {
    (void)state;
    struct pcp_response p;
    struct bk_addr external = bk_addr(bk_ipv4(198, 51, 100, 7), 40001);
    uint8_t buf[PCP_MESSAGE_MAX];
    assert_int_equal(pcp_parse_response(map_response, sizeof map_response, &p), BK_OK);
    assert_int_equal(p.opcode, PCP_MAP);
    assert_int_equal(p.lifetime_s, 3600);
    assert_int_equal(p.epoch_s, 256);
    assert_true(p.has_map && bk_addr_equal(&p.map.external, &external));
    assert_int_equal(pcp_build_response(&p, buf, sizeof buf), sizeof map_response);
    assert_memory_equal(buf, map_response, sizeof map_response);
}

static void a_cut_response_is_refused_at_every_byte(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof map_response; len++) {
        struct pcp_response p;
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, map_response, len);
        assert_int_not_equal(pcp_parse_response(copy, len, &p), BK_OK);
        free(copy);
    }
    for (size_t len = 0; len < sizeof map_request; len++) {
        struct pcp_request q;
        bool whole = len == sizeof map_request - 4; /* without its option */
        assert_int_equal(pcp_parse_request(map_request, len, &q) == BK_OK, whole);
    }
}

static void a_response_breaking_section_8_3_is_refused(void **state) {
    (void)state;
    uint8_t long_one[PCP_MESSAGE_MAX + 4];
    struct pcp_response p;
    memset(long_one, 0, sizeof long_one);
    memcpy(long_one, map_response, sizeof map_response);
    assert_int_equal(pcp_parse_response(long_one, PCP_MESSAGE_MAX, &p), BK_OK); /* options */
    assert_int_equal(pcp_parse_response(long_one, PCP_MESSAGE_MAX + 4, &p), BK_ERR_MALFORMED);
    assert_int_equal(pcp_parse_response(long_one, sizeof map_response + 1, &p), BK_ERR_MALFORMED);
    assert_int_equal(pcp_parse_response(map_request, sizeof map_request, &p), BK_ERR_NOT_OURS);
    assert_int_equal(pcp_parse_request(map_response, sizeof map_response, &(struct pcp_request){0}),
                     BK_ERR_NOT_OURS);
}

/* Section 9, and appendix A: a NAT-PMP server answers in its own format. */
static void versions_are_told_apart(void **state) {
    (void)state;
    static const uint8_t natpmp[] = {0, 0x81, 0, 1, 0, 0, 0, 9};
    static const uint8_t third[] = {3, 0x81, 0, 1, 0, 0, 0, 9};
    static const uint8_t third_fine[] = {3, 0x81, 0, 0, 0, 0, 0, 9};
    struct pcp_response p;
    struct natpmp_response n;
    assert_int_equal(pcp_parse_response(natpmp, sizeof natpmp, &p), BK_ERR_NOT_OURS);
    assert_int_equal(natpmp_parse_response(natpmp, sizeof natpmp, &n), BK_OK);
    assert_int_equal(n.result, NATPMP_UNSUPP_VERSION);
    assert_int_equal(pcp_parse_response(third, sizeof third, &p), BK_OK);
    assert_int_equal(p.version, 3);
    assert_int_equal(p.result, PCP_UNSUPP_VERSION);
    assert_int_equal(pcp_parse_response(third_fine, sizeof third_fine, &p), BK_ERR_NOT_OURS);
    assert_int_equal(natpmp_parse_response(map_response, sizeof map_response, &n), BK_ERR_NOT_OURS);
}

static void peer_carries_the_other_side(void **state) {
    (void)state;
    uint8_t buf[PCP_MESSAGE_MAX];
    struct pcp_request q = request(), back;
    q.opcode = PCP_PEER;
    q.prefer_failure = false;
    q.map.peer = bk_addr(bk_ipv4(203, 0, 113, 9), 443);
    assert_int_equal(pcp_build_request(&q, buf, sizeof buf), PCP_HEADER_LEN + 56);
    assert_int_equal(pcp_parse_request(buf, PCP_HEADER_LEN + 56, &back), BK_OK);
    assert_true(bk_addr_equal(&back.map.peer, &q.map.peer));
}

static void an_announcement_is_a_header(void **state) {
    (void)state;
    struct pcp_request q = {.opcode = PCP_ANNOUNCE, .client = bk_ipv4(10, 0, 0, 2)};
    struct pcp_response p = {.version = PCP_VERSION, .opcode = PCP_ANNOUNCE, .epoch_s = 7}, back;
    uint8_t buf[PCP_MESSAGE_MAX];
    assert_int_equal(pcp_build_request(&q, buf, sizeof buf), PCP_HEADER_LEN);
    assert_int_equal(pcp_build_response(&p, buf, sizeof buf), PCP_HEADER_LEN);
    assert_int_equal(pcp_parse_response(buf, PCP_HEADER_LEN, &back), BK_OK);
    assert_int_equal(back.epoch_s, 7);
    assert_false(back.has_map);
}

/* RFC 6886 sections 3.2 and 3.3. */
static void natpmp_has_the_bytes_of_the_rfc(void **state) {
    (void)state;
    static const uint8_t ask[] = {0, 1, 0, 0, 0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20};
    static const uint8_t answer[] = {0,    129,  0,    0,    0, 0, 1,    0,
                                     0x9c, 0x40, 0x9c, 0x41, 0, 0, 0x1c, 0x20};
    static const uint8_t external[] = {0, 128, 0, 0, 0, 0, 1, 0, 198, 51, 100, 7};
    struct natpmp_request q = {NATPMP_MAP_UDP, 40000, 40001, 7200}, back;
    struct natpmp_response p;
    struct bk_ip ip = bk_ipv4(198, 51, 100, 7);
    uint8_t buf[NATPMP_MESSAGE_MAX];
    assert_int_equal(natpmp_build_request(&q, buf, sizeof buf), sizeof ask);
    assert_memory_equal(buf, ask, sizeof ask);
    assert_int_equal(natpmp_parse_request(ask, sizeof ask, &back), BK_OK);
    assert_int_equal(back.external_port, 40001);
    assert_int_equal(natpmp_parse_response(answer, sizeof answer, &p), BK_OK);
    assert_int_equal(p.external_port, 40001);
    assert_int_equal(p.lifetime_s, 7200);
    assert_int_equal(natpmp_build_response(&p, buf, sizeof buf), sizeof answer);
    assert_memory_equal(buf, answer, sizeof answer);
    assert_int_equal(natpmp_parse_response(external, sizeof external, &p), BK_OK);
    assert_true(bk_ip_equal(&p.external, &ip));
    for (size_t len = 0; len < sizeof answer; len++)
        assert_int_not_equal(natpmp_parse_response(answer, len, &p), BK_OK);
    for (size_t len = 0; len < sizeof external; len++)
        assert_int_not_equal(natpmp_parse_response(external, len, &p), BK_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_request_has_the_bytes_of_the_rfc),
        cmocka_unit_test(a_map_response_is_read),
        cmocka_unit_test(a_cut_response_is_refused_at_every_byte),
        cmocka_unit_test(a_response_breaking_section_8_3_is_refused),
        cmocka_unit_test(versions_are_told_apart),
        cmocka_unit_test(peer_carries_the_other_side),
        cmocka_unit_test(an_announcement_is_a_header),
        cmocka_unit_test(natpmp_has_the_bytes_of_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
