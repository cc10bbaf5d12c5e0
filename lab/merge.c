/* SPDX-License-Identifier: MIT */
#include "lab/merge.h"

#include <string.h>

/* Offsets in struct virtio_net_hdr, whose numbers are in the machine's byte order, in IP and UDP.
 */
enum {
    VNET_NEEDS_CSUM = 1,
    VNET_GSO_TYPE = 1,
    VNET_HDR_LEN = 2,
    VNET_GSO_SIZE = 4,
    VNET_UDP_L4 = 5, /* VIRTIO_NET_HDR_GSO_UDP_L4 */
    IP4_HEADER = 20,
    IP4_LEN = 2,
    IP4_FLAGS = 6,
    IP4_PROTO = 9,
    IP4_CHECKSUM = 10,
    IP4_SRC = 12,
    IP6_HEADER = 40,
    IP6_LEN = 4,
    IP6_NEXT = 6,
    UDP_HEADER = 8,
    UDP_LEN = 4,
    UDP_CHECKSUM = 6,
    PROTO_UDP = 17
};

static uint32_t get16(const uint8_t *at) {
    return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t fold(uint32_t sum) {
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static bool is_v6(const uint8_t *ip) {
    return ip[0] >> 4 == 6;
}

/* The length of both headers; 0: not a packet for this. */
static size_t header_of(const uint8_t *bytes, size_t len) {
    const uint8_t *ip = bytes + FABRIC_VNET_LEN;
    size_t in = len - FABRIC_VNET_LEN, header; /* wraps around where len is too short */
    if (len < FABRIC_VNET_LEN + IP4_HEADER + UDP_HEADER + 1 || (bytes[0] & VNET_NEEDS_CSUM) == 0 ||
        bytes[VNET_GSO_TYPE] != 0 || in > MERGE_SIZE_MAX)
        return 0;
    if (is_v6(ip)) {
        header = IP6_HEADER;
        if (in <= IP6_HEADER + UDP_HEADER || ip[IP6_NEXT] != PROTO_UDP ||
            get16(ip + IP6_LEN) + header != in)
            return 0;
    } else {
        header = IP4_HEADER;
        bool fragment = (get16(ip + IP4_FLAGS) & 0x3fff) != 0;
        if (ip[0] != 0x45 || ip[IP4_PROTO] != PROTO_UDP || fragment || get16(ip + IP4_LEN) != in)
            return 0;
    }
    return get16(ip + header + UDP_LEN) == in - header ? header + UDP_HEADER : 0;
}

/* All that must not differ: everything but lengths, IPv4's identification, and checksums. */
static bool same_flow(const uint8_t *a, const uint8_t *b) {
    if (is_v6(a) != is_v6(b))
        return false;
    if (is_v6(a))
        return memcmp(a, b, IP6_LEN) == 0 && memcmp(a + IP6_NEXT, b + IP6_NEXT, 38) == 0;
    return memcmp(a, b, IP4_LEN) == 0 && memcmp(a + IP4_FLAGS, b + IP4_FLAGS, 4) == 0 &&
           memcmp(a + IP4_SRC, b + IP4_SRC, 12) == 0;
}

static bool begin(struct merge *m, int host, const uint8_t *bytes, size_t len) {
    size_t header = header_of(bytes, len);
    if (header == 0)
        return false;
    m->host = host;
    m->count = 1;
    m->header = header;
    m->size = len - FABRIC_VNET_LEN - header;
    m->len = len;
    m->closed = false;
    memcpy(m->bytes, bytes, len);
    return true;
}

bool merge_add(struct merge *m, int host, const uint8_t *bytes, size_t len) {
    if (m->count == 0)
        return begin(m, host, bytes, len);
    if (m->closed || m->host != host || m->count == MERGE_PACKETS_MAX)
        return false;
    size_t header = header_of(bytes, len);
    if (header != m->header || !same_flow(m->bytes + FABRIC_VNET_LEN, bytes + FABRIC_VNET_LEN))
        return false;
    size_t size = len - FABRIC_VNET_LEN - header;
    if (size > m->size || m->len + size > MERGE_BYTES_MAX)
        return false;
    memcpy(m->bytes + m->len, bytes + FABRIC_VNET_LEN + header, size);
    m->len += size;
    m->count++;
    m->closed = size < m->size;
    return true;
}

void merge_finish(struct merge *m) {
    if (m->count < 2)
        return;
    uint8_t *ip = m->bytes + FABRIC_VNET_LEN, *udp = ip + m->header - UDP_HEADER;
    size_t len = m->len - FABRIC_VNET_LEN;
    uint16_t header = (uint16_t)m->header, size = (uint16_t)m->size;
    m->bytes[VNET_GSO_TYPE] = VNET_UDP_L4;
    memcpy(m->bytes + VNET_HDR_LEN, &header, sizeof header);
    memcpy(m->bytes + VNET_GSO_SIZE, &size, sizeof size);
    if (is_v6(ip)) {
        put16(ip + IP6_LEN, len - IP6_HEADER);
    } else {
        uint32_t sum = 0;
        put16(ip + IP4_LEN, len);
        put16(ip + IP4_CHECKSUM, 0);
        for (size_t i = 0; i < IP4_HEADER; i += 2)
            sum += get16(ip + i);
        put16(ip + IP4_CHECKSUM, ~fold(sum) & 0xffff);
    }
    /* The field holds the sum of the pseudo-header, in which the length is one number. */
    uint32_t old = get16(udp + UDP_LEN), now = (uint32_t)(len - (m->header - UDP_HEADER));
    put16(udp + UDP_CHECKSUM, fold(get16(udp + UDP_CHECKSUM) + now - old));
    put16(udp + UDP_LEN, now);
}
