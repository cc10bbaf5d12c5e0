/* SPDX-License-Identifier: MIT
 * The inside of struct turn_service. Who does what:
 *
 *     service.c           creation, the verbs, timers, ends
 *     service_actions.c   what the caller is asked to do, and what it says of that
 *     service_request.c   requests: authentication, dispatch, answers
 *     service_allocate.c  Allocate and Refresh
 *     service_ports.c     relay ports: taking, reserving, giving back
 *     service_open.c      relay ports that cannot be opened: another one
 *     service_share.c     relay ports that several allocations share
 *     service_peers.c     CreatePermission and ChannelBind
 *     service_connect.c   TCP allocations, RFC 6062
 *     service_move.c      mobility, RFC 8016
 *     service_export.c    allocations as bytes, for a new process
 *     service_quota.c     who may have how much; refusals
 *     service_route.c     where data goes, both ways
 *     service_data.c      the same with copying; ICMP errors
 *     service_sent.c      what was sent; bandwidth; flows
 *     alloc, perm, chan, conn, account, ports, ledger   the tables, each without knowledge of the
 * others filter, users       who may be talked to, who may talk
 *
 * turn_service_end() is the one way an allocation ends. */
#ifndef TURN_SERVICE_INT_H
#define TURN_SERVICE_INT_H

#include "turn/account.h"
#include "turn/alloc.h"
#include "turn/chan.h"
#include "turn/conn.h"
#include "turn/perm.h"
#include "turn/ports.h"
#include "turn/service.h"
#include "turn/ticket.h"
#include "turn/top.h"

enum {
    TURN_OUT_MAX = 65536 + 64, /* the longest datagram and a header */
    TURN_RELAY_PORTS_MAX = 2,  /* of one allocation */
    TURN_REFUSALS = 32,        /* that wait to be fetched */
    TURN_RESTING = 64,         /* ports */
    TURN_DOMAIN_MAX = 255
};

/* An action that waits to be fetched, in few bytes. */
struct turn_due {
    uint8_t kind, family, protocol; /* family: its index */
    uint16_t port;                  /* or worker */
    uint32_t id;                    /* of a channel or a connection */
};

/* A request on its way through. */
struct turn_ask {
    const struct bk_datagram *in;
    struct stun_msg m;
    struct stun_claim claim;
    struct turn_user user;
    uint32_t alloc;      /* TURN_NONE: this 5-tuple has none */
    struct bk_addr peer; /* the one at hand, for refusals */
    uint32_t kid;        /* of its ACCESS-TOKEN, hashed; 0: it brought none */
    struct stun_builder b;
};

/* What an Allocate asks for. */
struct turn_wish {
    bool want[TURN_FAMILIES];
    bool both; /* one of them is enough */
    enum turn_parity parity;
    uint64_t token;  /* of a reservation; 0: none */
    uint8_t relayed; /* enum bk_protocol */
    bool mobile;     /* RFC 8016 */
};

/* An Allocate whose answer has not left yet: its port may turn out to be somebody else's. */
struct turn_pending {
    uint32_t place; /* of the allocation, plus one; 0: none */
    unsigned tries;
    struct bk_datagram in; /* the caller's bytes */
    struct turn_ask ask;
    struct turn_wish wish;
};

/* A port that could not be opened. */
struct turn_resting {
    struct bk_time until;
    uint16_t port;
    uint8_t family; /* its index */
};

