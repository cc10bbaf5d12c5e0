/* SPDX-License-Identifier: MIT
 * What the files of nat/ share: the tables, and one function per behaviour. Private to nat/.
 *
 * Four tables name two pools by index:
 *   by_inside   protocol, inside endpoint, remote as far as the mapping depends on it -> mapping
 *   by_outside  protocol, outside endpoint                                            -> mapping
 *   by_flow     protocol, inside endpoint, remote endpoint                            -> session
 *   by_remote   mapping, remote endpoint                                              -> session
 * and with overloading a fifth:
 *   by_reply    protocol, outside endpoint, remote endpoint                           -> session
 * One counts: by_host, mapping and remote address -> sessions with it (filtering ADF only).
 *
 * A mapping lives exactly as long as it has sessions. A session's `expires` moves on every packet
 * that refreshes it; the heap holds an earlier or equal time and is only corrected when it fires,
 * so that a refresh costs one store. */
#ifndef NAT_STATE_H
#define NAT_STATE_H

#include "base/heap.h"
#include "base/rng.h"
#include "base/table.h"
#include "nat/nat.h"

#define NAT_NONE UINT32_MAX /* no index */

/* A connection as far as a NAT must know it: RFC 5382 section 4, RFC 7857 section 2. */
enum nat_tcp_state {
    NAT_TCP_NONE,    /* not TCP, or no session yet */
    NAT_TCP_SYN_OUT, /* one SYN seen */
    NAT_TCP_SYN_IN,
    NAT_TCP_HALF, /* SYNs of both sides seen */
    NAT_TCP_OPEN,
    NAT_TCP_FIN_OUT, /* one side finished */
    NAT_TCP_FIN_IN,
    NAT_TCP_CLOSING, /* both did */
    NAT_TCP_RESET,   /* a reset was seen */
    NAT_TCP_STATES
};

struct nat_session {
    uint32_t mapping;    /* NAT_NONE: this slot is free */
    uint32_t next, prev; /* in the mapping's list; `next` also in the free list */
    struct bk_addr remote;
    struct bk_time made, expires, armed; /* `armed` is what the heap holds */
    enum nat_side made_by;               /* which side's packet made it */
    bool replied;                        /* the other side has sent, too */
    uint64_t serial;                     /* grows from session to session */
    enum nat_tcp_state tcp;
    bool seq_known[2];    /* by enum nat_side of the sender */
    uint32_t seq_next[2]; /* the sequence number after the highest one seen */
};

struct nat_mapping {
    bool used;
    enum nat_proto proto;
    enum nat_mode mode;
    struct bk_addr internal, external;
    struct bk_addr remote; /* as far as the mapping depends on it, otherwise zero */
    uint32_t first;        /* its sessions */
    uint32_t sessions;
    uint32_t next_free;
    uint32_t next_inside, next_outside; /* others of the same name in by_inside, by_outside */
    bool local; /* the box's own: inbound.c; inside and outside endpoint are the same */
};

/* One second's worth of new mappings: rate.c. */
struct nat_rate {
    struct bk_time busy_until;
};

/* An inside host that has mappings; only in boxes with limits per host, or port blocks: host.c. */
struct nat_host {
    struct bk_ip ip;
    uint32_t mappings, sessions;
    uint32_t first_block, blocks; /* its port blocks */
    struct nat_rate rate;
    uint32_t next_free;
};

/* An unsolicited SYN whose answer waits: late.c. */
enum { NAT_LATE_MAX = 32 };
struct nat_late_syn {
    struct nat_header header;
    enum nat_answer answer; /* NAT_ANSWER_NONE: it was met */
    struct bk_time due;
};

struct nat_block {
    uint32_t host; /* NAT_NONE: nobody's */
    uint32_t next; /* of the host's */
    uint32_t used; /* mappings in it */
    uint32_t next_port;
};

/* The port of an ended mapping: hold.c. */
struct nat_hold {
    enum nat_proto proto;
    struct bk_addr internal, external;
    struct bk_time until;
};

/* The ports one mapping may choose from: runs of `run` ports every `gap`, `len` in all. */
struct nat_space {
    uint32_t first, run, gap, len;
    uint32_t *next; /* where NAT_PORT_SEQUENTIAL is */
};

