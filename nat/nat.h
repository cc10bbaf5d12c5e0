/* SPDX-License-Identifier: MIT
 * A NAT box as a pure state machine: a packet's header and the time go in, a verdict comes out. It
 * has no sockets, no clock and no threads, so one model serves the simulator (sim/), the lab (lab/)
 * and the tests.
 *
 * The words are RFC 4787's. A *mapping* joins an inside address and port to an outside one; which
 * remote endpoints share a mapping is the mapping behaviour. A *session* is one remote endpoint of
 * a mapping; the filtering behaviour says which packets from outside may use a mapping, given its
 * sessions. Timers run on sessions; a mapping lives as long as its last session.
 *
 * The same object also plays a stateful firewall (NAT_MODE_FIREWALL: filtering and timers without
 * translation), which is what stands in front of IPv6 hosts. */
#ifndef NAT_NAT_H
#define NAT_NAT_H

#include "nat/header.h"
#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* On which part of the remote endpoint does a behaviour depend? RFC 4787 sections 4.1 and 5. */
enum nat_dep {
    NAT_EI,  /* endpoint-independent: on nothing */
    NAT_AD,  /* address-dependent */
    NAT_APD, /* address- and port-dependent */
    /* Mapping only, seen at cellular carriers (NetPiculet, Wang et al., SIGCOMM 2011): */
    NAT_DEP_CONNECTION, /* as NAT_APD, and a new TCP connection to the same remote gets a new one */
    NAT_DEP_TIME,  /* on the clock: remotes first sent to within `mapping_epoch_us` share one */
    NAT_DEP_HASH,  /* two boxes side by side: a hash of both endpoints chooses the outside
                      address, and with each of them the mapping is endpoint-independent */
    NAT_DEP_AS_UDP /* not for mapping and filtering themselves: as for UDP */
};

/* Which outside port a new mapping gets, of those in `port_space`. RFC 4787 section 4.2.1. */
enum nat_port_choice {
    NAT_PORT_PRESERVE,        /* the inside port; if that is taken, a random one */
    NAT_PORT_SEQUENTIAL,      /* the last one given plus `port_step`; if that is taken, the next */
    NAT_PORT_RANDOM,          /* any free one */
    NAT_PORT_PRESERVE_STRICT, /* the inside port; if that is taken, none: the packet is dropped */
    NAT_PORT_PRESERVE_NEXT,   /* the inside port; if that is taken, the next free one after it */
    NAT_PORT_HASH,            /* a hash of the inside endpoint: stable, even over a reboot */
    NAT_PORT_HASH_REMOTE,     /* a hash of both endpoints */
    NAT_PORT_TIME,            /* grows with the clock, `port_rate` a second */
    NAT_PORT_AS_UDP           /* tcp_ports and icmp_ports only */
};

/* Which outside ports an inside host may get. */
enum nat_port_space {
    NAT_SPACE_RANGE,  /* port_min to port_max */
    NAT_SPACE_BLOCKS, /* of that range, blocks of `block_size` that are its own: RFC 7422, 7753 */
    NAT_SPACE_PSID    /* the scattered ports of one MAP-E customer: RFC 7597 section 5.1 */
};

/* May mappings of several inside endpoints have one outside endpoint? */
enum nat_overload {
    NAT_OVERLOAD_OFF,   /* never: RFC 4787 REQ-3 */
    NAT_OVERLOAD_REMOTE /* while their remote endpoints differ, as on Linux; RFC 7857 section 4. An
                           inside endpoint that meets a clash goes on with the port it got then */
};

/* Which outside address a new mapping gets, if there are several. RFC 4787 section 4.1 REQ-2. */
enum nat_pooling {
    NAT_POOL_PAIRED,   /* one per inside host */
    NAT_POOL_ARBITRARY /* any, drawn for each mapping */
};

/* Which packets keep a session alive. RFC 4787 section 4.3. */
enum nat_refresh { NAT_REFRESH_OUT, NAT_REFRESH_IN, NAT_REFRESH_BOTH };

/* Packets between two inside hosts by way of the outside address. RFC 4787 section 6. */
enum nat_hairpin {
    NAT_HAIRPIN_OFF,      /* dropped */
    NAT_HAIRPIN_EXTERNAL, /* delivered; the source is the sender's outside mapping (REQ-9a) */
    NAT_HAIRPIN_INTERNAL  /* delivered; the source is the sender's inside address: breaks peers */
};

