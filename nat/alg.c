/* SPDX-License-Identifier: MIT
 * Addresses in payloads, as bytes and as text. */
#include "nat/alg.h"

#include "base/assert.h"
#include "nat/bytes.h"
#include "nat/checksum.h"

#include <string.h>

enum { TEXT_MAX = 22 }; /* "255.255.255.255:65535" and its end */

/* The payload, and what is to become of which endpoint. */
struct job {
    uint8_t *data;
    size_t len, cap;
    struct bk_addr from, to;
    bool ports;
};

static size_t address_len(const struct bk_ip *ip) {
    return ip->family == BK_IPV6 ? 16 : 4;
}

static void swap_port(const struct job *j, size_t at) {
    if (get16(j->data + at) == j->from.port)
        put16(j->data + at, j->to.port);
}

static size_t replace_bytes(struct job *j) {
    size_t width = address_len(&j->from.ip), count = 0;
    for (size_t i = 0; i + width <= j->len; i++) {
        if (memcmp(j->data + i, j->from.ip.bytes, width) != 0)
            continue;
        memcpy(j->data + i, j->to.ip.bytes, width);
        if (j->ports && i >= 2) /* as in STUN: RFC 8489 section 14.1 */
            swap_port(j, i - 2);
        if (j->ports && i + width + 2 <= j->len)
            swap_port(j, i + width);
        i += width - 1;
        count++;
    }
    return count;
}

static size_t put_number(char *out, unsigned value) {
    char digits[5];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

static size_t put_address(char out[TEXT_MAX], const struct bk_addr *a, bool port) {
    size_t n = 0;
    for (size_t i = 0; i < 4; i++) {
        if (i > 0)
            out[n++] = '.';
        n += put_number(out + n, a->ip.bytes[i]);
    }
    if (port) {
        out[n++] = ':';
        n += put_number(out + n, a->port);
    }
    return n;
}

static bool is_part(uint8_t c) {
    return (c >= '0' && c <= '9') || c == '.';
}

/* Is the text at `i` this one, and not a part of a longer address or number? */
static bool stands_at(const struct job *j, size_t i, const char *text, size_t width) {
    if (i + width > j->len || memcmp(j->data + i, text, width) != 0)
        return false;
    bool before = i > 0 && is_part(j->data[i - 1]);
    size_t end = i + width;
    bool after = end < j->len && j->data[end] >= '0' && j->data[end] <= '9';
    return !before && !after;
}

static bool replace_at(struct job *j, size_t i, size_t width, const char *fresh, size_t fresh_len) {
    if (j->len - width + fresh_len > j->cap)
        return false;
    memmove(j->data + i + fresh_len, j->data + i + width, j->len - i - width);
    memcpy(j->data + i, fresh, fresh_len);
    j->len = j->len - width + fresh_len;
    return true;
}

/* "192.168.1.2:5060" first, then the bare address. */
static size_t replace_text(struct job *j) {
    size_t count = 0;
    if (j->from.ip.family != BK_IPV4)
        return 0;
    for (int with_port = 1; with_port >= 0; with_port--) {
        char old[TEXT_MAX], fresh[TEXT_MAX];
        size_t old_len = put_address(old, &j->from, with_port == 1);
        size_t fresh_len = put_address(fresh, &j->to, with_port == 1);
        for (size_t i = 0; i < j->len; i++) {
            if (!stands_at(j, i, old, old_len) || !replace_at(j, i, old_len, fresh, fresh_len))
                continue;
            i += fresh_len - 1;
            count++;
        }
    }
    return count;
}

static size_t replace(struct job *j, enum nat_alg alg) {
    if (bk_addr_equal(&j->from, &j->to))
        return 0;
    switch (alg) {
    case NAT_ALG_OFF:
        break;
    case NAT_ALG_ADDRESS:
    case NAT_ALG_ENDPOINT:
        return replace_bytes(j);
    case NAT_ALG_TEXT:
        return replace_text(j);
    }
    return 0;
}

size_t nat_alg_payload(enum nat_alg alg, const struct nat_header *before,
                       const struct nat_header *after, uint8_t *payload, size_t *len, size_t cap) {
    struct job j = {.data = payload,
                    .len = *len,
                    .cap = cap,
                    .from = before->flow.src,
                    .to = after->flow.src,
                    .ports = alg == NAT_ALG_ENDPOINT};
    if (alg == NAT_ALG_OFF || before->flow.proto != NAT_UDP)
        return 0;
    size_t count = replace(&j, alg);
    j.from = before->flow.dst;
    j.to = after->flow.dst;
    count += replace(&j, alg);
    *len = j.len;
    return count;
}

/* The lengths in the headers, and in the checksums that cover them. */
static void patch_lengths(struct packet *p, size_t more, uint32_t *delta) {
    uint8_t *udp = p->data + p->transport, *ip = p->data;
    bool v6 = ip[0] >> 4 == 6;
    uint16_t old = get16(udp + UDP_LEN), fresh = (uint16_t)(old + more);
    uint32_t unused = 0, header = 0;
    *delta += (uint32_t)(uint16_t)~old + fresh; /* in the pseudo header */
    patch16(udp + UDP_LEN, fresh, p->partial_csum ? &unused : delta);
    patch16(ip + (v6 ? IP6_LEN : IP4_LEN), (uint16_t)(get16(ip + (v6 ? IP6_LEN : IP4_LEN)) + more),
            &header);
    if (!v6)
        put16(ip + IP4_CHECKSUM, sum_update(get16(ip + IP4_CHECKSUM), header));
    p->len += more;
}

size_t packet_alg(struct packet *p, enum nat_alg alg, const struct nat_header *before, size_t cap) {
    if (alg == NAT_ALG_OFF || p->header.flow.proto != NAT_UDP || p->part != PACKET_WHOLE)
        return 0;
    uint8_t *udp = p->data + p->transport, *payload = udp + UDP_HEADER;
    size_t len = (size_t)get16(udp + UDP_LEN) - UDP_HEADER, old_len = len;
    size_t start = p->transport + UDP_HEADER;
    if (start + len != p->len) /* bytes behind the datagram: leave the oddity alone */
        return 0;
    size_t most = cap < UINT16_MAX ? cap : UINT16_MAX;
    bk_assert(most >= p->len);
    uint32_t delta = (uint16_t)~sum_fold(sum_bytes(payload, len));
    size_t count = nat_alg_payload(alg, before, &p->header, payload, &len, most - start);
    if (count == 0)
        return 0;
    delta = p->partial_csum ? 0 : delta + sum_fold(sum_bytes(payload, len));
    patch_lengths(p, len - old_len, &delta);
    uint16_t old = get16(udp + UDP_CHECKSUM);
    if (p->partial_csum)
        put16(udp + UDP_CHECKSUM, sum_fold((uint32_t)old + sum_fold(delta)));
    else if (old != 0) /* 0: none, RFC 768 */
        put16(udp + UDP_CHECKSUM, sum_update(old, delta) == 0 ? 0xffff : sum_update(old, delta));
    return count;
}
