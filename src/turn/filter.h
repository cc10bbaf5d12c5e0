/* SPDX-License-Identifier: MIT
 * Which peers a relay may talk to. By default only addresses that are globally reachable by the
 * IANA special-purpose registries: a relay stands inside somebody's network, and must not be the
 * way into it, to the machine itself or to a cloud's metadata service (RFC 8656 section 21.2,
 * CVE-2020-26262).
 *
 * Every spelling counts: an IPv6 address that carries an IPv4 address (64:ff9b::/96, 2002::/16) is
 * judged by it as well; IPv4-mapped and -compatible ones, Teredo, and local NAT64 prefixes are
 * refused, since what becomes of them is up to the machine's routes. */
#ifndef TURN_FILTER_H
#define TURN_FILTER_H

#include <bodkin/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct turn_range {
    struct bk_ip ip;
    uint8_t bits; /* of the prefix; 0 to 32 or 128 */
};

/* `deny` wins over `allow`, `allow` over what is refused by default. */
struct turn_filter {
    const struct turn_range *allow, *deny; /* not owned */
    size_t allow_count, deny_count;
};

/* Is it in `allow`, and not in `deny`? */
bool turn_filter_opens(const struct turn_filter *f, const struct bk_ip *peer);
bool turn_filter_denies(const struct turn_filter *f, const struct bk_ip *peer);
bool turn_filter_allows(const struct turn_filter *f, const struct bk_ip *peer);

#endif
