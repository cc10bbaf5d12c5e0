/* SPDX-License-Identifier: MIT
 * Port mapping: asks the routers in front of this machine to let packets for a port in, by PCP (RFC
 * 6887), NAT-PMP (RFC 6886) and UPnP's Internet Gateway Device, keeps what it got, and gives it
 * back.
 *
 * It does no I/O. Datagrams come and go by the five verbs every object here has; UPnP, which is
 * HTTP, is *jobs* that somebody else does (the program with libminiupnpc, in a thread, as it
 * blocks):
 *
 *     bk_portmap_new(&config, &alloc, &rng, now, &pm);
 *     bk_portmap_set_routers(pm, routers, count, now);
 *     bk_portmap_add(pm, &want, now, &number);
 *     for (;;) {
 *         while (bk_portmap_next_datagram(pm, &out))
 *             ...send it: out.local.port is 0: from any port of address out.local.ip, always the
 *                same; otherwise from that very port, which is one that was wanted...
 *         while (bk_portmap_next_job(pm, &job))    ...start it; bk_portmap_job_done(pm, ...) later
 *         while (bk_portmap_next_event(pm, &event))   ...tell...
 *         ...wait for input or for bk_portmap_deadline(pm)...
 *         bk_portmap_recv(pm, &in, now); bk_portmap_advance(pm, now);
 *     }
 *
 * All ways start within `race_us`; the first good answer is used and a better way (PCP before
 * NAT-PMP before UPnP) replaces it. A lease is renewed when half of it is over, asked for anew when
 * the router has lost it (its clock tells, RFC 6887 section 8.5), and released by
 * bk_portmap_remove() and bk_portmap_stop(). THIRD_PARTY is never used, a port below 1024 never
 * asked for. The conventions of bodkin/err.h hold. */
#ifndef BODKIN_PORTMAP_H
#define BODKIN_PORTMAP_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BK_PORTMAP_ROUTERS_MAX = 4,
    BK_PORTMAP_WANTS_MAX = 64,
    BK_PORTMAP_DATAGRAM_MAX = 128 /* the largest one it sends */
};

/* The best one first. */
enum bk_portmap_way { BK_PORTMAP_PCP, BK_PORTMAP_NATPMP, BK_PORTMAP_UPNP, BK_PORTMAP_WAYS };

/* A router and the address of ours that it sees. */
struct bk_portmap_router {
    struct bk_ip local;  /* IPv4; or a global IPv6 address, whose firewall is to be opened */
    struct bk_ip router; /* link-local IPv6 has its zone. Anycast (192.0.0.9, 2001:1::1: RFC 7723
                            section 4) finds a PCP server where the router is none */
};

struct bk_portmap_config {
    uint32_t wants_max;         /* 1 to BK_PORTMAP_WANTS_MAX; 16 */
    uint32_t lifetime_s;        /* 120 to 86400; 7200: RFC 6886 section 3.3 */
    bool off[BK_PORTMAP_WAYS];  /* ways not to use; none */
    bool probe;                 /* ask each router what it offers, even when nothing is wanted */
    int64_t race_us;            /* UPnP, which changes more in a router, maps only when the others
                                   have not by then; 0 to 10 s; 250 ms */
    int64_t release_us;         /* bk_portmap_stop() takes no longer; 0 to 60 s; 1 s */
    struct bk_addr stun, stun6; /* a server of RFC 5780 to try mappings with; family NONE: no
                                   trying */
};
BK_API extern const struct bk_portmap_config bk_portmap_config_default;
/* NULL: fine. Otherwise the name of the first field outside its range. Static text. */
BK_API const char *bk_portmap_config_check(const struct bk_portmap_config *config);

/* One port of this machine to be reached from outside, through every router of the list. */
struct bk_portmap_want {
    uint8_t protocol;       /* enum bk_protocol */
    uint8_t family;         /* enum bk_family of the routers to ask; BK_FAMILY_NONE: both */
    uint16_t internal_port; /* 1 or more */
    uint16_t external_port; /* 1024 or more; 0: the internal one, or any */
    uint32_t lifetime_s;    /* 0: the configuration's; else 120 to 86400 */
    bool exact;             /* this external port or none: RFC 6887 section 13.2 */
    bool verify;            /* try it with config.stun. UDP: bk_portmap_next_datagram() will want
                               the port itself */
    struct bk_addr peer;    /* family NONE: everybody may send. Otherwise only this one: PCP's PEER
                               (RFC 6887 section 12), which no other way has */
};

