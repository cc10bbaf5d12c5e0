/* SPDX-License-Identifier: MIT */
#include "lab/icmp.h"

#include <string.h>

enum {
    IPV4_HEADER = 20,
    IPV6_HEADER = 40,
    ICMP_HEADER = 8,
    PROTOCOL_ICMP = 1,
    PROTOCOL_ICMPV6 = 58,
    HOPS = 64,
    QUOTE_V4_MAX = 548,                             /* RFC 1812 section 4.3.2.3: 576 in all */
    QUOTE_V6_MAX = 1280 - IPV6_HEADER - ICMP_HEADER /* RFC 4443 section 2.4 (c) */
};

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum16(uint32_t sum, const uint8_t *data, size_t len) {
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    return len % 2 == 1 ? sum + ((uint32_t)data[len - 1] << 8) : sum;
}

static uint16_t folded(uint32_t sum) {
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

bool icmp_dont_fragment(const struct packet *p) {
    return p->header.flow.src.ip.family == BK_IPV6 || (p->data[6] & 0x40) != 0;
}

/* Writes the IP header and the ICMP checksum around a finished ICMP body. */
static void wrap_v4(uint8_t *out, size_t len, const struct bk_ip *from, const struct bk_ip *to) {
    memset(out, 0, IPV4_HEADER);
    out[0] = 0x45;
    put16(out + 2, len);
    out[8] = HOPS;
    out[9] = PROTOCOL_ICMP;
    memcpy(out + 12, from->bytes, 4);
    memcpy(out + 16, to->bytes, 4);
    put16(out + 10, folded(sum16(0, out, IPV4_HEADER)));
    put16(out + IPV4_HEADER + 2, folded(sum16(0, out + IPV4_HEADER, len - IPV4_HEADER)));
}

static void wrap_v6(uint8_t *out, size_t len, const struct bk_ip *from, const struct bk_ip *to) {
    size_t body = len - IPV6_HEADER;
    memset(out, 0, IPV6_HEADER);
    out[0] = 0x60;
    put16(out + 4, body);
    out[6] = PROTOCOL_ICMPV6;
    out[7] = HOPS;
    memcpy(out + 8, from->bytes, 16);
    memcpy(out + 24, to->bytes, 16);
    /* The pseudo-header of RFC 8200 section 8.1: addresses, length, next header. */
    uint32_t sum = sum16((uint32_t)body + PROTOCOL_ICMPV6, out + 8, 32);
    put16(out + IPV6_HEADER + 2, folded(sum16(sum, out + IPV6_HEADER, body)));
}

static void wrap(uint8_t *out, size_t len, const struct bk_ip *from, const struct bk_ip *to) {
    if (from->family == BK_IPV4)
        wrap_v4(out, len, from, to);
    else
        wrap_v6(out, len, from, to);
}

enum bk_err icmp_too_big(const struct packet *cause, const struct bk_ip *from, uint32_t mtu,
                         uint8_t *out, size_t cap, size_t *len) {
    const struct nat_flow *flow = &cause->header.flow;
    if (flow->proto == NAT_ICMP && cause->header.icmp == NAT_ICMP_ERROR)
        return BK_ERR_UNSUPPORTED; /* RFC 1122 section 3.2.2: no errors about errors */
    if (from->family != flow->src.ip.family)
        return BK_ERR_ARGUMENT;
    bool v4 = from->family == BK_IPV4;
    size_t header = (v4 ? IPV4_HEADER : IPV6_HEADER) + ICMP_HEADER;
    size_t quote_max = v4 ? QUOTE_V4_MAX : QUOTE_V6_MAX;
    size_t quote = cause->len < quote_max ? cause->len : quote_max;
    if (header + quote > cap)
        return BK_ERR_TOO_LONG;
    uint8_t *icmp = out + header - ICMP_HEADER;
    memset(icmp, 0, ICMP_HEADER);
    icmp[0] = v4 ? 3 : 2;
    icmp[1] = v4 ? 4 : 0;
    put16(icmp + 6, mtu); /* the low half of the 32 bits of IPv6 */
    memcpy(icmp + ICMP_HEADER, cause->data, quote);
    wrap(out, header + quote, from, &flow->src.ip);
    *len = header + quote;
    return BK_OK;
}

enum bk_err icmp_echo_reply(const struct packet *request, uint8_t *out, size_t cap, size_t *len) {
    const struct nat_header *h = &request->header;
    if (h->flow.proto != NAT_ICMP || h->icmp != NAT_ICMP_ECHO)
        return BK_ERR_UNSUPPORTED;
    bool v4 = h->flow.src.ip.family == BK_IPV4;
    size_t header = v4 ? IPV4_HEADER : IPV6_HEADER, body = request->len - request->transport;
    if (header + body > cap)
        return BK_ERR_TOO_LONG;
    memcpy(out + header, request->data + request->transport, body);
    out[header] = v4 ? 0 : 129;
    put16(out + header + 2, 0);
    wrap(out, header + body, &h->flow.dst.ip, &h->flow.src.ip);
    *len = header + body;
    return BK_OK;
}
