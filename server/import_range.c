/* SPDX-License-Identifier: MIT */
#include "server/import_range.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned bits_of(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 ? 32 : 128;
}

static bool bit(const struct bk_ip *ip, unsigned i) {
    return (ip->bytes[i / 8] >> (7 - i % 8) & 1) != 0;
}

static void set_bit(struct bk_ip *ip, unsigned i, bool value) {
    uint8_t mask = (uint8_t)(1u << (7 - i % 8));
    ip->bytes[i / 8] = (uint8_t)(value ? ip->bytes[i / 8] | mask : ip->bytes[i / 8] & ~mask);
}

static struct bk_ip last_of(const struct turn_range *r) {
    struct bk_ip last = r->ip;
    for (unsigned i = r->bits; i < bits_of(&last); i++)
        set_bit(&last, i, true);
    return last;
}

/* The next address. false: that was the last there is. */
static bool step(struct bk_ip *ip) {
    for (unsigned i = bits_of(ip); i-- > 0;) {
        bool was = bit(ip, i);
        set_bit(ip, i, !was);
        if (!was)
            return true;
    }
    return false;
}

/* The largest prefix that begins at `first` and does not go beyond `last`. */
static struct turn_range largest(const struct bk_ip *first, const struct bk_ip *last) {
    struct turn_range best = {*first, (uint8_t)bits_of(first)};
    while (best.bits > 0 && !bit(first, best.bits - 1u)) {
        const struct turn_range larger = {*first, (uint8_t)(best.bits - 1)};
        const struct bk_ip end = last_of(&larger);
        if (memcmp(end.bytes, last->bytes, sizeof end.bytes) > 0)
            break;
        best = larger;
    }
    return best;
}

static bool split(struct bk_ip first, const struct bk_ip *last, struct import_ranges *out) {
    if (first.family != last->family || memcmp(first.bytes, last->bytes, sizeof first.bytes) > 0)
        return false;
    for (;;) {
        if (out->count == IMPORT_RANGES_MAX)
            return false;
        const struct turn_range r = largest(&first, last);
        out->list[out->count++] = r;
        first = last_of(&r);
        if (memcmp(first.bytes, last->bytes, sizeof first.bytes) == 0 || !step(&first))
            return true;
    }
}

static bool read_ip(const char *text, size_t len, struct bk_ip *out) {
    char ip[BK_ADDR_TEXT_MAX];
    if (len >= sizeof ip)
        return false;
    memcpy(ip, text, len);
    ip[len] = '\0';
    return bk_ip_parse(ip, out) == BK_OK && out->zone == 0;
}

static bool read_prefix(const char *text, const char *slash, struct import_ranges *out) {
    struct turn_range r;
    char *end;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (!read_ip(text, (size_t)(slash - text), &r.ip) || end == slash + 1 || *end != '\0' ||
        bits > bits_of(&r.ip))
        return false;
    r.bits = (uint8_t)bits;
    for (unsigned i = r.bits; i < bits_of(&r.ip); i++)
        set_bit(&r.ip, i, false);
    out->list[out->count++] = r;
    return true;
}

bool import_ranges_read(const char *text, struct import_ranges *out) {
    const char *dash = strchr(text, '-'), *slash = strchr(text, '/');
    struct bk_ip first, last;
    out->count = 0;
    if (slash != NULL)
        return read_prefix(text, slash, out);
    if (!read_ip(text, dash == NULL ? strlen(text) : (size_t)(dash - text), &first))
        return false;
    last = first;
    if (dash != NULL && !read_ip(dash + 1, strlen(dash + 1), &last))
        return false;
    return split(first, &last, out);
}

/* No range of the registries begins or ends inside a /4 whose ends both are closed; in IPv6 nothing
 * is open from 4000:: on. */
bool import_range_is_closed(const struct turn_range *range) {
    const struct turn_filter defaults = {.allow_count = 0};
    const struct bk_ip last = last_of(range);
    if (range->ip.family == BK_IPV6)
        return range->ip.bytes[0] >= 0x40;
    return range->bits >= 4 && !turn_filter_allows(&defaults, &range->ip) &&
           !turn_filter_allows(&defaults, &last);
}

char *import_range_text(const struct turn_range *range, char *out) {
    char ip[BK_ADDR_TEXT_MAX];
    snprintf(out, IMPORT_RANGE_TEXT_MAX, "%s/%u", bk_ip_format(&range->ip, ip),
             (unsigned)range->bits);
    return out;
}
