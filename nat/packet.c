/* SPDX-License-Identifier: MIT
 * Bytes to header and back. */
#include "nat/packet.h"

#include "base/assert.h"
#include "nat/bytes.h"
#include "nat/checksum.h"

#include <string.h>

enum { EXTENSIONS_MAX = 8 }; /* IPv6 extension headers we walk over */

/* One IP header and the start of its transport header, be it ours or a quoted one. */
struct layer {
    size_t ip, transport, end; /* offsets; `end` is where the IP packet's bytes stop */
    uint8_t proto;
    uint8_t hops;
    bool fragment;   /* it is one; */
    uint16_t offset; /*   where in the packet, in units of 8 bytes: the first one has the ports */
    uint32_t id;
};

enum { NEXT_FRAGMENT = 44 };

static bool is_v6(const uint8_t *ip) {
    return ip[0] >> 4 == 6;
}

static enum bk_err read_ip4(const uint8_t *data, size_t len, bool quoted, struct layer *l) {
    const uint8_t *ip = data + l->ip;
    if (len < l->ip + IP4_HEADER)
        return BK_ERR_SHORT;
    size_t header = (size_t)(ip[0] & 0x0f) * 4, total = get16(ip + IP4_LEN);
    if (header < IP4_HEADER || total < header)
        return BK_ERR_MALFORMED;
    if (len < l->ip + header || (!quoted && len < l->ip + total))
        return BK_ERR_SHORT;
    if (!quoted && sum_fold(sum_bytes(ip, header)) != 0xffff)
        return BK_ERR_MALFORMED;
    l->transport = l->ip + header;
    l->end = len - l->ip < total ? len : l->ip + total; /* a quoted packet is cut short */
    l->proto = ip[IP4_PROTO];
    l->hops = ip[IP4_TTL];
    l->offset = get16(ip + IP4_FRAGMENT) & 0x1fff;
    l->fragment = l->offset != 0 || (get16(ip + IP4_FRAGMENT) & 0x2000) != 0;
    l->id = get16(ip + IP4_ID);
    return BK_OK;
}

static bool is_skippable(uint8_t next) {
    return next == 0 || next == 43 || next == 60; /* hop-by-hop, routing, destination options */
}

/* Steps over a fragment header, RFC 8200 section 4.5. An "atomic" one (RFC 6946) says nothing. */
static enum bk_err read_fragment_header(const uint8_t *data, struct layer *l) {
    if (l->proto != NEXT_FRAGMENT)
        return BK_OK;
    if (l->end < l->transport + 8)
        return BK_ERR_SHORT;
    const uint8_t *h = data + l->transport;
    l->offset = get16(h + 2) >> 3;
    l->fragment = l->offset != 0 || (h[3] & 1) != 0;
    l->id = get32(h + 4);
    l->proto = h[0];
    l->transport += 8;
    return BK_OK;
}

static enum bk_err read_ip6(const uint8_t *data, size_t len, bool quoted, struct layer *l) {
    const uint8_t *ip = data + l->ip;
    if (len < l->ip + IP6_HEADER)
        return BK_ERR_SHORT;
    size_t total = (size_t)IP6_HEADER + get16(ip + IP6_LEN);
    if (!quoted && len < l->ip + total)
        return BK_ERR_SHORT;
    l->end = len - l->ip < total ? len : l->ip + total;
    l->transport = l->ip + IP6_HEADER;
    l->proto = ip[IP6_NEXT];
    l->hops = ip[IP6_HOPS];
    for (int i = 0; is_skippable(l->proto); i++) {
        if (i == EXTENSIONS_MAX)
            return BK_ERR_MALFORMED;
        if (l->end < l->transport + 8)
            return BK_ERR_SHORT;
        l->proto = data[l->transport];
        l->transport += ((size_t)data[l->transport + 1] + 1) * 8;
    }
    if (l->end < l->transport)
        return BK_ERR_SHORT;
    return read_fragment_header(data, l);
}

static enum bk_err read_layer(const uint8_t *data, size_t len, size_t at, bool quoted,
                              struct layer *out) {
    struct layer l = {.ip = at};
    if (len <= at)
        return BK_ERR_SHORT;
    if (!is_v6(data + at) && data[at] >> 4 != 4)
        return BK_ERR_MALFORMED;
    enum bk_err e =
        is_v6(data + at) ? read_ip6(data, len, quoted, &l) : read_ip4(data, len, quoted, &l);
    if (e == BK_OK)
        *out = l;
    return e;
}

static struct bk_ip read_address(const uint8_t *ip, bool dst) {
    if (is_v6(ip))
        return bk_ipv6(ip + (dst ? IP6_DST : IP6_SRC));
    const uint8_t *b = ip + (dst ? IP4_DST : IP4_SRC);
    return bk_ipv4(b[0], b[1], b[2], b[3]);
}

