/* SPDX-License-Identifier: MIT
 * What the files of portmap/ share. Private to portmap/.
 *
 * A *want* is a port somebody asked for. Where it meets a router there is an *entry*: three leases,
 * one by each way, of which the best that is held is the one told. A *road* is what is known of one
 * way at one router: whether it is spoken there, its clock, its last answer.
 *
 * A lease asks (request after request, by its protocol's timing), is held, and is renewed while
 * held. lease.c moves it; pcp.c and natpmp.c write and read its packets, upnp.c makes jobs of it.
 * race.c decides what starts when. Nothing else starts anything. */
#ifndef PORTMAP_STATE_H
#define PORTMAP_STATE_H

#include "wire/natpmp.h"
#include "wire/pcp.h"
#include "wire/stun.h"

#include <bodkin/portmap.h>

enum {
    ROUTERS = BK_PORTMAP_ROUTERS_MAX,
    WAYS = BK_PORTMAP_WAYS,
    ANSWER_S = 3 /* a router that has not answered by then is taken for silent; asked on */
};
#define SETTLE_US (100 * BK_US_PER_MS) /* PCP's head start before NAT-PMP */
#define JOB_US (20 * BK_US_PER_S)      /* a UPnP job takes no longer */
#define LATER_US (600 * BK_US_PER_S)   /* until the silent and the unwilling are asked again */
#define RECOVER_US (10 * BK_US_PER_S)  /* a lease not confirmed so long after a restart is lost */
#define ANNOUNCED_MAX_US                                                                           \
    (5 * BK_US_PER_S) /* RFC 6887 section 14.1.3: a random pause up to this                        \
                       */

/* The clock of a router, as it tells it. */
struct epoch {
    bool known;
    uint32_t server_s;
    struct bk_time client;
};

/* Requests repeated until answered. */
struct repeat {
    bool on, want_send;
    uint8_t sends;
    int64_t wait_us;
    struct bk_time first, due;
};

struct road {
    enum bk_portmap_offer offer;
    uint16_t code;
    struct bk_ip external;
    struct epoch epoch;
    int64_t rtt_us;
    struct repeat probe;    /* ANNOUNCE, NAT-PMP's address request, FIND */
    struct bk_time again;   /* SILENT, REFUSED, ABSENT: asked anew then */
    struct bk_time recover; /* the router has restarted: leases are asked for then */
    bool told;              /* the event has left */
};

enum lease_state {
    LEASE_NONE,
    LEASE_ASKING,
    LEASE_HELD,      /* `repeat` runs while it is renewed */
    LEASE_REFUSED,   /* until `again` */
    LEASE_RELEASING, /* until answered or `give_up` */
    LEASE_STATES
};

struct lease {
    enum lease_state state;
    struct repeat repeat;
    uint8_t nonce[PCP_NONCE_LEN];
    bool has_nonce;
    struct bk_addr external;
    uint16_t suggested; /* external port */
    uint32_t lifetime_s;
    struct bk_time since, expires, renew, again, give_up;
    uint16_t code, pinhole;
    enum bk_err err;
    uint8_t tries; /* UPnP: ports tried */
};

enum verify_step { VERIFY_IDLE, VERIFY_SEE, VERIFY_BOTH, VERIFY_PORT };

struct verify {
    enum verify_step step;
    enum bk_portmap_proof proof;
    struct repeat repeat;
    uint8_t txid[STUN_TXID_LEN];
    struct bk_addr server, seen;
};

struct entry {
    bool active;
    struct bk_time started;
    struct lease leases[WAYS];
    bool has_told; /* what the last MAPPED was about */
    enum bk_portmap_way told_way;
    struct bk_addr told_external;
    bool settled; /* FAILED was queued since it started */
    struct verify verify;
    uint8_t events; /* a set of 1 << enum bk_portmap_event_kind */
};

struct want {
    bool used, leaving;
    struct bk_portmap_want want;
    struct entry at[ROUTERS];
};

struct job {
    bool out;
    uint32_t number, want;
    size_t router;
    enum bk_portmap_job_kind kind;
    struct bk_time give_up;
};

struct bk_portmap {
    struct bk_portmap_config config;
    struct bk_alloc alloc;
    struct bk_rng rng;
    struct bk_time now;
    struct bk_portmap_router routers[ROUTERS];
    struct road roads[ROUTERS][WAYS];
    size_t router_count;
    struct job job;
    uint32_t job_number;
    bool stopping, stopped_told;
    struct bk_time stop_by;
    uint8_t out[BK_PORTMAP_DATAGRAM_MAX];
    struct want wants[]; /* config.wants_max */
};

/* A lease's place. */
struct at {
    struct want *want;
    size_t router;
    enum bk_portmap_way way;
};

