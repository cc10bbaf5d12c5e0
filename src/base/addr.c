/* SPDX-License-Identifier: MIT */
#include <bodkin/addr.h>

#include "base/text.h"

#include <string.h>

struct bk_ip bk_ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    struct bk_ip ip = {.family = BK_IPV4, .bytes = {a, b, c, d}};
    return ip;
}

struct bk_ip bk_ipv6(const uint8_t bytes[16]) {
    struct bk_ip ip = {.family = BK_IPV6};
    memcpy(ip.bytes, bytes, 16);
    return ip;
}

struct bk_addr bk_addr(struct bk_ip ip, uint16_t port) {
    struct bk_addr addr = {.ip = ip, .port = port};
    return addr;
}

bool bk_ip_equal(const struct bk_ip *a, const struct bk_ip *b) {
    return a->family == b->family && a->zone == b->zone && memcmp(a->bytes, b->bytes, 16) == 0;
}

bool bk_addr_equal(const struct bk_addr *a, const struct bk_addr *b) {
    return a->port == b->port && bk_ip_equal(&a->ip, &b->ip);
}

static int compare_u32(uint32_t a, uint32_t b) {
    return (a > b) - (a < b);
}

int bk_addr_compare(const struct bk_addr *a, const struct bk_addr *b) {
    int order = compare_u32(a->ip.family, b->ip.family);
    if (order == 0)
        order = memcmp(a->ip.bytes, b->ip.bytes, 16);
    if (order == 0)
        order = compare_u32(a->ip.zone, b->ip.zone);
    return order != 0 ? order : compare_u32(a->port, b->port);
}

bool bk_ip_is_any(const struct bk_ip *ip) {
    static const uint8_t zero[16];
    return memcmp(ip->bytes, zero, 16) == 0;
}

static enum bk_scope scope_v4(const uint8_t *b) {
    if (b[0] == 0 || b[0] >= 224)
        return BK_SCOPE_NONE; /* "this network", multicast, reserved, broadcast */
    if (b[0] == 127)
        return BK_SCOPE_LOOPBACK;
    if (b[0] == 169 && b[1] == 254)
        return BK_SCOPE_LINK;
    if (b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168))
        return BK_SCOPE_PRIVATE;
    if (b[0] == 100 && (b[1] & 0xc0) == 64)
        return BK_SCOPE_PRIVATE; /* shared address space, RFC 6598 */
    if (b[0] == 192 && b[1] == 0 && b[2] == 0 && b[3] < 8)
        return BK_SCOPE_PRIVATE; /* a host's own end of a translator, RFC 7335 */
    return BK_SCOPE_GLOBAL;
}

static bool is_loopback_v6(const uint8_t *b) {
    static const uint8_t loopback[16] = {[15] = 1};
    return memcmp(b, loopback, 16) == 0;
}

enum bk_scope bk_ip_scope(const struct bk_ip *ip) {
    struct bk_ip plain = *ip;
    bk_ip_unmap(&plain);
    const uint8_t *b = plain.bytes;
    if (plain.family == BK_IPV4)
        return scope_v4(b);
    if (plain.family != BK_IPV6 || bk_ip_is_any(&plain) || b[0] == 0xff)
        return BK_SCOPE_NONE;
    if (is_loopback_v6(b))
        return BK_SCOPE_LOOPBACK;
    if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
        return BK_SCOPE_LINK;
    if ((b[0] & 0xfe) == 0xfc)
        return BK_SCOPE_PRIVATE; /* unique local, RFC 4193 */
    return BK_SCOPE_GLOBAL;
}

void bk_ip_unmap(struct bk_ip *ip) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    if (ip->family == BK_IPV6 && memcmp(ip->bytes, prefix, 12) == 0)
        *ip = bk_ipv4(ip->bytes[12], ip->bytes[13], ip->bytes[14], ip->bytes[15]);
}

static void format_v4(struct text *t, const uint8_t *b) {
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            text_char(t, '.');
        text_u64(t, b[i]);
    }
}

static uint16_t group_at(const uint8_t *b, int i) {
    const uint8_t *g = b + (ptrdiff_t)2 * i;
    return (uint16_t)(g[0] << 8 | g[1]);
}

/* The longest run of two or more zero groups, the first of equals: RFC 5952 section 4.2. */
static void longest_zero_run(const uint8_t *b, int *start, int *len) {
    *start = -1;
    *len = 1;
    for (int i = 0; i < 8; i++) {
        int n = 0;
        while (i + n < 8 && group_at(b, i + n) == 0)
            n++;
        if (n > *len) {
            *start = i;
            *len = n;
        }
        i += n;
    }
}

static void format_group(struct text *t, uint16_t group) {
    bool started = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        unsigned digit = (unsigned)group >> shift & 15;
        started = started || digit != 0 || shift == 0;
        if (started)
            text_char(t, "0123456789abcdef"[digit]);
    }
}