/* What happens to a packet from outside that nobody asked for. */
enum nat_unsolicited {
    NAT_UNSOLICITED_DROP,   /* silence */
    NAT_UNSOLICITED_REJECT, /* ICMP port unreachable for UDP, RST for TCP */
    NAT_UNSOLICITED_ICMP,   /* ICMP port unreachable for both; RFC 5382 REQ-4 */
    NAT_UNSOLICITED_RESET   /* RST for TCP, silence for UDP */
};

/* What a reset does to a TCP connection's state. */
enum nat_tcp_reset {
    NAT_RESET_SHORTENS, /* it lives for tcp_reset_us; RFC 7857 section 2.2 */
    NAT_RESET_DOUBTED,  /* the same, until another segment shows that the reset was forged:
                           RFC 6146 section 3.5.2.2, state TRANS */
    NAT_RESET_KILLS,    /* it ends at once, which anybody can forge */
    NAT_RESET_IGNORED   /* nothing; the reset is forwarded */
};

/* ICMP errors about a session's packets. */
enum nat_icmp_errors {
    NAT_ICMP_ERRORS_TRANSLATE, /* forwarded, and the session lives on; RFC 5508 section 4 */
    NAT_ICMP_ERRORS_DROP,
    NAT_ICMP_ERRORS_KILL /* forwarded, and the session ends: against RFC 4787 REQ-12 */
};

/* IP fragments, for whoever has bytes: nat/fragment.h. RFC 4787 section 11 REQ-14. */
enum nat_fragments {
    NAT_FRAGMENTS_DROP,
    NAT_FRAGMENTS_IN_ORDER, /* those that come after their first one */
    NAT_FRAGMENTS_ANY_ORDER /* the others wait for it, as far as there is room */
};

/* What an inside host hears when its packet is refused for want of room or by policy. */
enum nat_refusal {
    NAT_REFUSAL_SILENT,
    NAT_REFUSAL_ADMIN, /* ICMP administratively prohibited; RFC 5508 REQ-8 */
    NAT_REFUSAL_HOST   /* ICMP host unreachable; RFC 6888 section 4 */
};

/* When the mapping table is full. */
enum nat_full {
    NAT_FULL_DROP,         /* no new mapping: RFC 6888 section 4 forbids to delete others */
    NAT_FULL_EVICT_OLDEST, /* the one that would end first makes room */
    NAT_FULL_EVICT_RANDOM  /* any one does */
};

/* An application gateway that means well: it replaces the inside endpoint by the outside one (and
 * back) in UDP payloads. It is why STUN has XOR-MAPPED-ADDRESS: RFC 8489 section 14.2. */
enum nat_alg {
    NAT_ALG_OFF,
    NAT_ALG_ADDRESS,  /* the address as 4 or 16 bytes, wherever it is */
    NAT_ALG_ENDPOINT, /* the same, and the port if it stands in front of or behind the address */
    NAT_ALG_TEXT      /* the IPv4 address as text, as in SIP and SDP */
};

/* What the box does with one IP version. */
enum nat_mode {
    NAT_MODE_TRANSLATE, /* NAT: needs an external address of that family */
    NAT_MODE_FIREWALL,  /* stateful filtering, addresses unchanged */
    NAT_MODE_ROUTE,     /* passes everything */
    NAT_MODE_BLOCK      /* passes nothing */
};

enum {
    NAT_EXTERNAL_MAX = 8,
    NAT_ALLOW_MAX = 8,  /* ports of a list such as "53,443" */
    NAT_BLOCK_MIN = 16, /* ports a block has at least */
    NAT_FRAGMENTS_MAX = 4096
};

/* Which packets of a protocol may pass, by the remote port. */
struct nat_allow {
    bool limited; /* false: all */
    uint16_t ports[NAT_ALLOW_MAX];
    size_t count; /* limited, and 0: none */
};