static enum nat_icmp icmp_kind(bool v6, uint8_t type) {
    switch (type) {
    case 8:
        return v6 ? NAT_ICMP_OTHER : NAT_ICMP_ECHO;
    case 0:
        return v6 ? NAT_ICMP_OTHER : NAT_ICMP_ECHO_REPLY;
    case 128:
        return v6 ? NAT_ICMP_ECHO : NAT_ICMP_OTHER;
    case 129:
        return v6 ? NAT_ICMP_ECHO_REPLY : NAT_ICMP_OTHER;
    case 3: /* unreachable; time exceeded in ICMPv6 */
        return NAT_ICMP_ERROR;
    case 1: /* ICMPv6: unreachable, too big, parameter problem */
    case 2:
    case 4:
        return v6 ? NAT_ICMP_ERROR : NAT_ICMP_OTHER;
    case 11: /* time exceeded, parameter problem */
    case 12:
        return v6 ? NAT_ICMP_OTHER : NAT_ICMP_ERROR;
    default: /* a number from the wire, not an enum */
        return NAT_ICMP_OTHER;
    }
}

/* Fills `flow` and `icmp` from the first eight bytes of the transport header. */
static enum bk_err read_flow(const uint8_t *data, const struct layer *l, struct nat_flow *flow,
                             enum nat_icmp *icmp) {
    const uint8_t *t = data + l->transport;
    bool v6 = is_v6(data + l->ip);
    if (l->offset != 0)
        return BK_ERR_UNSUPPORTED;
    if (l->proto != PROTO_UDP && l->proto != PROTO_TCP &&
        l->proto != (v6 ? PROTO_ICMP6 : PROTO_ICMP4))
        return BK_ERR_UNSUPPORTED;
    if (l->end < l->transport + 8)
        return BK_ERR_SHORT;
    struct nat_flow f = {.src.ip = read_address(data + l->ip, false),
                         .dst.ip = read_address(data + l->ip, true)};
    *icmp = NAT_ICMP_OTHER;
    if (l->proto == PROTO_UDP || l->proto == PROTO_TCP) {
        f.proto = l->proto == PROTO_UDP ? NAT_UDP : NAT_TCP;
        f.src.port = get16(t);
        f.dst.port = get16(t + 2);
    } else {
        f.proto = NAT_ICMP;
        *icmp = icmp_kind(v6, t[0]);
        if (*icmp == NAT_ICMP_ECHO)
            f.src.port = get16(t + ICMP_ID);
        if (*icmp == NAT_ICMP_ECHO_REPLY)
            f.dst.port = get16(t + ICMP_ID);
    }
    *flow = f;
    return BK_OK;
}

uint32_t pseudo_sum(const uint8_t *ip, uint8_t proto, size_t transport_len) {
    uint32_t sum = is_v6(ip) ? sum_bytes(ip + IP6_SRC, 32) : sum_bytes(ip + IP4_SRC, 8);
    return sum + proto + (uint32_t)transport_len;
}

static uint16_t transport_sum(const uint8_t *data, const struct layer *l) {
    size_t len = l->end - l->transport;
    uint32_t sum = sum_bytes(data + l->transport, len);
    if (l->proto != PROTO_ICMP4)
        sum += pseudo_sum(data + l->ip, l->proto, len);
    return sum_fold(sum);
}

static bool transport_lengths_right(const uint8_t *data, const struct layer *l) {
    const uint8_t *t = data + l->transport;
    size_t len = l->end - l->transport;
    if (l->proto == PROTO_UDP) {
        bool inside = l->fragment || get16(t + UDP_LEN) <= len;
        return get16(t + UDP_LEN) >= UDP_HEADER && inside;
    }
    if (l->proto != PROTO_TCP)
        return true;
    return len >= TCP_HEADER && (t[TCP_OFFSET] >> 4) * 4 >= TCP_HEADER &&
           (size_t)(t[TCP_OFFSET] >> 4) * 4 <= len;
}

/* The header's length has been checked. */
static void read_tcp(const uint8_t *tcp, size_t len, struct nat_header *h) {
    h->tcp_flags = tcp[TCP_FLAGS];
    h->tcp_seq = get32(tcp + TCP_SEQ);
    h->tcp_len = (uint32_t)(len - (size_t)(tcp[TCP_OFFSET] >> 4) * 4);
    h->tcp_len += (h->tcp_flags & NAT_TCP_SYN) != 0 ? 1 : 0;
    h->tcp_len += (h->tcp_flags & NAT_TCP_FIN) != 0 ? 1 : 0;
}

