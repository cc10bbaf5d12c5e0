/* SPDX-License-Identifier: MIT
 * What the files of a punch share; nobody else includes it.
 *
 * One step, seen from one side: PREPARE (sockets are opened, a STUN server is asked), SYNC (the
 * other side's note, and the moment at which both begin, are waited for), RUN (checks leave), SPENT
 * (the last ones are under way, the other side may still be sending). What a side does in RUN is
 * its *part* (part.c); everything else is the same for all methods (step.c). */
#ifndef PUNCH_STATE_H
#define PUNCH_STATE_H

#include "punch/forecast.h"
#include "punch/pace.h"
#include "punch/ports.h"
#include "punch/punch.h"

enum {
    PUNCH_TRIES_MAX = 6,            /* of one method in one attempt: TIME ports */
    PUNCH_MAPPINGS_MAX = 1024,      /* new ones at a NAT whose limit nobody measured */
    PUNCH_ASKER = PUNCH_SHARED + 1, /* the socket that asks STUN servers first */
    PUNCH_SOCKETS_AHEAD = 8,        /* opened before their turn comes */
    PUNCH_ASK_US = 1000000,         /* no STUN server answers later than that */
    PUNCH_RTT_US = 200000           /* taken for a round trip that nobody knows */
};

enum sock_state {
    SOCK_NONE,
    SOCK_WANTED,  /* PUNCH_OPEN is to be told */
    SOCK_OPENING, /* ... and to be answered */
    SOCK_OPEN,
    SOCK_ASK,   /* PUNCH_ASK is to be told */
    SOCK_ASKED, /* ... and to be answered */
    SOCK_CLOSE, /* PUNCH_CLOSE is to be told */
    SOCK_AGAIN  /* the same, and then a new one is wanted */
};

struct socks {
    uint8_t state[PUNCH_SOCKETS_MAX]; /* enum sock_state */
    uint16_t port[PUNCH_SOCKETS_MAX]; /* local; wanted until it is open; 0: unknown */
    uint16_t busy;                    /* how many have something to tell */
    uint16_t open;                    /* how many cost a descriptor */
};

/* To which of the peer's ports a packet goes. */
enum part_target {
    PART_AIM,      /* the one it told, or any if nothing is known: its filter will not mind */
    PART_FORECAST, /* the ones that it will have */
    PART_RANDOM    /* any in its set */
};

struct part {
    bool asks;        /* needs a STUN server's answer */
    bool announces;   /* the leader's note goes before its aim is known: both ask at a time */
    bool last;        /* ... and this side prepares only when the other has told its aim */
    bool at_once;     /* begins as soon as it is prepared: what it told ages */
    bool needs;       /* ... and otherwise not before the other side has told its aim */
    bool keeps;       /* its next port is the fresh socket's own */
    bool low_ttl;     /* the first round dies on the way */
    bool across;      /* each socket once, then each to another port */
    bool diagonal;    /* each packet from a socket of its own to a port of its own */
    uint16_t first;   /* socket; PUNCH_SHARED: only that one */
    uint16_t sockets; /* from there on */
    uint16_t targets; /* ports that each socket sends to */
    uint16_t offset;  /* of the first among the predicted ones */
    enum part_target to;
    uint32_t shots;   /* of one round */
    uint32_t repeats; /* after it, in the same order */
    int64_t gap_us;   /* between the beginnings of rounds */
    int64_t delay_us; /* before the first one */
    uint32_t burst;
};

enum phase {
    PHASE_IDLE,
    PHASE_WAIT,
    PHASE_PREPARE,
    PHASE_SYNC,
    PHASE_RUN,
    PHASE_SPENT,
    PHASE_OVER
};

/* What the leader decides. */
struct plan {
    uint8_t method, reached;
    bool both;
    uint16_t window;
    uint16_t sockets[2], ports[2];
};

struct punch {
    struct punch_config config;
    struct bk_alloc alloc;
    int me; /* side 0 leads */
    struct bk_nat_traits traits[2];
    struct bk_oracle_verdict verdict;
    struct bk_addr mapped, peer[PUNCH_PEER_MAX];
    uint8_t peer_count, ttl;
    int64_t rtt_us, signal_us;

