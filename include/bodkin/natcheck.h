/* SPDX-License-Identifier: MIT
 * What does the NAT in front of this host do? A classifier after RFC 5780, and beyond it, that asks
 * one server with two addresses and two ports (any RFC 5780 server) and ends with a typed record:
 * per attribute a value, a confidence and the observations it rests on.
 *
 * It does no I/O. It numbers the sockets it wants; you open, close and feed them:
 *
 *     bk_natcheck_new(&config, &alloc, &rng, now, &check);
 *     while (!bk_natcheck_is_done(check)) {
 *         while (bk_natcheck_next_action(check, &action))
 *             ...open or close a UDP socket, dial or hang up a TCP connection;
 *                bk_natcheck_opened(check, action.socket, err, &local, now) answers OPEN and
 * DIAL... while (bk_natcheck_next_datagram(check, &socket, &out))
 *             ...send out.data to out.remote from that socket (with out.ttl, unless 0)...
 *         while (bk_natcheck_next_event(check, &event))  ...show event.attr, if you like...
 *         ...wait for input or for bk_natcheck_deadline(check)...
 *         (void)bk_natcheck_recv(check, socket, &in, now);
 *         bk_natcheck_advance(check, now);
 *     }
 *     const struct bk_nat_record *record = bk_natcheck_record(check);
 *
 * Every input call may ask for actions, so after each: actions, datagrams, events, deadline, in
 * this order. A run without `deep` sends at most 40 datagrams and takes about a second and a half.
 * Times are the caller's monotonic clock; a `now` earlier than the last one counts as the last one.
 * The conventions of bodkin/err.h hold. */
#ifndef BODKIN_NATCHECK_H
#define BODKIN_NATCHECK_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/nat_traits.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BK_NATCHECK_SOCKETS_MAX = 96,       /* indices are below; a quick run uses about 20 */
    BK_NATCHECK_LOCALS_MAX = 16,        /* own addresses */
    BK_NATCHECK_HOPS_MAX = 16,          /* routers on the way, if you know them */
    BK_NATCHECK_OBSERVATIONS_MAX = 256, /* a quick run makes about 40 */
    BK_NATCHECK_DATAGRAM_MAX = 256      /* the largest one it sends */
};

struct bk_natcheck; /* opaque */

struct bk_natcheck_config {
    /* An RFC 5780 server's primary address, by family; port 3478 is usual. Its other address is
     * learned from OTHER-ADDRESS. Family NONE: that family is not tested. */
    struct bk_addr server, server6;
    /* Optional: a STUN server of somebody else, preferably on another port. IPv4. It stands in for
     * the second address of a server that has only one, and shows a box that treats some ports
     * differently. */
    struct bk_addr second;
    /* Optional: the same STUN server on a port that guarded networks let out (443, 53). IPv4. Asked
     * when `server` does not answer. */
    struct bk_addr fallback;
    /* Our own addresses, of both families: an outside address among them is not translated. */
    struct bk_ip locals[BK_NATCHECK_LOCALS_MAX];
    size_t local_count;
    /* Optional: the default router, asked whether it offers PCP, NAT-PMP or UPnP. IPv4. */
    struct bk_ip gateway;
    /* Optional facts from elsewhere, for recognising two NATs behind each other: the routers on the
     * way to the server, nearest first (family NONE: did not tell), and the outside address that a
     * port mapping protocol gave. */
    struct bk_ip hops[BK_NATCHECK_HOPS_MAX];
    size_t hop_count;
    struct bk_ip portmap_external;
    bool hide_locals; /* never send `locals`, which tells whether addresses in packets are rewritten
                         on the way out; default false */
    bool tcp;         /* test the TCP mapping, too: needs DIAL from a given port; default true */
    bool deep; /* measure the lifetimes, too: takes minutes, hundreds of datagrams; default false */
    int64_t rto_us;       /* first retransmission while the RTT is not known; 20 ms to 3 s; 250 ms
                             (of a transaction in parallel with others: RFC 8489 section 6.2.1) */
    uint16_t packets_max; /* datagrams without `deep`; 10 to 200; 40 */
    uint16_t deep_packets_max; /* and for the lifetimes; 10 to 2000; 600 */
    int64_t lifetime_max_us; /* longer lifetimes are told as "at least this"; 60 s to 1 h; 600 s */
};

BK_API extern const struct bk_natcheck_config bk_natcheck_config_default;
/* NULL: fine. Otherwise the name of the first field outside its range. Static text. */
BK_API const char *bk_natcheck_config_check(const struct bk_natcheck_config *config);

/* ---- the result ------------------------------------------------------------------------------ */