static bool is_error(const struct nat_flow *flow, enum nat_icmp icmp) {
    return flow->proto == NAT_ICMP && icmp == NAT_ICMP_ERROR;
}

/* The packet an ICMP error quotes: at least its IP header and eight bytes, RFC 792. Errors about
 * errors do not exist (RFC 1122 section 3.2.2). false: nothing a NAT could use. */
static bool read_inner(struct packet *p) {
    struct layer l;
    size_t at = p->transport + ICMP_HEADER;
    if (read_layer(p->data, p->len, at, true, &l) != BK_OK)
        return false;
    struct nat_header *h = &p->header;
    if (read_flow(p->data, &l, &h->inner, &h->inner_icmp) != BK_OK)
        return false;
    p->inner = at;
    p->inner_transport = l.transport;
    bool known = h->inner.proto != NAT_ICMP || h->inner_icmp == NAT_ICMP_ECHO ||
                 h->inner_icmp == NAT_ICMP_ECHO_REPLY;
    return known && h->inner.src.ip.family == h->flow.src.ip.family;
}

/* Everything of a packet that has its transport header. */
static enum bk_err read_whole(struct packet *p, const struct layer *l) {
    const uint8_t *data = p->data;
    enum bk_err e = read_flow(data, l, &p->header.flow, &p->header.icmp);
    if (e != BK_OK)
        return e;
    if (!transport_lengths_right(data, l))
        return l->fragment ? BK_ERR_SHORT : BK_ERR_MALFORMED;
    bool icmp = p->header.flow.proto == NAT_ICMP;
    if (icmp && !l->fragment && transport_sum(data, l) != 0xffff)
        return BK_ERR_MALFORMED;
    p->transport = l->transport;
    if (p->header.flow.proto == NAT_TCP)
        read_tcp(data + l->transport, l->end - l->transport, &p->header);
    if (is_error(&p->header.flow, p->header.icmp) && !read_inner(p)) {
        p->header.icmp = NAT_ICMP_OTHER;
        memset(&p->header.inner, 0, sizeof p->header.inner);
        p->inner = p->inner_transport = 0;
    }
    return BK_OK;
}

enum bk_err packet_parse_any(struct packet *out, uint8_t *data, size_t len, bool partial_csum) {
    struct layer l;
    struct packet p = {.data = data, .partial_csum = partial_csum};
    enum bk_err e = read_layer(data, len, 0, false, &l);
    if (e != BK_OK)
        return e;
    p.len = l.end;
    p.hops = l.hops;
    if (l.fragment) {
        p.part = l.offset == 0 ? PACKET_FIRST : PACKET_LATER;
        p.ip_proto = l.proto;
        p.ip_id = l.id;
        p.ip_offset = l.offset;
    }
    if (p.part != PACKET_LATER) {
        e = read_whole(&p, &l);
    } else {
        p.header.flow.src.ip = read_address(data, false);
        p.header.flow.dst.ip = read_address(data, true);
    }
    if (e == BK_OK)
        *out = p;
    return e;
}

enum bk_err packet_parse(struct packet *out, uint8_t *data, size_t len, bool partial_csum) {
    struct packet p;
    enum bk_err e = packet_parse_any(&p, data, len, partial_csum);
    if (e == BK_OK && p.part != PACKET_WHOLE)
        e = BK_ERR_UNSUPPORTED;
    if (e == BK_OK)
        *out = p;
    return e;
}

static void patch_address(uint8_t *at, const struct bk_ip *ip, uint32_t *delta) {
    size_t len = ip->family == BK_IPV6 ? 16 : 4;
    for (size_t i = 0; i < len; i += 2)
        patch16(at + i, get16(ip->bytes + i), delta);
}

/* Both addresses and the IPv4 header checksum. *delta is the change of the addresses; *all also
 * that of the checksum. */
static void patch_ip(uint8_t *ip, const struct nat_flow *to, uint32_t *delta, uint32_t *all) {
    uint32_t addresses = 0;
    bool v6 = is_v6(ip);
    patch_address(ip + (v6 ? IP6_SRC : IP4_SRC), &to->src.ip, &addresses);
    patch_address(ip + (v6 ? IP6_DST : IP4_DST), &to->dst.ip, &addresses);
    *delta += sum_fold(addresses);
    *all += sum_fold(addresses);
    if (!v6)
        patch16(ip + IP4_CHECKSUM, sum_update(get16(ip + IP4_CHECKSUM), addresses), all);
}

