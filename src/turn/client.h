/* SPDX-License-Identifier: MIT
 * The inside of struct bk_turn. Who does what:
 *
 *     client.c           creation, the verbs, events
 *     client_data.c      data: to the server and from it, and streams
 *     client_request.c   which request is due, and its bytes
 *     client_response.c  what an answer changes
 *     client_peers.c     the table of permissions and channels
 *     creds.c            the long-term credential
 *
 * Requests run in tasks. Task 0 is about the allocation itself (Allocate, Refresh, release), one at
 * a time, so that nothing else can delay a Refresh; the others carry CreatePermission and
 * ChannelBind. What is to be done is never queued: it is read off the tables (`renew` times), so
 * losing an answer, an allocation or a server cannot lose a wish. */
#ifndef TURN_CLIENT_H
#define TURN_CLIENT_H

#include "base/table.h"
#include "stun/txn.h"
#include "turn/creds.h"
#include "turn/stream.h"

#include <bodkin/turn.h>

enum {
    TURN_TASKS = 4,       /* requests under way at a time */
    TURN_BATCH = 8,       /* peers in one CreatePermission */
    TURN_INDEX_FROM = 17, /* peers_max from which hash tables find peers; below, a scan is faster */
    TURN_MISMATCH_MAX = 5 /* Allocate requests answered with 437 before giving up */
};

enum turn_state {
    TURN_ALLOCATING,
    TURN_ON,        /* allocated */
    TURN_RELEASING, /* Refresh with lifetime 0, before another Allocate on this 5-tuple */
    TURN_CLOSING,   /* the same, for good */
    TURN_DONE,      /* failed, redirected, lost for good or closed */
    TURN_STATES
};

enum perm_state { PERM_FREE, PERM_ASKED, PERM_ON, PERM_REFUSED };

struct turn_perm {
    struct bk_ip ip;
    struct bk_time renew; /* ask for it (again) at this time */
    uint16_t port;        /* that the caller named; plays no part on the wire */
    uint16_t channels;    /* that stand on it */
    uint16_t code;        /* REFUSED: to be told */
    uint8_t state;        /* enum perm_state */
    uint8_t task;         /* 0: none, else its number + 1 */
    bool wanted;          /* asked for without a channel */
    bool tell;            /* an event waits */
    bool alone;           /* ask for it in a request of its own: a batch was refused */
};

/* LINGER: forgotten, but neither the number nor the address may be bound otherwise yet (RFC 8656
 * section 12). REFUSED: Send indications stand in. */
enum chan_state { CHAN_FREE, CHAN_ASKED, CHAN_BOUND, CHAN_LINGER, CHAN_REFUSED };

/* Its number is CHANNEL_MIN plus its place in the table. */
struct turn_chan {
    struct bk_addr peer;
    uint16_t perm;          /* its place in the table of permissions */
    uint8_t state;          /* enum chan_state */
    uint8_t task;           /* as above */
    bool tell;              /* PERMITTED waits */
    struct bk_time renew;   /* bind it (again) at this time */
    struct bk_time expires; /* BOUND: at the server; LINGER: may be used for others from then on */
};

struct turn_index {
    struct table perms, chans;
};

struct turn_peers {
    struct turn_perm *perms;
    struct turn_chan *chans;
    struct turn_index *index; /* NULL: few enough to scan */
    uint16_t max, tells;      /* tells: events waiting in the two tables */
    uint16_t last;            /* channel found last */
};

enum task_kind { TASK_NONE, TASK_ALLOCATE, TASK_REFRESH, TASK_RELEASE, TASK_PERMIT, TASK_BIND };

struct turn_task {
    struct stun_txn txn;
    uint8_t kind;    /* enum task_kind */
    uint8_t version; /* of the credential's challenge it was made with */
    uint16_t chan;   /* BIND */
};

/* Events that wait, besides those in the tables; told in this order. */
enum turn_news {
    NEWS_LOST = 1,
    NEWS_ALLOCATED = 2,
    NEWS_ICMP = 4,
    NEWS_REDIRECT = 8,
    NEWS_FAILED = 16,
    NEWS_CLOSED = 32
};