struct nat {
    struct nat_config config;
    enum nat_dep mapping_of[NAT_PROTOS], filtering_of[NAT_PROTOS]; /* RFC 7857 section 5 */
    enum nat_port_choice ports_of[NAT_PROTOS];
    struct bk_rng rng;
    struct bk_alloc alloc;
    struct bk_time now;
    struct nat_mapping *mappings;
    struct nat_session *sessions;
    uint32_t free_mapping, free_session; /* heads of the free lists */
    uint32_t mapping_count, session_count;
    struct table by_inside, by_outside, by_flow, by_remote, by_host, by_reply;
    uint64_t serial;       /* of the last session */
    uint32_t local_count;  /* mappings of the box's own; not in mapping_count */
    struct table per_host; /* inside address -> host */
    struct nat_host *hosts;
    uint32_t free_host;
    struct nat_block *blocks;
    struct table by_hold; /* protocol, outside endpoint -> hold */
    struct nat_hold *holds;
    uint32_t hold_first, hold_count;
    struct heap timers;
    uint32_t next_port, next_low_port; /* NAT_PORT_SEQUENTIAL, above and below 1024 */
    uint64_t hash_key[2];
    struct nat_rate rate;
    bool exhausted; /* nat_exhaust() */
    struct nat_late_syn late[NAT_LATE_MAX];
    uint32_t late_first, late_count;
    struct nat_counters counters;
    nat_look *look; /* or NULL */
    void *look_ctx;
};

/* nat.c: everything as after nat_new(); the tables are empty. */
void nat_reset_pools(struct nat *nat);

/* One step through the box in one direction. NAT_DROP_NONE: *out is the header that leaves. */
enum nat_drop nat_translate_out(struct nat *nat, const struct nat_header *in,
                                struct nat_header *out);
enum nat_drop nat_translate_in(struct nat *nat, const struct nat_header *in,
                               struct nat_header *out);

/* mapping.c: the mapping of a flow from inside; NAT_NONE: none. */
uint32_t nat_mapping_find(const struct nat *nat, const struct nat_flow *flow);
uint32_t nat_mapping_find_external(const struct nat *nat, enum nat_proto proto,
                                   const struct bk_addr *external);
/* NAT_DROP_NONE, _FULL, or _RATE. The mapping must get a session at once. */
enum nat_drop nat_mapping_make(struct nat *nat, const struct nat_flow *flow, uint32_t *out);
void nat_mapping_end(struct nat *nat, uint32_t index);
enum nat_mode nat_mode_of(const struct nat *nat, const struct bk_ip *ip);

/* The box's own mapping at one of its outside endpoints. NAT_NONE: no room. */
uint32_t nat_mapping_make_local(struct nat *nat, enum nat_proto proto, const struct bk_addr *at);

/* overload.c: several mappings of one name, the session of an outside endpoint and a remote.
 * Without overloading, names are unique and these functions say what the tables say. */
void nat_overload_enter(struct nat *nat, uint32_t mapping);
void nat_overload_leave(struct nat *nat, uint32_t mapping);
void nat_overload_enter_session(struct nat *nat, uint32_t session);
void nat_overload_leave_session(struct nat *nat, uint32_t session);
/* The mapping that a new flow of its inside endpoint uses; NAT_NONE: it needs a new one. */
uint32_t nat_overload_reuse(const struct nat *nat, uint32_t mapping, const struct nat_flow *flow);
/* The mapping a packet from outside belongs to; NAT_NONE: none. It may be the box's own. */
uint32_t nat_overload_find(const struct nat *nat, enum nat_proto proto,
                           const struct bk_addr *external, const struct bk_addr *remote);
/* May a new mapping have this outside endpoint for the flow? */
bool nat_overload_free(const struct nat *nat, const struct nat_flow *flow,
                       const struct bk_addr *external);
/* A packet went out by this mapping: of those with its outside endpoint it now serves strangers. */
void nat_overload_lead(struct nat *nat, uint32_t mapping);
bool nat_overload_has(const struct nat *nat, uint32_t mapping); /* is it in its chains? */

/* inbound.c: a packet from outside that no mapping wants. */
void nat_inbound_remember(struct nat *nat, const struct nat_header *in);

