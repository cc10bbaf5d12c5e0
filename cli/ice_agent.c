/* SPDX-License-Identifier: MIT
 * The agent of `bodkin ice` between its signaller and its pipe. */
#include "cli/ice.h"
#include "cli/ice_show.h"

#include "run/loop.h"

#include <stdio.h>
#include <string.h>

enum { CLOSE_PATIENCE_US = 3000000 };

const char *ice_add_server(struct ice_cli *i, const char *uri, const char *user,
                           const char *password) {
    size_t n = i->config.server_count;
    bool turn = strncmp(uri, "turn", 4) == 0;
    if (n == BK_ICE_SERVERS_MAX)
        return "there are too many servers; 8 are enough";
    if (strncmp(uri, "stun", 4) != 0 && !turn)
        return "it must begin with stun:, stuns:, turn: or turns:";
    if (turn && (user == NULL || password == NULL || user[0] == '\0' || password[0] == '\0'))
        return "a TURN server wants a user and a password";
    if (strlen(uri) >= ICE_URI_MAX || (user != NULL && strlen(user) >= ICE_SECRET_MAX) ||
        (password != NULL && strlen(password) >= ICE_SECRET_MAX))
        return "it is too long";
    snprintf(i->uris[n], sizeof i->uris[n], "%s", uri);
    snprintf(i->users[n], sizeof i->users[n], "%s", user != NULL ? user : "");
    snprintf(i->passwords[n], sizeof i->passwords[n], "%s", password != NULL ? password : "");
    i->config.servers[n] = (struct bk_ice_server){i->uris[n], turn ? i->users[n] : NULL,
                                                  turn ? i->passwords[n] : NULL};
    i->config.server_count++;
    return NULL;
}

/* ---- data --------------------------------------------------------------------------------- */

enum bk_err ice_send(struct ice_cli *i, const void *data, size_t len) {
    if (i->ice == NULL || i->ending)
        return BK_ERR_STATE;
    return bk_run_send(i->run, i->ice, 0, 1, data, len);
}

static enum bk_err on_pipe_send(void *ctx, const void *data, size_t len) {
    return ice_send(ctx, data, len);
}

/* Nothing tells the peer, which may have more to say: we go on until it is gone. */
static void on_pipe_end(void *ctx) {
    struct ice_cli *i = ctx;
    if (i->linger_s != UINT32_MAX)
        net_timer_set(&i->linger_timer,
                      bk_after(net_now(i->loop), (int64_t)i->linger_s * BK_US_PER_S));
}

static void on_close_overdue(void *ctx, struct bk_time now) {
    struct ice_cli *i = ctx;
    (void)now;
    bk_run_stop(i->run);
}

static void on_linger(void *ctx, struct bk_time now) {
    (void)now;
    ice_end(ctx, EXIT_FINE);
}

static void open_pipe(struct ice_cli *i) {
    i->pipe.send = on_pipe_send;
    i->pipe.on_end = on_pipe_end;
    i->pipe.ctx = i;
    if (ice_pipe_open(&i->pipe, i->loop, i->typed, i->typed_len) != BK_OK)
        on_pipe_end(i); /* no standard input: as if it had ended */
}

static void on_data(void *ctx, struct bk_ice *ice, const struct bk_ice_data *data) {
    struct ice_cli *i = ctx;
    (void)ice;
    if (i->ending || data->data == NULL)
        return;
    if (i->signaller->data != NULL && !i->has_pipe)
        i->signaller->data(i, data->data, data->len);
    else
        ice_pipe_put(&i->pipe, data->data, data->len);
}

/* ---- events ------------------------------------------------------------------------------- */

static void on_connected(struct ice_cli *i) {
    if (i->connected)
        return;
    i->connected = true;
    if (i->has_pipe)
        open_pipe(i);
    if (i->restart_after_s != 0)
        net_timer_set(&i->restart_timer,
                      bk_after(net_now(i->loop), (int64_t)i->restart_after_s * BK_US_PER_S));
}

/* A program decides for itself; a pipe is over when the peer is gone. That the peer went after our
 * input had ended is how a pipe ends well. */
static void on_failed(struct ice_cli *i, const char *why) {
    if (i->signaller->data != NULL)
        return;
    if (i->connected && i->pipe.ended) {
        ice_end(i, EXIT_FINE);
        return;
    }
    report_error(&i->report, i->connected ? "the connection was lost: %s" : "no path: %s", why);
    ice_end(i, i->connected ? EXIT_LOST : EXIT_NO_PATH);
}

