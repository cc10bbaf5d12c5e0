/* SPDX-License-Identifier: MIT
 * The packets a router makes itself: ICMP errors (RFC 792, RFC 4443) and TCP resets (RFC 9293
 * section 3.5.2). */
#include "nat/packet.h"

#include "nat/bytes.h"
#include "nat/checksum.h"

#include <string.h>

enum {
    ANSWER_HOPS = 64,
    ANSWER4_MAX = 576, /* RFC 1812 section 4.3.2.3 */
    ANSWER6_MAX = 1280 /* RFC 4443 section 2.4 (c) */
};

/* Type and code of the ICMP error, for both versions. */
static const struct {
    uint8_t type4, code4, type6, code6;
} icmp_codes[] = {
    [NAT_ANSWER_PORT_UNREACHABLE] = {3, 3, 1, 4},
    [NAT_ANSWER_ADMIN_PROHIBITED] = {3, 13, 1, 1},
    [NAT_ANSWER_TIME_EXCEEDED] = {11, 0, 3, 0},
    [NAT_ANSWER_HOST_UNREACHABLE] = {3, 1, 1, 3},
};

static size_t ip_header_len(const struct bk_ip *ip) {
    return ip->family == BK_IPV6 ? (size_t)IP6_HEADER : (size_t)IP4_HEADER;
}

/* Writes the IP header for `len` bytes of payload. `out` is zeroed. */
static void put_ip(uint8_t *out, const struct bk_ip *src, const struct bk_ip *dst, uint8_t proto,
                   size_t len) {
    if (src->family == BK_IPV6) {
        out[0] = 6 << 4;
        put16(out + IP6_LEN, (uint16_t)len);
        out[IP6_NEXT] = proto;
        out[IP6_HOPS] = ANSWER_HOPS;
        memcpy(out + IP6_SRC, src->bytes, 16);
        memcpy(out + IP6_DST, dst->bytes, 16);
        return;
    }
    out[0] = 4 << 4 | IP4_HEADER / 4;
    put16(out + IP4_LEN, (uint16_t)(IP4_HEADER + len));
    out[IP4_TTL] = ANSWER_HOPS;
    out[IP4_PROTO] = proto;
    memcpy(out + IP4_SRC, src->bytes, 4);
    memcpy(out + IP4_DST, dst->bytes, 4);
    put16(out + IP4_CHECKSUM, (uint16_t)~sum_fold(sum_bytes(out, IP4_HEADER)));
}

/* As much of the cause as fits: RFC 1812 section 4.3.2.3. */
static enum bk_err build_icmp(const struct packet *cause, enum nat_answer answer,
                              const struct bk_ip *from, uint8_t *out, size_t cap, size_t *len) {
    bool v6 = from->family == BK_IPV6;
    size_t header = ip_header_len(from), most = v6 ? ANSWER6_MAX : ANSWER4_MAX;
    size_t quoted = most - header - ICMP_HEADER;
    if (quoted > cause->len)
        quoted = cause->len;
    size_t total = header + ICMP_HEADER + quoted;
    if (cap < total)
        return BK_ERR_TOO_LONG;
    memset(out, 0, header + ICMP_HEADER);
    uint8_t *icmp = out + header;
    icmp[0] = v6 ? icmp_codes[answer].type6 : icmp_codes[answer].type4;
    icmp[1] = v6 ? icmp_codes[answer].code6 : icmp_codes[answer].code4;
    memcpy(icmp + ICMP_HEADER, cause->data, quoted);
    uint8_t proto = v6 ? PROTO_ICMP6 : PROTO_ICMP4;
    put_ip(out, from, &cause->header.flow.src.ip, proto, ICMP_HEADER + quoted);
    uint32_t sum = sum_bytes(icmp, ICMP_HEADER + quoted);
    if (v6)
        sum += pseudo_sum(out, proto, ICMP_HEADER + quoted);
    put16(icmp + ICMP_CHECKSUM, (uint16_t)~sum_fold(sum));
    *len = total;
    return BK_OK;
}