/* session.c */
uint32_t nat_session_find_flow(const struct nat *nat, enum nat_proto proto,
                               const struct bk_addr *internal, const struct bk_addr *remote);
uint32_t nat_session_find_remote(const struct nat *nat, uint32_t mapping,
                                 const struct bk_addr *remote);
/* A session from a packet of side `by`; NAT_NONE: no room. */
uint32_t nat_session_make(struct nat *nat, uint32_t mapping, const struct bk_addr *remote,
                          enum nat_side by);
/* Ends the session, and its mapping if it was the last one. */
void nat_session_end(struct nat *nat, uint32_t index);
/* Ends the mapping with all its sessions. */
void nat_session_end_all(struct nat *nat, uint32_t mapping);
/* From now on packets of this flow from inside use this session's mapping. */
void nat_session_own_flow(struct nat *nat, uint32_t index);
bool nat_session_room(const struct nat *nat, enum nat_side by);

/* filter.c: may a packet from `remote` use the mapping, if no session of its own says so? */
bool nat_filter_admits(const struct nat *nat, uint32_t mapping, const struct bk_addr *remote);

/* port.c: picks external->port, which is free, for external->ip. false: none is. */
bool nat_port_pick(struct nat *nat, const struct nat_flow *flow, struct bk_addr *external);
/* Could a new mapping for this flow have the outside endpoint? */
bool nat_port_is_free(struct nat *nat, const struct nat_flow *flow, const struct bk_addr *external);

/* space.c */
struct nat_space nat_space_for(struct nat *nat, const struct nat_flow *flow);
uint16_t nat_space_at(const struct nat_space *space, uint32_t index);
bool nat_space_rank(const struct nat_space *space, uint16_t port, uint32_t *out);

/* block.c: blocks are named by index; NAT_NONE: none. */
uint32_t nat_blocks_max(const struct nat_config *c);
void nat_blocks_reset(struct nat *nat);
struct nat_space nat_block_space(struct nat *nat, uint32_t block);
/* The host's block at that outside address after `after`; NAT_NONE: its first one. */
uint32_t nat_block_next(const struct nat *nat, const struct bk_ip *inside, const struct bk_ip *ip,
                        uint32_t after);
/* One more for the host. It must be used or dropped at once. */
uint32_t nat_block_take(struct nat *nat, const struct bk_ip *inside, const struct bk_ip *ip);
void nat_block_drop(struct nat *nat, uint32_t block);
/* A mapping begins, or ends, to use the block its port is in. */
void nat_block_enter(struct nat *nat, const struct nat_mapping *m);
void nat_block_leave(struct nat *nat, const struct nat_mapping *m);

/* host.c */
bool nat_hosts_wanted(const struct nat_config *c);
void nat_hosts_reset(struct nat *nat);
uint32_t nat_host_find(const struct nat *nat, const struct bk_ip *ip);
uint32_t nat_host_make(struct nat *nat, const struct bk_ip *ip);
/* May it have one more mapping, now? NAT_DROP_NONE, _FULL, _RATE. */
enum nat_drop nat_host_admit(struct nat *nat, const struct bk_ip *ip);
/* May it have one more session? */
bool nat_host_session_room(const struct nat *nat, const struct bk_ip *ip);
/* A session of this mapping begins (1) or ends (-1). */
void nat_host_count_session(struct nat *nat, const struct nat_mapping *m, int delta);
void nat_host_enter(struct nat *nat, const struct bk_ip *ip); /* it has one more */
void nat_host_leave(struct nat *nat, const struct bk_ip *ip); /* and one less */
void nat_host_release(struct nat *nat, uint32_t index);       /* forgets it if it has nothing */

/* rate.c: one more, of at most `per_s` (0: any number) a second? */
bool nat_rate_admit(struct nat_rate *rate, uint32_t per_s, struct bk_time now);

/* hold.c */
uint32_t nat_holds_max(const struct nat_config *c);
void nat_hold_add(struct nat *nat, const struct nat_mapping *m);
void nat_holds_forget(struct nat *nat);
/* Is the port kept for another inside endpoint than the flow's? */
bool nat_hold_keeps(struct nat *nat, const struct nat_flow *flow, const struct bk_addr *external);

