/* SPDX-License-Identifier: MIT
 * Starting and stopping. The order matters: read or make the keys, do what takes long, bind, give
 * up privileges, start the threads, say that we are ready; then this thread only waits for signals.
 */
#define _POSIX_C_SOURCE 200809L /* NOLINT: sysconf, fflush's friends */
#include "server/server_int.h"

#include "base/text.h"
#include "base/wipe.h"
#include "box/box.h"
#include "net/alloc.h"
#include "server/home_line.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/store.h"
#include "server/turn_ledger.h"
#include "server/turn_start.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    POOL_TOTAL = 128 << 20, /* bytes of relayed packets waiting, in all */
    POOL_LEAST = 16 << 20
};

enum bk_err server_say(char *reason, enum bk_err err, const char *what, const char *why) {
    struct text t = text_in(reason, SERVER_TEXT_MAX);
    text_str(&t, what);
    text_str(&t, ": ");
    text_str(&t, why);
    return err;
}

/* --- workers
 * ------------------------------------------------------------------------------------------ */

/* Clients are dealt out to as many as there were: their sockets and ports are. */
static size_t worker_count(const struct server_options *o, const struct upgrade_hello *before) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (before != NULL && o->workers > 0 && o->workers != before->workers)
        log_event(LOG_WARN, "restart_needed", "option", "workers");
    if (before != NULL)
        return before->workers;
    if (o->workers > 0)
        return (size_t)o->workers;
    return cores < 1 ? 1 : cores > SERVER_WORKERS_MAX ? SERVER_WORKERS_MAX : (size_t)cores;
}

/* Rooms for networks; the loudest stay. */
enum { THROTTLE_NETWORKS = 65536 };

void server_set_throttle(struct server *s) {
    uint32_t per_s = (uint32_t)s->options->turn.throttle;
    throttle_set_rate(&s->fleet.throttle, per_s, 2 * per_s);
}

static enum bk_err make_throttle(struct server *s) {
    struct bk_rng rng = box_rng();
    enum bk_err err = throttle_init(&s->fleet.throttle, THROTTLE_NETWORKS, 0, 0, &rng, net_alloc());
    if (err != BK_OK)
        return err;
    throttle_by_network(&s->fleet.throttle);
    server_set_throttle(s);
    for (size_t i = 0; i < s->fleet.count; i++)
        s->workers[i]->stun.throttle = &s->fleet.throttle;
    return BK_OK;
}

static enum bk_err make_workers(struct server *s, const uint8_t *secret, char *reason) {
    struct relay_hub_config hub = relay_hub_config_default;
    struct bk_rng rng = box_rng();
    uint32_t connections = limits_descriptors((uint32_t)s->options->connections_max,
                                              server_turn_relays(s->options, s->ips, s->ip_count));
    size_t count = worker_count(s->options, takeover_hello(s->fleet.takeover));
    enum bk_err err =
        limits_init(&s->fleet.limits, connections, (uint32_t)s->options->per_address_max, &rng);
    memcpy(hub.secret, secret, sizeof hub.secret);
    hub.conns_max = connections; /* the kernel may hand all of them to one worker */
    hub.remote_keys_max = count > 1 ? connections : 0;
    hub.announce = count > 1;
    hub.pool_bytes = POOL_TOTAL / count < POOL_LEAST ? POOL_LEAST : POOL_TOTAL / count;
    s->fleet.workers = s->workers;
    s->fleet.metrics = s->metrics;
    s->fleet.count = count;
    s->watchers = s->options->metrics_from;
    s->fleet.watchers.allow = s->watchers.list;
    s->fleet.watchers.allow_count = s->watchers.count;
    s->proxies = s->options->turn.proxy_from; /* options are replaced, this list is not */
    s->fleet.proxies.allow = s->proxies.list;
    s->fleet.proxies.allow_count = s->proxies.count;
    s->fleet.plane = server_turn_plane(s->options);
    for (size_t i = 0; i < count && err == BK_OK; i++) {
        err = worker_new(&s->fleet, (uint32_t)i, &hub, &s->workers[i]);
        if (err == BK_OK)
            s->metrics[i] = &s->workers[i]->metrics;
    }
    if (err == BK_OK)
        err = make_throttle(s);
    wipe(&hub, sizeof hub);
    return err == BK_OK ? BK_OK
                        : server_say(reason, err, "cannot start the workers", bk_err_text(err));
}