static inline struct entry *entry_of(const struct at *at) {
    return &at->want->at[at->router];
}
static inline struct lease *lease_of(const struct at *at) {
    return &entry_of(at)->leases[at->way];
}
static inline struct road *road_of(struct bk_portmap *pm, const struct at *at) {
    return &pm->roads[at->router][at->way];
}
static inline bool is_v4(const struct bk_portmap *pm, size_t router) {
    return pm->routers[router].local.family == BK_IPV4;
}

/* repeat.c: RFC 6887 section 8.1.1 for PCP, RFC 6886 section 3.1 for NAT-PMP. */
void repeat_start(struct bk_portmap *pm, struct repeat *r, enum bk_portmap_way way);
void repeat_stop(struct repeat *r);
/* Wants the next send when it is due. false: it was the last, and the wait after it is over. */
BK_MUST_USE bool repeat_advance(struct bk_portmap *pm, struct repeat *r, enum bk_portmap_way way);
bool repeat_take_send(struct bk_portmap *pm, struct repeat *r);

/* epoch.c: false: the router has lost its state since the last answer. Notes the new one. */
bool epoch_pcp(struct epoch *e, uint32_t server_s, struct bk_time now);
bool epoch_natpmp(struct epoch *e, uint32_t server_s, struct bk_time now);

/* road.c */
bool road_is_there(const struct bk_portmap *pm, size_t router, enum bk_portmap_way way);
void road_start(struct bk_portmap *pm, size_t router);
void road_advance(struct bk_portmap *pm, size_t router);
void road_offer(struct road *road, enum bk_portmap_offer offer, uint16_t code);
void road_heard(struct bk_portmap *pm, struct road *road, const struct repeat *asked);
/* The router lost its state: every lease there is asked for anew, at once or after a random pause
 * (after an announcement, which everybody heard). */
void road_lost_state(struct bk_portmap *pm, size_t router, enum bk_portmap_way way, bool announced);
struct bk_time road_deadline(const struct bk_portmap *pm, size_t router);

/* lease.c */
void lease_ask(struct bk_portmap *pm, const struct at *at);
void lease_renew(struct bk_portmap *pm, const struct at *at);
void lease_granted(struct bk_portmap *pm, const struct at *at, const struct bk_addr *external,
                   uint32_t lifetime_s);
void lease_refused(struct bk_portmap *pm, const struct at *at, enum bk_err err, uint16_t code,
                   int64_t again_us);
void lease_release(struct bk_portmap *pm, const struct at *at);
void lease_released(struct bk_portmap *pm, const struct at *at);
void lease_advance(struct bk_portmap *pm, const struct at *at);
struct bk_time lease_deadline(const struct lease *l);
uint32_t lease_lifetime(const struct bk_portmap *pm, const struct at *at);
bool lease_is_out(const struct lease *l); /* the router may have it */

/* race.c */
bool race_uses(const struct bk_portmap *pm, const struct at *at);
/* The best way that holds a lease; WAYS: none. */
enum bk_portmap_way race_best(const struct entry *e);
void race_step(struct bk_portmap *pm, struct want *w, size_t router);
struct bk_time race_deadline(const struct bk_portmap *pm, const struct want *w, size_t router);
void race_tell(struct bk_portmap *pm, struct want *w, size_t router);

/* pcp.c, natpmp.c: the length of the packet a lease or a probe wants to send, in `pm->out`. */
size_t pcp_lease_build(struct bk_portmap *pm, const struct at *at);
size_t pcp_probe_build(struct bk_portmap *pm, size_t router);
size_t natpmp_lease_build(struct bk_portmap *pm, const struct at *at);
size_t natpmp_probe_build(struct bk_portmap *pm);
BK_MUST_USE enum bk_err pcp_recv(struct bk_portmap *pm, size_t router,
                                 const struct bk_datagram *in);
BK_MUST_USE enum bk_err natpmp_recv(struct bk_portmap *pm, size_t router,
                                    const struct bk_datagram *in);
/* The router answered PCP in NAT-PMP's format. */
void pcp_is_absent(struct bk_portmap *pm, size_t router);
/* Was it sent to everybody? */
bool is_announcement(const struct bk_datagram *in);

/* upnp.c */
bool upnp_next_job(struct bk_portmap *pm, struct bk_portmap_job *out);
void upnp_done(struct bk_portmap *pm, const struct bk_portmap_result *result);
void upnp_advance(struct bk_portmap *pm);

/* verify.c */
void verify_start(struct bk_portmap *pm, struct want *w, size_t router);
void verify_stop(struct verify *v);
void verify_advance(struct bk_portmap *pm, struct want *w, size_t router);
bool verify_next(struct bk_portmap *pm, struct want *w, size_t router, struct bk_datagram *out);
BK_MUST_USE enum bk_err verify_recv(struct bk_portmap *pm, const struct bk_datagram *in);

/* portmap.c: one step of everything, after any input. */
void portmap_turn(struct bk_portmap *pm);

#endif
