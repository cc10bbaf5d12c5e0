/* SPDX-License-Identifier: MIT
 * A running lab: the hosts of a topology as network namespaces, and one router process (the caller)
 * that moves packets between them through the NAT model. Single-threaded: everything happens inside
 * lab_run(). Linux only. */
#ifndef LAB_RUN_H
#define LAB_RUN_H

#include "topology/topology.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stdint.h>

struct lab;

enum lab_event_kind {
    LAB_UP,       /* all hosts are there; text: the control socket's path */
    LAB_STARTED,  /* a program began; host, program, text: its command */
    LAB_OUTPUT,   /* one line without its newline; host, program, text, is_stderr */
    LAB_EXITED,   /* a program ended; host, program, status (128 + signal when killed) */
    LAB_CAPTURED, /* a wait step found its line; program: the variable, text: the value */
    LAB_CHANGED,  /* text: "cut alice bob udp" */
    LAB_FAILED,   /* a step failed; text: one sentence; line: of the file */
    LAB_NOTE,     /* text: one sentence about something that went wrong and ends nothing */
    /* Only for those who follow the network (lab_config.follow, the control socket): */
    LAB_MAPPED,   /* host: the box; flow: inside, outside, and the remote it is for */
    LAB_UNMAPPED, /* the same mapping has ended */
    LAB_DROPPED,  /* host: where; reason, text; flow: source, -, destination */
    LAB_SKIPPED,  /* count: so many events of one kind (text) that only their number is told */
    LAB_EVENT_KINDS
};

struct lab_flow {
    const char *proto; /* "udp", "tcp", "icmp"; "" for others, whose ports are 0 */
    struct bk_addr from, outside, to;
};

struct lab_event {
    enum lab_event_kind kind;
    int64_t at_us;                     /* since the lab came up */
    const char *host, *program, *text; /* "" where they do not apply; valid during the call */
    const char *reason;                /* a word; DROPPED */
    const struct lab_flow *flow;       /* MAPPED, UNMAPPED, DROPPED */
    uint64_t count; /* DROPPED: packets since the last one of this flow; SKIPPED */
    int status;
    unsigned line;
    bool is_stderr;
    bool stopping; /* EXITED: because the lab is ending */
};

/* Why a packet ended before it arrived. */
enum lab_drop {
    LAB_DROP_NONE,
    LAB_DROP_LOST, /* as `loss` says */
    LAB_DROP_QUEUE_FULL,
    LAB_DROP_CUT,
    LAB_DROP_NAT,        /* a box's filter, policy or limits; it has its own reasons */
    LAB_DROP_NO_ROUTE,   /* nobody has the address */
    LAB_DROP_TOO_BIG,    /* for the next link, and not to be fragmented */
    LAB_DROP_HOPS,       /* TTL or hop limit */
    LAB_DROP_FRAGMENT,   /* a fragment that a box does not know what to do with */
    LAB_DROP_PROTOCOL,   /* a protocol that no box forwards */
    LAB_DROP_NO_SERVICE, /* sent to a box's own inside address */
    LAB_DROP_HOST_BUSY,  /* the host's kernel did not take it */
    LAB_DROP_MALFORMED,
    LAB_DROPS
};

/* What the router counted since it came up. */
struct lab_counters {
    uint64_t packets, bytes; /* read from the hosts; a superpacket of offloads is one packet */
    uint64_t delivered, delivered_bytes;
    uint64_t dropped[LAB_DROPS];
};

struct lab_config {
    const char *name;              /* for `bodkin lab list`; NULL: "lab" */
    bool stay;                     /* when the steps are done, stay up until a signal comes */
    bool no_offload;               /* packets of at most one MTU everywhere */
    bool follow;                   /* `event` gets those about the network, too */
    const char *capture_directory; /* for a capture NAME.pcapng of all links; NULL: none */
    const char *events_path;       /* a file for all events but OUTPUT, as JSON lines; NULL: none */
    void (*event)(void *ctx, const struct lab_event *event); /* may be NULL */
    void *ctx;
};

/* Takes nothing: `topology` is borrowed until lab_free(). Makes the namespaces, the TUN devices and
 * the control socket. On failure `why` (room for TOPOLOGY_ERROR_MAX) holds one sentence for the
 * user. BK_ERR_PERMISSION, BK_ERR_UNSUPPORTED: this machine cannot run labs (namespaces or
 * /dev/net/tun missing); other errors: the operating system failed. */
BK_MUST_USE enum bk_err lab_new(const struct topology *topology, const struct lab_config *config,
                                struct lab **out, char *why);
/* Runs the steps and moves packets until the last step is done, a step fails, or SIGINT or SIGTERM
 * comes. Returns the exit status for the shell: 0, the status of the command that failed, 124 for a
 * timeout, 128 + signal. All programs it started have ended when it returns. */
int lab_run(struct lab *lab);
const struct lab_counters *lab_counters(const struct lab *lab);
/* Ends what is left and removes the control socket. NULL is fine. */
void lab_free(struct lab *lab);

#endif