struct nat_config {
    enum nat_mode ipv4, ipv6;
    enum nat_dep mapping, filtering;
    enum nat_port_choice ports;
    /* TCP may differ: RFC 7857 section 5. ICMP queries go by the rules of UDP. */
    enum nat_dep tcp_mapping, tcp_filtering;
    enum nat_port_choice tcp_ports;
    enum nat_dep icmp_filtering;     /* of echo replies; NAT_DEP_AS_UDP: as UDP */
    enum nat_port_choice icmp_ports; /* identifiers of echo requests; NAT_PORT_AS_UDP: as ports */
    int64_t mapping_epoch_us;        /* NAT_DEP_TIME */
    uint16_t port_min, port_max;     /* inclusive, for all but preserved ports; 1 or more */
    int32_t port_step;               /* NAT_PORT_SEQUENTIAL: -1024 to 1024, not 0 */
    uint32_t port_rate;              /* NAT_PORT_TIME: ports a second */
    bool port_parity;                /* even stays even, odd stays odd; RFC 4787 REQ-4 */
    bool port_class;                 /* 1-1023 stays below 1024; RFC 4787 REQ-3a */
    bool port_contiguity;            /* the port after another of the host's stays next to it */
    int64_t port_hold_us; /* how long an ended mapping's port is given to nobody but its last
                             owner; 0: not at all; RFC 6888 REQ-8: 120 s */
    enum nat_port_space port_space;
    uint32_t block_size;      /* NAT_SPACE_BLOCKS: ports in a block, NAT_BLOCK_MIN or more */
    uint32_t blocks_per_host; /* ... and a host's blocks at most; 0: no limit */
    uint32_t psid_offset;     /* NAT_SPACE_PSID: a, the bits in front of the PSID; 0 to 15 */
    uint32_t psid_len;        /* k: 2^k customers share an address; a + k is 16 at most */
    uint32_t psid;            /* below 2^k */
    enum nat_overload overload;
    bool inbound_first; /* a UDP packet from outside that no mapping wants is the box's own, and it
                           remembers the sender: for udp_first_us no inside host gets this outside
                           endpoint towards it. Linux, if its input chain accepts; wants
                           NAT_OVERLOAD_REMOTE */
    enum nat_pooling pooling;
    enum nat_hairpin hairpin;
    enum nat_unsolicited unsolicited;
    enum nat_unsolicited unsolicited_inside; /* to an outside endpoint, from inside, when no hairpin
                                                leads anywhere: Linux answers for itself */
    enum nat_refresh refresh;
    bool refresh_strangers; /* a remote that only the filter let in keeps the mapping alive,
                               too; RFC 7857 section 7 wants it off */
    bool udp_blocked;       /* drop all UDP from inside, and so all of it */
    struct nat_allow udp_allow, tcp_allow;
    enum nat_icmp_errors icmp_errors;
    enum nat_fragments fragments;
    uint32_t fragments_max; /* packets whose fragments are known at once; to NAT_FRAGMENTS_MAX */
    enum nat_alg alg;
    bool tcp_simultaneous_open;   /* let a SYN in after a SYN out; RFC 5382 REQ-2b */
    bool tcp_pickup;              /* a segment from inside without SYN may open a mapping, so that
                                     connections survive a reboot of the box, as on Linux */
    int64_t udp_first_us;         /* a session's life until it was answered */
    int64_t udp_replied_us;       /* and once it was */
    int64_t udp_replied_after_us; /* ... but only when the session is older than this */
    int64_t udp_well_known_us;    /* at most this for a remote port below 1024; 0: no difference;
                                     RFC 4787 REQ-5a */
    enum nat_tcp_reset tcp_reset;
    bool tcp_reset_in_window; /* a reset whose sequence number is far from the last one's is
                                 dropped: RFC 5961 section 3, from afar */
    bool tcp_larger_isn;      /* a SYN may reuse a closing connection's state only with a larger
                                 initial sequence number; RFC 1122 section 4.2.2.13 */
    int64_t tcp_syn_wait_us;  /* an unsolicited SYN is answered after this time, and never if a
                                 SYN went out to meet it; RFC 5382 REQ-4: 6 s; 0: at once */
    int64_t tcp_partial_us;   /* from the first SYN until the second */
    int64_t tcp_established_us;
    int64_t tcp_transitory_us;      /* after both FINs; RFC 5382 REQ-5 */
    int64_t tcp_closing_us;         /* after one FIN; 0: tcp_transitory_us */
    int64_t tcp_reset_us;           /* after a RST; 0: tcp_transitory_us */
    int64_t icmp_us;                /* RFC 5508 REQ-2: 60 s or more */
    uint32_t mappings_max;          /* 1 to 65 536 x 16 */
    uint32_t sessions_max;          /* at least mappings_max */
    uint32_t mappings_per_host_max; /* 0: no limit */
    uint32_t sessions_per_host_max; /* 0: no limit; RFC 6888 REQ-5 */
    uint32_t mappings_per_s;        /* new ones, in the long run; as many at once; 0: any */
    uint32_t mappings_per_s_host;   /* the same for each inside host */
    enum nat_full full;
    enum nat_refusal refusal;
    struct bk_ip external[NAT_EXTERNAL_MAX]; /* outside addresses */
    size_t external_count;
};