/* One thing to know about a NAT. The comment says what `value` of its finding is. */
enum bk_nat_attr {
    BK_NAT_UDP,             /* enum bk_nat_udp */
    BK_NAT_TRANSLATED,      /* enum bk_maybe */
    BK_NAT_MAPPING,         /* enum bk_nat_dep */
    BK_NAT_FILTERING,       /* enum bk_nat_dep */
    BK_NAT_PORTS,           /* enum bk_nat_ports; step, block and rates are in the traits */
    BK_NAT_PARITY,          /* enum bk_maybe: even stays even, RFC 4787 section 4.2.2 */
    BK_NAT_POOLING,         /* enum bk_maybe: YES is paired, RFC 4787 REQ-2 */
    BK_NAT_HAIRPIN,         /* enum bk_nat_hairpin */
    BK_NAT_UNSOLICITED,     /* enum bk_nat_unsolicited */
    BK_NAT_INBOUND_FIRST,   /* enum bk_maybe: YES is sensitive, see bk_nat_traits.inbound_first */
    BK_NAT_ALG,             /* enum bk_maybe: YES: rewrites addresses in payloads */
    BK_NAT_PORT_SPECIFIC,   /* enum bk_maybe: YES: STUN's port is mapped in another way than others,
                               so nothing seen there holds elsewhere */
    BK_NAT_TCP_MAPPING,     /* enum bk_nat_dep */
    BK_NAT_DOUBLE,          /* enum bk_nat_double */
    BK_NAT_PCP,             /* enum bk_maybe: the router answers; RFC 6887 */
    BK_NAT_PMP,             /* enum bk_maybe; RFC 6886 */
    BK_NAT_UPNP,            /* enum bk_maybe */
    BK_NAT_IPV6,            /* enum bk_maybe: the server answers over IPv6 */
    BK_NAT_IPV6_TRANSLATED, /* enum bk_maybe */
    BK_NAT_IPV6_PREFIX,    /* enum bk_maybe: YES: of addresses only the prefix is translated, one to
                              one, and ports not at all: NPTv6, RFC 6296 */
    BK_NAT_IPV6_MAPPING,   /* enum bk_nat_dep */
    BK_NAT_IPV6_FILTERING, /* enum bk_nat_dep */
    BK_NAT_LIFE_FIRST,     /* deep: microseconds a mapping lives that nobody answered */
    BK_NAT_LIFE_REPLIED,   /* deep: microseconds an answered mapping lives */
    BK_NAT_REFRESH_OUT,    /* deep, enum bk_maybe: packets from inside prolong it, REQ-6 */
    BK_NAT_REFRESH_IN,     /* deep, enum bk_maybe: packets from outside do, REQ-6a */
    BK_NAT_ATTRS
};

enum bk_nat_udp {
    BK_NAT_UDP_UNKNOWN,
    BK_NAT_UDP_OPEN,
    BK_NAT_UDP_SOME_PORTS, /* one port of the server answers, another one does not */
    BK_NAT_UDP_BLOCKED
};

/* Is there more than one NAT on the way? */
enum bk_nat_double {
    BK_NAT_DOUBLE_UNKNOWN,
    BK_NAT_DOUBLE_NO_SIGN, /* nothing points to it; proves little */
    BK_NAT_DOUBLE_YES,     /* two or more */
    BK_NAT_DOUBLE_CARRIER  /* and the outer one is a carrier's: shared address space, RFC 6598 */
};

/* How far a finding is. */
enum bk_nat_status {
    BK_NAT_NOT_ASKED, /* the configuration leaves it out */
    BK_NAT_PENDING,
    BK_NAT_KNOWN,  /* `value` and `permille` say it */
    BK_NAT_UNCLEAR /* tested, or not testable here: `reason` says why */
};

enum bk_nat_reason {
    BK_NAT_REASON_NONE,
    BK_NAT_REASON_UDP_BLOCKED,   /* nothing about UDP can be seen */
    BK_NAT_REASON_NO_ANSWER,     /* the server, or one of its addresses, did not answer */
    BK_NAT_REASON_ONE_ADDRESS,   /* cannot tell address-dependent behaviour with one address */
    BK_NAT_REASON_NO_SUPPORT,    /* the server does not do RFC 5780's CHANGE-REQUEST or
                                    RESPONSE-PORT */
    BK_NAT_REASON_HIDDEN,        /* another behaviour of the box hides this one */
    BK_NAT_REASON_TOO_FEW,       /* too few observations to be sure */
    BK_NAT_REASON_BUDGET,        /* packets_max was reached */
    BK_NAT_REASON_NO_SOCKET,     /* a socket could not be opened */
    BK_NAT_REASON_NO_ADDRESS,    /* the host has no address of that family */
    BK_NAT_REASON_STOPPED,       /* bk_natcheck_stop() came first */
    BK_NAT_REASON_NOT_APPLICABLE /* the question makes no sense here: no NAT, no ports ... */
};