/* Ports, or the identifier of an echo. *delta is their change. */
static void patch_ports(uint8_t *transport, const struct nat_flow *to, enum nat_icmp icmp,
                        uint32_t *delta) {
    if (to->proto != NAT_ICMP) {
        patch16(transport, to->src.port, delta);
        patch16(transport + 2, to->dst.port, delta);
    } else if (icmp == NAT_ICMP_ECHO) {
        patch16(transport + ICMP_ID, to->src.port, delta);
    } else if (icmp == NAT_ICMP_ECHO_REPLY) {
        patch16(transport + ICMP_ID, to->dst.port, delta);
    }
}

static size_t checksum_offset(enum nat_proto proto) {
    switch (proto) {
    case NAT_UDP:
        return UDP_CHECKSUM;
    case NAT_TCP:
        return TCP_CHECKSUM;
    case NAT_ICMP:
    case NAT_PROTOS:
        break;
    }
    return ICMP_CHECKSUM;
}

/* The new value of a transport checksum. ICMPv4 has no pseudo header; zero over UDP means none,
 * RFC 768, and a computed zero is sent as all ones. */
static uint16_t next_checksum(uint16_t old, const struct nat_flow *to, uint32_t addresses,
                              uint32_t rest) {
    if (to->proto == NAT_UDP && old == 0)
        return 0;
    bool v4 = to->src.ip.family == BK_IPV4;
    uint32_t delta = rest + (to->proto == NAT_ICMP && v4 ? 0 : addresses);
    uint16_t fresh = sum_update(old, delta);
    return to->proto == NAT_UDP && fresh == 0 ? 0xffff : fresh;
}

/* The packet an ICMP error quotes, as far as it is there. *all is the change of all its words,
 * which the error's own checksum covers. RFC 5508 section 4: the quoted checksum is carried along,
 * but never verified. */
static void rewrite_inner(struct packet *p, const struct nat_header *to, uint32_t *all) {
    uint32_t addresses = 0, ports = 0;
    uint8_t *transport = p->data + p->inner_transport;
    patch_ip(p->data + p->inner, &to->inner, &addresses, all);
    patch_ports(transport, &to->inner, to->inner_icmp, &ports);
    *all += sum_fold(ports);
    size_t at = checksum_offset(to->inner.proto);
    if (p->inner_transport + at + 2 > p->len)
        return;
    uint16_t fresh = next_checksum(get16(transport + at), &to->inner, addresses, ports);
    patch16(transport + at, fresh, all);
}

void packet_rewrite(struct packet *p, const struct nat_header *to) {
    bk_assert(to->flow.proto == p->header.flow.proto);
    bk_assert(to->flow.src.ip.family == p->header.flow.src.ip.family);
    uint32_t addresses = 0, rest = 0, unused = 0;
    uint8_t *transport = p->data + p->transport;
    patch_ip(p->data, &to->flow, &addresses, &unused);
    patch_ports(transport, &to->flow, to->icmp, &rest);
    if (p->inner != 0)
        rewrite_inner(p, to, &rest);
    uint8_t *checksum = transport + checksum_offset(to->flow.proto);
    uint16_t old = get16(checksum);
    if (p->partial_csum && to->flow.proto != NAT_ICMP) /* an un-inverted sum without the ports */
        put16(checksum, sum_fold((uint32_t)old + sum_fold(addresses)));
    else
        put16(checksum, next_checksum(old, &to->flow, addresses, rest));
    p->header = *to;
}

void packet_rewrite_addresses(struct packet *p, const struct bk_ip *src, const struct bk_ip *dst) {
    struct nat_flow to = {.src.ip = *src, .dst.ip = *dst};
    uint32_t delta = 0, unused = 0;
    bk_assert(src->family == p->header.flow.src.ip.family);
    patch_ip(p->data, &to, &delta, &unused);
    p->header.flow.src.ip = *src;
    p->header.flow.dst.ip = *dst;
}

enum bk_err packet_hop(struct packet *p) {
    bool v6 = is_v6(p->data);
    uint8_t *hops = p->data + (v6 ? IP6_HOPS : IP4_TTL);
    if (p->hops <= 1)
        return BK_ERR_TIMEOUT;
    p->hops--;
    if (v6) {
        *hops = p->hops;
        return BK_OK;
    }
    uint32_t delta = 0; /* the word of TTL and protocol */
    patch16(hops, (uint16_t)(p->hops << 8 | hops[1]), &delta);
    uint8_t *checksum = p->data + IP4_CHECKSUM;
    put16(checksum, sum_update(get16(checksum), delta));
    return BK_OK;
}

bool packet_checksums_right(const struct packet *p) {
    struct layer l;
    if (read_layer(p->data, p->len, 0, false, &l) != BK_OK)
        return false; /* includes the IPv4 header's checksum */
    bool none =
        l.proto == PROTO_UDP && !is_v6(p->data) && get16(p->data + l.transport + UDP_CHECKSUM) == 0;
    return none || transport_sum(p->data, &l) == 0xffff;
}
