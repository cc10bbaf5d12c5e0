/* SPDX-License-Identifier: MIT
 * What the files of natcheck/ share. Private to natcheck/.
 *
 * A *probe* is one question: from a socket, to a remote, sent again until answered or given up
 * (probe.c). An *attribute test* is a file with a step function: it looks at the probes it has
 * asked, asks more, and in the end writes its finding. Steps run after every input, in the order
 * of the table in natcheck.c, until none changes anything; they never wait by themselves, as a
 * probe may be planned for later. What a test concludes from its probes is a pure function in
 * verdict.h.
 *
 * Sockets, by who owns them:
 *     reach.c      one per family, S0: the first request, the mapping tests
 *     filtering.c  two per family, each only ever sent to one address before its test is over
 *     ports.c      more, each a sample of the port allocation; hairpin.c and alg.c use them later
 *     portmap.c, tcp.c, lifetime.c  their own */
#ifndef NATCHECK_STATE_H
#define NATCHECK_STATE_H

#include "natcheck/verdict.h"
#include "wire/stun.h"

#include <bodkin/natcheck.h>

enum {
    PROBES_MAX = BK_NATCHECK_OBSERVATIONS_MAX,
    ACTIONS_MAX = 2 * BK_NATCHECK_SOCKETS_MAX,
    TCP_BUFFER = 256,
    PORT_SAMPLES = 6, /* sockets of ports.c; with S0 and filtering's first they are eight */
    MORE_SAMPLES = 6,
    POOL_SAMPLES = 6, /* more questions when the outside address varies */
    HAIRPINS = 4,
    PORTMAPS = 3,
    LIVES = 40 /* spare mappings of lifetime.c */
};
#define NONE UINT32_MAX /* no socket, no probe */

enum family { V4, V6, FAMILIES };

struct check_socket {
    enum { SOCKET_FREE, SOCKET_OPENING, SOCKET_OPEN, SOCKET_FAILED } state;
    bool tcp, any_port; /* any_port: a chosen port was refused, or none was chosen */
    struct bk_addr local, remote;
    uint8_t buf[TCP_BUFFER]; /* TCP: bytes of an unfinished answer */
    size_t buffered;
};

enum probe_state {
    PROBE_PLANNED, /* for `due`, or as soon as its socket is open */
    PROBE_WAITING, /* sent; `due` is the next send or the end */
    PROBE_ANSWERED,
    PROBE_SILENT /* nobody answered; or it could not be sent: `why` */
};

/* How often to ask. */
struct pace {
    int64_t wait_us; /* between the first two sends */
    int64_t last_us; /* after the last one */
    uint8_t sends;
    bool doubles; /* each wait is twice the one before, RFC 8489 section 6.2.1 */
};

struct ask {
    enum bk_nat_test test;
    uint32_t socket;
    bool elsewhere; /* the answer comes in on `hears`, not on `socket` */
    uint32_t hears;
    struct bk_addr remote;
    uint32_t attrs; /* of the observation */
    int64_t delay_us;
    struct pace pace;
    uint16_t response_port; /* REDIRECT, LIFE: RFC 5780 section 7.5 */
    bool tell_address;      /* put our own address into it, for an ALG to find */
    bool deep;
    int64_t idle_us; /* LIFE, for the record */
};

struct probe {
    struct ask ask;
    enum probe_state state;
    enum bk_nat_reason why; /* SILENT */
    bool want_send;
    uint8_t txid[STUN_TXID_LEN];
    uint8_t sends;
    uint32_t order; /* number of this among all first sends: the order in which a NAT sees them */
    struct bk_time due, first_sent, last_sent, answered;
    struct bk_addr from;   /* who answered */
    struct bk_addr seen;   /* XOR-MAPPED-ADDRESS, or what a router told */
    struct bk_addr mapped; /* MAPPED-ADDRESS; family NONE: not there */
    struct bk_addr other;  /* OTHER-ADDRESS; family NONE: not there */
    uint16_t code;         /* an error response's code; 0: success */
    uint32_t observation;
};