/* --- the run
 * ---------------------------------------------------------------------------------------------- */

void server_end(struct server *s, const char *why) {
    if (s->stopping)
        return;
    s->stopping = true;
    log_event(LOG_INFO, "stopping", "signal", why);
    net_loop_stop(s->loop);
}

/* The first SIGTERM, where there is a grace. */
static bool may_wait(const struct server *s) {
    return s->options->stop_grace_s > 0 && !s->drain.ends && !upgrade_has_left(s) &&
           s->users.book != NULL;
}

static void on_signal(void *ctx, int signum) {
    struct server *s = ctx;
    if (signum == SIGHUP) {
        server_reload(s);
        return;
    }
    if (signum == SIGUSR1)
        server_drain(s);
    else if (signum == SIGUSR2)
        upgrade_begin(s);
    else if (signum == SIGTERM && may_wait(s))
        server_drain_and_end(s);
    else
        server_end(s, signum == SIGINT ? "SIGINT" : "SIGTERM");
}

static enum bk_err watch_signals(struct server *s) {
    static const int signums[SERVER_SIGNALS] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < SERVER_SIGNALS; i++) {
        enum bk_err err = net_signal_new(s->loop, signums[i], on_signal, s, &s->signals[i]);
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

static enum bk_err read_keys(struct server *s, uint8_t secret[STORE_KEY_LEN], char *reason) {
    char why[NET_REASON_MAX] = "";
    enum bk_err err = BK_OK;
    if (s->options->state_dir.text[0] != '\0')
        memcpy(s->state_dir, s->options->state_dir.text, sizeof s->options->state_dir.text);
    else
        err = store_default_dir(s->state_dir, sizeof s->state_dir);
    if (err != BK_OK)
        return server_say(reason, err, "no folder for the server's keys", "use --state DIR");
    err = store_relay_key(s->state_dir, secret, why);
    if (err == BK_OK)
        err = box_public(secret, s->fleet.relay_key);
    if (err != BK_OK)
        return server_say(reason, err, "the relay's key", why[0] == '\0' ? bk_err_text(err) : why);
    if (s->options->name.text[0] != '\0')
        memcpy(s->name, s->options->name.text, sizeof s->name);
    else
        home_line_host(s->ips, s->ip_count, s->name, sizeof s->name);
    return server_load_tls(s, s->options, &s->tls, reason);
}

static enum bk_err lock_down(const struct server *s, char *reason) {
    const char *const readable[2] = {server_or_null(&s->options->cert),
                                     server_or_null(&s->options->key)};
    enum privileges_outcome outcome;
    const char *why;
    enum bk_err err = privileges_drop(server_or_null(&s->options->user), readable, &outcome, &why);
    if (err != BK_OK)
        return server_say(reason, err,
                          err == BK_ERR_NOT_FOUND ? "--user: there is no user of that name"
                                                  : "--user: not permitted to become that user",
                          s->options->user.text);
    if (outcome == PRIVILEGES_KEPT)
        log_event(LOG_WARN, "still_root", "reason", why);
    server_sandbox(s);
    return BK_OK;
}

/* All signals go to this thread, whose loop watches them. */
static enum bk_err start_threads(struct server *s) {
    sigset_t all, before;
    enum bk_err err = BK_OK;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (size_t i = 0; i < s->fleet.count && err == BK_OK; i++)
        err = worker_start(s->workers[i]);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static enum bk_err start_turn(struct server *s, char *reason) {
    struct turn_users users[SERVER_WORKERS_MAX];
    if (!turn_options_on(&s->options->turn))
        return BK_OK;
    enum bk_err err =
        users_keeper_start(&s->users, s->loop, &s->options->turn, s->fleet.count, reason);
    if (err != BK_OK)
        return err;
    for (size_t i = 0; i < s->fleet.count && err == BK_OK; i++) {
        users[i] = users_keeper_source(&s->users, i);
        err = users_keeper_hook(&s->users, i, s->workers[i]->loop, reason);
    }
    if (err == BK_OK)
        err = server_turn_start(&s->fleet, s->options, s->ips, s->ip_count, users, reason);
    for (size_t i = 0; i < s->fleet.count && err == BK_OK; i++)
        if (s->users.seats[i].hook != NULL)
            users_hook_on_answer(s->users.seats[i].hook, server_turn_again, s->workers[i]->turn);
    return err;
}

static enum bk_err run_workers(struct server *s, char *reason) {
    struct takeover *before = s->fleet.takeover;
    enum bk_err err = before == NULL ? BK_OK : takeover_take(before, &s->fleet, reason);
    if (err != BK_OK)
        return err;
    err = start_threads(s);
    if (err != BK_OK)
        return server_say(reason, err, "cannot start", bk_err_text(err));
    return before == NULL ? BK_OK : takeover_started(before, &s->fleet, s->loop, reason);
}

static enum bk_err start(struct server *s, char *reason) {
    uint8_t secret[STORE_KEY_LEN];
    server_choose_addresses(s);
    enum bk_err err = read_keys(s, secret, reason);
    if (err == BK_OK)
        err = make_workers(s, secret, reason);
    wipe(secret, sizeof secret);
    if (err == BK_OK)
        server_turn_prepare(&s->fleet, s->options);
    if (err == BK_OK)
        err = server_bind(s, reason);
    if (err == BK_OK && s->fleet.takeover != NULL)
        err = takeover_let_go(s->fleet.takeover, reason);
    if (err == BK_OK)
        err = start_turn(s, reason);
    if (err == BK_OK)
        err = lock_down(s, reason);
    if (err != BK_OK)
        return err;
    err = watch_signals(s);
    if (err != BK_OK)
        return server_say(reason, err, "cannot start", bk_err_text(err));
    return run_workers(s, reason);
}

static void stop(struct server *s) {
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_stop(s->workers[i]);
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_join(s->workers[i]);
    takeover_free(s->fleet.takeover);
    upgrade_end(s);
    users_keeper_unhook(&s->users);
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_free(s->workers[i]);
    users_keeper_stop(&s->users);
    server_turn_stop(&s->fleet);
    server_ledger_free(s->fleet.ledger);
    limits_fini(&s->fleet.limits);
    throttle_fini(&s->fleet.throttle);
    stun_discovery_free(s->fleet.discovery);
    for (int i = 0; i < SERVER_SIGNALS; i++)
        net_signal_free(s->signals[i]);
    net_timer_set(&s->renew, BK_NEVER);
    server_drain_end(s);
    server_trim_end(s);
    server_unwatch_certificate(s);
    net_tls_unref(s->tls);
    wipe(&s->fleet.secrets, sizeof s->fleet.secrets);
    log_event(LOG_INFO, "stopped", "clients", "told to come back");
}

static enum bk_err read_options(struct server *s, const struct server_source *source,
                                char *reason) {
    s->source = source;
    s->held = options_copy_new();
    if (s->held == NULL)
        return server_say(reason, BK_ERR_NO_MEMORY, "cannot start", "out of memory");
    s->options = &s->held->options;
    enum bk_err err = source->read(source->ctx, &s->held->options, reason);
    if (err == BK_OK)
        log_setup(s->options->log_level, s->options->log_json);
    return err;
}

enum bk_err server_run(const struct server_source *source, char *reason) {
    static struct server server; /* one in a process: signals and ports are too */
    struct server *s = &server;
    enum bk_err err = read_options(s, source, reason);
    if (err != BK_OK)
        return err;
    net_alloc_return_large();
    upgrade_prepare(s);
    err = takeover_begin(&s->fleet.takeover, reason);
    if (err != BK_OK)
        return err;
    err = net_loop_new(net_alloc(), &s->loop);
    if (err != BK_OK)
        return server_say(reason, err, "cannot start", bk_err_text(err));
    err = start(s, reason);
    if (err != BK_OK) {
        takeover_refuse(s->fleet.takeover, reason);
        return err; /* the program ends: the system takes everything back */
    }
    net_timer_init(&s->renew, s->loop, server_on_renew, s);
    net_timer_set(&s->renew, bk_after(net_now(s->loop), SERVER_RENEW_US));
    server_watch_certificate(s);
    server_trim_start(s);
    server_announce(s);
    notify_ready();
    net_loop_run(s->loop);
    stop(s);
    net_loop_free(s->loop);
    options_copy_unref(s->held);
    return BK_OK;
}