/* RFC 9293 section 3.5.2: a reset that the segment's sender will believe. */
static enum bk_err build_reset(const struct packet *cause, uint8_t *out, size_t cap, size_t *len) {
    const struct nat_flow *flow = &cause->header.flow;
    size_t header = ip_header_len(&flow->src.ip), total = header + TCP_HEADER;
    if (cap < total)
        return BK_ERR_TOO_LONG;
    memset(out, 0, total);
    const uint8_t *seg = cause->data + cause->transport;
    uint8_t *tcp = out + header;
    put16(tcp, flow->dst.port);
    put16(tcp + 2, flow->src.port);
    tcp[TCP_OFFSET] = TCP_HEADER / 4 << 4;
    tcp[TCP_FLAGS] = NAT_TCP_RST;
    if ((seg[TCP_FLAGS] & NAT_TCP_ACK) != 0) {
        put32(tcp + TCP_SEQ, get32(seg + TCP_ACK));
    } else {
        tcp[TCP_FLAGS] |= NAT_TCP_ACK;
        put32(tcp + TCP_ACK, get32(seg + TCP_SEQ) + cause->header.tcp_len);
    }
    put_ip(out, &flow->dst.ip, &flow->src.ip, PROTO_TCP, TCP_HEADER);
    uint32_t sum = sum_bytes(tcp, TCP_HEADER) + pseudo_sum(out, PROTO_TCP, TCP_HEADER);
    put16(tcp + TCP_CHECKSUM, (uint16_t)~sum_fold(sum));
    *len = total;
    return BK_OK;
}

enum bk_err packet_build_syn(const struct nat_header *syn, uint8_t *out, size_t cap, size_t *len) {
    const struct nat_flow *flow = &syn->flow;
    size_t header = ip_header_len(&flow->src.ip), total = header + TCP_HEADER;
    if (cap < total)
        return BK_ERR_TOO_LONG;
    memset(out, 0, total);
    uint8_t *tcp = out + header;
    put16(tcp, flow->src.port);
    put16(tcp + 2, flow->dst.port);
    put32(tcp + TCP_SEQ, syn->tcp_seq);
    tcp[TCP_OFFSET] = TCP_HEADER / 4 << 4;
    tcp[TCP_FLAGS] = NAT_TCP_SYN;
    put_ip(out, &flow->src.ip, &flow->dst.ip, PROTO_TCP, TCP_HEADER);
    uint32_t sum = sum_bytes(tcp, TCP_HEADER) + pseudo_sum(out, PROTO_TCP, TCP_HEADER);
    put16(tcp + TCP_CHECKSUM, (uint16_t)~sum_fold(sum));
    *len = total;
    return BK_OK;
}

/* RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e): whom not to answer. */
static bool may_answer(const struct packet *cause) {
    const struct nat_header *h = &cause->header;
    bool icmp_query = h->icmp == NAT_ICMP_ECHO || h->icmp == NAT_ICMP_ECHO_REPLY;
    if (h->flow.proto == NAT_ICMP && !icmp_query)
        return false;
    if (h->flow.proto == NAT_TCP && (h->tcp_flags & NAT_TCP_RST) != 0)
        return false;
    return bk_ip_scope(&h->flow.src.ip) != BK_SCOPE_NONE &&
           bk_ip_scope(&h->flow.dst.ip) != BK_SCOPE_NONE;
}

enum bk_err packet_build_answer(const struct packet *cause, enum nat_answer answer,
                                const struct bk_ip *from, uint8_t *out, size_t cap, size_t *len) {
    if (answer == NAT_ANSWER_NONE || !may_answer(cause))
        return BK_ERR_UNSUPPORTED;
    if (from->family != cause->header.flow.src.ip.family)
        return BK_ERR_ARGUMENT;
    if (answer != NAT_ANSWER_TCP_RESET)
        return build_icmp(cause, answer, from, out, cap, len);
    if (cause->header.flow.proto != NAT_TCP)
        return BK_ERR_UNSUPPORTED;
    return build_reset(cause, out, cap, len);
}
