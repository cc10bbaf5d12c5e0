/* SPDX-License-Identifier: MIT
 * The inside of struct turn_service. Who does what:
 *
 *     service.c           creation, the verbs, timers, actions
 *     service_request.c   requests: authentication, dispatch, answers
 *     service_allocate.c  Allocate and Refresh
 *     service_peers.c     CreatePermission and ChannelBind
 *     service_data.c      data and ICMP errors, both ways
 *     alloc, perm, chan, ports   the tables, each without knowledge of the others
 *     filter, users       who may be talked to, who may talk
 *
 * turn_service_end() is the one way an allocation ends. */
#ifndef TURN_SERVICE_INT_H
#define TURN_SERVICE_INT_H

#include "base/heap.h"
#include "turn/alloc.h"
#include "turn/chan.h"
#include "turn/perm.h"
#include "turn/ports.h"
#include "turn/service.h"

enum {
    TURN_RESERVATIONS = 64,
    TURN_OUT_MAX = 65536 + 64, /* the longest datagram and a header */
    TURN_RELAY_PORTS_MAX = 2   /* of one allocation */
};

/* EVEN-PORT with the R bit, RFC 8656 section 7.2: a port kept for whoever brings the token. */
struct turn_reservation {
    uint64_t token; /* 0: unused */
    struct bk_time expires;
    uint16_t port;
    uint8_t family; /* its index */
};

/* An action that waits to be fetched, in few bytes. */
struct turn_due {
    uint8_t kind, family; /* its index */
    uint16_t port;
};

struct turn_service {
    struct turn_service_config config; /* texts and lists: copies */
    struct stun_realm realm;
    struct turn_allocs allocs;
    struct turn_permissions perms;
    struct turn_channels chans;
    struct turn_ports ports[TURN_FAMILIES];
    struct heap timers; /* ids: allocations, then permissions, then channels */
    struct turn_reservation reservations[TURN_RESERVATIONS];
    struct turn_due *actions; /* a ring */
    uint32_t action_cap, action_at, action_count;
    struct bk_datagram out;
    bool has_out;
    uint8_t *buf; /* TURN_OUT_MAX bytes, what `out` says */
    struct bk_time now;
    uint64_t counts[TURN_COUNTS];
    struct bk_rng rng;
    struct bk_alloc alloc;
};

/* A request on its way through. */
struct turn_ask {
    const struct bk_datagram *in;
    struct stun_msg m;
    struct stun_claim claim;
    struct turn_user user;
    uint32_t alloc; /* TURN_NONE: this 5-tuple has none */
    struct stun_builder b;
};

/* ---- service.c */

void turn_service_end(struct turn_service *s, uint32_t alloc);
void turn_service_drop_reservation(struct turn_service *s, struct turn_reservation *r);
void turn_service_push(struct turn_service *s, enum turn_action_kind kind, size_t family,
                       uint16_t port);
/* Is there room for all that an allocation may ask of the caller, its end included? */
bool turn_service_has_room(const struct turn_service *s);
uint32_t turn_service_timer_of_perm(const struct turn_service *s, uint32_t perm);
uint32_t turn_service_timer_of_chan(const struct turn_service *s, uint32_t chan);
/* What clients are told of a relay port. */
struct bk_addr turn_service_public(const struct turn_service *s, size_t family, uint16_t port);

/* ---- service_request.c */

BK_MUST_USE enum bk_err turn_service_request(struct turn_service *s, const struct bk_datagram *in,
                                             const struct stun_msg *m);
/* Answers: start, put attributes, send. Signed. */
void turn_answer_start(struct turn_service *s, struct turn_ask *ask);
void turn_answer_send(struct turn_service *s, struct turn_ask *ask);
void turn_answer_error(struct turn_service *s, struct turn_ask *ask, uint16_t code);

/* ---- service_allocate.c, service_peers.c */

void turn_do_allocate(struct turn_service *s, struct turn_ask *ask);
void turn_do_refresh(struct turn_service *s, struct turn_ask *ask);
void turn_do_create_permission(struct turn_service *s, struct turn_ask *ask);
void turn_do_channel_bind(struct turn_service *s, struct turn_ask *ask);
/* May this allocation's client send to `peer`, now? Permissions apart. */
bool turn_peer_is_open(const struct turn_service *s, const struct bk_addr *peer);

/* ---- service_data.c */

BK_MUST_USE enum bk_err turn_channel_data_in(struct turn_service *s, const struct bk_datagram *in);
BK_MUST_USE enum bk_err turn_send_in(struct turn_service *s, const struct bk_datagram *in,
                                     const struct stun_msg *m);
BK_MUST_USE enum bk_err turn_peer_in(struct turn_service *s, uint32_t alloc,
                                     const struct bk_datagram *in);
/* The allocation of a relay port. TURN_NONE: it is not one. */
uint32_t turn_relay_owner(const struct turn_service *s, const struct bk_addr *local);

#endif
