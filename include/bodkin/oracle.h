/* SPDX-License-Identifier: MIT
 * The oracle: given what two NATs do, the best that any method could do to join the two hosts
 * behind them, with its probability and its price. It plans nothing and sends nothing; a planner
 * follows it, tests hold methods against it, `bodkin nat --with` prints it.
 *
 *     struct bk_oracle_verdict v;
 *     if (bk_oracle(&mine, &theirs, NULL, &v) == BK_OK)
 *         printf("%s, %.1f %%: %s\n", bk_oracle_method_text(v.method), 100 * v.p_low, v.why);
 *
 * The rules, from RFC 4787 sections 4.1 (mapping), 4.2 (ports) and 5 (filtering): two hosts have
 * met as soon as ONE packet of either was delivered to the other, because the answer goes back
 * through the session that this packet made. A packet from B is delivered to A when it is sent to
 * the outside port of a mapping of A whose filter lets it in: any packet (EIF), any from B's
 * address once that mapping sent there (ADF), or only one from the very port that it sent to
 * (APDF). So what counts is who knows, can predict, or must guess whose port.
 *
 * Side 0 is `a`, side 1 is `b`, everywhere. All probabilities lie in [0, 1]. */
#ifndef BODKIN_ORACLE_H
#define BODKIN_ORACLE_H

#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/nat_traits.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From the cheapest to the dearest: of two methods with equal probability the earlier is taken. */
enum bk_oracle_method {
    BK_ORACLE_DIRECT,         /* one side listens to everybody: send to its STUN mapping */
    BK_ORACLE_PUNCH,          /* both know both ports: both send. RFC 5128 section 3.3 */
    BK_ORACLE_PRFLX,          /* one port is known and its filter ignores the other's: both send,
                                 the other's port is learned. RFC 8445 section 7.3.1.3 */
    BK_ORACLE_INNER,          /* behind one NAT: each other's address on its inside */
    BK_ORACLE_HAIRPIN,        /* behind one NAT: by way of its outside. RFC 4787 section 6 */
    BK_ORACLE_IPV6,           /* both have IPv6: nothing is translated, firewalls are punched */
    BK_ORACLE_PORT_MAPPING,   /* one side asks its NAT for an open port. RFC 6887 */
    BK_ORACLE_PREDICT,        /* one side's next port is predicted, within a window */
    BK_ORACLE_FAN,            /* both sides' next ports are: fan-in at one, fan-out at the other */
    BK_ORACLE_BLOCK,          /* guessing, within a port block that is known */
    BK_ORACLE_BIRTHDAY_ONE,   /* one side opens many ports, the other guesses them */
    BK_ORACLE_TCP,            /* UDP is blocked: both connect at once. RFC 5382 REQ-2b */
    BK_ORACLE_BIRTHDAY_MIXED, /* one side's ports are predicted, the other's guessed, both filter */
    BK_ORACLE_BIRTHDAY_TWO,   /* both sides guess, both filter by port */
    BK_ORACLE_RELAY           /* nothing else can work */
};
enum { BK_ORACLE_METHODS = BK_ORACLE_RELAY + 1 };

/* What a side does. */
enum bk_oracle_role {
    BK_ORACLE_ROLE_NONE,   /* nothing */
    BK_ORACLE_ROLE_SEND,   /* sends to one known port */
    BK_ORACLE_ROLE_ANSWER, /* its mapping stays open; it answers */
    BK_ORACLE_ROLE_OPEN,   /* opens mappings: `sockets` fresh ones */
    BK_ORACLE_ROLE_PROBE,  /* sends to `ports` different ports until it hits */
    BK_ORACLE_ROLE_GUESS,  /* opens and probes at once: each packet from a fresh mapping to another
                              port */
    BK_ORACLE_ROLE_MAP,    /* asks its NAT for a port (PCP, NAT-PMP, UPnP IGD) */
    BK_ORACLE_ROLE_CONNECT /* TCP connect() from a bound port */
};

