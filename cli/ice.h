/* SPDX-License-Identifier: MIT
 * What the parts of `bodkin ice` share: one agent on one driver, and who signals for it.
 *
 * The order of things: the signaller (ice_exchange.c: a person or two files; ice_protocol.c: a
 * program) begins the agent, hands in what the other side said and gives away what the agent says;
 * ice_show.c tells the user; ice_pipe.c carries standard input and output once there is a path. The
 * end goes the other way round: ice_end() closes the agent, its CLOSED event stops the driver, and
 * only then cmd_ice() takes things apart. */
#ifndef CLI_ICE_H
#define CLI_ICE_H

#include "cli/command.h"
#include "cli/ice_pipe.h"
#include "cli/report.h"
#include "net/loop.h"

#include <bodkin/run.h>

enum { ICE_SIGNALS = 3, ICE_DESCRIPTION_MAX = 65536, ICE_SECRET_MAX = 256, ICE_URI_MAX = 320 };

struct ice_cli;

/* Carries descriptions and candidates to the other side and back. */
struct ice_signaller {
    /* Starts. What cannot be is told, and is the end (ice_end()). */
    void (*open)(struct ice_cli *i);
    /* The agent says something. */
    void (*event)(struct ice_cli *i, const struct bk_ice_event *e);
    /* Data for a program; NULL: standard output gets it. */
    void (*data)(struct ice_cli *i, const uint8_t *data, size_t len);
    void (*close)(struct ice_cli *i);
};

struct ice_cli {
    struct report report;
    struct bk_run_config run_config;
    struct bk_ice_config config; /* servers point into `uris`, `users`, `passwords` */
    char uris[BK_ICE_SERVERS_MAX][ICE_URI_MAX];
    char users[BK_ICE_SERVERS_MAX][ICE_SECRET_MAX], passwords[BK_ICE_SERVERS_MAX][ICE_SECRET_MAX];
    const char *offer_file, *answer_file; /* NULL: the terminal, or standard input */
    int in_fd, out_fd;                    /* the line protocol's */
    uint32_t restart_after_s, linger_s;   /* 0: never; UINT32_MAX: as long as the peer is there */
    bool trace;

    struct bk_run *run;
    struct net_loop *loop; /* the driver's */
    struct bk_ice *ice;    /* NULL before ice_begin() */
    const struct ice_signaller *signaller;
    void *signaller_state;
    struct net_signal *signals[ICE_SIGNALS];
    struct net_timer restart_timer, linger_timer, close_timer;
    struct ice_pipe pipe;
    bool has_pipe;     /* standard input and output carry data */
    const void *typed; /* what was read of standard input beyond the description */
    size_t typed_len;
    bool connected; /* at least once */
    bool ending;
    enum exit_code code;
};

/* The driver, before all else. false: it was told why. */
bool ice_open(struct ice_cli *i);
/* After the loop. What lives on it (signaller, signals) must be closed before. */
void ice_close(struct ice_cli *i);
/* Another server; the texts are copied. NULL, or what is wrong with it. */
const char *ice_add_server(struct ice_cli *i, const char *uri, const char *user,
                           const char *password);
/* Makes the agent from i->config. false: it was told why, and the end begins. */
bool ice_begin(struct ice_cli *i);
/* Lets it gather candidates. */
void ice_gather(struct ice_cli *i);
/* Hands in what the other side said: a whole description. */
enum bk_err ice_hear(struct ice_cli *i, const char *text, size_t len);
/* After calls on the agent from outside its events. */
void ice_poke(struct ice_cli *i);
/* Restarts ICE, RFC 8445 section 9. */
void ice_restart(struct ice_cli *i);
/* One datagram to the peer. */
enum bk_err ice_send(struct ice_cli *i, const void *data, size_t len);
/* Says goodbye; cmd_ice() returns `code`, the first one given. */
void ice_end(struct ice_cli *i, enum exit_code code);
/* The agent's description, NUL-terminated; valid until the next call. */
const char *ice_description(struct ice_cli *i, size_t *len);

extern const struct ice_signaller ice_exchange, ice_protocol;

#endif