struct bk_turn {
    struct bk_addr local, server, relayed, relayed6, mapped;
    enum turn_state state;
    uint8_t family; /* enum bk_family */
    bool stream, dont_fragment, even_port, again, both, own_work, asked_anew;
    uint8_t tries;
    uint8_t news, mismatches, retries;
    enum bk_err err; /* for LOST and FAILED */
    uint16_t code;
    uint32_t lifetime_wanted_s, lifetime_s;
    int64_t rto_us, rtt_us;
    struct bk_time now;
    struct bk_time refresh_at, expires; /* ON */
    struct bk_time retry_at;            /* ALLOCATING, after a pause */
    struct bk_time peers_at;            /* the tables want attention then */
    struct creds creds;
    struct turn_task tasks[TURN_TASKS];
    struct turn_peers peers;
    struct turn_stream in;       /* streams only, and so is the next */
    struct bk_turn_data waiting; /* to be fetched */
    struct {
        struct bk_addr peer; /* also the alternate server: the two are never told together */
        uint32_t data;
        uint8_t type, code;
    } icmp;
    uint8_t *work;
    size_t work_len, data_max;
    struct bk_rng rng;
    struct bk_alloc alloc;
};

/* ---- client.c: the states */

/* The one place that changes the state; what was under way for the old one stops. */
void turn_move(struct bk_turn *t, enum turn_state state);
/* No allocation, for good. */
void turn_fail(struct bk_turn *t, enum bk_err err, uint16_t code);
/* It was there and is gone. With `again`, a new one is asked for. */
void turn_lose(struct bk_turn *t, enum bk_err err, uint16_t code);

/* ---- client_request.c */

/* Starts the requests that are due and free tasks can carry. */
void turn_pump(struct bk_turn *t);
void turn_start(struct bk_turn *t, struct turn_task *task, enum task_kind kind);
/* Ends it; its peers may be asked for by others. */
void turn_stop(struct bk_turn *t, struct turn_task *task);
/* The bytes of the task's request, in t->work. */
size_t turn_build(struct bk_turn *t, const struct turn_task *task);
/* The longest request. */
size_t turn_request_max(const struct creds *creds);

/* ---- client_response.c */

/* A STUN message from the server that is not data. */
BK_MUST_USE enum bk_err turn_take_response(struct bk_turn *t, const struct stun_msg *m);
/* Nobody answered. */
void turn_take_silence(struct bk_turn *t, struct turn_task *task);

/* ---- client_peers.c */

BK_MUST_USE enum bk_err turn_peers_init(struct turn_peers *p, uint32_t max,
                                        const struct bk_rng *rng, const struct bk_alloc *alloc);
void turn_peers_fini(struct turn_peers *p, const struct bk_alloc *alloc);
/* NULL: none in use. */
struct turn_perm *turn_peers_perm(const struct turn_peers *p, const struct bk_ip *ip);
struct turn_chan *turn_peers_chan(struct turn_peers *p, const struct bk_addr *peer);
BK_MUST_USE enum bk_err turn_peers_add(struct turn_peers *p, const struct bk_addr *peer,
                                       bool channel, struct bk_time now);
BK_MUST_USE enum bk_err turn_peers_forget(struct turn_peers *p, const struct bk_addr *peer,
                                          struct bk_time now);
/* The server does not permit it: its channels are forgotten, and so is it once that was told. */
void turn_peers_refuse(struct turn_peers *p, struct turn_perm *perm, uint16_t code,
                       struct bk_time now);
/* The allocation is a new one: everything is to be installed again, and lingering ends. */
void turn_peers_restart(struct turn_peers *p, struct bk_time now);
/* Frees the entries that nobody wants and nothing holds. */
void turn_peers_tidy(struct turn_peers *p, struct bk_time now);
void turn_peers_tell_perm(struct turn_peers *p, struct turn_perm *perm);
void turn_peers_tell_chan(struct turn_peers *p, struct turn_chan *chan);
/* Takes one event out of the tables. */
bool turn_peers_next(struct turn_peers *p, struct bk_turn_event *out);

static inline size_t turn_chan_index(const struct turn_peers *p, const struct turn_chan *c) {
    return (size_t)(c - p->chans);
}

#endif
