/* SPDX-License-Identifier: MIT
 * The main thread's own. Who does what:
 *
 *     server.c        starting and stopping, the order of things
 *     upgrade.c       another process takes over
 *     bind.c          which addresses and ports
 *     certificates.c  the certificate, and its renewal
 *     lockdown.c      what the process keeps of the system
 *     drain.c         emptying it
 *     ready.c         what is said when it is up
 *     trim.c          memory of clients that have left
 *     reload.c        other options and certificates while it runs */
#ifndef SERVER_SERVER_INT_H
#define SERVER_SERVER_INT_H

#include "net/tls.h"
#include "server/cert_watch.h"
#include "server/options_copy.h"
#include "server/server.h"
#include "server/upgrade.h"
#include "server/users_keeper.h"
#include "server/worker.h"

enum { SERVER_PATH_MAX = 4096, SERVER_SIGNALS = 5 };

/* The metacert is valid for 30 days; RFC-less, from derper. */
#define SERVER_RENEW_US (INT64_C(7) * 86400 * BK_US_PER_S)

/* What SIGUSR1 began, or SIGTERM. */
struct drain {
    struct net_timer look; /* its loop is NULL: not begun */
    uint64_t said;         /* how many allocations the last line of the log had; 0: none yet */
    unsigned looks;        /* since then */
    bool ends;             /* with the last allocation, whatever --drain-exit says, ... */
    struct bk_time until;  /* ... or by then */
};

/* Memory of who has left. */
struct server_trim {
    struct net_timer look;
    struct bk_time rest;     /* not before */
    uint64_t seen, returned; /* who had left at the last look, and when memory was given back */
};

struct server {
    const struct server_source *source;
    struct options_copy *held;
    const struct server_options *options; /* in `held` */
    struct cert_watch cert_watch;
    struct fleet fleet;
    struct worker *workers[SERVER_WORKERS_MAX];
    struct metrics *metrics[SERVER_WORKERS_MAX];
    struct bk_ip ips[SERVER_LISTEN_MAX];
    size_t ip_count;
    struct bk_ip stun_ips[WORKER_SOCKETS_MAX]; /* these, and of --stun-address what they lack */
    size_t stun_ip_count;
    char state_dir[SERVER_PATH_MAX], name[SERVER_TEXT_MAX];
    struct net_tls *tls;
    uint16_t https_port, stun_port, plain_port, turns_port; /* the last two, 0: off */
    struct net_loop *loop;
    struct net_timer renew;
    struct upgrade upgrade;
    struct net_signal *signals[SERVER_SIGNALS];
    bool stopping;
    struct drain drain;
    struct server_trim trim;
    struct users_keeper users;
    struct server_ranges proxies, watchers;
};

/* "what: why" into `reason` (room for SERVER_TEXT_MAX); gives `err`. */
enum bk_err server_say(char *reason, enum bk_err err, const char *what, const char *why);
/* NULL where nothing was set. */
const char *server_or_null(const struct server_text *t);

/* ---- server.c */

/* The rate of the present options. */
void server_set_throttle(struct server *s);
/* In good order, and once; the log says why. */
void server_end(struct server *s, const char *why);

/* ---- ready.c */

/* In the log what is served and how; on standard output the line for clients. */
void server_announce(const struct server *s);

/* ---- certificates.c */

/* Reads the certificate's files as `options` name them, or makes the self-signed one. */
BK_MUST_USE enum bk_err server_load_tls(const struct server *s, const struct server_options *o,
                                        struct net_tls **out, char *reason);
/* Takes the reference. */
void server_use_tls(struct server *s, struct net_tls *tls);
void server_on_renew(void *ctx, struct bk_time now);

/* ---- bind.c */

void server_choose_addresses(struct server *s);
BK_MUST_USE enum bk_err server_bind(struct server *s, char *reason);

/* ---- lockdown.c */

/* After privileges were given up, before there are threads. */
void server_sandbox(const struct server *s);

/* ---- drain.c */

/* No new allocations from now on; with --drain-exit the last one's end is the server's. */
void server_drain(struct server *s);
/* The same, and the end after --stop-grace. */
void server_drain_and_end(struct server *s);
void server_drain_end(struct server *s);

/* ---- trim.c */

/* From now on memory goes back to the system after many clients have left. */
void server_trim_start(struct server *s);
void server_trim_end(struct server *s);

/* ---- reload.c */

void server_reload(struct server *s);
/* Reads the certificate whenever its files have changed. */
void server_watch_certificate(struct server *s);
void server_unwatch_certificate(struct server *s);

#endif
