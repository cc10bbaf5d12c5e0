/* SPDX-License-Identifier: MIT
 * The gateway that rewrites addresses in payloads, on payloads and on packets. */
#include "../test.h"
#include "nat/alg.h"

static struct nat_header udp(const char *src, const char *dst) {
    struct nat_header h = {.flow.proto = NAT_UDP};
    assert_int_equal(bk_addr_parse(src, &h.flow.src), BK_OK);
    assert_int_equal(bk_addr_parse(dst, &h.flow.dst), BK_OK);
    return h;
}

#define INSIDE "192.168.1.2:5060"
#define OUTSIDE "203.0.113.1:40000"
#define PEER "198.51.100.1:3478"

static const struct {
    const char *name;
    enum nat_alg alg;
    const char *payload, *becomes; /* of a packet from inside */
    size_t len, count;
} cases[] = {
    {"off", NAT_ALG_OFF, "\300\250\1\2", "\300\250\1\2", 4, 0},
    {"an address", NAT_ALG_ADDRESS, "xx\300\250\1\2y", "xx\313\0\161\1y", 7, 1},
    {"twice", NAT_ALG_ADDRESS, "\300\250\1\2\300\250\1\2", "\313\0\161\1\313\0\161\1", 8, 2},
    {"part of one", NAT_ALG_ADDRESS, "\300\250\1", "\300\250\1", 3, 0},
    /* MAPPED-ADDRESS, RFC 8489 section 14.1: zero, family, port, address */
    {"the port in front", NAT_ALG_ENDPOINT, "\0\1\23\304\300\250\1\2", "\0\1\234\100\313\0\161\1",
     8, 1},
    {"the port stays", NAT_ALG_ADDRESS, "\0\1\23\304\300\250\1\2", "\0\1\23\304\313\0\161\1", 8, 1},
    {"the port behind", NAT_ALG_ENDPOINT, "\300\250\1\2\23\304", "\313\0\161\1\234\100", 6, 1},
    {"another port", NAT_ALG_ENDPOINT, "\300\250\1\2\23\305", "\313\0\161\1\23\305", 6, 1},
};

static void test_bytes(void **state) {
    (void)state;
    struct nat_header before = udp(INSIDE, PEER), after = udp(OUTSIDE, PEER);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t data[64];
        size_t len = cases[i].len;
        print_message("%s\n", cases[i].name);
        memcpy(data, cases[i].payload, len);
        assert_int_equal(nat_alg_payload(cases[i].alg, &before, &after, data, &len, sizeof data),
                         cases[i].count);
        assert_int_equal(len, cases[i].len);
        assert_memory_equal(data, cases[i].becomes, len);
    }
}

/* What a STUN client sees: the outside address in the answer has become its inside one. */
static void test_from_outside_the_reverse(void **state) {
    (void)state;
    struct nat_header before = udp(PEER, OUTSIDE), after = udp(PEER, INSIDE);
    uint8_t data[] = "\0\1\234\100\313\0\161\1";
    size_t len = 8;
    assert_int_equal(nat_alg_payload(NAT_ALG_ENDPOINT, &before, &after, data, &len, len), 1);
    assert_memory_equal(data, "\0\1\23\304\300\250\1\2", 8);
}

static const struct {
    const char *payload, *becomes;
    size_t cap;
} texts[] = {
    {"c=IN IP4 192.168.1.2\r\n", "c=IN IP4 203.0.113.1\r\n", 64},
    {"<sip:a@192.168.1.2:5060>", "<sip:a@203.0.113.1:40000>", 64},
    {"192.168.1.2:5061", "203.0.113.1:5061", 64},
    {"192.168.1.2 192.168.1.2:5060.", "203.0.113.1 203.0.113.1:40000.", 64},
    {"1192.168.1.2 192.168.1.23 0.192.168.1.2", "1192.168.1.2 192.168.1.23 0.192.168.1.2", 64},
    {"192.168.1.2:5060", "203.0.113.1:5060", 16}, /* no room for the longer port */
    {"", "", 64},
};

static void test_text(void **state) {
    (void)state;
    struct nat_header before = udp(INSIDE, PEER), after = udp(OUTSIDE, PEER);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        uint8_t data[64];
        size_t len = strlen(texts[i].payload);
        memcpy(data, texts[i].payload, len);
        (void)nat_alg_payload(NAT_ALG_TEXT, &before, &after, data, &len, texts[i].cap);
        assert_int_equal(len, strlen(texts[i].becomes));
        assert_memory_equal(data, texts[i].becomes, len);
    }
}

static uint16_t sum(const uint8_t *p, size_t len, uint32_t start) {
    for (size_t i = 0; i < len; i++)
        start += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    start = (start & 0xffff) + (start >> 16);
    return (uint16_t)(start + (start >> 16));
}

static size_t build(uint8_t *d, const char *payload, size_t payload_len, bool checksum) {
    size_t len = 28 + payload_len;
    memset(d, 0, 28);
    d[0] = 0x45;
    d[3] = (uint8_t)len;
    d[8] = 64;
    d[9] = 17;
    memcpy(d + 12, "\300\250\1\2\306\63\144\1", 8);
    memcpy(d + 20, "\23\304\15\226", 4); /* 5060, 3478 */
    d[25] = (uint8_t)(len - 20);
    memcpy(d + 28, payload, payload_len);
    uint16_t ip = (uint16_t)~sum(d, 20, 0);
    d[10] = (uint8_t)(ip >> 8);
    d[11] = (uint8_t)ip;
    uint16_t c = (uint16_t)~sum(d + 12, len - 12, (uint32_t)(17 + len - 20));
    d[26] = checksum ? (uint8_t)(c >> 8) : 0;
    d[27] = checksum ? (uint8_t)c : 0;
    return len;
}

static void test_packets_stay_right(void **state) {
    (void)state;
    static const char *const payloads[] = {"Contact: <sip:a@192.168.1.2:5060>", "odd 192.168.1.2!",
                                           "xyz\300\250\1\2w", "nothing"};
    static const enum nat_alg algs[] = {NAT_ALG_TEXT, NAT_ALG_TEXT, NAT_ALG_ENDPOINT, NAT_ALG_TEXT};
    for (size_t i = 0; i < 8; i++) {
        const char *payload = payloads[i / 2];
        uint8_t d[128];
        struct packet p;
        size_t len = build(d, payload, strlen(payload), i % 2 == 0);
        assert_int_equal(packet_parse(&p, d, len, false), BK_OK);
        assert_true(packet_checksums_right(&p));
        struct nat_header before = p.header, after = udp(OUTSIDE, PEER);
        packet_rewrite(&p, &after);
        size_t count = packet_alg(&p, algs[i / 2], &before, sizeof d);
        assert_int_equal(count, i < 6 ? 1 : 0);
        assert_true(packet_checksums_right(&p));
        assert_int_equal(packet_parse(&p, d, p.len, false), BK_OK);
    }
}

/* A wrong checksum must not become right on the way. */
static void test_wrong_stays_wrong(void **state) {
    (void)state;
    uint8_t d[128];
    struct packet p;
    size_t len = build(d, "a 192.168.1.2:5060", 18, true);
    d[27] ^= 1;
    assert_int_equal(packet_parse(&p, d, len, false), BK_OK);
    struct nat_header before = p.header, after = udp(OUTSIDE, PEER);
    packet_rewrite(&p, &after);
    assert_int_equal(packet_alg(&p, NAT_ALG_TEXT, &before, sizeof d), 1);
    assert_false(packet_checksums_right(&p));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_from_outside_the_reverse),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_packets_stay_right),
        cmocka_unit_test(test_wrong_stays_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