struct turn_service {
    struct turn_service_config config; /* texts and lists: copies */
    struct stun_realm realm;
    struct turn_ticket_keys ticket_keys;
    bool draining;
    struct bk_addr alternate; /* family NONE: none is known */
    char alternate_domain[TURN_DOMAIN_MAX + 1];
    struct turn_allocs allocs;
    struct turn_permissions perms;
    struct turn_channels chans;
    struct turn_conns conns;
    struct turn_accounts accounts;
    struct turn_ports ports[TURN_FAMILIES];
    struct pool shares; /* of struct turn_share */
    struct turn_pending pending;
    struct turn_resting resting[TURN_RESTING]; /* a ring, the first to wake first */
    uint32_t resting_at, resting_count;
    struct turn_ledger ledger;
    struct turn_book *book;   /* behind `ledger`, when there is no other; or NULL */
    uint32_t lent;            /* own ports that are reserved, or used by another worker */
    struct bk_time look_home; /* when to see whether one has come back */
    uint32_t flows;           /* channels that a fast path was told of */
    struct turn_due *actions; /* a ring */
    uint32_t action_cap, action_at, action_count;
    struct turn_refusal *refusals; /* a ring */
    uint32_t refusal_at, refusal_count;
    struct bk_datagram out;
    bool has_out;
    bool stays;   /* turn_service_stay() */
    uint8_t *buf; /* TURN_OUT_MAX bytes, what `out` says */
    void *via;    /* turn_service_from() */
    struct bk_time now;
    uint64_t counts[TURN_COUNTS], refused[TURN_RULES];
    uint64_t bytes[2]; /* of data: to peers, to clients */
    struct turn_walk walk;
    struct bk_rng rng;
    struct bk_alloc alloc;
};

static inline struct turn_alloc *turn_service_alloc(const struct turn_service *s, uint32_t i) {
    return turn_alloc_at(&s->allocs, i);
}

/* ---- service.c */

/* An input begins: what was not fetched is gone. */
void turn_service_begin(struct turn_service *s, struct bk_time now);
void turn_service_end(struct turn_service *s, uint32_t alloc);
/* Of two relayed addresses, the end of one, and of what was for it. */
void turn_service_end_family(struct turn_service *s, uint32_t alloc, size_t family);
/* The first `len` bytes of `buf` are for the client of `a`. */
void turn_service_to_client(struct turn_service *s, const struct turn_alloc *a, size_t len);

/* ---- service_actions.c */

/* How many there may ever be at once. */
uint32_t turn_service_actions_for(const struct turn_service *s);
void turn_service_push(struct turn_service *s, const struct turn_due *due);
void turn_service_pass(struct turn_service *s, uint16_t worker);
/* Is there room for `more` actions, and for all that the ends of what is here will ask for? */
bool turn_service_has_room(const struct turn_service *s, uint32_t more);

/* ---- service_ports.c */

/* Takes one port that another process had, for `alloc`. false: it cannot be had. */
bool turn_take_over_port(struct turn_service *s, uint32_t alloc, size_t family, uint16_t port);
/* Takes the ports that `w` asks for and has them opened; or an error code. */
uint16_t turn_take_ports(struct turn_service *s, uint32_t alloc, const struct turn_wish *w);
/* The same for one more, of the one family; `shared`: only one that is open. */
uint16_t turn_take_another(struct turn_service *s, uint32_t alloc, size_t family,
                           const struct turn_wish *w, bool shared);
/* Takes back the port that goes with a token, which nobody has been told. */
void turn_unreserve(struct turn_service *s, uint64_t token);
/* Ends one relayed address: nothing comes in from now on, and the port is to be closed. */
void turn_close_port(struct turn_service *s, struct turn_alloc *a, size_t family);
/* A port that is closed now may be used again. */
void turn_port_is_closed(struct turn_service *s, size_t family, uint16_t port);
/* Fetches what has come home. */
void turn_look_home(struct turn_service *s);
/* Is it an open relay port of this worker's? */
bool turn_relay_is_here(const struct turn_service *s, const struct bk_addr *local);
/* The allocation that has a relay port for itself. TURN_NONE: none. */
uint32_t turn_relay_owner(const struct turn_service *s, const struct bk_addr *local);
/* The allocation that this peer talks to at a relay port: of those that share one, the one that has
 * a permission for it. TURN_NONE: none. */
uint32_t turn_relay_owner_of(const struct turn_service *s, const struct bk_addr *local,
                             const struct bk_addr *peer);
/* Is there a relay port of this server, at any worker? */
bool turn_relay_is_open(const struct turn_service *s, const struct bk_addr *relay);
/* What clients are told of a relay port. */
struct bk_addr turn_service_public(const struct turn_service *s, size_t family, uint16_t port);