/* One family of addresses. */
struct side {
    bool asked;
    struct bk_addr server[2][2]; /* [address][port], RFC 5780 section 4; family NONE: not there */
    bool translated, reached;
    struct bk_ip external;
    uint32_t s0, first;              /* socket and first probe */
    uint32_t to_fallback, to_second; /* V4 */
    bool hurried;
    /* mapping.c */
    bool mapping_started;
    uint32_t mapping[3], again[3], again_socket;
    size_t mappings;
    enum bk_nat_dep dep; /* UNKNOWN: the probes are still out */
    enum bk_nat_reason dep_reason;
    enum bk_maybe port_specific;
    bool mapping_done; /* and nothing will change `dep` any more */
    /* filtering.c */
    uint32_t f1, f2, plain, change_both, change_port;
    bool filtering_started, filtering_done;
};

struct ports_state {
    bool started, sampled, done; /* sampled: no more packets of its own */
    uint32_t socket[PORT_SAMPLES], probe[PORT_SAMPLES];
    uint32_t more[MORE_SAMPLES]; /* once a block is suspected */
    size_t more_count;
};

struct pooling_state {
    bool started, done;
    uint32_t probe[POOL_SAMPLES];
};

struct hairpin_state {
    bool started;
    uint32_t probe[HAIRPINS];
};

struct alg_state {
    bool started;
    uint32_t probe;
};

struct inbound_state {
    bool started;
    uint32_t probe;
};

struct tcp_state {
    bool started, others; /* others: the server's other endpoints were dialled, too */
    uint16_t port;
    uint32_t socket[3], probe[3];
    size_t dials;
    struct bk_time give_up;
};

struct portmap_state {
    bool started;
    uint32_t probe[PORTMAPS];
};

enum life_kind { LIFE_FIRST, LIFE_REPLIED, LIFE_KINDS };
enum life_touch { TOUCH_NONE, TOUCH_OUT, TOUCH_IN };

/* One spare mapping: opened, left alone, tried once. NONE in a probe: not asked yet. */
struct life {
    bool ended;
    enum life_kind kind;
    enum life_touch touch;     /* what happens to it at touch_us */
    int64_t touch_us, idle_us; /* after it was opened; after its last packet */
    uint32_t socket;
    uint32_t open, again, touched, try;
};

struct life_course {
    enum { COURSE_COARSE, COURSE_FINE, COURSE_DONE } stage;
    struct life_range range;
};

struct lifetime_state {
    enum { LIFE_WAITS, LIFE_HELLO, LIFE_PROOF, LIFE_RUNS, LIFE_REFRESH, LIFE_DONE } stage;
    uint32_t listener, hello; /* a socket that asks in the others' names; its last request */
    struct life lives[LIVES];
    size_t life_count;
    struct life_course course[LIFE_KINDS];
};

struct bk_natcheck {
    struct bk_natcheck_config config;
    struct bk_alloc alloc;
    struct bk_rng rng;
    struct bk_time now, start;
    struct bk_nat_record record;
    struct check_socket sockets[BK_NATCHECK_SOCKETS_MAX];
    struct probe probes[PROBES_MAX];
    uint32_t probe_count, sends_seen;
    int64_t rtt_us; /* for timers: the least seen; a guess while it is not exact */
    bool rtt_exact;
    struct bk_natcheck_action actions[ACTIONS_MAX];
    size_t action_head, action_count;
    uint64_t events; /* a set of 1 << attr */
    bool changed, quick_done, done, done_told;
    struct side side[FAMILIES];
    struct ports_state ports;
    struct pooling_state pooling;
    struct hairpin_state hairpin;
    struct alg_state alg;
    struct inbound_state inbound;
    struct tcp_state tcp;
    struct portmap_state portmap;
    struct lifetime_state lifetime;
    uint8_t out[BK_NATCHECK_DATAGRAM_MAX];
};

/* natcheck.c */
void finding_known(struct bk_natcheck *nc, enum bk_nat_attr attr, int64_t value, uint16_t permille);
void finding_unclear(struct bk_natcheck *nc, enum bk_nat_attr attr, int64_t guess,
                     enum bk_nat_reason reason);
bool finding_is_pending(const struct bk_natcheck *nc, enum bk_nat_attr attr);
void note_external(struct bk_natcheck *nc, const struct bk_addr *seen);

/* socket.c: NONE: no index left. A chosen port is drawn at random: what a kernel hands out may be
 * consecutive, which looks like a NAT's doing. */
uint32_t socket_open(struct bk_natcheck *nc, enum family family);
uint32_t socket_dial(struct bk_natcheck *nc, uint16_t port, const struct bk_addr *remote);
void socket_close(struct bk_natcheck *nc, uint32_t socket);
void socket_close_all(struct bk_natcheck *nc);
uint16_t socket_port(const struct bk_natcheck *nc, uint32_t socket);
bool socket_is_open(const struct bk_natcheck *nc, uint32_t socket);
struct bk_addr socket_any(enum family family);