static void format_v6(struct text *t, const struct bk_ip *ip) {
    int start, len;
    longest_zero_run(ip->bytes, &start, &len);
    for (int i = 0; i < 8; i++) {
        if (i == start) {
            text_str(t, "::");
            i += len - 1;
            continue;
        }
        if (i > 0 && t->out[t->len - 1] != ':')
            text_char(t, ':');
        format_group(t, group_at(ip->bytes, i));
    }
    if (ip->zone != 0) {
        text_char(t, '%');
        text_u64(t, ip->zone);
    }
}

char *bk_ip_format(const struct bk_ip *ip, char *out) {
    struct text t = text_in(out, BK_ADDR_TEXT_MAX);
    if (ip->family == BK_IPV4)
        format_v4(&t, ip->bytes);
    else if (ip->family == BK_IPV6)
        format_v6(&t, ip);
    else
        text_char(&t, '-');
    return out;
}

char *bk_addr_format(const struct bk_addr *addr, char *out) {
    char ip[BK_ADDR_TEXT_MAX];
    struct text t = text_in(out, BK_ADDR_TEXT_MAX);
    bool v6 = addr->ip.family == BK_IPV6;
    if (v6)
        text_char(&t, '[');
    text_str(&t, bk_ip_format(&addr->ip, ip));
    text_str(&t, v6 ? "]:" : ":");
    text_u64(&t, addr->port);
    return out;
}

/* Reads 1 to `digits_max` digits of `base` (10 or 16) up to `max`; *p moves behind them. */
static bool read_number(const char **p, unsigned base, int digits_max, uint32_t max,
                        uint32_t *out) {
    uint32_t value = 0;
    int n = 0;
    for (; n < digits_max; n++) {
        char c = (*p)[n];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    if (n == 0 || value > max || (base == 10 && n > 1 && **p == '0'))
        return false;
    *p += n;
    *out = value;
    return true;
}

static bool read_v4(const char **p, uint8_t out[4]) {
    for (int i = 0; i < 4; i++) {
        uint32_t byte;
        if (i > 0 && *(*p)++ != '.')
            return false;
        if (!read_number(p, 10, 3, 255, &byte))
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

/* Does a dotted quad start here? Looks for a '.' before the next ':' or end. */
static bool v4_follows(const char *p) {
    while (*p != '\0' && *p != ':' && *p != '%')
        if (*p++ == '.')
            return true;
    return false;
}

/* The groups of an IPv6 address; `gap` is where "::" stood, in bytes, or -1. */
static bool read_groups(const char **p, uint8_t bytes[16], int *len, int *gap) {
    *len = 0;
    *gap = -1;
    if ((*p)[0] == ':' && (*p)[1] != ':')
        return false;
    for (;;) {
        if ((*p)[0] == ':' && (*p)[1] == ':') {
            if (*gap >= 0)
                return false;
            *gap = *len;
            *p += 2;
        } else if (*len > 0) {
            if (**p != ':')
                return true;
            (*p)++;
        }
        if (*gap == *len && (**p == '\0' || **p == '%' || **p == ']'))
            return true; /* "::" at the end */
        if (v4_follows(*p)) {
            *len += 4;
            return *len <= 16 && read_v4(p, bytes + *len - 4);
        }
        uint32_t group;
        if (*len > 14 || !read_number(p, 16, 4, 0xffff, &group))
            return false;
        bytes[(*len)++] = (uint8_t)(group >> 8);
        bytes[(*len)++] = (uint8_t)group;
    }
}

static bool read_v6(const char **p, struct bk_ip *ip) {
    uint8_t bytes[16] = {0};
    int len, gap;
    if (!read_groups(p, bytes, &len, &gap) || (gap < 0 && len != 16) || (gap >= 0 && len > 14))
        return false;
    if (gap >= 0) {
        memmove(bytes + 16 - (len - gap), bytes + gap, (size_t)(len - gap));
        memset(bytes + gap, 0, (size_t)(16 - len));
    }
    *ip = bk_ipv6(bytes);
    if (**p != '%')
        return true;
    (*p)++;
    return read_number(p, 10, 9, 0x7fffffff, &ip->zone);
}

static bool read_ip(const char **p, struct bk_ip *ip) {
    uint8_t b[4];
    if (!v4_follows(*p) || strchr(*p, ':') == *p)
        return read_v6(p, ip);
    if (!read_v4(p, b))
        return false;
    *ip = bk_ipv4(b[0], b[1], b[2], b[3]);
    return true;
}

enum bk_err bk_ip_parse(const char *text, struct bk_ip *out) {
    struct bk_ip ip;
    if (!read_ip(&text, &ip) || *text != '\0')
        return BK_ERR_MALFORMED;
    *out = ip;
    return BK_OK;
}

enum bk_err bk_addr_parse(const char *text, struct bk_addr *out) {
    struct bk_ip ip;
    uint32_t port;
    bool bracket = *text == '[';
    if (bracket)
        text++;
    bool ok = bracket ? read_v6(&text, &ip) && *text++ == ']' : read_ip(&text, &ip);
    if (!ok || (!bracket && ip.family != BK_IPV4) || *text++ != ':')
        return BK_ERR_MALFORMED;
    if (!read_number(&text, 10, 5, 65535, &port) || *text != '\0')
        return BK_ERR_MALFORMED;
    *out = bk_addr(ip, (uint16_t)port);
    return BK_OK;
}