/* ---- service_open.c */

/* The answer to `ask`, which made `alloc`, may have to be written again. */
void turn_keep_pending(struct turn_service *s, const struct turn_ask *ask,
                       const struct turn_wish *w, uint32_t alloc);
/* It has left. */
void turn_forget_pending(struct turn_service *s);
/* Ports that have rested are free again. */
void turn_wake_ports(struct turn_service *s);

/* ---- service_share.c: config.shared */

/* A relay port with several allocations. */
struct turn_share {
    uint32_t count;
    uint32_t first; /* the allocation that had it opened; it may be gone */
    uint16_t port;
    uint8_t family;
    void *socket;
};

#define TURN_SHARED                                                                                \
    UINT32_C(0x80000000) /* in the owner of a port: the rest is a place in shares                  \
                          */

/* A port that was just taken becomes a shared one; or one that is shared gets one more. false: no
 * room. */
bool turn_share_start(struct turn_service *s, uint32_t alloc, size_t family);
bool turn_share_join(struct turn_service *s, uint32_t alloc, size_t family, uint16_t port);
/* One that has few others. 0: there is none. */
uint16_t turn_share_choose(const struct turn_service *s, size_t family);
/* One fewer. true: it was the last, and the port is to be closed. */
bool turn_share_leave(struct turn_service *s, struct turn_alloc *a, size_t family);
/* What names the shared port of an allocation in permissions; 0: the port is its own. */
uint32_t turn_share_relay(const struct turn_service *s, const struct turn_alloc *a, size_t family);
/* Has another allocation at this port a permission for the peer? */
bool turn_share_is_taken(const struct turn_service *s, uint32_t alloc, const struct bk_ip *peer);
/* What turn_service_opened() said of it. */
void *turn_relay_socket(const struct turn_service *s, const struct turn_alloc *a, size_t family);

/* ---- service_quota.c */

/* Counts a new allocation in; 0, or 486 and 508. */
uint16_t turn_quota_enter(struct turn_service *s, const struct turn_ask *ask, struct turn_alloc *a);
/* The same for one that is taken over: its user's own limits are not known. */
bool turn_quota_take_over(struct turn_service *s, struct turn_alloc *a);
/* What the user of `ask` is called, for those who look at its account. */
void turn_quota_name(struct turn_service *s, const struct turn_ask *ask,
                     const struct turn_alloc *a);
void turn_quota_leave(struct turn_service *s, struct turn_alloc *a);
/* May this allocation have so many more? 0 or 486. */
uint16_t turn_quota_permissions(struct turn_service *s, const struct turn_ask *ask, size_t more);
uint16_t turn_quota_channels(struct turn_service *s, const struct turn_ask *ask, size_t more);
/* It has `more` permissions or channels now, or fewer. */
void turn_quota_hold(struct turn_service *s, const struct turn_alloc *a, enum turn_held what,
                     int32_t more);
/* The client at hand is refused something. */
void turn_refuse(struct turn_service *s, const struct turn_ask *ask, enum turn_rule rule,
                 uint16_t code);

/* ---- service_sent.c */

/* Has the allocation bandwidth left, for another datagram? If not, counts the drop. */
bool turn_bandwidth_is_open(struct turn_service *s, uint32_t alloc);
/* The same of its user, without a word. */
bool turn_user_is_open(struct turn_service *s, uint32_t alloc);
/* Announces the channels of an allocation to a fast path: they are new, or live longer, or shorter.
 * `ip`: those of this peer; NULL: all. */
void turn_flows_again(struct turn_service *s, uint32_t alloc, const struct bk_ip *ip);
void turn_flow_end(struct turn_service *s, uint32_t chan);
/* Those of an allocation to peers of this family; BK_FAMILY_NONE: all. */
void turn_flows_end(struct turn_service *s, uint32_t alloc, uint8_t family);

/* ---- service_request.c */

BK_MUST_USE enum bk_err turn_service_request(struct turn_service *s, const struct bk_datagram *in,
                                             const struct stun_msg *m);
