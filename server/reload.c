/* SPDX-License-Identifier: MIT
 * Other options while it runs. Everything that can fail is tried first; then all of it changes, or
 * nothing. What only a restart can change keeps its old value, and the log says so. */
#include "server/server_int.h"

#include <string.h>

#define LOOK_US (2 * BK_US_PER_S)

/* Options that a running server cannot take: as before, with a line in the log. */
static void keep_fixed(const struct server_options *old, struct options_copy *fresh) {
    for (const struct server_option *row = server_option_table; row->name != NULL; row++) {
        if (row->live || !server_option_differs(old, &fresh->options, row))
            continue;
        log_event(LOG_WARN, "restart_needed", "option", row->name);
        server_option_copy(&fresh->options, old, row);
    }
}

static enum bk_err read_fresh(struct server *s, struct options_copy *fresh, char *reason) {
    enum bk_err err = s->source->read(s->source->ctx, &fresh->options, reason);
    if (err != BK_OK)
        return err;
    keep_fixed(s->options, fresh);
    err = server_options_check(&fresh->options, reason);
    bool on = turn_options_on(&fresh->options.turn), was = s->users.book != NULL;
    if (err == BK_OK && on && !was)
        log_event(LOG_WARN, "restart_needed", "option", "TURN was off");
    return err;
}

/* A self-signed one has nothing to read again. */
static enum bk_err read_certificate(struct server *s, const struct server_options *o,
                                    struct net_tls **out, char *reason) {
    *out = NULL;
    bool same = strcmp(o->cert.text, s->options->cert.text) == 0;
    if (o->cert.text[0] == '\0' && same)
        return BK_OK;
    return server_load_tls(s, o, out, reason);
}

static void use(struct server *s, struct options_copy *fresh, struct net_tls *tls) {
    options_copy_unref(s->held);
    s->held = fresh;
    s->options = &fresh->options;
    log_setup(s->options->log_level, s->options->log_json);
    server_set_throttle(s);
    (void)nonce_secrets_change(&s->fleet.secrets, &s->options->turn.nonce_keys);
    if (tls != NULL)
        server_use_tls(s, tls);
    for (size_t i = 0; i < s->fleet.count; i++)
        worker_set_options(s->workers[i], fresh);
    server_watch_certificate(s);
}

/* The users change last of what can fail, since they change at once. */
static enum bk_err change(struct server *s, struct options_copy *fresh, char *reason) {
    struct net_tls *tls = NULL;
    enum bk_err err = read_fresh(s, fresh, reason);
    if (err == BK_OK)
        err = read_certificate(s, &fresh->options, &tls, reason);
    if (err == BK_OK && s->users.book != NULL)
        err = users_keeper_reload(&s->users, &fresh->options.turn, reason);
    if (err == BK_OK)
        use(s, fresh, tls);
    else
        net_tls_unref(tls);
    return err;
}

void server_reload(struct server *s) {
    char reason[SERVER_TEXT_MAX] = "out of memory";
    struct options_copy *fresh = options_copy_new();
    if (fresh != NULL && change(s, fresh, reason) == BK_OK) {
        struct log_line l;
        log_begin(&l, LOG_INFO, LOG_ALWAYS, "reload");
        log_text(&l, "file", s->source->file == NULL ? "none" : s->source->file);
        log_text(&l, "certificate",
                 s->options->cert.text[0] == '\0' ? "self-signed" : s->options->cert.text);
        log_end(&l);
        return;
    }
    options_copy_unref(fresh);
    log_event(LOG_ERROR, "reload_failed", "reason", reason);
}

static void on_look(void *ctx, struct bk_time now) {
    struct server *s = ctx;
    struct net_tls *tls;
    char reason[SERVER_TEXT_MAX];
    net_timer_set(&s->cert_watch.timer, bk_after(now, LOOK_US));
    if (!cert_watch_changed(&s->cert_watch))
        return;
    if (server_load_tls(s, s->options, &tls, reason) != BK_OK) {
        log_event(LOG_ERROR, "certificate_failed", "reason", reason);
        return;
    }
    server_use_tls(s, tls);
    log_event(LOG_INFO, "certificate", "file", s->options->cert.text);
}

void server_watch_certificate(struct server *s) {
    struct cert_watch *w = &s->cert_watch;
    if (w->timer.loop == NULL)
        net_timer_init(&w->timer, s->loop, on_look, s);
    cert_watch_start(w, server_or_null(&s->options->cert), server_or_null(&s->options->key));
    net_timer_set(&w->timer, w->files[0] == NULL ? BK_NEVER : bk_after(net_now(s->loop), LOOK_US));
}

void server_unwatch_certificate(struct server *s) {
    if (s->cert_watch.timer.loop != NULL)
        net_timer_set(&s->cert_watch.timer, BK_NEVER);
}