struct bk_nat_finding {
    enum bk_nat_status status;
    enum bk_nat_reason reason; /* UNCLEAR */
    int64_t value;             /* KNOWN: as its enum bk_nat_attr says. A best guess, or 0, else */
    uint16_t permille;         /* KNOWN: 0 to 1000: how sure, the server being honest */
    bool at_least;             /* lifetimes: it is `value` or more */
};

/* The kind of a test, as evidence. */
enum bk_nat_test {
    BK_NAT_TEST_BINDING,     /* a Binding request; answered from where it was sent */
    BK_NAT_TEST_CHANGE_BOTH, /* RFC 5780 section 4.4 test II: answer from the other address, port */
    BK_NAT_TEST_CHANGE_PORT, /* test III: answer from the other port */
    BK_NAT_TEST_HAIRPIN,     /* to our own outside address, RFC 5780 section 4.5 */
    BK_NAT_TEST_TCP,         /* a Binding request over TCP */
    BK_NAT_TEST_LIFE,        /* RFC 5780 section 4.6: an answer sent to an idle mapping */
    BK_NAT_TEST_REDIRECT,    /* a request whose answer goes to another of our ports */
    BK_NAT_TEST_PCP,
    BK_NAT_TEST_PMP,
    BK_NAT_TEST_UPNP,
    BK_NAT_TESTS
};

/* One question and what came of it. */
struct bk_nat_observation {
    enum bk_nat_test test;
    uint32_t attrs;        /* a set: bit 1 << BK_NAT_MAPPING: a witness for that attribute */
    struct bk_addr local;  /* asked from; the wildcard address is usual */
    struct bk_addr remote; /* asked */
    struct bk_addr from;   /* answered from; family NONE: no answer */
    struct bk_addr seen; /* our address as the server sees it, or as the router tells; family NONE:
                            was not told */
    uint8_t sends;       /* 1: no retransmission */
    int64_t sent_us;     /* first send, from the start of the run */
    int64_t answered_us; /* answer, from the start of the run; -1: none */
    int64_t idle_us;     /* LIFE: how long the mapping had been idle */
};

struct bk_nat_record {
    struct bk_nat_traits traits;  /* IPv4; what is not known is 0 */
    struct bk_nat_traits traits6; /* IPv6: translated, mapping, filtering, external */
    struct bk_nat_finding findings[BK_NAT_ATTRS];
    struct bk_nat_observation observations[BK_NATCHECK_OBSERVATIONS_MAX];
    size_t observation_count;
    struct bk_ip externals[8]; /* all outside IPv4 addresses seen */
    size_t external_count;
    struct bk_ip
        portmap_external;       /* as the router told over PCP or NAT-PMP; family NONE: did not */
    struct bk_addr other;       /* the server's OTHER-ADDRESS; family NONE: it has none */
    int64_t rtt_us;             /* to the server, the least seen; 0: no answer */
    int64_t life_error_us;      /* LIFE_REPLIED: true value is within value +- this */
    uint32_t packets_sent;      /* datagrams; not those of `deep` */
    uint32_t deep_packets_sent; /* those of `deep` */
    uint32_t tcp_dials;
    int64_t took_us; /* until everything but the lifetimes was known */
    int64_t deep_took_us;
};

/* Which type a finding's `value` has, by the comments of enum bk_nat_attr. */
enum bk_nat_kind {
    BK_NAT_KIND_MAYBE, /* enum bk_maybe */
    BK_NAT_KIND_UDP,   /* enum bk_nat_udp */
    BK_NAT_KIND_DEP,   /* enum bk_nat_dep, and so on */
    BK_NAT_KIND_PORTS,
    BK_NAT_KIND_HAIRPIN,
    BK_NAT_KIND_UNSOLICITED,
    BK_NAT_KIND_DOUBLE,
    BK_NAT_KIND_TIME /* microseconds */
};
/* `attr` is below BK_NAT_ATTRS. */
BK_API enum bk_nat_kind bk_nat_attr_kind(enum bk_nat_attr attr);

/* Static text, never NULL. attr: "mapping", "ipv6-filtering" ...: a word for JSON and command
 * lines; reason: half a sentence for people; value: a finding's value in words, "" when there are
 * none (lifetimes). */
