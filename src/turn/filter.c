/* SPDX-License-Identifier: MIT */
#include "turn/filter.h"

#include <string.h>

#define V4(a, b, c, d, n)                                                                          \
    { {.family = BK_IPV4, .bytes = {a, b, c, d}}, n }

/* Not globally reachable by IANA's IPv4 special-purpose registry, with the sources it names. */
static const struct turn_range special_v4[] = {
    V4(0, 0, 0, 0, 8),        /* this network, RFC 791 */
    V4(10, 0, 0, 0, 8),       /* private, RFC 1918 */
    V4(100, 64, 0, 0, 10),    /* carrier NAT, RFC 6598; 100.100.100.200 is a metadata service */
    V4(127, 0, 0, 0, 8),      /* loopback, RFC 1122 */
    V4(168, 63, 129, 16, 32), /* looks global, but is a cloud's own (Azure) on its machines */
    V4(169, 254, 0, 0, 16),   /* link-local, RFC 3927; 169.254.169.254 is a metadata service */
    V4(172, 16, 0, 0, 12),    /* private, RFC 1918 */
    V4(192, 0, 0, 0, 24),     /* protocol assignments, RFC 6890 */
    V4(192, 0, 2, 0, 24),     /* documentation, RFC 5737 */
    V4(192, 88, 99, 0, 24),   /* 6to4 relays, RFC 7526 */
    V4(192, 168, 0, 0, 16),   /* private, RFC 1918 */
    V4(198, 18, 0, 0, 15),    /* benchmarks, RFC 2544 */
    V4(198, 51, 100, 0, 24),  /* documentation, RFC 5737 */
    V4(203, 0, 113, 0, 24),   /* documentation, RFC 5737 */
    V4(224, 0, 0, 0, 4),      /* multicast, RFC 1112 */
    V4(240, 0, 0, 0, 4),      /* reserved, RFC 1112, and broadcast */
};

/* Of IPv6, only 2000::/3 is global unicast; these in it are not. */
static const struct turn_range special_v6[] = {
    {{.family = BK_IPV6, .bytes = {0x20, 0x01}}, 23},             /* RFC 2928: Teredo and others */
    {{.family = BK_IPV6, .bytes = {0x20, 0x01, 0x0d, 0xb8}}, 32}, /* documentation, RFC 3849 */
    {{.family = BK_IPV6, .bytes = {0x3f, 0xff}}, 20},             /* documentation, RFC 9637 */
};

static const struct turn_range global_v6 = {{.family = BK_IPV6, .bytes = {0x20}}, 3};
static const struct turn_range nat64 = {{.family = BK_IPV6, .bytes = {0x00, 0x64, 0xff, 0x9b}},
                                        96}; /* RFC 6052 */
static const struct turn_range six_to_four = {{.family = BK_IPV6, .bytes = {0x20, 0x02}}, 16};
static const struct turn_range mapped = {{.family = BK_IPV6, .bytes = {[10] = 0xff, [11] = 0xff}},
                                         96}; /* RFC 4291 section 2.5.5.2 */
static const struct turn_range compatible = {{.family = BK_IPV6, .bytes = {0}}, 96};

static bool in_range(const struct turn_range *r, const struct bk_ip *ip) {
    size_t whole = r->bits / 8u, rest = r->bits % 8u;
    if (r->ip.family != ip->family || memcmp(r->ip.bytes, ip->bytes, whole) != 0)
        return false;
    return rest == 0 || (r->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

static bool in_any(const struct turn_range *ranges, size_t count, const struct bk_ip *ip) {
    for (size_t i = 0; i < count; i++)
        if (in_range(&ranges[i], ip))
            return true;
    return false;
}

/* The IPv4 address that an IPv6 one stands for. */
static bool embedded(const struct bk_ip *ip, struct bk_ip *out) {
    const uint8_t *b = ip->bytes;
    bool low = in_range(&nat64, ip) || in_range(&mapped, ip) || in_range(&compatible, ip);
    if (low)
        *out = bk_ipv4(b[12], b[13], b[14], b[15]);
    else if (in_range(&six_to_four, ip))
        *out = bk_ipv4(b[2], b[3], b[4], b[5]);
    return low || in_range(&six_to_four, ip);
}

static bool is_global(const struct bk_ip *ip) {
    if (ip->family == BK_IPV4)
        return !in_any(special_v4, sizeof special_v4 / sizeof *special_v4, ip);
    bool unicast = in_range(&global_v6, ip) || in_range(&nat64, ip);
    return unicast && !in_any(special_v6, sizeof special_v6 / sizeof *special_v6, ip);
}

static bool allows_one(const struct turn_filter *f, const struct bk_ip *ip) {
    if (in_any(f->deny, f->deny_count, ip))
        return false;
    return in_any(f->allow, f->allow_count, ip) || is_global(ip);
}

bool turn_filter_denies(const struct turn_filter *f, const struct bk_ip *peer) {
    return in_any(f->deny, f->deny_count, peer) || in_range(&mapped, peer);
}

bool turn_filter_opens(const struct turn_filter *f, const struct bk_ip *peer) {
    return in_any(f->allow, f->allow_count, peer) && !turn_filter_denies(f, peer);
}

bool turn_filter_allows(const struct turn_filter *f, const struct bk_ip *peer) {
    struct bk_ip v4 = {.family = BK_FAMILY_NONE};
    if (peer->family != BK_IPV4 && peer->family != BK_IPV6)
        return false;
    /* A system sends these over IPv4, or not at all: IPv4 has its own spelling for that. They
     * cannot be opened, since ::/0 in a list is meant for IPv6. */
    if (in_range(&mapped, peer) ||
        (in_range(&compatible, peer) && !in_any(f->allow, f->allow_count, peer)))
        return false;
    if (peer->family == BK_IPV6 && !in_range(&compatible, peer) && embedded(peer, &v4) &&
        !allows_one(f, &v4))
        return false;
    return allows_one(f, peer);
}