/* probe.c: NONE: the table is full. */
uint32_t probe_ask(struct bk_natcheck *nc, const struct ask *ask);
/* Nobody needs its answer any more. */
void probe_cancel(struct bk_natcheck *nc, uint32_t probe);
/* Something else was answered: send it once more now, and wait only as long as that took. */
void probe_hurry(struct bk_natcheck *nc, uint32_t probe);
void probe_advance(struct bk_natcheck *nc);
struct bk_time probe_deadline(const struct bk_natcheck *nc);
bool probe_next_datagram(struct bk_natcheck *nc, uint32_t *socket, struct bk_datagram *out);
enum bk_err probe_recv(struct bk_natcheck *nc, uint32_t socket, const struct bk_datagram *in);
void probe_socket_ready(struct bk_natcheck *nc, uint32_t socket);
void probe_socket_lost(struct bk_natcheck *nc, uint32_t socket);
/* NONE counts as ended without an answer. */
bool probe_ended(const struct bk_natcheck *nc, uint32_t probe);
bool probe_answered(const struct bk_natcheck *nc, uint32_t probe);
void probe_witness(struct bk_natcheck *nc, uint32_t probe, enum bk_nat_attr attr);
/* Once the RTT is known, ask again soon; give up after `sends`. */
struct pace pace_soon(const struct bk_natcheck *nc, uint8_t sends);
/* For questions that often get no answer: sends in even steps. */
struct pace pace_even(const struct bk_natcheck *nc, uint8_t sends);
struct pace pace_first(const struct bk_natcheck *nc);

/* message.c: what is sent and how answers are read. */
size_t message_build(const struct bk_natcheck *nc, const struct probe *p, uint8_t *buf, size_t cap);
enum bk_err message_read(struct probe *p, const struct stun_msg *m);

/* pcp.c, natpmp.c, upnp.c: `buf` has room for BK_NATCHECK_DATAGRAM_MAX; the length. */
size_t pcp_build(const struct bk_natcheck *nc, uint8_t *buf);
size_t natpmp_build(uint8_t *buf);
size_t upnp_build(uint8_t *buf, size_t cap);
struct bk_addr upnp_group(void);
/* Is it an answer of that protocol? *external may be told. */
bool pcp_read(const uint8_t *data, size_t len);
bool natpmp_read(const uint8_t *data, size_t len, struct bk_ip *external);
bool upnp_read(const uint8_t *data, size_t len);
/* portmap.c */
bool portmap_is(enum bk_nat_test test);
bool portmap_read(struct probe *p, const struct bk_datagram *in);

/* socket.c: the user's answers. */
void socket_answer(struct bk_natcheck *nc, uint32_t socket, enum bk_err err,
                   const struct bk_addr *local);
void socket_end(struct bk_natcheck *nc, uint32_t socket);

/* reach.c: UDP over IPv4 has not been answered yet, though it should have been. */
bool reach_seems_dead(const struct bk_natcheck *nc);
void reach_tell_translation(struct bk_natcheck *nc, enum family f, const struct bk_ip *seen);
/* prefix.c: what became of the host's IPv6 address and port. */
void prefix_tell(struct bk_natcheck *nc, const struct bk_addr *seen, uint16_t local_port);

/* The steps, one per file. */
void reach_step(struct bk_natcheck *nc);
void mapping_step(struct bk_natcheck *nc);
void filtering_step(struct bk_natcheck *nc);
void ports_step(struct bk_natcheck *nc);
void pooling_step(struct bk_natcheck *nc);
void inbound_first_step(struct bk_natcheck *nc);
void hairpin_step(struct bk_natcheck *nc);
void alg_step(struct bk_natcheck *nc);
void tcp_step(struct bk_natcheck *nc);
struct bk_time tcp_deadline(const struct bk_natcheck *nc);
void portmap_step(struct bk_natcheck *nc);
void double_nat_step(struct bk_natcheck *nc);
void lifetime_step(struct bk_natcheck *nc);

static inline uint32_t attr_bit(enum bk_nat_attr attr) {
    return UINT32_C(1) << attr;
}
static inline bool has_addr(const struct bk_addr *a) {
    return a->ip.family != BK_FAMILY_NONE;
}

#endif