/* pool.c: the outside address for a flow from inside. false: none of that family. */
bool nat_pool_pick(struct nat *nat, const struct nat_flow *flow, struct bk_ip *out);
/* NAT_DEP_HASH: which of the outside addresses of that family. */
uint8_t nat_pool_hash(const struct nat *nat, const struct nat_flow *flow);

/* timer.c: a packet of side `from` was carried, and left a TCP connection in state `tcp`. */
void nat_timer_touch(struct nat *nat, uint32_t session, enum nat_side from, enum nat_tcp_state tcp);
/* A new session, or one whose state changed: its full life from now on. */
void nat_timer_start(struct nat *nat, uint32_t session);
/* The session ends at `when`, earlier or later than it would have. */
void nat_timer_set(struct nat *nat, uint32_t session, struct bk_time when);

/* tcp.c: what the segment does to the connection (NAT_NONE: there is none yet); false: it may not
 * pass. */
bool nat_tcp_next(const struct nat *nat, uint32_t session, enum nat_side from,
                  const struct nat_header *h, enum nat_tcp_state *out);
/* Remembers the sequence numbers of a segment that passed. */
void nat_tcp_note(struct nat_session *s, enum nat_side from, const struct nat_header *h);
/* Has this segment, which passed, ended the session? NAT_RESET_KILLS. */
bool nat_tcp_kills(const struct nat *nat, const struct nat_header *h);
/* Is the connection over, so that a SYN begins another? */
bool nat_tcp_is_over(enum nat_tcp_state state);
int64_t nat_tcp_life_us(const struct nat_config *config, enum nat_tcp_state state);
bool nat_tcp_is_fresh_syn(const struct nat_header *h);

/* icmp.c: errors, by the packet they quote. */
enum nat_drop nat_icmp_error_out(struct nat *nat, const struct nat_header *in,
                                 struct nat_header *out);
enum nat_drop nat_icmp_error_in(struct nat *nat, const struct nat_header *in,
                                struct nat_header *out);

/* late.c: does this SYN's answer wait? */
bool nat_late_wants(const struct nat *nat, const struct nat_header *in);
void nat_late_add(struct nat *nat, const struct nat_header *in, enum nat_answer answer);
/* A translated packet went out: if it is a SYN that meets one, that one is not answered. */
void nat_late_meet(struct nat *nat, const struct nat_header *out);
struct bk_time nat_late_deadline(const struct nat *nat);

/* policy.c */
enum nat_drop nat_policy(const struct nat *nat, enum nat_side from, const struct nat_header *in);
/* What an inside host hears when it is refused. */
enum nat_answer nat_policy_refusal(const struct nat *nat, enum nat_drop why);

/* unsolicited.c: the answer, if there is one, to a packet that was refused at the outside. */
enum nat_answer nat_unsolicited_answer(const struct nat *nat, enum nat_side from,
                                       const struct nat_header *in, enum nat_drop why);

/* Keys of the tables. */
enum {
    NAT_KEY_ADDR = 19, /* family, 16 bytes, port */
    NAT_KEY_IP = 17,
    NAT_KEY_INSIDE = 1 + 2 * NAT_KEY_ADDR,
    NAT_KEY_OUTSIDE = 1 + NAT_KEY_ADDR,
    NAT_KEY_FLOW = 1 + 2 * NAT_KEY_ADDR,
    NAT_KEY_REMOTE = 4 + NAT_KEY_ADDR,
    NAT_KEY_HOST = 4 + NAT_KEY_IP
};
void nat_key_flow(uint8_t key[NAT_KEY_FLOW], enum nat_proto proto, const struct bk_addr *internal,
                  const struct bk_addr *remote);
void nat_key_outside(uint8_t key[NAT_KEY_OUTSIDE], enum nat_proto proto,
                     const struct bk_addr *external);
void nat_key_remote(uint8_t key[NAT_KEY_REMOTE], uint32_t mapping, const struct bk_addr *remote);
void nat_key_host(uint8_t key[NAT_KEY_HOST], uint32_t mapping, const struct bk_ip *host);
void nat_key_ip(uint8_t key[NAT_KEY_IP], const struct bk_ip *ip);

#endif
