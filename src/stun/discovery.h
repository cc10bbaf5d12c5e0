/* SPDX-License-Identifier: MIT
 * What makes a Binding server an RFC 5780 server: it knows the sockets of its host, two addresses
 * with two ports each, so that an answer can leave through another one (CHANGE-REQUEST), and who
 * asked lately, so that an answer can go to another port of the asker (RESPONSE-PORT).
 *
 *                 port P1         port P2
 *     address A1  asked here      change port            all four sockets must be open, or the
 *     address A2  change IP       change both            second address does not count
 *
 * A host with one address and two ports offers half of it, honestly: no OTHER-ADDRESS (RFC 5780
 * section 7.4 forbids it), 420 to "change IP", but "change port" works and OTHER-PORT names the
 * port. One object serves all threads of a server; it is read-only but for its two tables. */
#ifndef STUN_DISCOVERY_H
#define STUN_DISCOVERY_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/time.h>

struct stun_discovery; /* opaque */

struct stun_discovery_config {
    /* ips[0]: IPv4, ips[1]: IPv6: the two addresses that the server's sockets are bound to or can
     * send from. Family NONE: there is none. A request that came in on another address of the
     * host is answered as if there were no second one. */
    struct bk_ip ips[2][2];
    /* What clients know them by, where a one-to-one NAT stands before this host. Family NONE: by
     * what they are. */
    struct bk_ip outside[2][2];
    uint16_t ports[2];    /* ports[1] 0: only one port is open, nothing can be changed */
    uint32_t askers_max;  /* remembered; 8 bytes each; 64 to 2^24; default 2^18 */
    int64_t asked_us;     /* RESPONSE-PORT is for those who asked within this time: as long as the
                             lifetimes that clients want to measure; 1 s to 1 day; default 1 hour */
    uint32_t sources_max; /* of which the rate is known; 8 bytes each; 64 to 2^24; default 2^14 */
    uint32_t per_s;       /* favours of one kind to one source; 1 to 1000; default 16 */
    uint32_t burst;       /* at once; 1 to 100000; default 128 */
};

/* What one source address (IPv6: /64) gets only so often, each with an account of its own. */
enum stun_discovery_favour {
    STUN_DISCOVERY_DETOUR, /* an answer from another socket or to another port */
    STUN_DISCOVERY_LENGTH, /* an answer whose payload is more than 1.6 times the request's */
    STUN_DISCOVERY_FAVOURS
};

extern const struct stun_discovery_config stun_discovery_config_default;

/* How much of RFC 5780 there is for one family. */
enum stun_discovery_reach {
    STUN_DISCOVERY_NOTHING, /* one address, one port: mapping and filtering cannot be told */
    STUN_DISCOVERY_PORTS,   /* one address, two ports: address-dependence cannot be told */
    STUN_DISCOVERY_FULL     /* two addresses, two ports */
};

/* BK_ERR_ARGUMENT: a field is outside its range, an address is in the wrong family's row, an
 * outside one has no inside one, or ports[0] is 0. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err stun_discovery_new(const struct stun_discovery_config *config,
                                           const struct bk_rng *rng, const struct bk_alloc *alloc,
                                           struct stun_discovery **out);
void stun_discovery_free(struct stun_discovery *d);

enum stun_discovery_reach stun_discovery_reach(const struct stun_discovery *d,
                                               enum bk_family family);
/* The socket an answer to a request that came in on `local` leaves through, RFC 5780 section 6.1
 * table 1. Both flags false gives `local`. false: there is no such socket. */
bool stun_discovery_other(const struct stun_discovery *d, const struct bk_addr *local,
                          bool change_ip, bool change_port, struct bk_addr *out);

/* An address of ours as clients know it. */
struct bk_addr stun_discovery_outside(const struct stun_discovery *d, const struct bk_addr *local);

/* For the service. */
void stun_discovery_note(struct stun_discovery *d, const struct bk_addr *asker, struct bk_time now);
bool stun_discovery_asked(const struct stun_discovery *d, const struct bk_addr *asker,
                          struct bk_time now);
bool stun_discovery_take(struct stun_discovery *d, enum stun_discovery_favour favour,
                         const struct bk_ip *source, struct bk_time now);

#endif
