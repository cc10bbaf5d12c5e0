/* SPDX-License-Identifier: MIT */
#include "lab/transit.h"

#include <string.h>

/* The fields of struct virtio_net_hdr we read; its numbers are in the machine's byte order. */
enum { VNET_NEEDS_CSUM = 1, VNET_GSO_TYPE = 1, VNET_GSO_SIZE = 4 };

struct transit *transit_copy(struct fabric *f, const struct transit *t) {
    struct transit *copy = f->alloc.get(f->alloc.ctx, sizeof *copy + t->len);
    if (copy == NULL)
        return NULL;
    *copy = *t;
    copy->bytes = (uint8_t *)(copy + 1); /* right behind it */
    copy->owned = true;
    copy->packet.data = copy->bytes + FABRIC_VNET_LEN;
    memcpy(copy->bytes, t->bytes, t->len);
    return copy;
}

void transit_free(struct fabric *f, struct transit *t) {
    if (t->owned)
        f->alloc.put(f->alloc.ctx, t);
}

bool transit_parse(struct transit *t) {
    uint8_t *ip = t->bytes + FABRIC_VNET_LEN;
    size_t len = t->len - FABRIC_VNET_LEN;
    bool partial = (t->bytes[0] & VNET_NEEDS_CSUM) != 0;
    t->wire_len = len;
    bool right = packet_parse_any(&t->packet, ip, len, partial) == BK_OK;
    t->parsed = right && t->packet.part == PACKET_WHOLE;
    t->fragment = right && t->packet.part != PACKET_WHOLE;
    if (right) {
        t->dst = t->packet.header.flow.dst.ip;
        return true;
    }
    if (len >= 20 && ip[0] >> 4 == 4)
        t->dst = bk_ipv4(ip[16], ip[17], ip[18], ip[19]);
    else if (len >= 40 && ip[0] >> 4 == 6)
        t->dst = bk_ipv6(ip + 24);
    else
        return false;
    return true;
}

bool transit_can_wait(const struct transit *t) {
    return t->owned && t->bytes == (const uint8_t *)(t + 1);
}

void transit_send(struct transit *t, int node, enum topology_direction direction) {
    t->place = FABRIC_AT_LINK;
    t->node = node;
    t->direction = direction;
}

void transit_measure(struct transit *t) {
    uint16_t segment = 0;
    if (t->bytes[VNET_GSO_TYPE] == 0 || !t->parsed)
        return;
    memcpy(&segment, t->bytes + VNET_GSO_SIZE, sizeof segment);
    size_t header = 8;
    if (t->packet.header.flow.proto == NAT_TCP && t->packet.transport + 12 < t->packet.len)
        header = (size_t)(t->packet.data[t->packet.transport + 12] >> 4) * 4;
    size_t wire = t->packet.transport + header + segment;
    t->wire_len = wire < t->wire_len ? wire : t->wire_len;
}