/* What a method needs besides packets: a bit each. */
enum {
    BK_ORACLE_NEEDS_LOW_TTL = 1, /* the first packet must die before the peer's NAT: that one is
                                    spoilt by an inbound packet that comes first */
    BK_ORACLE_NEEDS_START = 2,   /* both sides start at an agreed time */
    BK_ORACLE_NEEDS_FRESH = 4,   /* fresh sockets: a used one has a mapping already */
    BK_ORACLE_NEEDS_ORDER = 8    /* probes only once all mappings are open: a packet that opens one
                                    hits nothing by itself */
};

/* What there is to spend, and what is known about the pair as a pair. */
struct bk_oracle_budget {
    uint32_t methods;      /* which one has: 1u << enum bk_oracle_method; RELAY always counts */
    uint32_t sockets;      /* fresh mappings a side may open at once: 1..65536; 256 */
    uint32_t probes;       /* ports a side may try: 1..2^24; 1024 */
    uint32_t pace_pps;     /* packets a second that a side may send: 1..10^6; 200 */
    int64_t rtt_us;        /* between the peers; 0..60 s; 80 ms */
    int64_t signal_rtt_us; /* to the server that tells them their ports and carries their
                              signalling; 0..60 s; 40 ms */
    int64_t skew_us;       /* how far apart the sides start, unless they synchronise; 100 ms */
    bool low_ttl;          /* a first packet of low TTL can be sent; true */
    bool synchronised;     /* both can start at an agreed time; true */
    double foreign_per_s;  /* new mappings by others, a second, at a sequential NAT whose traits
                              give no number; 1 */
    double tcp_success;    /* of simultaneous open where UDP is blocked and `tcp_punch` unknown;
                              0.6 (an assumption, not a measurement) */
};
extern BK_API const struct bk_oracle_budget bk_oracle_budget_default;

struct bk_oracle_side {
    enum bk_oracle_role role;
    uint32_t sockets; /* it uses at most */
    uint32_t ports;   /* different ports it sends to, at most */
    double packets_mean, packets_p95;
};

struct bk_oracle_verdict {
    enum bk_oracle_method method; /* in the worst case, see p_low */
    enum bk_oracle_method method_best;
    double p_low, p_high; /* of success within the budget. Different when traits are unknown: the
                             worst and the best that they allow. All other fields, except
                             method_best, describe the worst case */
    bool certain;         /* no unknown trait matters: p_low == p_high, and one method */
    int reached;          /* the side whose mapping has to be hit: 0 or 1; either where both send */
    struct bk_oracle_side side[2];
    int64_t time_mean_us, time_p95_us; /* from the moment both know each other's description to
                                          the first packet that gets through, or to the end of the
                                          budget. Relayed data flows meanwhile */
    uint32_t window;                   /* PREDICT, FAN, MIXED: predicted ports tried; else 0 */
    uint32_t space;                    /* of ports, where one is guessed: its size; else 0 */
    uint32_t needs;                    /* BK_ORACLE_NEEDS_* */
    const char *why;                   /* one sentence, static */
};

/* Fills *out. `budget` NULL: the default. BK_ERR_ARGUMENT: a field of the budget is out of range,
 * or a NAT's traits contradict themselves (port_min > port_max, or more ports than there are). */
BK_API BK_MUST_USE enum bk_err bk_oracle(const struct bk_nat_traits *a,
                                         const struct bk_nat_traits *b,
                                         const struct bk_oracle_budget *budget,
                                         struct bk_oracle_verdict *out);

/* For people: "port prediction on one side", "sends to one known port" ... never NULL. */
BK_API const char *bk_oracle_method_text(enum bk_oracle_method method);
BK_API const char *bk_oracle_role_text(enum bk_oracle_role role);
/* For programs: "direct", "punch", "birthday-one" ... stable. */
BK_API const char *bk_oracle_method_name(enum bk_oracle_method method);

#ifdef __cplusplus
}
#endif

#endif
