/* SPDX-License-Identifier: MIT
 * Real packets: parsed, rewritten with incremental checksums that a full computation confirms, and
 * answered. Checksums here are computed by the test's own plain code. */
#include "../test.h"
#include "base/rng.h"
#include "nat/packet.h"

enum { ROOM = 2048 };

struct bytes {
    uint8_t data[ROOM];
    size_t len;
};

static void put(struct bytes *b, const void *data, size_t len) {
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

static void put_be16(struct bytes *b, unsigned value) {
    uint8_t two[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(b, two, 2);
}

static void set_be16(struct bytes *b, size_t at, unsigned value) {
    b->data[at] = (uint8_t)(value >> 8);
    b->data[at + 1] = (uint8_t)value;
}

static unsigned be16(const struct bytes *b, size_t at) {
    return (unsigned)(b->data[at] << 8 | b->data[at + 1]);
}

/* RFC 1071, as plain as can be. */
static uint32_t plain_sum(const uint8_t *p, size_t len, uint32_t sum) {
    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static uint32_t plain_pseudo(const struct bytes *b, size_t ip, size_t transport_len,
                             unsigned proto) {
    bool v6 = b->data[ip] >> 4 == 6;
    uint32_t sum = plain_sum(b->data + ip + (v6 ? 8 : 12), v6 ? 32 : 8, 0);
    return plain_sum(NULL, 0, sum + (uint32_t)transport_len + proto);
}

struct spec {
    const char *name;
    bool v6;
    uint8_t proto;     /* 17, 6, 1, 58 */
    size_t options;    /* bytes of IP options or an extension header; a multiple of 8 */
    size_t payload;    /* after the transport header */
    uint8_t icmp_type; /* ICMP only */
    bool no_checksum;  /* UDP only */
};

static size_t transport_header(uint8_t proto) {
    return proto == 6 ? 20 : 8;
}

static size_t checksum_at(uint8_t proto) {
    return proto == 6 ? 16 : proto == 17 ? 6 : 2;
}

static void put_ip(struct bytes *b, const struct spec *s, size_t len) {
    static const uint8_t zeros[64];
    const uint8_t src4[] = {192, 168, 1, 2}, dst4[] = {198, 51, 100, 1};
    const uint8_t src6[16] = {0x20, 1, 0xd, 0xb8, 1, [15] = 2},
                  dst6[16] = {0x20, 1, 0xd, 0xb8, 9, 1};
    size_t start = b->len;
    if (s->v6) {
        put(b, "\x60\0\0\0", 4);
        put_be16(b, (unsigned)(len + s->options));
        uint8_t next[2] = {s->options > 0 ? 60 : s->proto, 64};
        put(b, next, 2);
        put(b, src6, 16);
        put(b, dst6, 16);
        if (s->options > 0) {
            uint8_t ext[2] = {s->proto, (uint8_t)(s->options / 8 - 1)};
            put(b, ext, 2);
            put(b, zeros, s->options - 2);
        }
        return;
    }
    uint8_t first[2] = {(uint8_t)(0x45 + s->options / 4), 0};
    put(b, first, 2);
    put_be16(b, (unsigned)(20 + s->options + len));
    put(b, "\x12\x34\x40\0", 4); /* DF */
    uint8_t ttl[4] = {64, s->proto, 0, 0};
    put(b, ttl, 4);
    put(b, src4, 4);
    put(b, dst4, 4);
    put(b, zeros, s->options);
    set_be16(b, start + 10, ~plain_sum(b->data + start, 20 + s->options, 0) & 0xffff);
}

/* The transport part; `quoted`, if not NULL, is its payload. */
static void put_packet(struct bytes *b, const struct spec *s, const struct bytes *quoted) {
    size_t header = transport_header(s->proto), ip = b->len;
    size_t payload = quoted != NULL ? quoted->len : s->payload;
    put_ip(b, s, header + payload);
    size_t t = b->len;
    memset(b->data + t, 0, header);
    if (s->proto == 6 || s->proto == 17) {
        set_be16(b, t, 5000);
        set_be16(b, t + 2, 443);
    } else {
        b->data[t] = s->icmp_type;
        set_be16(b, t + 4, 77);
    }
    if (s->proto == 17)
        set_be16(b, t + 4, (unsigned)(header + payload));
    if (s->proto == 6) {
        b->data[t + 12] = 5 << 4;
        b->data[t + 13] = NAT_TCP_SYN;
    }
    b->len = t + header;
    for (size_t i = 0; i < payload; i++)
        b->data[b->len++] = quoted != NULL ? quoted->data[i] : (uint8_t)(i * 7 + 1);
    if (s->no_checksum)
        return;
    uint32_t sum = s->proto == 1 ? 0 : plain_pseudo(b, ip, header + payload, s->proto);
    unsigned value = ~plain_sum(b->data + t, header + payload, sum) & 0xffff;
    set_be16(b, t + checksum_at(s->proto), value == 0 && s->proto == 17 ? 0xffff : value);
}

static const struct spec specs[] = {
    {"UDP over IPv4", false, 17, 0, 33, 0, false},
    {"UDP, empty", false, 17, 0, 0, 0, false},
    {"UDP without checksum", false, 17, 0, 10, 0, true},
    {"UDP behind IP options", false, 17, 8, 33, 0, false},
    {"TCP over IPv4", false, 6, 0, 100, 0, false},
    {"ping over IPv4", false, 1, 0, 56, 8, false},
    {"pong over IPv4", false, 1, 0, 57, 0, false},
    {"UDP over IPv6", true, 17, 0, 33, 0, false},
    {"UDP behind an extension header", true, 17, 16, 33, 0, false},
    {"TCP over IPv6", true, 6, 0, 100, 0, false},
    {"ping over IPv6", true, 58, 0, 56, 128, false},
    {"pong over IPv6", true, 58, 0, 56, 129, false},
};
enum { SPECS = sizeof specs / sizeof *specs };

static struct bk_addr random_addr(const struct bk_rng *rng, uint8_t family) {
    struct bk_addr a = {.ip.family = family};
    rng_fill(rng, a.ip.bytes, family == BK_IPV6 ? 16 : 4);
    a.port = (uint16_t)rng_below(rng, 65536);
    return a;
}

/* The flow's new addresses; only what the protocol has can change. */
static void randomise(const struct bk_rng *rng, struct nat_flow *f, enum nat_icmp icmp) {
    uint8_t family = f->src.ip.family;
    bool echo = f->proto == NAT_ICMP && icmp == NAT_ICMP_ECHO;
    bool reply = f->proto == NAT_ICMP && icmp == NAT_ICMP_ECHO_REPLY;
    bool ports = f->proto != NAT_ICMP;
    f->src = random_addr(rng, family);
    f->dst = random_addr(rng, family);
    if (!ports && !echo)
        f->src.port = 0;
    if (!ports && !reply)
        f->dst.port = 0;
}

static bool flows_equal(const struct nat_flow *a, const struct nat_flow *b) {
    return a->proto == b->proto && bk_addr_equal(&a->src, &b->src) &&
           bk_addr_equal(&a->dst, &b->dst);
}

static struct bk_rng test_rng(uint64_t seed) {
    static struct rng_seeded r;
    rng_seed(&r, seed);
    return rng_from_seeded(&r);
}

static void test_parse_says_what_is_there(void **state) {
    (void)state;
    for (size_t i = 0; i < SPECS; i++) {
        struct bytes b = {.len = 0};
        struct packet p;
        put_packet(&b, &specs[i], NULL);
        assert_int_equal(packet_parse(&p, b.data, ROOM, false), BK_OK); /* padding is ignored */
        assert_int_equal(p.len, b.len);
        assert_int_equal(p.hops, 64);
        assert_true(packet_checksums_right(&p));
        assert_int_equal(p.header.flow.src.ip.family, specs[i].v6 ? BK_IPV6 : BK_IPV4);
        if (specs[i].proto == 6 || specs[i].proto == 17) {
            assert_int_equal(p.header.flow.src.port, 5000);
            assert_int_equal(p.header.flow.dst.port, 443);
        } else {
            bool echo = specs[i].icmp_type == 8 || specs[i].icmp_type == 128;
            assert_int_equal(p.header.icmp, echo ? NAT_ICMP_ECHO : NAT_ICMP_ECHO_REPLY);
            assert_int_equal(p.header.flow.src.port, echo ? 77 : 0);
            assert_int_equal(p.header.flow.dst.port, echo ? 0 : 77);
        }
        assert_int_equal(p.header.tcp_flags, specs[i].proto == 6 ? NAT_TCP_SYN : 0);
    }
}

static void test_rewritten_checksums_are_right(void **state) {
    (void)state;
    struct bk_rng rng = test_rng(1);
    for (size_t i = 0; i < SPECS * 300; i++) {
        const struct spec *s = &specs[i % SPECS];
        struct bytes b = {.len = 0};
        struct packet p, again;
        put_packet(&b, s, NULL);
        assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
        struct nat_header to = p.header;
        randomise(&rng, &to.flow, to.icmp);
        packet_rewrite(&p, &to);
        assert_true(packet_checksums_right(&p));
        assert_int_equal(packet_hop(&p), BK_OK);
        assert_int_equal(packet_parse(&again, b.data, b.len, false), BK_OK);
        assert_true(flows_equal(&again.header.flow, &to.flow));
        assert_int_equal(again.hops, 63);
        size_t sum_at = again.transport + checksum_at(s->proto);
        assert_int_equal(be16(&b, sum_at) == 0, s->no_checksum);
    }
}

/* The sum that needs the 0 -> 0xffff rule of RFC 768 must occur in such a test, so force it. */
static void test_udp_checksum_never_becomes_none(void **state) {
    (void)state;
    unsigned forced = 0;
    for (unsigned port = 1; port < 65536; port++) {
        struct bytes b = {.len = 0};
        struct packet p;
        put_packet(&b, &specs[0], NULL);
        assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
        struct nat_header to = p.header;
        to.flow.src.port = (uint16_t)port;
        packet_rewrite(&p, &to);
        unsigned sum = be16(&b, p.transport + 6);
        assert_int_not_equal(sum, 0);
        forced += sum == 0xffff ? 1 : 0;
        assert_true(packet_checksums_right(&p));
    }
    assert_int_equal(forced, 1);
}

/* virtio-net NEEDS_CSUM: the field is the pseudo header's sum and depends on the addresses only. */
static void test_partial_checksums(void **state) {
    (void)state;
    struct bk_rng rng = test_rng(2);
    for (size_t i = 0; i < SPECS * 50; i++) {
        const struct spec *s = &specs[i % SPECS];
        if ((s->proto != 6 && s->proto != 17) || s->no_checksum)
            continue;
        struct bytes b = {.len = 0};
        struct packet p;
        put_packet(&b, s, NULL);
        assert_int_equal(packet_parse(&p, b.data, b.len, true), BK_OK);
        size_t len = b.len - p.transport, at = p.transport + checksum_at(s->proto);
        set_be16(&b, at, plain_pseudo(&b, 0, len, s->proto));
        struct nat_header to = p.header;
        randomise(&rng, &to.flow, to.icmp);
        packet_rewrite(&p, &to);
        /* 0 and 0xffff are the same in ones' complement. */
        assert_int_equal(be16(&b, at) % 0xffff, plain_pseudo(&b, 0, len, s->proto) % 0xffff);
        /* What the kernel or the card does with it: sum everything from the transport header on. */
        uint32_t sum = plain_sum(b.data + p.transport, len, 0);
        set_be16(&b, at, ~sum & 0xffff);
        p.partial_csum = false;
        assert_true(packet_checksums_right(&p));
    }
}

/* ---- ICMP errors ---- */
static void make_error(struct bytes *b, bool v6, const struct bytes *quoted) {
    struct spec s = {"error", v6, v6 ? 58 : 1, 0, 0, v6 ? 1 : 3, false};
    b->len = 0;
    put_packet(b, &s, quoted);
}

static void test_errors_are_rewritten_inside_and_out(void **state) {
    (void)state;
    struct bk_rng rng = test_rng(3);
    static const size_t cuts[] = {0, 1, 2, 5, 24, 1000}; /* beyond the 8 bytes RFC 792 promises */
    for (size_t i = 0; i < SPECS * 200; i++) {
        const struct spec *s = &specs[i % SPECS];
        struct bytes inner = {.len = 0}, b;
        put_packet(&inner, s, NULL);
        size_t least = (s->v6 ? 40 : 20) + s->options + 8, keep = least + cuts[i / SPECS % 6];
        inner.len = keep < inner.len ? keep : inner.len;
        make_error(&b, s->v6, &inner);
        struct packet p, again;
        assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
        assert_int_equal(p.header.icmp, NAT_ICMP_ERROR);
        struct nat_header to = p.header;
        randomise(&rng, &to.flow, to.icmp);
        randomise(&rng, &to.inner, to.inner_icmp);
        packet_rewrite(&p, &to);
        assert_true(packet_checksums_right(&p));
        assert_int_equal(packet_parse(&again, b.data, b.len, false), BK_OK);
        assert_int_equal(again.header.icmp, NAT_ICMP_ERROR);
        assert_true(flows_equal(&again.header.inner, &to.inner));
        assert_true(flows_equal(&again.header.flow, &to.flow));
        if (inner.len < least + 1000 && keep >= least + 1000) { /* quoted whole */
            struct packet q;
            assert_int_equal(packet_parse(&q, b.data + p.inner, inner.len, false), BK_OK);
            assert_true(packet_checksums_right(&q));
        }
    }
}

static void test_useless_errors_are_other(void **state) {
    (void)state;
    struct bytes inner = {.len = 0}, b;
    struct packet p;
    put_packet(&inner, &specs[0], NULL);
    for (size_t keep = 0; keep < 28; keep++) {
        inner.len = keep;
        make_error(&b, false, &inner);
        assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
        assert_int_equal(p.header.icmp, NAT_ICMP_OTHER);
        assert_int_equal(p.inner, 0);
    }
    /* An error about an error, and one that quotes the other family. */
    struct bytes error;
    inner.len = 40;
    make_error(&error, false, &inner);
    make_error(&b, false, &error);
    assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
    assert_int_equal(p.header.icmp, NAT_ICMP_OTHER);
    make_error(&b, true, &inner);
    assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
    assert_int_equal(p.header.icmp, NAT_ICMP_OTHER);
}

/* ---- what is refused ---- */
static void test_truncated_at_every_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < SPECS; i++) {
        struct bytes b = {.len = 0};
        put_packet(&b, &specs[i], NULL);
        for (size_t len = 0; len < b.len; len++) {
            uint8_t *exact = test_get(NULL, len); /* so that the sanitizer sees a read too far */
            struct packet p;
            memcpy(exact, b.data, len);
            assert_int_equal(packet_parse(&p, exact, len, false), BK_ERR_SHORT);
            test_put(NULL, exact);
        }
    }
}

static enum bk_err parse_patched(const struct spec *s, size_t at, uint8_t value, bool fix) {
    struct bytes b = {.len = 0};
    struct packet p;
    put_packet(&b, s, NULL);
    b.data[at] = value;
    if (fix) {
        set_be16(&b, 10, 0);
        set_be16(&b, 10, ~plain_sum(b.data, 20, 0) & 0xffff);
    }
    return packet_parse(&p, b.data, b.len, false);
}

static void test_malformed(void **state) {
    (void)state;
    const struct spec *udp = &specs[0], *tcp = &specs[4], *ping = &specs[5], *udp6 = &specs[7];
    assert_int_equal(parse_patched(udp, 0, 0x55, true), BK_ERR_MALFORMED);   /* version */
    assert_int_equal(parse_patched(udp, 0, 0x44, true), BK_ERR_MALFORMED);   /* header length */
    assert_int_equal(parse_patched(udp, 3, 19, true), BK_ERR_MALFORMED);     /* total length */
    assert_int_equal(parse_patched(udp, 8, 63, false), BK_ERR_MALFORMED);    /* checksum */
    assert_int_equal(parse_patched(udp, 9, 47, true), BK_ERR_UNSUPPORTED);   /* GRE */
    assert_int_equal(parse_patched(udp, 9, 58, true), BK_ERR_UNSUPPORTED);   /* ICMPv6 over IPv4 */
    assert_int_equal(parse_patched(udp, 6, 0x20, true), BK_ERR_UNSUPPORTED); /* first fragment */
    assert_int_equal(parse_patched(udp, 7, 1, true), BK_ERR_UNSUPPORTED);    /* later fragment */
    assert_int_equal(parse_patched(udp, 25, 7, false), BK_ERR_MALFORMED);    /* UDP length */
    assert_int_equal(parse_patched(udp, 25, 42, false), BK_ERR_MALFORMED);
    assert_int_equal(parse_patched(tcp, 32, 4 << 4, false), BK_ERR_MALFORMED); /* data offset */
    assert_int_equal(parse_patched(ping, 30, 1, false), BK_ERR_MALFORMED);     /* ICMP checksum */
    assert_int_equal(parse_patched(udp6, 6, 44, false), BK_ERR_UNSUPPORTED);   /* fragment header */
    assert_int_equal(parse_patched(udp6, 6, 1, false), BK_ERR_UNSUPPORTED); /* ICMPv4 over IPv6 */
}

static void test_endless_extension_headers(void **state) {
    (void)state;
    struct bytes b = {.len = 0};
    struct packet p;
    put(&b, "\x60\0\0\0\0\x60\0\x40", 8); /* 96 bytes, hop-by-hop next */
    memset(b.data + 8, 1, 32);
    memset(b.data + 40, 0, 96); /* hop-by-hop headers of 8 bytes, for ever */
    assert_int_equal(packet_parse(&p, b.data, 136, false), BK_ERR_MALFORMED);
}

/* ---- answers ---- */
static void test_answers(void **state) {
    (void)state;
    static const enum nat_answer answers[] = {
        NAT_ANSWER_PORT_UNREACHABLE, NAT_ANSWER_ADMIN_PROHIBITED, NAT_ANSWER_TIME_EXCEEDED};
    static const uint8_t type4[] = {3, 3, 11}, code4[] = {3, 13, 0};
    static const uint8_t type6[] = {1, 1, 3}, code6[] = {4, 1, 0};
    for (size_t i = 0; i < SPECS * 3; i++) {
        struct spec s = specs[i / 3];
        struct bytes b = {.len = 0};
        struct packet cause, p;
        uint8_t out[PACKET_ANSWER_MAX];
        size_t len = 0, k = i % 3;
        s.payload = i % 2 == 0 ? s.payload : 1800; /* has to be cut */
        put_packet(&b, &s, NULL);
        assert_int_equal(packet_parse(&cause, b.data, b.len, false), BK_OK);
        struct bk_ip from = s.v6 ? cause.header.flow.dst.ip : bk_ipv4(192, 0, 2, 1);
        assert_int_equal(packet_build_answer(&cause, answers[k], &from, out, sizeof out, &len),
                         BK_OK);
        assert_true(len <= (s.v6 ? 1280u : 576u));
        assert_int_equal(packet_parse(&p, out, len, false), BK_OK);
        assert_true(packet_checksums_right(&p));
        assert_int_equal(p.header.icmp, NAT_ICMP_ERROR);
        assert_int_equal(out[p.transport], s.v6 ? type6[k] : type4[k]);
        assert_int_equal(out[p.transport + 1], s.v6 ? code6[k] : code4[k]);
        assert_true(bk_ip_equal(&p.header.flow.src.ip, &from));
        assert_true(bk_ip_equal(&p.header.flow.dst.ip, &cause.header.flow.src.ip));
        assert_true(flows_equal(&p.header.inner, &cause.header.flow));
        assert_int_equal(packet_build_answer(&cause, answers[k], &from, out, len - 1, &len),
                         BK_ERR_TOO_LONG);
    }
}

static void test_reset_is_believable(void **state) {
    (void)state;
    struct bytes b = {.len = 0};
    struct packet cause, p;
    uint8_t out[PACKET_ANSWER_MAX];
    size_t len;
    struct bk_ip from = bk_ipv4(192, 0, 2, 1);
    put_packet(&b, &specs[4], NULL); /* a SYN with 100 bytes of data */
    memcpy(b.data + 24, "\x11\x22\x33\xff", 4);
    assert_int_equal(packet_parse(&cause, b.data, b.len, false), BK_OK);
    assert_int_equal(
        packet_build_answer(&cause, NAT_ANSWER_TCP_RESET, &from, out, sizeof out, &len), BK_OK);
    assert_int_equal(len, 40);
    assert_int_equal(packet_parse(&p, out, len, false), BK_OK);
    assert_true(packet_checksums_right(&p));
    assert_int_equal(p.header.tcp_flags, NAT_TCP_RST | NAT_TCP_ACK);
    assert_true(bk_addr_equal(&p.header.flow.src, &cause.header.flow.dst));
    assert_true(bk_addr_equal(&p.header.flow.dst, &cause.header.flow.src));
    assert_memory_equal(out + 24, "\0\0\0\0", 4);         /* sequence 0 */
    assert_memory_equal(out + 28, "\x11\x22\x34\x64", 4); /* its number + 100 + SYN */
    b.data[33] = NAT_TCP_ACK;
    memcpy(b.data + 28, "\xaa\xbb\xcc\xdd", 4);
    assert_int_equal(packet_parse(&cause, b.data, b.len, false), BK_OK);
    assert_int_equal(
        packet_build_answer(&cause, NAT_ANSWER_TCP_RESET, &from, out, sizeof out, &len), BK_OK);
    assert_int_equal(out[33], NAT_TCP_RST);
    assert_memory_equal(out + 24, "\xaa\xbb\xcc\xdd", 4);
}

/* RFC 1122 section 3.2.2. */
static void test_some_are_never_answered(void **state) {
    (void)state;
    struct bytes b = {.len = 0}, error;
    struct packet cause;
    uint8_t out[PACKET_ANSWER_MAX];
    size_t len;
    struct bk_ip from = bk_ipv4(192, 0, 2, 1), v6 = {.family = BK_IPV6};
    enum nat_answer unreachable = NAT_ANSWER_PORT_UNREACHABLE;
    put_packet(&b, &specs[0], NULL);
    make_error(&error, false, &b);
    assert_int_equal(packet_parse(&cause, error.data, error.len, false), BK_OK);
    assert_int_equal(packet_build_answer(&cause, unreachable, &from, out, sizeof out, &len),
                     BK_ERR_UNSUPPORTED);
    assert_int_equal(packet_parse(&cause, b.data, b.len, false), BK_OK);
    assert_int_equal(packet_build_answer(&cause, unreachable, &v6, out, sizeof out, &len),
                     BK_ERR_ARGUMENT);
    assert_int_equal(packet_build_answer(&cause, NAT_ANSWER_NONE, &from, out, sizeof out, &len),
                     BK_ERR_UNSUPPORTED);
    assert_int_equal(
        packet_build_answer(&cause, NAT_ANSWER_TCP_RESET, &from, out, sizeof out, &len),
        BK_ERR_UNSUPPORTED);
    cause.header.flow.dst.ip = bk_ipv4(224, 0, 0, 251);
    assert_int_equal(packet_build_answer(&cause, unreachable, &from, out, sizeof out, &len),
                     BK_ERR_UNSUPPORTED);
    struct bytes reset = {.len = 0};
    put_packet(&reset, &specs[4], NULL);
    reset.data[33] = NAT_TCP_RST;
    assert_int_equal(packet_parse(&cause, reset.data, reset.len, false), BK_OK);
    assert_int_equal(
        packet_build_answer(&cause, NAT_ANSWER_TCP_RESET, &from, out, sizeof out, &len),
        BK_ERR_UNSUPPORTED);
}

static void test_hops_end(void **state) {
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct bytes b = {.len = 0};
        struct packet p;
        put_packet(&b, &specs[i == 0 ? 0 : 7], NULL);
        assert_int_equal(packet_parse(&p, b.data, b.len, false), BK_OK);
        for (int hop = 0; hop < 63; hop++) {
            assert_int_equal(packet_hop(&p), BK_OK);
            assert_true(packet_checksums_right(&p));
        }
        assert_int_equal(packet_hop(&p), BK_ERR_TIMEOUT);
        assert_int_equal(p.hops, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_says_what_is_there),
        cmocka_unit_test(test_rewritten_checksums_are_right),
        cmocka_unit_test(test_udp_checksum_never_becomes_none),
        cmocka_unit_test(test_partial_checksums),
        cmocka_unit_test(test_errors_are_rewritten_inside_and_out),
        cmocka_unit_test(test_useless_errors_are_other),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_endless_extension_headers),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_reset_is_believable),
        cmocka_unit_test(test_some_are_never_answered),
        cmocka_unit_test(test_hops_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
