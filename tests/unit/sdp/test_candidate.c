/* SPDX-License-Identifier: MIT
 * Candidate lines: those of other implementations read, ours written, every grammar rule broken. */
#include "../test.h"
#include "sdp/sdp.h"

/* What others write, and what we make of it: our own line, which must read the same again. */
static const struct {
    const char *who, *line, *ours;
} lines[] = {
    {"RFC 8839 section 5.1",
     "a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr "
     "203.0.113.141 rport 8998\r\n",
     "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998"},
    {"RFC 8839 section 5.1, IPv6",
     "a=candidate:1 1 UDP 2130706431 2001:db8::8bad:f00d 8998 typ host",
     "candidate:1 1 UDP 2130706431 2001:db8::8bad:f00d 8998 typ host"},
    {"RFC 6544 section 4.5",
     "a=candidate:3 1 TCP 1684797951 192.0.2.3 45687 typ srflx raddr 10.0.1.1 rport 8998 tcptype "
     "passive",
     "candidate:3 1 TCP 1684797951 192.0.2.3 45687 typ srflx raddr 10.0.1.1 rport 8998 tcptype "
     "passive"},
    {"Chromium, mDNS",
     "candidate:2999745851 1 udp 2122260223 4f3c2b1a-9d8e-4c7b-a6f5-0123456789ab.local 51472 typ "
     "host generation 0 ufrag EsAw network-id 1 network-cost 10",
     "candidate:2999745851 1 UDP 2122260223 4f3c2b1a-9d8e-4c7b-a6f5-0123456789ab.local 51472 typ "
     "host ufrag EsAw"},
    {"Chromium, server-reflexive",
     "candidate:842163049 1 udp 1677729535 203.0.113.77 46154 typ srflx raddr 0.0.0.0 rport 0 "
     "generation 0 ufrag h+k/ network-cost 999",
     "candidate:842163049 1 UDP 1677729535 203.0.113.77 46154 typ srflx raddr 0.0.0.0 rport 0 "
     "ufrag h+k/"},
    {"Chromium, TCP active",
     "candidate:3498147984 1 tcp 1518280447 192.168.0.196 9 typ host tcptype active generation 1 "
     "ufrag EsAw network-id 1",
     "candidate:3498147984 1 TCP 1518280447 192.168.0.196 9 typ host tcptype active generation 1 "
     "ufrag EsAw"},
    {"Chromium, relayed",
     "candidate:1467250027 2 udp 41886207 198.51.100.9 61000 typ relay raddr 203.0.113.77 rport "
     "46154 generation 0",
     "candidate:1467250027 2 UDP 41886207 198.51.100.9 61000 typ relay raddr 203.0.113.77 rport "
     "46154"},
    {"Firefox", "a=candidate:0 1 UDP 2122252543 192.168.1.20 54321 typ host",
     "candidate:0 1 UDP 2122252543 192.168.1.20 54321 typ host"},
    {"Firefox, TCP active", "candidate:2 1 TCP 2105524479 2001:db8:1::5 9 typ host tcptype active",
     "candidate:2 1 TCP 2105524479 2001:db8:1::5 9 typ host tcptype active"},
    {"Firefox, server-reflexive",
     "candidate:1 2 UDP 1686052862 203.0.113.5 60418 typ srflx raddr 192.168.1.20 rport 60418",
     "candidate:1 2 UDP 1686052862 203.0.113.5 60418 typ srflx raddr 192.168.1.20 rport 60418"},
    {"libnice", "a=candidate:1 1 UDP 2015363327 fe80::216:3eff:fe12:3456 40123 typ host",
     "candidate:1 1 UDP 2015363327 fe80::216:3eff:fe12:3456 40123 typ host"},
    {"libnice, TCP active", "a=candidate:4 1 TCP 1015021823 192.168.1.6 0 typ host tcptype active",
     "candidate:4 1 TCP 1015021823 192.168.1.6 9 typ host tcptype active"},
    {"aioice",
     "candidate:6815297761 1 udp 659136 1.2.3.4 31102 typ relay raddr 1.2.3.4 rport 31102",
     "candidate:6815297761 1 UDP 659136 1.2.3.4 31102 typ relay raddr 1.2.3.4 rport 31102"},
    {"aioice, foundation of 32",
     "candidate:65ba1f2dafd5ac5fd2f1ab3e8e5c8dcf 1 udp 2130706431 10.0.0.2 33000 typ host",
     "candidate:65ba1f2dafd5ac5fd2f1ab3e8e5c8dcf 1 UDP 2130706431 10.0.0.2 33000 typ host"},
    {"pjsip", "a=candidate:Hc0a80a0b 1 UDP 2130706431 192.168.10.11 4000 typ host",
     "candidate:Hc0a80a0b 1 UDP 2130706431 192.168.10.11 4000 typ host"},
    {"pjsip, server-reflexive",
     "a=candidate:Sc0a80a0b 2 UDP 1694498814 203.0.113.9 4001 typ srflx raddr 192.168.10.11 rport "
     "4001",
     "candidate:Sc0a80a0b 2 UDP 1694498814 203.0.113.9 4001 typ srflx raddr 192.168.10.11 rport "
     "4001"},
    {"libjuice, extra spaces", " a=candidate:1  1\tUDP 2122317823 10.1.2.3 1234  typ host \r\n",
     "candidate:1 1 UDP 2122317823 10.1.2.3 1234 typ host"},
    {"an IPv4 address in IPv6's clothes, a zone",
     "candidate:1 1 UDP 5 ::ffff:192.0.2.1 7 typ prflx raddr fe80::1%eth0 rport 9",
     "candidate:1 1 UDP 5 192.0.2.1 7 typ prflx raddr fe80::1 rport 9"},
    {"no related address", "candidate:1 1 UDP 5 2001:db8::1 7 typ srflx",
     "candidate:1 1 UDP 5 2001:db8::1 7 typ srflx raddr :: rport 9"},
    {"an unknown extension, with a value and without",
     "candidate:1 256 UDP 1 192.0.2.1 65535 TYP Host x-y typ z",
     "candidate:1 256 UDP 1 192.0.2.1 65535 typ host"},
    {"simultaneous open", "candidate:+/ 1 tCp 2147483647 192.0.2.1 1 typ host TCPTYPE SO",
     "candidate:+/ 1 TCP 2147483647 192.0.2.1 1 typ host tcptype so"},
};