    struct bk_time now, started;
    uint8_t attempt;
    bool begun;                          /* punch_start() was called, punch_stop() not yet */
    bool failed;                         /* over, because nothing was left to try */
    uint8_t tries[2][BK_ORACLE_METHODS]; /* by the side reached; all plain ones are PUNCH */
    uint8_t worked, worked_reached;      /* BK_ORACLE_RELAY: nothing did */
    uint32_t mappings;                   /* new ones at our NAT in this attempt */

    enum phase phase;
    struct bk_time until;    /* WAIT: the end; SYNC: the beginning; PREPARE, SPENT: patience */
    struct bk_time patience; /* the leader's, for the whole step */
    struct part part;
    struct punch_note note[2], held; /* the leader's and the follower's; one for later */
    bool told;                       /* note[me] has our aim */
    bool note_new, note_held;
    struct bk_time note_left;
    struct pace pace;
    struct port_walk walk;
    uint32_t shot;   /* sent or dropped in this step */
    uint16_t wanted; /* sockets of this step so far */
    struct bk_time asked;
    uint8_t asks_again;  /* left */
    bool answered;       /* by the STUN server: */
    struct bk_addr seen; /* where it sees PUNCH_ASKER; family 0: nowhere */
    struct bk_time round;

    struct socks socks;
    struct punch_step steps[PUNCH_STEPS_MAX];
    uint8_t step_count;
    struct punch_stats stats;
};

/* --- socks.c: fresh sockets --- */

void socks_want(struct socks *s, uint16_t socket, uint16_t port);
void socks_ask(struct socks *s, uint16_t socket);
void socks_close(struct socks *s, uint16_t keep); /* all of them but one */
void socks_close_one(struct socks *s, uint16_t socket);
/* What the owner has to be told next. */
bool socks_next(struct socks *s, struct punch_action *out);
/* false: nobody waits for it. */
bool socks_opened(struct socks *s, uint16_t socket, bool ok);
bool socks_answered(struct socks *s, uint16_t socket);
static inline bool socks_is_open(const struct socks *s, uint16_t socket) {
    return socket == PUNCH_SHARED || s->state[socket] == SOCK_OPEN;
}

/* --- plan.c: what to try --- */

/* The next method that is worth trying. false: none is left. */
bool plan_next(const struct punch *p, struct plan *out);
void plan_count(struct punch *p, const struct plan *plan);
/* Could this work, for all that we know? */
bool plan_is_possible(const struct punch *p, const struct punch_note *note);
/* Methods that need nothing but checks between known ports. */
bool plan_is_plain(uint8_t method);
/* Does the checker alone find the way, or may it? */
bool plan_waits(const struct punch *p);
/* Plain checks may spoil a mapping, and a step with low TTLs cannot. */
bool plan_is_delicate(const struct punch *p);
void plan_ask_oracle(struct punch *p);
/* As far as methods care: `unsolicited` and `udp_lifetime_us` are left out. */
bool plan_is_same(const struct bk_nat_traits *a, const struct bk_nat_traits *b);

/* --- part.c: who does what --- */

void part_of(const struct punch *p, int side, struct part *out);
/* port_count of them are the scattered ports of MAP-E. */
bool part_runs(const struct bk_nat_traits *traits, uint16_t *run, uint16_t *gap);
/* The ports that side's NAT may give, as told and as known. */
struct port_set part_ports(const struct punch *p, int side);

/* --- step.c: the life of a step --- */

void step_begin(struct punch *p, const struct punch_note *words);
void step_end(struct punch *p);
/* The other side's note for this step is new. */
void step_heard(struct punch *p);
void step_mapped(struct punch *p, uint16_t socket, const struct bk_addr *mapped);
void step_advance(struct punch *p);
struct bk_time step_deadline(const struct punch *p);
bool step_next_check(struct punch *p, struct punch_action *out);

int64_t punch_peer_rtt_us(const struct punch *p);
int64_t punch_signal_us(const struct punch *p);
struct bk_ip punch_peer_ip(const struct punch *p);
bool punch_is_peer_ip(const struct punch *p, const struct bk_ip *ip);

#endif
