/* SPDX-License-Identifier: MIT
 * The inside of struct bk_turn. Who does what:
 *
 *     client.c           creation, the verbs, events
 *     client_data.c      data: to the server and from it, and streams
 *     client_request.c   which request is due, and its bytes
 *     client_response.c  what an answer changes
 *     client_peers.c     the table of permissions and channels
 *     client_links.c     connections to peers in the making (RFC 6062)
 *     client_move.c      other addresses of ours (RFC 8016), other servers (300), other tokens
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
    TURN_MISMATCH_MAX = 5,        /* Allocate requests answered with 437 before giving up */
    TURN_SERVERS_MAX = 4,         /* asked within five minutes, one redirecting to the other */
    TURN_CLIENT_TICKET_MAX = 255, /* ours have 48 bytes, coturn's 20 */
    TURN_DOMAIN_MAX = 255         /* RFC 8489 section 14.16 */
};

enum turn_state {
    TURN_ALLOCATING,
    TURN_ON,         /* allocated */
    TURN_RELEASING,  /* Refresh with lifetime 0, before another Allocate on this 5-tuple */
    TURN_CLOSING,    /* the same, for good */
    TURN_REDIRECTED, /* to a server that the owner has not turned to yet */
    TURN_DONE,       /* failed, redirected, lost for good or closed */
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

enum task_kind {
    TASK_NONE,
    TASK_ALLOCATE,
    TASK_REFRESH,
    TASK_RELEASE,
    TASK_PERMIT,
    TASK_BIND,
    TASK_CONNECT, /* these two belong to a link */
    TASK_JOIN     /* ConnectionBind, on its own connection */
};

struct turn_task {
    struct stun_txn txn;
    uint8_t kind;    /* enum task_kind */
    uint8_t version; /* of the credential's challenge it was made with */
    uint16_t chan;   /* BIND: its place; CONNECT, JOIN: the link's */
};

/* LINK_ASKED: Connect is under way. LINK_READY: the server has the peer and waits for us.
 * LINK_JOINING: ConnectionBind is under way. LINK_OVER: to be told. */
enum link_state { LINK_FREE, LINK_ASKED, LINK_READY, LINK_JOINING, LINK_OVER };

struct turn_link {
    struct bk_addr peer;
    uint32_t number; /* CONNECTION-ID */
    uint8_t state;   /* enum link_state */
    bool incoming, tell;
    uint16_t code; /* OVER */
    enum bk_err err;
    struct bk_time expires; /* READY: at the server */
    struct turn_task task;
    struct creds creds;    /* JOINING: nonces belong to connections */
    struct turn_stream in; /* JOINING */
};

struct turn_links {
    uint8_t *room; /* for each: its texts, its buffer */
    size_t texts_len, frame_len;
    uint16_t max;
    struct turn_link list[];
};

/* What an access token takes (RFC 7635). */
struct turn_access {
    uint16_t len, max, texts_max;
    uint8_t bytes[];
};

/* A server asked lately, RFC 8489 section 10. A digest will do: should two ever be alike, one
 * redirection is not followed. */
struct turn_asked {
    uint32_t digest, when_s;
};

/* Events that wait, besides those in the tables; told in this order. */
enum turn_news {
    NEWS_LOST = 1,
    NEWS_ALLOCATED = 2,
    NEWS_ICMP = 4,
    NEWS_REDIRECT = 8,
    NEWS_FAILED = 16,
    NEWS_CLOSED = 32,
    NEWS_MOVED = 64
};

struct bk_turn {
    struct bk_addr local, server, relayed, relayed6, mapped;
    enum turn_state state;
    uint8_t family; /* enum bk_family */
    bool stream, dont_fragment, even_port, again, both, own_work, asked_anew;
    bool mobility, reserve, tcp;
    bool adrift;        /* our address has changed, and the server has not agreed yet */
    bool doubtful;      /* a Refresh from an address before that may yet arrive */
    uint8_t ticket_len; /* 0: the server gave none */
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
    struct turn_links *links; /* with `tcp` */
    struct turn_access *access;
    uint8_t *ticket; /* with `mobility` */
    char *domain;    /* with `secure` */
    struct turn_asked asked[TURN_SERVERS_MAX];
    uint64_t reservation; /* to be redeemed; with `reserve`, to be told */
    uint8_t *work;
    size_t work_len, data_max;
    struct bk_rng rng;
    struct bk_alloc alloc;
};

/* ---- client.c: the states */

/* The one place that changes the state; what was under way for the old one stops. */
void turn_become(struct bk_turn *t, enum turn_state state);
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
/* The task's request, if one must be sent now. */
bool turn_put_out(struct bk_turn *t, struct turn_task *task, struct bk_datagram *out);
/* The longest request. */
size_t turn_request_max(const struct creds *creds, const struct bk_turn_config *c);

/* ---- client_response.c */

/* A STUN message from the server that is not data. */
BK_MUST_USE enum bk_err turn_take_response(struct bk_turn *t, const struct stun_msg *m);
/* Nobody answered. */
void turn_take_silence(struct bk_turn *t, struct turn_task *task);

/* The credential for a task's message. */
struct creds *turn_creds_of(struct bk_turn *t, const struct turn_task *task);
/* What the task of a link is answered: 0, an error code, or an error of our own. */
void turn_link_answered(struct bk_turn *t, struct turn_link *l, const struct stun_msg *m,
                        uint16_t code);
void turn_link_fail(struct bk_turn *t, struct turn_link *l, enum bk_err err, uint16_t code);

/* ---- client_links.c */

BK_MUST_USE enum bk_err turn_links_init(struct bk_turn *t, const struct bk_turn_config *c);
void turn_links_fini(struct bk_turn *t);
/* The allocation is gone, and so are they. */
void turn_links_end(struct bk_turn *t);
void turn_links_advance(struct bk_turn *t);
bool turn_links_next_datagram(struct bk_turn *t, struct bk_datagram *out);
/* Whose Connect is this an answer to? */
struct turn_task *turn_links_task(const struct bk_turn *t, const struct stun_msg *m);
struct bk_time turn_links_deadline(const struct bk_turn *t);
bool turn_links_next_event(struct bk_turn *t, struct bk_turn_event *out);
/* ConnectionAttempt. */
BK_MUST_USE enum bk_err turn_take_attempt(struct bk_turn *t, const struct stun_msg *m);

/* ---- client_move.c */

BK_MUST_USE enum bk_err turn_access_init(struct bk_turn *t, const struct bk_turn_config *c);
/* The ticket of an answer, if it has one. */
void turn_keep_ticket(struct bk_turn *t, const struct stun_msg *m);
/* 437: the server does not know us at this address. With a ticket that need not be the end. */
void turn_take_unknown(struct bk_turn *t);
/* A Refresh from our new address was answered. */
void turn_take_moved(struct bk_turn *t, uint16_t code);
void turn_redirect(struct bk_turn *t, const struct stun_msg *m);

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