/* Answers: start, put attributes, send. Signed. */
void turn_answer_start(struct turn_service *s, struct turn_ask *ask);
void turn_answer_send(struct turn_service *s, struct turn_ask *ask);
void turn_answer_error(struct turn_service *s, struct turn_ask *ask, uint16_t code);
/* RFC 7635: what a token said is kept with the allocation. */
void turn_keep_token(struct turn_service *s, const struct turn_ask *ask, uint32_t alloc);
void turn_answer_error_start(struct turn_service *s, struct turn_ask *ask, uint16_t code);

/* ---- service_allocate.c, service_peers.c */

void turn_do_allocate(struct turn_service *s, struct turn_ask *ask);
void turn_answer_allocated(struct turn_service *s, struct turn_ask *ask, uint32_t alloc);
void turn_do_refresh(struct turn_service *s, struct turn_ask *ask);
void turn_do_create_permission(struct turn_service *s, struct turn_ask *ask);
void turn_do_channel_bind(struct turn_service *s, struct turn_ask *ask);
/* false: there is no memory. */
bool turn_add_permission(struct turn_service *s, uint32_t alloc, const struct bk_ip *ip,
                         struct bk_time expires);
/* TURN_NONE: there is no memory. */
uint32_t turn_add_channel(struct turn_service *s, uint32_t alloc, uint16_t number,
                          const struct bk_addr *peer);
/* 0: this peer may be permitted; else the error code. */
uint16_t turn_peer_judge(const struct turn_service *s, const struct turn_alloc *a,
                         const struct bk_addr *peer);
/* Is it an address that relay ports are opened at, or known by? */
bool turn_ip_is_own(const struct turn_service *s, const struct bk_ip *ip);
/* May this allocation's client send to `peer`, now? Permissions apart. */
bool turn_peer_is_open(const struct turn_service *s, const struct bk_addr *peer);

/* ---- service_route.c */

/* As turn_service_route(), for what is known already to be ChannelData, a Send indication, or of a
 * peer. MALFORMED and TOO_LONG are not counted. */
BK_MUST_USE enum bk_err turn_route_channel(struct turn_service *s, const struct bk_datagram *in,
                                           struct turn_route *out);
BK_MUST_USE enum bk_err turn_route_send(struct turn_service *s, const struct bk_datagram *in,
                                        const struct stun_msg *m, struct turn_route *out);
BK_MUST_USE enum bk_err turn_route_peer(struct turn_service *s, uint32_t alloc,
                                        const struct bk_datagram *in, struct turn_route *out);
/* What the client knows a peer by. */
struct bk_addr turn_name_of(const struct turn_service *s, const struct bk_addr *peer);

/* ---- service_connect.c */

void turn_do_connect(struct turn_service *s, struct turn_ask *ask);
void turn_do_connection_bind(struct turn_service *s, struct turn_ask *ask);
/* `cut`: the caller is to close it, too. */
void turn_conn_end(struct turn_service *s, uint32_t conn, bool cut);
void turn_conns_expire(struct turn_service *s);

/* ---- service_move.c */

/* What MOBILITY-TICKET of an Allocate asks for. 0, 400 or 405; *out: give it a ticket. */
uint16_t turn_read_mobility(const struct turn_service *s, const struct stun_msg *m, bool *out);
/* A Refresh with a ticket from a 5-tuple without an allocation. false: it has its answer, or went
 * to another worker; true: ask->alloc is the one of the ticket, and has moved here. */
bool turn_do_move(struct turn_service *s, struct turn_ask *ask);
/* Adds a fresh ticket to an answer, if the allocation may move. */
void turn_put_ticket(struct turn_service *s, struct turn_ask *ask, uint32_t alloc);

/* ---- service_data.c */

BK_MUST_USE enum bk_err turn_channel_data_in(struct turn_service *s, const struct bk_datagram *in);
BK_MUST_USE enum bk_err turn_send_in(struct turn_service *s, const struct bk_datagram *in,
                                     const struct stun_msg *m);
BK_MUST_USE enum bk_err turn_peer_in(struct turn_service *s, uint32_t alloc,
                                     const struct bk_datagram *in);

#endif
