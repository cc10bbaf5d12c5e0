/* SPDX-License-Identifier: MIT
 * Which of this machine's addresses may be told to a peer: RFC 8445 section 5.1.1.1. */
#include "net/interfaces.h"

#include <stdlib.h>
#include <string.h>

/* Linux: IFA_F_TEMPORARY and so on; an optimistic address is tentative and may be used (RFC 4429).
 */
enum {
    FLAG_TEMPORARY = 0x01,
    FLAG_OPTIMISTIC = 0x04,
    FLAG_DADFAILED = 0x08,
    FLAG_DEPRECATED = 0x20,
    FLAG_TENTATIVE = 0x40
};

static bool is_ipv6(const struct net_interface *i) {
    return i->ip.family == BK_IPV6;
}

/* fec0::/10 and ::/96, both deprecated. */
static bool is_obsolete(const struct net_interface *i) {
    static const uint8_t compatible[12] = {0};
    const uint8_t *b = i->ip.bytes;
    bool site_local = b[0] == 0xfe && (b[1] & 0xc0) == 0xc0;
    bool v4 = memcmp(b, compatible, sizeof compatible) == 0 && !i->loopback;
    return is_ipv6(i) && (site_local || v4);
}

static bool same_prefix(const struct net_interface *a, const struct net_interface *b) {
    size_t whole = a->prefix_len / 8;
    unsigned rest = a->prefix_len % 8;
    if (a->prefix_len != b->prefix_len || memcmp(a->ip.bytes, b->ip.bytes, whole) != 0)
        return false;
    return rest == 0 || (a->ip.bytes[whole] ^ b->ip.bytes[whole]) >> (8 - rest) == 0;
}

/* Is there a temporary address in whose place this one would tell who we are? */
static bool betrays(const struct net_interface *i, const struct net_interface *list, size_t count) {
    bool link_local = bk_ip_scope(&i->ip) == BK_SCOPE_LINK;
    if (!is_ipv6(i) || i->temporary)
        return false;
    for (size_t k = 0; k < count; k++) {
        const struct net_interface *t = &list[k];
        if (t->temporary && (link_local || (t->index == i->index && same_prefix(i, t))))
            return true;
    }
    return false;
}

size_t net_interfaces_choose(struct net_interface *list, size_t count) {
    struct net_interface all[NET_INTERFACES_MAX];
    size_t n = 0;
    count = count < NET_INTERFACES_MAX ? count : NET_INTERFACES_MAX;
    memcpy(all, list, count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        if (!is_obsolete(&all[i]) && !betrays(&all[i], all, count))
            list[n++] = all[i];
    return n;
}

bool net_ip_is_clat(const struct bk_ip *ip) {
    return ip->family == BK_IPV4 && ip->bytes[0] == 192 && ip->bytes[1] == 0 && ip->bytes[2] == 0 &&
           ip->bytes[3] < 8;
}

static int rank(const struct net_interface *i) {
    enum bk_scope scope = bk_ip_scope(&i->ip);
    if (i->deprecated || scope <= BK_SCOPE_LINK)
        return 5;
    if (net_ip_is_clat(&i->ip))
        return 4;
    if (!is_ipv6(i))
        return 2;
    if (scope == BK_SCOPE_PRIVATE)
        return 3;
    return i->temporary ? 0 : 1;
}

void net_interfaces_rank(struct net_interface *list, size_t count) {
    for (size_t i = 1; i < count; i++) {
        const struct net_interface one = list[i];
        size_t at = i;
        for (; at > 0 && rank(&list[at - 1]) > rank(&one); at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

static bool read_hex(const char **at, unsigned long *out) {
    char *end;
    *out = strtoul(*at, &end, 16);
    bool found = end != *at;
    *at = end;
    return found;
}

static bool read_ip(const char **at, uint8_t out[16]) {
    for (size_t i = 0; i < 16; i++) {
        char pair[3] = "";
        char *end;
        strncpy(pair, *at, 2); /* the third byte stays NUL */
        unsigned long value = strtoul(pair, &end, 16);
        if (pair[0] == '\0' || end != pair + 2)
            return false;
        out[i] = (uint8_t)value;
        *at += 2;
    }
    return true;
}

void interfaces_mark_by_line(const char *line, struct net_interface *list, size_t count) {
    uint8_t ip[16];
    unsigned long index, prefix, scope, flags;
    if (!read_ip(&line, ip) || !read_hex(&line, &index) || !read_hex(&line, &prefix) ||
        !read_hex(&line, &scope) || !read_hex(&line, &flags))
        return;
    for (size_t i = 0; i < count; i++)
        if (is_ipv6(&list[i]) && list[i].index == index && memcmp(list[i].ip.bytes, ip, 16) == 0) {
            list[i].temporary = (flags & FLAG_TEMPORARY) != 0;
            list[i].deprecated = (flags & FLAG_DEPRECATED) != 0;
            list[i].tentative = (flags & FLAG_DADFAILED) != 0 ||
                                (flags & (FLAG_TENTATIVE | FLAG_OPTIMISTIC)) == FLAG_TENTATIVE;
        }
}
