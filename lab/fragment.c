/* SPDX-License-Identifier: MIT */
#include "lab/fragment.h"

#include "lab/router.h"
#include "lab/segment.h"
#include "lab/transit.h"
#include <string.h>

enum {
    IP4_LEN = 2,
    IP4_FLAGS = 6,
    IP4_CHECKSUM = 10,
    IP4_MORE = 0x2000,
    IP4_DONT = 0x4000,
    IP4_OFFSET = 0x1fff,
    IP6_NEXT = 6,
    IP6_FRAGMENT = 44
};

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static const uint8_t *ip_of(const struct transit *t) {
    return t->bytes + FABRIC_VNET_LEN;
}

bool fragment_is(const struct transit *t) {
    const uint8_t *ip = ip_of(t);
    if (t->dst.family == BK_IPV6)
        return ip[IP6_NEXT] == IP6_FRAGMENT;
    return (get16(ip + IP4_FLAGS) & (IP4_MORE | IP4_OFFSET)) != 0;
}

bool fragment_allowed(const struct transit *t) {
    return t->dst.family == BK_IPV4 && (get16(ip_of(t) + IP4_FLAGS) & IP4_DONT) == 0;
}

static void fix_header(uint8_t *ip, size_t header, size_t len, uint16_t flags) {
    put16(ip + IP4_LEN, len);
    put16(ip + IP4_FLAGS, flags);
    put16(ip + IP4_CHECKSUM, 0);
    uint32_t sum = 0;
    for (size_t i = 0; i < header; i += 2)
        sum += get16(ip + i);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + IP4_CHECKSUM, ~sum & 0xffff);
}

/* `whole` is the packet with its vnet header; a piece of it goes the way of
 * `like`. */
static void send_piece(struct fabric *f, const struct transit *like, uint8_t *bytes, size_t len) {
    struct transit piece = *like;
    memset(bytes, 0, FABRIC_VNET_LEN);
    piece.bytes = bytes;
    piece.len = len;
    piece.owned = false;
    piece.sight = 0;
    if (!transit_parse(&piece))
        return;
    struct transit *copy = transit_copy(f, &piece);
    if (copy != NULL)
        router_send(f, copy);
}

/* Every option goes into every fragment; RFC 791 would leave some to the first
 * one. */
static void send_pieces(struct fabric *f, const struct transit *like, const uint8_t *ip, size_t len,
                        size_t mtu) {
    size_t header = (size_t)(ip[0] & 0x0f) * 4;
    if (len <= header || mtu < header + 8)
        return;
    size_t room = (mtu - header) / 8 * 8;
    uint16_t flags = get16(ip + IP4_FLAGS);
    for (size_t at = header; at < len; at += room) {
        size_t take = len - at < room ? len - at : room;
        bool more = at + take < len || (flags & IP4_MORE) != 0;
        size_t offset = (flags & IP4_OFFSET) + (at - header) / 8;
        uint8_t *out = f->fragment + FABRIC_VNET_LEN;
        memcpy(out, ip, header);
        memcpy(out + header, ip + at, take);
        fix_header(out, header, header + take, (uint16_t)((more ? IP4_MORE : 0) | offset));
        send_piece(f, like, f->fragment, FABRIC_VNET_LEN + header + take);
    }
}

void fragment_send(struct fabric *f, const struct transit *t) {
    size_t mtu = f->boxes[t->node].node->mtu, count = segment_count(t);
    for (size_t i = 0; i < count; i++) {
        uint8_t *ip = f->segment + FABRIC_VNET_LEN;
        size_t len = segment_get(t, i, ip, sizeof f->segment - FABRIC_VNET_LEN);
        if (len > mtu)
            send_pieces(f, t, ip, len, mtu);
        else if (len > 0)
            send_piece(f, t, f->segment, FABRIC_VNET_LEN + len);
    }
}