static enum bk_err read_line(const char *line, struct sdp_candidate *out) {
    return sdp_read_candidate(line, strlen(line), out);
}

static void reads_what_others_write(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct sdp_candidate c, again;
        char out[SDP_LINE_MAX];
        if (read_line(lines[i].line, &c) != BK_OK)
            fail_msg("not read: %s", lines[i].who);
        assert_int_equal(sdp_write_candidate(&c, false, out), strlen(lines[i].ours));
        assert_string_equal(out, lines[i].ours);
        assert_int_equal(read_line(out, &again), BK_OK);
        assert_int_equal(sdp_write_candidate(&again, false, out), strlen(lines[i].ours));
        assert_string_equal(out, lines[i].ours);
    }
}

static void fields_are_where_they_belong(void **state) {
    (void)state;
    struct sdp_candidate c;
    assert_int_equal(read_line("a=candidate:3 2 TCP 1684797951 2001:db8::3 45687 typ srflx raddr "
                               "10.0.1.1 rport 8998 tcptype so generation 7 ufrag abcd",
                               &c),
                     BK_OK);
    struct bk_addr base = bk_addr(bk_ipv4(10, 0, 1, 1), 8998);
    assert_string_equal(c.at.foundation, "3");
    assert_int_equal(c.at.component, 2);
    assert_int_equal(c.at.transport, BK_ICE_TCP_SO);
    assert_int_equal(c.at.priority, 1684797951);
    assert_int_equal(c.at.addr.ip.family, BK_IPV6);
    assert_int_equal(c.at.addr.port, 45687);
    assert_int_equal(c.at.kind, BK_ICE_SRFLX);
    assert_true(bk_addr_equal(&c.at.base, &base));
    assert_int_equal(c.generation, 7);
    assert_string_equal(c.ufrag, "abcd");
    assert_string_equal(c.name, "");
    assert_int_equal(c.at.preference, 0);
    assert_int_equal(c.at.stream, 0);
}