BK_API const char *bk_nat_attr_name(enum bk_nat_attr attr);
BK_API const char *bk_nat_test_name(enum bk_nat_test test);
BK_API const char *bk_nat_reason_text(enum bk_nat_reason reason);
BK_API const char *bk_nat_value_text(enum bk_nat_attr attr, int64_t value);

/* ---- running --------------------------------------------------------------------------------- */

enum bk_natcheck_action_kind {
    BK_NATCHECK_OPEN,   /* a UDP socket bound to `local`; port 0: any free one */
    BK_NATCHECK_CLOSE,  /* it is not needed any more; its index may be used again */
    BK_NATCHECK_DIAL,   /* a TCP connection from `local` to `remote`. Several may share a local
                           port: SO_REUSEADDR and SO_REUSEPORT before bind */
    BK_NATCHECK_HANG_UP /* end that connection, or the attempt */
};

struct bk_natcheck_action {
    enum bk_natcheck_action_kind kind;
    uint32_t socket;       /* its index, below BK_NATCHECK_SOCKETS_MAX */
    struct bk_addr local;  /* OPEN, DIAL: the wildcard address of the family to use */
    struct bk_addr remote; /* DIAL */
};

enum bk_natcheck_event_kind {
    BK_NATCHECK_FOUND, /* finding `attr` has left PENDING, or became better */
    BK_NATCHECK_DONE   /* the last event: nothing more is sent */
};

struct bk_natcheck_event {
    enum bk_natcheck_event_kind kind;
    enum bk_nat_attr attr; /* FOUND */
};

/* *Keeps* copies of the three structs, and uses what their `ctx` point to until bk_natcheck_free().
 * BK_ERR_ARGUMENT: bk_natcheck_config_check() names the field. BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_natcheck_new(const struct bk_natcheck_config *config,
                                               const struct bk_alloc *alloc,
                                               const struct bk_rng *rng, struct bk_time now,
                                               struct bk_natcheck **out);
/* NULL is fine. Sockets and connections still open are the caller's to close. */
BK_API void bk_natcheck_free(struct bk_natcheck *check);

/* What to do with sockets, in order. false: nothing. OPEN must be answered, or the run never ends;
 * DIAL should be; CLOSE and HANG_UP need no answer. */
BK_API bool bk_natcheck_next_action(struct bk_natcheck *check, struct bk_natcheck_action *out);
/* The answer to OPEN (at once or later) and DIAL (when connected, or when that failed). BK_OK:
 * `local` is the bound address (its IP may be the wildcard). Otherwise `local` may be NULL; a port
 * that was asked for and is taken (BK_ERR_EXISTS or any other error) is asked for again as "any".
 * Answers nobody waits for are ignored. */
BK_API void bk_natcheck_opened(struct bk_natcheck *check, uint32_t socket, enum bk_err err,
                               const struct bk_addr *local, struct bk_time now);
/* A TCP connection was closed or reset by the other side. */
BK_API void bk_natcheck_closed(struct bk_natcheck *check, uint32_t socket, struct bk_time now);

/* A datagram came in on a UDP socket, or bytes on a TCP connection (in->data in pieces of any
 * size; in->remote does not matter). BK_OK: used. BK_ERR_NOT_OURS: no question of this run: drop
 * it. BK_ERR_MALFORMED: an answer that breaks its RFC: drop it. */
BK_API BK_MUST_USE enum bk_err bk_natcheck_recv(struct bk_natcheck *check, uint32_t socket,
                                                const struct bk_datagram *in, struct bk_time now);
/* Runs what is due. */
BK_API void bk_natcheck_advance(struct bk_natcheck *check, struct bk_time now);
/* Call bk_natcheck_advance() by then. BK_NEVER: nothing is planned. */
BK_API struct bk_time bk_natcheck_deadline(const struct bk_natcheck *check);
/* false: nothing to send. *socket may be a TCP connection: write out->data to it. *out is valid
 * until the next call on this object. */
BK_API bool bk_natcheck_next_datagram(struct bk_natcheck *check, uint32_t *socket,
                                      struct bk_datagram *out);
/* false: nothing to tell. At most one event per attribute waits: none is ever lost. */
BK_API bool bk_natcheck_next_event(struct bk_natcheck *check, struct bk_natcheck_event *out);

/* Stop early: what is PENDING becomes UNCLEAR, the DONE event follows. */
BK_API void bk_natcheck_stop(struct bk_natcheck *check, struct bk_time now);
BK_API bool bk_natcheck_is_done(const struct bk_natcheck *check);
/* As far as it is known; complete once done. Valid until bk_natcheck_free(). */
BK_API const struct bk_nat_record *bk_natcheck_record(const struct bk_natcheck *check);

#ifdef __cplusplus
}
#endif
#endif