/* EIM, APDF, preserving, 30 s and 120 s: a Linux router that masquerades (the preset "home"). No
 * external address: the caller adds at least one for NAT_MODE_TRANSLATE. */
extern const struct nat_config nat_config_default;

/* Fills *out from a named preset: "home", "full-cone", "restricted", "port-restricted",
 * "symmetric", "symmetric-seq", "udp-blocked" and the others in nat/preset.c. External addresses
 * are left empty. BK_ERR_NOT_FOUND: no such preset. */
BK_MUST_USE enum bk_err nat_preset(const char *name, struct nat_config *out);
/* The index-th preset's name and, unless NULL, its one-line description. NULL past the last one. */
const char *nat_preset_name(size_t index, const char **summary);

/* The 27 types of NATCracker (doi 10.1109/ICCCN.2009.5235278): mapping {EI, AD, APD} x ports {PP
 * preserved, PC contiguous, RD random} x filtering {EI, AD, APD}, filtering running fastest.
 * nat_preset() knows them by name, such as "EI-PP-APD". */
enum { NAT_TYPES27 = 27 };
/* Fills *out; returns the type's name, or NULL (and nothing done) if `index` is 27 or more. */
const char *nat_type27(size_t index, struct nat_config *out);

struct bk_nat_traits;
/* What a faultless observer would say of a box so configured, about UDP over IPv4: the truth that a
 * classifier is measured against. Rates of foreign mappings are 0. With port blocks, port_min and
 * port_max are the whole range and port_count is one block, as which one is not known yet. */
void nat_traits_of(const struct nat_config *config, struct bk_nat_traits *out);

/* Sets one field from text, for topology files and command lines, such as "mapping" "EIM",
 * "port-range" "1024-65535", "udp-first" "30" (seconds; "0.5" is half of one), "udp" "53,443". The
 * fields and their words are the table in nat/option.c, and in docs/nat-model.md. Upper and lower
 * case are equal. BK_ERR_NOT_FOUND: no such field; BK_ERR_ARGUMENT: no such value. */
BK_MUST_USE enum bk_err nat_config_set(struct nat_config *config, const char *field,
                                       const char *value);
/* The index-th field's name and, in `values`, what it takes ("off, external, internal"), cut off at
 * `cap`; 300 bytes are enough. NULL past the last one. */
const char *nat_option(size_t index, char *values, size_t cap);
/* BK_ERR_ARGUMENT: a field is out of range; *field, unless NULL, is its name. */
BK_MUST_USE enum bk_err nat_config_check(const struct nat_config *config, const char **field);

/* Two sides of the box. */
enum nat_side { NAT_INSIDE, NAT_OUTSIDE };

enum nat_action {
    NAT_FORWARD, /* send `header` out of side `to` */
    NAT_HAIRPIN, /* the same, back to where it came from: `to` is NAT_INSIDE */
    NAT_DROP,    /* for `drop` */
    NAT_ANSWER   /* send `answer` back to the sender (packet_build_answer), and drop the packet */
};

/* Why a packet was not forwarded; also the index of a counter. */
enum nat_drop {
    NAT_DROP_NONE,
    NAT_DROP_UNSOLICITED, /* from outside, and there is no mapping */
    NAT_DROP_FILTERED,    /* there is a mapping, but the filter says no */
    NAT_DROP_BLOCKED,     /* by policy: UDP blocked, or the IP version is */
    NAT_DROP_HAIRPIN_OFF,
    NAT_DROP_FULL,       /* no mapping, session, or free port left, or the host has too many */
    NAT_DROP_TCP_STATE,  /* a TCP segment that fits no connection */
    NAT_DROP_ICMP,       /* an ICMP error about no session here, or a kind that is not forwarded */
    NAT_DROP_UNROUTABLE, /* multicast, unspecified, mixed families */
    NAT_DROP_RATE,       /* too many new mappings a second */
    NAT_DROPS
};

enum nat_answer {
    NAT_ANSWER_NONE,
    NAT_ANSWER_PORT_UNREACHABLE,
    NAT_ANSWER_TCP_RESET,
    NAT_ANSWER_ADMIN_PROHIBITED,
    NAT_ANSWER_TIME_EXCEEDED, /* never from nat_packet(); for whoever counts hops */
    NAT_ANSWER_HOST_UNREACHABLE
};

