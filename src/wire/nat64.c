/* SPDX-License-Identifier: MIT */
#include "wire/nat64.h"

#include <string.h>

enum { RESERVED_BYTE = 8 /* bits 64 to 71 are zero, RFC 6052 section 2.2 */ };

static const uint8_t lengths[] = {32, 40, 48, 56, 64, 96};

enum { LENGTHS = sizeof lengths };

static bool is_length(uint8_t len) {
    return memchr(lengths, len, sizeof lengths) != NULL;
}

/* The four bytes stand behind the prefix, and the reserved one is stepped over. */
static void read_v4(const uint8_t bytes[16], uint8_t len, uint8_t out[4]) {
    size_t at = len / 8;
    for (size_t i = 0; i < 4; i++, at++) {
        at += at == RESERVED_BYTE;
        out[i] = bytes[at];
    }
}

static void write_v4(uint8_t bytes[16], uint8_t len, const uint8_t v4[4]) {
    size_t at = len / 8;
    for (size_t i = 0; i < 4; i++, at++) {
        at += at == RESERVED_BYTE;
        bytes[at] = v4[i];
    }
}

bool nat64_prefix_equal(const struct nat64_prefix *a, const struct nat64_prefix *b) {
    return a->len == b->len && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool nat64_embed(const struct nat64_prefix *prefix, const struct bk_ip *v4, struct bk_ip *out) {
    if (!is_length(prefix->len) || v4->family != BK_IPV4 || bk_ip_scope(v4) != BK_SCOPE_GLOBAL)
        return false;
    struct bk_ip ip = bk_ipv6(prefix->bytes);
    write_v4(ip.bytes, prefix->len, v4->bytes);
    *out = ip;
    return true;
}

bool nat64_extract(const struct nat64_prefix *prefix, const struct bk_ip *v6, struct bk_ip *out) {
    uint8_t v4[4];
    if (!is_length(prefix->len) || v6->family != BK_IPV6 ||
        memcmp(prefix->bytes, v6->bytes, prefix->len / 8) != 0 || v6->bytes[RESERVED_BYTE] != 0)
        return false;
    read_v4(v6->bytes, prefix->len, v4);
    *out = bk_ipv4(v4[0], v4[1], v4[2], v4[3]);
    return true;
}

/* RFC 7050 section 2.2: 192.0.0.170 and .171 are the well-known addresses. */
static bool is_well_known(const uint8_t v4[4]) {
    return v4[0] == 192 && v4[1] == 0 && v4[2] == 0 && (v4[3] == 170 || v4[3] == 171);
}

/* RFC 7050 section 3: looked for at every place that RFC 6052 allows. One that stands at two places
 * tells nothing; the other well-known address will. */
bool nat64_find(const struct bk_ip *answer, struct nat64_prefix *out) {
    uint8_t found = 0, v4[4];
    if (answer->family != BK_IPV6 || answer->bytes[RESERVED_BYTE] != 0)
        return false;
    for (size_t i = 0; i < LENGTHS; i++) {
        read_v4(answer->bytes, lengths[i], v4);
        if (!is_well_known(v4))
            continue;
        if (found != 0)
            return false;
        found = lengths[i];
    }
    if (found == 0)
        return false;
    *out = (struct nat64_prefix){.len = found};
    memcpy(out->bytes, answer->bytes, found / 8);
    return true;
}
