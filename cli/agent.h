/* SPDX-License-Identifier: MIT
 * What listen, connect and ping share: the loop, the node, signals, reports about the path, and the
 * sentence and exit status for every way to end. One process is one agent.
 *
 * Life: agent_open(), agent_run() until agent_finish(), agent_close(). */
#ifndef CLI_AGENT_H
#define CLI_AGENT_H

#include "cli/command.h"
#include "cli/proxy.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "net/loop.h"
#include "node/node.h"

#include <stdio.h>

struct agent;

enum { AGENT_SIGNALS = 3 };

/* The command's part. `agent->ctx` is the command's own. */
struct agent_events {
    void (*on_ready)(struct agent *a);                       /* home is up for the first time */
    void (*on_incoming)(struct agent *a, struct session *s); /* may be NULL */
    void (*on_secured)(struct agent *a, struct session *s);  /* may be NULL */
    void (*on_path)(struct agent *a, struct session *s);     /* may be NULL */
    void (*on_quic)(struct agent *a, struct session *s, const struct quic_event *e);
    /* The session is over and is released after this call. */
    void (*on_ended)(struct agent *a, struct session *s, const struct session_event *e);
    void (*on_progress)(struct agent *a); /* after each round of packets; may be NULL */
    /* SIGINT, SIGTERM or SIGHUP: finish with `code`. NULL: that is all there is to do. */
    void (*on_interrupt)(struct agent *a, enum exit_code code);
};

struct agent_options { /* the options of all three commands */
    const char *home, *proxy;
    bool json, relay_only;
    bool private_addresses, no_beacons, no_portmap; /* as in struct node_config */
};

struct agent {
    struct report report;
    struct settings_identity mine;
    struct home home;
    struct proxy_choice proxy;
    uint32_t keepalive_s; /* the longest silence towards the home; 0: the default */
    struct net_loop *loop;
    struct node *node;
    struct agent_events events;
    void *ctx;
    struct net_signal *signals[AGENT_SIGNALS];
    struct net_timer patience; /* the home server must answer by then */
    struct net_timer linger;   /* agent_finish(): goodbyes have this long */
    struct net_timer tick;     /* refreshes the status line */
    void (*on_tick)(struct agent *a);
    bool relay_only, private_addresses, no_beacons, no_portmap;
    bool ready, finishing, waits_for_login;
    enum exit_code code;
    char home_reason[200];
    enum bk_err home_err;
};

/* `home` NULL: from the options, the environment or the config file. EXIT_FINE, or the failure
 * (told already). */
enum exit_code agent_open(struct agent *a, const char *command, const struct agent_options *options,
                          const struct home *home, const struct agent_events *events, void *ctx);
/* Returns the exit status given to agent_finish(). */
enum exit_code agent_run(struct agent *a);
void agent_close(struct agent *a);

/* Ends agent_run(): sessions say goodbye with `quic_code`, for at most half a second. The first
 * call decides. */
void agent_finish(struct agent *a, enum exit_code code, uint64_t quic_code);
/* Measures times in reports from now on: the session starts. */
void agent_start_clock(struct agent *a);
/* What was tried to get through, a line a step, then the sentence: how the path was found, or why
 * it is relayed. */
void agent_explain(const struct session *s, FILE *out);
/* Shows the path on the status line, with `tail` (may be NULL) behind it. */
void agent_show_path(struct agent *a, const struct session *s, const char *tail);
/* Calls `on_tick` twice a second from now on. */
void agent_set_tick(struct agent *a, void (*on_tick)(struct agent *a));
/* Tells why a session ended in one sentence, unless it ended well; returns the exit status. */
enum exit_code agent_explain_end(struct agent *a, const struct session_event *e);

/* QUIC application codes of the program: with which word a side says goodbye. */
enum {
    QUIC_CODE_DONE = 0,
    QUIC_CODE_INTERRUPTED = 1,
    QUIC_CODE_FAILED = 2,       /* see the reason */
    QUIC_CODE_MODE = 3,         /* one side forwards, the other does not; see the reason */
    QUIC_CODE_READ_FAILED = 4,  /* its input could not be read to the end */
    QUIC_CODE_WRITE_FAILED = 5, /* its output takes no more */
};

#endif
