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
    NAT_EI, /* endpoint-independent: on nothing */
    NAT_AD, /* address-dependent */
    NAT_APD /* address- and port-dependent */
};

/* Which outside port a new mapping gets. RFC 4787 section 4.2.1. */
enum nat_port_choice {
    NAT_PORT_PRESERVE,   /* the inside port; if that is taken, a random one */
    NAT_PORT_SEQUENTIAL, /* the next free one after the last one given */
    NAT_PORT_RANDOM      /* any free one */
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
    NAT_UNSOLICITED_DROP,  /* silence */
    NAT_UNSOLICITED_REJECT /* ICMP port unreachable for UDP, RST for TCP */
};

/* What the box does with one IP version. */
enum nat_mode {
    NAT_MODE_TRANSLATE, /* NAT: needs an external address of that family */
    NAT_MODE_FIREWALL,  /* stateful filtering, addresses unchanged */
    NAT_MODE_ROUTE,     /* passes everything */
    NAT_MODE_BLOCK      /* passes nothing */
};

enum { NAT_EXTERNAL_MAX = 8 };

struct nat_config {
    enum nat_mode ipv4, ipv6;
    enum nat_dep mapping, filtering;
    enum nat_port_choice ports;
    uint16_t port_min, port_max; /* inclusive, for sequential and random choice; 1 or more */
    enum nat_hairpin hairpin;
    enum nat_unsolicited unsolicited;
    enum nat_refresh refresh;
    bool udp_blocked;             /* drop all UDP from inside, and so all of it */
    bool tcp_simultaneous_open;   /* let a SYN in after a SYN out; RFC 5382 REQ-2b */
    bool tcp_pickup;              /* a segment from inside without SYN may open a mapping, so that
                                     connections survive a reboot of the box, as on Linux */
    int64_t udp_first_us;         /* a session's life until it was answered */
    int64_t udp_replied_us;       /* and once it was */
    int64_t udp_replied_after_us; /* ... but only when the session is older than this */
    int64_t tcp_partial_us;       /* from the first SYN until the second */
    int64_t tcp_established_us;
    int64_t tcp_transitory_us;               /* after FIN or RST; RFC 5382 REQ-5 */
    int64_t icmp_us;                         /* RFC 5508 REQ-2: 60 s or more */
    uint32_t mappings_max;                   /* 1 to 65 536 x 16 */
    uint32_t sessions_max;                   /* at least mappings_max */
    uint32_t mappings_per_host_max;          /* 0: no limit */
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

/* Sets one field from text, for topology files and command lines: "mapping" "EIM|ADM|APDM",
 * "filtering" "EIF|ADF|APDF", "ports" "preserve|sequential|random", "port-range" "MIN-MAX",
 * "hairpin" "off|external|internal", "unsolicited" "drop|reject", "refresh" "out|in|both",
 * "udp" "on|blocked", "ipv4" and "ipv6" "translate|firewall|route|block", "udp-first",
 * "udp-replied", "tcp-established", "tcp-transitory" in seconds, "mappings" and "sessions" counts;
 * the table is in nat/option.c. Upper and lower case are equal. BK_ERR_NOT_FOUND: no such field;
 * BK_ERR_ARGUMENT: no such value. */
BK_MUST_USE enum bk_err nat_config_set(struct nat_config *config, const char *field,
                                       const char *value);
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
    NAT_DROPS
};

enum nat_answer {
    NAT_ANSWER_NONE,
    NAT_ANSWER_PORT_UNREACHABLE,
    NAT_ANSWER_TCP_RESET,
    NAT_ANSWER_ADMIN_PROHIBITED,
    NAT_ANSWER_TIME_EXCEEDED /* never from nat_packet(); for whoever counts hops */
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

/* Asserts every invariant between the tables; for tests and fuzzing, costs a walk over them all. */
void nat_check(const struct nat *nat);

const char *nat_dep_text(enum nat_dep dep);    /* "EI", "AD", "APD" */
const char *nat_drop_text(enum nat_drop drop); /* "filtered", ...: a word for logs and metrics */

#endif
