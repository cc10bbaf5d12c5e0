/* SPDX-License-Identifier: MIT
 * Two NATs as the rules of meeting need them, and what one method offers.
 * Private to punch/oracle*.
 *
 * oracle.c fills in what is unknown and asks oracle_offer.c for the best offer
 * in the worst and in the best case; oracle_price.c says what the worst one
 * costs. */
#ifndef PUNCH_ORACLE_PAIR_H
#define PUNCH_ORACLE_PAIR_H

#include <bodkin/oracle.h>

/* What the other side can know of the port from which this one's packets to it
 * will come. */
enum oracle_port {
    ORACLE_PORT_KNOWN,     /* as STUN showed it: endpoint-independent mapping */
    ORACLE_PORT_PREDICTED, /* a fresh socket's is, give or take what others open
                              meanwhile */
    ORACLE_PORT_GUESSED    /* one of `space` */
};

struct oracle_view {
    enum oracle_port port;
    bool one_port; /* one socket has one port for all ports of the peer's address:
                      EIM, ADM */
    enum bk_nat_dep filtering;
    bool udp;           /* passes, to any port */
    bool scattered;     /* its packets to the peer leave from an address that nobody knows: with
                           endpoint-dependent mapping and a pool that is not paired */
    bool inbound_first; /* spoilt by it */
    bool keeps;         /* PREDICTED: a fresh socket's first mapping has its own port */
    bool fresh_only;    /* ... and nothing is known about its second one */
    double rate;        /* PREDICTED: foreign mappings a second */
    double trial;       /* PREDICTED: a single prediction's chance apart from those;
                           below 1 when   the port follows a clock */
    uint32_t space;     /* GUESSED: ports it may be */
    bool block;         /* GUESSED: space is a known block, small enough to search */
    uint32_t mappings;  /* at once, at most */
};

struct oracle_pair {
    const struct bk_nat_traits *traits[2]; /* nothing that matters is unknown any more */
    struct oracle_view view[2];
    const struct bk_oracle_budget *budget;
    bool same; /* behind the same outside address */
};

struct oracle_offer {
    enum bk_oracle_method method;
    double p;
    int reached;         /* whose mapping is hit: side 0 or 1 */
    double mean_foreign; /* mappings by others between prediction and use: at the one predicted
                            side; FAN: at the reached side, mean_other at the other */
    double mean_other;
    double found; /* BLOCK, BIRTHDAY_ONE: the prober's own port is as predicted */
    bool unaimed; /* BLOCK, BIRTHDAY_ONE: openers are sent to no port of the prober's that is open,
                     so only a probe can hit */
    bool both_guess; /* BLOCK: on both sides */
    uint32_t window, space;
    uint32_t opens, probes; /* mappings opened by the reached side, ports tried by
                               the other */
    uint32_t targets;       /* ports at which mappings are aimed. One side guesses: the reached
                               side's, each at every one. Both do: the reached side's, evenly.
                               MIXED: the prober's, evenly */
    bool single;            /* both guess, and one mapping serves for all ports of the peer */
};

/* `a`, `b` and `budget` must outlive the pair. */
void oracle_pair_init(struct oracle_pair *pair, const struct bk_nat_traits *a,
                      const struct bk_nat_traits *b, const struct bk_oracle_budget *budget);
/* The most probable of all methods that the budget has; the cheapest of equals.
 */
void oracle_offer_best(const struct oracle_pair *pair, struct oracle_offer *out);
/* Both guess, or one does against a prediction, and `n` mappings of the reached side and `m`
 * packets of the prober are out so far. `other`: the prober's space; in MIXED how many it opens. */
double oracle_guess_chance(const struct oracle_offer *offer, uint32_t other, uint32_t n,
                           uint32_t m);
/* Sides, packets, time, needs of `offer`, into an `out` that is otherwise
 * filled in. */
void oracle_price(const struct oracle_pair *pair, const struct oracle_offer *offer,
                  struct bk_oracle_verdict *out);
/* One sentence. */
const char *oracle_why(const struct oracle_pair *pair, const struct oracle_offer *offer);

/* Does a packet that comes too early spoil this meeting unless something is
 * done about it? */
bool oracle_is_delicate(const struct oracle_pair *pair, const struct oracle_offer *offer);

/* A port that follows the clock is predicted by regression, one trial a second;
 * NetPiculet (Wang et al., SIGCOMM 2011, section 5.3) met 80 % of such ports
 * within 12 s, with 15 ports either way. 1 - (1 - q)^12 = 0.8 gives q = 0.1255.
 */
enum { ORACLE_CLOCK_TRIALS = 12, ORACLE_CLOCK_WINDOW = 31, ORACLE_ALL_PORTS = 64512 };
#define ORACLE_CLOCK_TRIAL 0.1255

#endif
