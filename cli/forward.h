/* SPDX-License-Identifier: MIT
 * Forwarded ports. The connector takes TCP connections (or datagrams) here and asks the listener to
 * open each there (call.h); the listener opens what its user has named, and nothing else. */
#ifndef CLI_FORWARD_H
#define CLI_FORWARD_H

#include "cli/agent.h"
#include "cli/bridge.h"
#include "cli/call.h"
#include "cli/options.h"
#include "cli/udp_flow.h"
#include "net/stream.h"
#include "net/udp.h"

enum { FORWARD_CALLS_MAX = 256, FORWARD_RULES_MAX = OPTION_LIST_MAX };

/* --- connector --- */

struct forwarder;

struct forward_rule {
    struct forwarder *owner;
    struct net_listener *listener; /* TCP */
    struct net_udp *udp;           /* UDP */
    struct bk_addr bind;
    struct call call;
};

/* One connection on its way through. */
struct forward_call {
    struct forwarder *owner;
    struct net_stream *waiting; /* TCP, until the stream can be opened */
    const struct forward_rule *rule;
    struct bridge bridge;
    bool used, opened, answered;
    int64_t stream;
};

struct forwarder {
    struct agent *agent;
    struct session *session;
    bool secured, hello_heard;
    bool was_secured; /* at some time: from then on a lost session is made again */
    unsigned losses;  /* since it was last secured */
    int64_t hello_stream;
    struct forward_rule rules[FORWARD_RULES_MAX];
    size_t rule_count;
    struct forward_call *calls; /* FORWARD_CALLS_MAX; NULL: not forwarding */
    struct udp_flows flows;
};

/* Opens the local ports named by `list` ("[addr:]port:host:port"). EXIT_FINE, EXIT_USAGE, or
 * EXIT_OTHER when a port cannot be had; told already. An empty list is fine. */
enum exit_code forwarder_init(struct forwarder *f, struct agent *a, const struct option_list *list,
                              bool udp);
void forwarder_fini(struct forwarder *f);
void forwarder_begin(struct forwarder *f, struct session *s);
void forwarder_secured(struct forwarder *f);
void forwarder_quic(struct forwarder *f, const struct quic_event *e);
void forwarder_progress(struct forwarder *f);
/* For agent_set_tick(): path and open connections on the status line. */
void forwarder_show(struct forwarder *f);
/* Returns the microseconds after which the session is to be made again, or 0: the program ends.
 * Connections that are open end now; new ones wait for the next session. */
BK_MUST_USE int64_t forwarder_ended(struct forwarder *f, const struct session_event *e);

/* --- listener --- */

struct forward_server;

struct served_call {
    struct forward_server *owner;
    struct session *session;
    struct bridge bridge;
    bool used, read, answered;
    int64_t stream;
    struct call call;
};

struct forward_server {
    struct agent *agent;
    const char *allowed[FORWARD_RULES_MAX];
    size_t allowed_count;
    struct served_call *calls;
    struct udp_flows flows;
};

/* EXIT_FINE, or EXIT_USAGE: a rule is not HOST:PORT; told already. */
enum exit_code forward_server_init(struct forward_server *f, struct agent *a,
                                   const struct option_list *allowed);
void forward_server_fini(struct forward_server *f);
void forward_server_begin(struct forward_server *f, struct session *s);
void forward_server_secured(struct forward_server *f, struct session *s);
void forward_server_quic(struct forward_server *f, struct session *s, const struct quic_event *e);
void forward_server_progress(struct forward_server *f);
void forward_server_ended(struct forward_server *f, struct session *s,
                          const struct session_event *e);

#endif