struct bk_portmap; /* opaque */

/* BK_ERR_ARGUMENT: bk_portmap_config_check() names the field. BK_ERR_NO_MEMORY. *Keeps* copies, and
 * uses what their `ctx` point to. */
BK_API BK_MUST_USE enum bk_err bk_portmap_new(const struct bk_portmap_config *config,
                                              const struct bk_alloc *alloc,
                                              const struct bk_rng *rng, struct bk_time now,
                                              struct bk_portmap **out);
/* At once: nothing is released, see bk_portmap_stop(). NULL is fine. */
BK_API void bk_portmap_free(struct bk_portmap *pm);

/* Replaces the list (at most BK_PORTMAP_ROUTERS_MAX are used). Those that stay, stay as they are;
 * leases of those that go are LOST. */
BK_API void bk_portmap_set_routers(struct bk_portmap *pm, const struct bk_portmap_router *routers,
                                   size_t count, struct bk_time now);
/* Where to try mappings with: see the configuration. Leases that wait for it are tried now. */
BK_API void bk_portmap_set_stun(struct bk_portmap *pm, const struct bk_addr *stun,
                                const struct bk_addr *stun6, struct bk_time now);

/* *number names the want in what follows. BK_ERR_FULL: wants_max. BK_ERR_ARGUMENT: a field out of
 * range. BK_ERR_STATE: after bk_portmap_stop(). */
BK_API BK_MUST_USE enum bk_err bk_portmap_add(struct bk_portmap *pm,
                                              const struct bk_portmap_want *want,
                                              struct bk_time now, uint32_t *number);
/* No longer wanted: released. Other numbers stay. */
BK_API void bk_portmap_remove(struct bk_portmap *pm, uint32_t number, struct bk_time now);
/* Releases everything; BK_PORTMAP_STOPPED tells the end, after `release_us` at the latest. */
BK_API void bk_portmap_stop(struct bk_portmap *pm, struct bk_time now);

/* --- packets, time, events --- */

/* `in->local` says where it came in: a router's socket, a wanted port, or the multicast groups
 * 224.0.0.1:5350 and [ff02::1]:5350 that routers announce themselves to (hearing those is
 * optional). BK_ERR_NOT_OURS: pass it on. BK_ERR_MALFORMED, BK_ERR_SHORT: from a router, but
 * broken: dropped. */
BK_API BK_MUST_USE enum bk_err bk_portmap_recv(struct bk_portmap *pm, const struct bk_datagram *in,
                                               struct bk_time now);
BK_API void bk_portmap_advance(struct bk_portmap *pm, struct bk_time now);
BK_API struct bk_time bk_portmap_deadline(const struct bk_portmap *pm);
/* *out is valid until the next call. */
BK_API bool bk_portmap_next_datagram(struct bk_portmap *pm, struct bk_datagram *out);

enum bk_portmap_event_kind {
    BK_PORTMAP_WAY,    /* what is known of `way` at `router` has changed */
    BK_PORTMAP_MAPPED, /* `want` has a lease at `router`, or another one than before */
    BK_PORTMAP_TRIED,  /* the lease's proof has changed */
    BK_PORTMAP_LOST,   /* it has none any more; asked for again */
    BK_PORTMAP_FAILED, /* no way gave one; asked for again later. Told once */
    BK_PORTMAP_STOPPED /* bk_portmap_stop() is done: the last event */
};

struct bk_portmap_event {
    enum bk_portmap_event_kind kind;
    uint32_t want;
    size_t router; /* index into the present list */
    enum bk_portmap_way way;
};
/* An event says where to look; at most one of a kind and place waits, so none is ever lost. */
BK_API bool bk_portmap_next_event(struct bk_portmap *pm, struct bk_portmap_event *out);

/* --- UPnP's jobs --- */

enum bk_portmap_job_kind { BK_PORTMAP_FIND, BK_PORTMAP_OPEN, BK_PORTMAP_CLOSE };

struct bk_portmap_job {
    enum bk_portmap_job_kind kind;
    uint32_t number;
    struct bk_portmap_router router; /* IPv6: a pinhole in its firewall, WANIPv6FirewallControl */
    uint8_t protocol;                /* enum bk_protocol */
    uint16_t internal_port, external_port; /* IPv6: equal */
    uint32_t lifetime_s;
    bool exact;
    bool renew;       /* OPEN: it is held already: the same again */
    uint16_t pinhole; /* IPv6: the UniqueID to renew or close; 0: none yet */
};