static void on_event(void *ctx, struct bk_ice *ice, const struct bk_ice_event *e) {
    struct ice_cli *i = ctx;
    (void)ice;
    ice_show_event(i, e);
    if (e->kind == BK_ICE_ON_CLOSED)
        bk_run_stop(i->run);
    if (i->ending)
        return;
    i->signaller->event(i, e);
    if (e->kind == BK_ICE_ON_CONNECTED)
        on_connected(i);
    if (e->kind == BK_ICE_ON_RESTART) /* one is enough: a file holds the last description alone, */
        net_timer_set(&i->restart_timer, BK_NEVER); /* and the other side has to see each */
    if (e->kind == BK_ICE_ON_FAILED)
        on_failed(i, e->text);
    if (e->kind == BK_ICE_ON_DISCONNECTED && i->has_pipe && i->pipe.ended)
        ice_end(i, EXIT_FINE); /* our input is over, and the peer went */
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_restart_due(void *ctx, struct bk_time now) {
    (void)now;
    ice_restart(ctx);
}

static void refuse(struct ice_cli *i, enum bk_err err) {
    const char *field = err == BK_ERR_ARGUMENT ? bk_ice_config_check(&i->config) : NULL;
    report_error(&i->report, "the agent cannot start: %s%s%s", bk_err_text(err),
                 field != NULL ? ": " : "", field != NULL ? field : "");
    ice_end(i, field != NULL ? EXIT_USAGE : EXIT_OTHER);
}

bool ice_begin(struct ice_cli *i) {
    static const struct bk_run_handlers handlers = {.event = on_event, .data = on_data};
    i->config.rng = bk_run_rng();
    if (i->trace)
        i->config.trace = (struct bk_trace){ice_show_trace, i};
    net_timer_init(&i->restart_timer, i->loop, on_restart_due, i);
    net_timer_init(&i->linger_timer, i->loop, on_linger, i);
    net_timer_init(&i->close_timer, i->loop, on_close_overdue, i);
    enum bk_err err = bk_ice_new(&i->config, bk_run_alloc(), &i->ice);
    if (err == BK_OK) {
        err = bk_run_add(i->run, i->ice, &handlers, i);
        if (err != BK_OK) {
            bk_ice_free(i->ice);
            i->ice = NULL;
        }
    }
    if (err != BK_OK)
        refuse(i, err);
    return err == BK_OK;
}

void ice_poke(struct ice_cli *i) {
    bk_run_poke(i->run, i->ice);
}

void ice_gather(struct ice_cli *i) {
    bk_ice_gather(i->ice, bk_run_now(i->run));
    ice_poke(i);
}

enum bk_err ice_hear(struct ice_cli *i, const char *text, size_t len) {
    enum bk_err err = bk_ice_set_remote(i->ice, text, len, bk_run_now(i->run));
    ice_poke(i);
    return err;
}

void ice_restart(struct ice_cli *i) {
    const struct bk_ice_event event = {.kind = BK_ICE_ON_RESTART, .text = "we restart"};
    enum bk_err err = bk_ice_restart(i->ice, bk_run_now(i->run));
    if (err != BK_OK) {
        report_error(&i->report, "no restart: %s", bk_err_text(err));
        return;
    }
    ice_show_event(i, &event);
    i->signaller->event(i, &event);
    ice_poke(i);
}

const char *ice_description(struct ice_cli *i, size_t *len) {
    static char text[ICE_DESCRIPTION_MAX];
    if (bk_ice_describe(i->ice, text, sizeof text, len) != BK_OK) {
        text[0] = '\0';
        *len = 0;
    }
    return text;
}

bool ice_open(struct ice_cli *i) {
    enum bk_err err = bk_run_new(&i->run_config, &i->run);
    if (err != BK_OK) {
        report_error(&i->report, "%s", bk_err_text(err));
        return false;
    }
    i->loop = run_loop_of(i->run);
    return true;
}

void ice_close(struct ice_cli *i) {
    ice_pipe_close(&i->pipe);
    if (i->ice != NULL) {
        net_timer_set(&i->restart_timer, BK_NEVER);
        net_timer_set(&i->linger_timer, BK_NEVER);
        net_timer_set(&i->close_timer, BK_NEVER);
        bk_run_remove(i->run, i->ice);
    }
    bk_ice_free(i->ice);
    bk_run_free(i->run);
}

void ice_end(struct ice_cli *i, enum exit_code code) {
    if (i->ending)
        return;
    i->ending = true;
    i->code = code;
    ice_pipe_close(&i->pipe);
    if (i->ice == NULL) {
        bk_run_stop(i->run);
        return;
    }
    ice_show_result(i);
    bk_ice_close(i->ice, bk_run_now(i->run));
    ice_poke(i);
    /* CLOSED stops the loop; this is for an agent that does not keep its word. */
    net_timer_set(&i->restart_timer, BK_NEVER);
    net_timer_set(&i->linger_timer, BK_NEVER);
    net_timer_set(&i->close_timer, bk_after(net_now(i->loop), CLOSE_PATIENCE_US));
}