/* Each breaks one rule; `out` must stay as it was. */
static const struct {
    enum bk_err err;
    const char *line;
} broken[] = {
    {BK_ERR_MALFORMED, ""},
    {BK_ERR_MALFORMED, "a="},
    {BK_ERR_MALFORMED, "candidat:1 1 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "b=candidate:1 1 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:"},
    {BK_ERR_MALFORMED, "candidate:1-2 1 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 0 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 257 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 -1 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1x UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 0 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 2147483648 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 18446744073709551617 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 00000000001 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 65536 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 0x7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 kind host"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ srflx raddr"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ srflx raddr 10.0.0.1 rport"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ srflx raddr 10.0.0.1 rport 70000"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host generation x"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host generation 4294967296"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host ufrag abc"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host ufrag ab:cd"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host x \x01"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host x \xc3\xa4"},
    {BK_ERR_MALFORMED, "candidate:1 1 UDP 5 192.0.2.1 7 typ host\r\na=ice-lite"},
    {BK_ERR_MALFORMED, "candidate:1 1 TCP 5 192.0.2.1 7 typ host"},
    {BK_ERR_MALFORMED, "candidate:1 1 TCP 5 192.0.2.1 7 typ host tcptype"},
    /* a line that is malformed is that first, whatever we do not know of it */
    {BK_ERR_MALFORMED, "candidate:1 1 ssltcp 5 192.0.2.1 70000 typ host"},
    {BK_ERR_TOO_LONG, "candidate:123456789012345678901234567890123 1 UDP 5 192.0.2.1 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 ssltcp 5 192.0.2.1 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 SCTP 5 192.0.2.1 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 192.0.2.1 7 typ hoste"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 192.0.2.256 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 1.2.3 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 2001:db8::g 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 [2001:db8::1] 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 a..b.local 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 $(reboot).local 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 0.0.0.0 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 224.0.0.251 5353 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 255.255.255.255 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 ff02::1 7 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 UDP 5 192.0.2.1 0 typ host"},
    {BK_ERR_UNSUPPORTED, "candidate:1 1 TCP 5 192.0.2.1 7 typ host tcptype both"},
};

static void refuses_what_breaks_a_rule(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct sdp_candidate c, before;
        memset(&c, 0x5a, sizeof c);
        before = c;
        enum bk_err err = read_line(broken[i].line, &c);
        if (err != broken[i].err)
            fail_msg("%s, not %s: %s", bk_err_text(err), bk_err_text(broken[i].err),
                     broken[i].line);
        assert_memory_equal(&c, &before, sizeof c);
    }
}

static void put(char *out, const char *text) {
    memcpy(out, text, strlen(text) + 1);
}

static void refuses_huge_parts(void **state) {
    (void)state;
    static char line[SDP_TEXT_MAX + 64];
    struct sdp_candidate c;
    put(line, "candidate:1 1 UDP 5 ");
    memset(line + 20, 'a', 256);
    put(line + 276, " 7 typ host");
    assert_int_equal(read_line(line, &c), BK_ERR_TOO_LONG);
    put(line, "candidate:1 1 UDP 5 192.0.2.1 7 typ host ufrag ");
    memset(line + 47, 'a', 257);
    line[47 + 257] = '\0';
    assert_int_equal(read_line(line, &c), BK_ERR_MALFORMED);
    line[47 + 256] = '\0';
    assert_int_equal(read_line(line, &c), BK_OK);
    assert_int_equal(strlen(c.ufrag), 256);
    memset(line, ' ', sizeof line);
    assert_int_equal(sdp_read_candidate(line, sizeof line, &c), BK_ERR_TOO_LONG);
    assert_int_equal(sdp_read_candidate(line, SDP_TEXT_MAX, &c), BK_ERR_MALFORMED);
}

/* The longest there is fits SDP_LINE_MAX. */
static void the_longest_line_fits(void **state) {
    (void)state;
    struct sdp_candidate c = {.at = {.kind = BK_ICE_SRFLX,
                                     .transport = BK_ICE_TCP_PASSIVE,
                                     .component = 256,
                                     .priority = UINT32_MAX},
                              .generation = UINT32_MAX};
    char out[SDP_LINE_MAX];
    struct sdp_candidate again;
    memset(c.at.foundation, 'f', BK_ICE_FOUNDATION_MAX);
    memset(c.name, 'n', SDP_NAME_MAX);
    for (size_t i = 60; i < SDP_NAME_MAX; i += 60)
        c.name[i] = '.';
    memset(c.ufrag, 'u', BK_ICE_CRED_MAX);
    memset(c.at.addr.ip.bytes, 0xff, 16);
    c.at.addr.ip.family = BK_IPV6;
    c.at.addr.port = 65535;
    c.at.base = c.at.addr;
    size_t len = sdp_write_candidate(&c, false, out);
    assert_int_equal(len, strlen(out));
    assert_true(len + 1 < SDP_LINE_MAX);
    c.at.priority = 0x7fffffff;
    sdp_write_candidate(&c, false, out);
    assert_int_equal(read_line(out, &again), BK_OK);
    assert_string_equal(again.ufrag, c.ufrag);
    assert_string_equal(again.name, c.name);
}

static void bases_can_be_hidden(void **state) {
    (void)state;
    struct sdp_candidate c = {.at = {.kind = BK_ICE_SRFLX,
                                     .addr = bk_addr(bk_ipv4(192, 0, 2, 3), 4),
                                     .base = bk_addr(bk_ipv4(10, 0, 0, 1), 5),
                                     .priority = 6,
                                     .foundation = "7"}};
    char out[SDP_LINE_MAX];
    sdp_write_candidate(&c, true, out);
    assert_string_equal(out, "candidate:7 1 UDP 6 192.0.2.3 4 typ srflx raddr 0.0.0.0 rport 9");
    c.at.addr = bk_addr(bk_ipv6((const uint8_t[16]){0x20, 1, [15] = 1}), 4);
    sdp_write_candidate(&c, true, out);
    assert_string_equal(out, "candidate:7 1 UDP 6 2001::1 4 typ srflx raddr :: rport 9");
    c.at.kind = BK_ICE_HOST;
    sdp_write_candidate(&c, false, out);
    assert_string_equal(out, "candidate:7 1 UDP 6 2001::1 4 typ host");
    c.at.addr.ip.zone = 3; /* ours; nobody else's */
    c.at.transport = BK_ICE_TCP_ACTIVE;
    sdp_write_candidate(&c, false, out);
    assert_string_equal(out, "candidate:7 1 TCP 6 2001::1 9 typ host tcptype active");
}

/* Cut anywhere, a line is read or refused, and nothing behind its end is looked at. */
static void every_truncation_is_harmless(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (size_t len = 0; len <= strlen(lines[i].line); len++) {
            struct sdp_candidate c;
            char *copy = malloc(len + 1);
            assert_non_null(copy);
            memcpy(copy, lines[i].line, len);
            enum bk_err err = sdp_read_candidate(copy, len, &c);
            assert_true(err == BK_OK || err == BK_ERR_MALFORMED || err == BK_ERR_UNSUPPORTED);
            free(copy);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_others_write),
        cmocka_unit_test(fields_are_where_they_belong),
        cmocka_unit_test(refuses_what_breaks_a_rule),
        cmocka_unit_test(refuses_huge_parts),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(bases_can_be_hidden),
        cmocka_unit_test(every_truncation_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