struct nat_verdict {
    enum nat_action action;
    enum nat_side to;         /* FORWARD, HAIRPIN */
    struct nat_header header; /* FORWARD, HAIRPIN: the packet's header as it leaves */
    enum nat_drop drop;       /* DROP, ANSWER: why */
    enum nat_answer answer;   /* ANSWER */
};

struct nat_counters {
    uint64_t forwarded[2]; /* by enum nat_side of arrival */
    uint64_t hairpinned;
    uint64_t answered;
    uint64_t dropped[NAT_DROPS]; /* counts the answered ones too */
    uint64_t mappings_made, sessions_made, port_clashes, tcp_resets_seen;
    uint64_t mappings_evicted, blocks_taken;
};

struct nat;

/* Allocates everything the box will ever use. Copies `config`, and `rng` (whose ctx must outlive
 * the box). BK_ERR_ARGUMENT: nat_config_check() says what; BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err nat_new(const struct nat_config *config, const struct bk_rng *rng,
                                const struct bk_alloc *alloc, struct nat **out);
void nat_free(struct nat *nat);

/* One packet arrives on side `from`. Always fills *out. A `now` before the last one counts as the
 * last one. Hop limits are the caller's business. */
void nat_packet(struct nat *nat, enum nat_side from, const struct nat_header *in,
                struct bk_time now, struct nat_verdict *out);

/* Ends what is due. Never needed for correctness: nat_packet() does it too. It only frees table
 * space in an idle box. */
void nat_advance(struct nat *nat, struct bk_time now);
/* Something may end at this time, not before. */
struct bk_time nat_deadline(const struct nat *nat);

/* An answer that waited for tcp_syn_wait_us: send it to the sender of `header`, a SYN that came in
 * on the outside (packet_build_syn() makes bytes of it, packet_build_answer() the answer).
 * nat_deadline() covers it, nat_advance() makes it ready. false: there is none. */
struct nat_late {
    struct nat_header header;
    enum nat_answer answer;
};
bool nat_next_late(struct nat *nat, struct nat_late *out);

/* Faults. Ends `count` mappings, the ones that would end first or any; returns how many it did. */
enum nat_evict { NAT_EVICT_OLDEST, NAT_EVICT_RANDOM };
uint32_t nat_evict(struct nat *nat, enum nat_evict which, uint32_t count);
/* While on, no new mapping is made (NAT_DROP_FULL), as if every port were taken. */
void nat_exhaust(struct nat *nat, bool on);
/* Changes mappings_per_s of a running box. 0: no limit. */
void nat_limit_rate(struct nat *nat, uint32_t mappings_per_s);

/* Power lost: all mappings and sessions are gone. */
void nat_reboot(struct nat *nat);
/* The provider gave a new outside address for external[index]: its mappings are gone.
 * BK_ERR_ARGUMENT: no such index, or another family. */
BK_MUST_USE enum bk_err nat_set_external(struct nat *nat, size_t index, const struct bk_ip *ip);
/* Is `ip` one of the box's outside addresses? */
bool nat_is_external(const struct nat *nat, const struct bk_ip *ip);
/* Switches the UDP policy of a running box. Existing mappings stay but carry nothing. */
void nat_block_udp(struct nat *nat, bool blocked);

const struct nat_config *nat_get_config(const struct nat *nat);
const struct nat_counters *nat_get_counters(const struct nat *nat);

/* One mapping, for diagnostics and tests. */
struct nat_mapping_view {
    enum nat_proto proto;
    struct bk_addr internal, external;
    struct bk_addr remote; /* what it depends on: zero, an address, or an address and a port */
    uint32_t sessions;
    struct bk_time expires;
};
/* Steps through all mappings: start with *cursor = 0. false: no more. */
bool nat_next_mapping(const struct nat *nat, uint32_t *cursor, struct nat_mapping_view *out);

/* For logs: `look` is called when a mapping was made and when it has ended (by time, eviction, a
 * reboot, a new outside address). It may not call back into the box. NULL: nobody looks. */
typedef void nat_look(void *ctx, const struct nat_mapping_view *mapping, bool made);
void nat_look_on(struct nat *nat, nat_look *look, void *ctx);

/* Asserts every invariant between the tables; for tests and fuzzing, costs a walk over them all. */
void nat_check(const struct nat *nat);

const char *nat_dep_text(enum nat_dep dep);    /* "EI", "AD", "APD" */
const char *nat_drop_text(enum nat_drop drop); /* "filtered", ...: a word for logs and metrics */

#endif
