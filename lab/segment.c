/* SPDX-License-Identifier: MIT */
#include "lab/segment.h"

#include <string.h>

/* Offsets in struct virtio_net_hdr, whose numbers are in the machine's byte
 * order, in IP and in TCP. */
enum {
    VNET_NEEDS_CSUM = 1,
    VNET_GSO_TYPE = 1,
    VNET_GSO_SIZE = 4,
    IP4_LEN = 2,
    IP4_ID = 4,
    IP4_CHECKSUM = 10,
    IP6_LEN = 4,
    IP6_HEADER = 40,
    UDP_HEADER = 8,
    UDP_LEN = 4,
    UDP_CHECKSUM = 6,
    TCP_SEQ = 4,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_CHECKSUM = 16,
    TCP_FIN_PSH = 0x09,
    TCP_CWR = 0x80
};

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put32(uint8_t *at, uint32_t value) {
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

static uint64_t sum_bytes(uint64_t sum, const uint8_t *data, size_t len) {
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += get16(data + i);
    return len % 2 == 1 ? sum + ((uint64_t)data[len - 1] << 8) : sum;
}

static uint16_t folded(uint64_t sum) {
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static bool is_v6(const uint8_t *ip) {
    return ip[0] >> 4 == 6;
}

static size_t header_len(const struct transit *t) {
    const struct packet *p = &t->packet;
    if (p->header.flow.proto != NAT_TCP)
        return p->transport + UDP_HEADER;
    return p->transport + (size_t)(p->data[p->transport + TCP_OFFSET] >> 4) * 4;
}

/* 0: no superpacket. */
static size_t segment_size(const struct transit *t) {
    uint16_t size = 0;
    if (!t->parsed || t->bytes[VNET_GSO_TYPE] == 0 || t->packet.header.flow.proto == NAT_ICMP)
        return 0;
    memcpy(&size, t->bytes + VNET_GSO_SIZE, sizeof size);
    return header_len(t) + size < t->packet.len ? size : 0;
}

size_t segment_count(const struct transit *t) {
    size_t size = segment_size(t);
    return size == 0 ? 1 : (t->packet.len - header_len(t) + size - 1) / size;
}

/* The transport checksum of a finished packet: RFC 9293 section 3.1, RFC 768.
 */
static void complete_checksum(uint8_t *ip, size_t len, size_t transport, enum nat_proto proto) {
    size_t body = len - transport, address = is_v6(ip) ? 16 : 4;
    uint8_t *at = ip + transport + (proto == NAT_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
    put16(at, 0);
    uint64_t sum =
        sum_bytes(body + (proto == NAT_TCP ? 6 : 17), ip + (is_v6(ip) ? 8 : 12), 2 * address);
    uint16_t checksum = folded(sum_bytes(sum, ip + transport, body));
    put16(at, checksum == 0 && proto == NAT_UDP ? 0xffff : checksum);
}

static void fix_ip(uint8_t *ip, size_t len, size_t transport, size_t index) {
    if (is_v6(ip)) {
        put16(ip + IP6_LEN, len - IP6_HEADER);
        return;
    }
    put16(ip + IP4_LEN, len);
    put16(ip + IP4_ID, get16(ip + IP4_ID) + index);
    put16(ip + IP4_CHECKSUM, 0);
    size_t header = (size_t)(ip[0] & 0x0f) * 4;
    put16(ip + IP4_CHECKSUM, folded(sum_bytes(0, ip, header < transport ? header : transport)));
}

/* What the kernel does to a segment's transport header: tcp_gso_segment(), RFC
 * 3168 section 6.1.2 for CWR. */
static void fix_transport(uint8_t *transport, enum nat_proto proto, size_t offset, size_t body,
                          bool last) {
    if (proto == NAT_UDP) {
        put16(transport + UDP_LEN, body);
        return;
    }
    put32(transport + TCP_SEQ, get32(transport + TCP_SEQ) + (uint32_t)offset);
    if (!last)
        transport[TCP_FLAGS] &= (uint8_t)~TCP_FIN_PSH;
    if (offset > 0)
        transport[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

static size_t copy_whole(const struct transit *t, uint8_t *out, size_t cap) {
    size_t len = t->parsed ? t->packet.len : t->len - FABRIC_VNET_LEN;
    if (len > cap)
        return 0;
    memcpy(out, t->bytes + FABRIC_VNET_LEN, len);
    if (t->parsed && (t->bytes[0] & VNET_NEEDS_CSUM) != 0 &&
        t->packet.header.flow.proto != NAT_ICMP)
        complete_checksum(out, len, t->packet.transport, t->packet.header.flow.proto);
    return len;
}

size_t segment_get(const struct transit *t, size_t index, uint8_t *out, size_t cap) {
    size_t size = segment_size(t);
    if (size == 0)
        return copy_whole(t, out, cap);
    const struct packet *p = &t->packet;
    enum nat_proto proto = p->header.flow.proto;
    size_t header = header_len(t), offset = index * size, left = p->len - header - offset;
    size_t take = left < size ? left : size, len = header + take;
    if (len > cap)
        return 0;
    memcpy(out, p->data, header);
    memcpy(out + header, p->data + header + offset, take);
    fix_ip(out, len, p->transport, index);
    fix_transport(out + p->transport, proto, offset, len - p->transport, take == left);
    complete_checksum(out, len, p->transport, proto);
    return len;
}