struct bk_portmap_result {
    uint32_t number;         /* the job's */
    enum bk_err err;         /* BK_ERR_NOT_FOUND: no such device. BK_ERR_REFUSED: `code` */
    uint16_t code;           /* UPnP's error code */
    struct bk_addr external; /* FIND: the address (IPv4). OPEN: both */
    uint32_t lifetime_s;     /* OPEN; 0: for ever */
    uint16_t pinhole;
};

/* At most one job is out at a time. One that is not done after 20 s counts as failed. */
BK_API bool bk_portmap_next_job(struct bk_portmap *pm, struct bk_portmap_job *out);
/* Results nobody waits for are ignored. */
BK_API void bk_portmap_job_done(struct bk_portmap *pm, const struct bk_portmap_result *result,
                                struct bk_time now);

/* --- what there is --- */

/* Does a packet from outside come in? */
enum bk_portmap_proof {
    BK_PORTMAP_UNTRIED,   /* not asked for, or no server to try with */
    BK_PORTMAP_TRYING,    /* */
    BK_PORTMAP_PROVED,    /* one from an address never sent to came in */
    BK_PORTMAP_HALF,      /* one from another port of the server came in; it has one address only */
    BK_PORTMAP_SEEN,      /* the server sees the router's address, but could not try the port */
    BK_PORTMAP_ELSEWHERE, /* the server sees us at another address: there is another NAT outside */
    BK_PORTMAP_SHUT,      /* none came in */
    BK_PORTMAP_NO_SERVER  /* the server does not answer */
};

struct bk_portmap_lease {
    enum bk_portmap_way way;
    struct bk_portmap_router router;
    uint8_t protocol; /* enum bk_protocol */
    uint16_t internal_port;
    struct bk_addr external;
    bool is_public; /* by its kind the address can be reached from the internet. false: a private
                       one (RFC 1918, RFC 6598), so that another NAT is outside: good for peers in
                       there only */
    uint32_t lifetime_s; /* as given; 0: for ever */
    struct bk_time since, expires;
    enum bk_portmap_proof proof;
    struct bk_addr seen; /* by the server; family NONE: was not */
};
/* BK_ERR_NOT_FOUND: none now. */
BK_API BK_MUST_USE enum bk_err bk_portmap_lease(const struct bk_portmap *pm, uint32_t want,
                                                size_t router, struct bk_portmap_lease *out);
/* Why there is none by that way: half a sentence ("the router does not allow it"). Static. */
BK_API const char *bk_portmap_reason(const struct bk_portmap *pm, uint32_t want, size_t router,
                                     enum bk_portmap_way way);

enum bk_portmap_offer {
    BK_PORTMAP_NOT_ASKED,
    BK_PORTMAP_ASKING,
    BK_PORTMAP_OFFERED,
    BK_PORTMAP_REFUSED, /* it speaks, and says no: `code` */
    BK_PORTMAP_SILENT,
    BK_PORTMAP_ABSENT /* it said that it does not speak this */
};

/* One way at one router. */
struct bk_portmap_view {
    struct bk_portmap_router router;
    enum bk_portmap_offer offer;
    uint16_t code;         /* the last result code: of RFC 6887 or 6886, or UPnP's */
    struct bk_ip external; /* as the router tells; family NONE: did not */
    uint32_t epoch_s;      /* PCP, NAT-PMP: seconds since it started, says the router */
    int64_t rtt_us;        /* of the first answer; 0: none */
};
/* BK_ERR_NOT_FOUND: no such router. */
BK_API BK_MUST_USE enum bk_err bk_portmap_view(const struct bk_portmap *pm, size_t router,
                                               enum bk_portmap_way way,
                                               struct bk_portmap_view *out);

/* "PCP", "NAT-PMP", "UPnP". */
BK_API const char *bk_portmap_way_name(enum bk_portmap_way way);
/* "verified from outside", ...: half a sentence. */
BK_API const char *bk_portmap_proof_text(enum bk_portmap_proof proof);
/* What a code of that way means. Static, never NULL. */
BK_API const char *bk_portmap_code_text(enum bk_portmap_way way, uint16_t code);

#ifdef __cplusplus
}
#endif
#endif
