/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/agent.h"

#include "net/alloc.h"
#include "net/tls.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum {
    PATIENCE_US = 10 * 1000 * 1000,
    LOGIN_US = 300 * 1000 * 1000, /* somebody has to find a browser and a password */
    LINGER_US = 500 * 1000,
    TICK_US = 500 * 1000
};

static char *home_text(const struct agent *a, char *out) {
    struct home bare = a->home;
    bare.has_pin = false; /* long, and of no use to the reader */
    return home_url_format(&bare, out);
}

/* --- paths --- */

static void add_steps(cJSON *event, const struct story *story) {
    cJSON *steps = cJSON_AddArrayToObject(event, "steps");
    for (size_t i = 0; i < story->step_count; i++) {
        const struct punch_step *step = &story->steps[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "method",
                                bk_oracle_method_name((enum bk_oracle_method)step->method));
        cJSON_AddBoolToObject(item, "hit", step->hit);
        cJSON_AddNumberToObject(item, "packets", step->packets);
        cJSON_AddNumberToObject(item, "sockets", step->sockets);
        cJSON_AddNumberToObject(item, "begun_ms", (double)(step->begun_us / 1000));
        cJSON_AddNumberToObject(item, "took_ms", (double)(step->took_us / 1000));
        cJSON_AddItemToArray(steps, item);
    }
}

/* The record of how the path was found, for scripts. */
static void add_story(cJSON *event, const struct session *s) {
    struct story story;
    char text[STORY_MAX];
    if (event == NULL) /* no script listens */
        return;
    session_story(s, &story);
    cJSON_AddStringToObject(event, "story", story_tell(&story, text));
    cJSON_AddStringToObject(event, "method", bk_oracle_method_name(story.method));
    if (story.direct) {
        cJSON_AddNumberToObject(event, "probes", (double)story.probes);
        cJSON_AddNumberToObject(event, "took_ms", (double)(story.took_us / 1000));
    }
    cJSON_AddStringToObject(event, "nat_here", story_nat(&story.here, text));
    cJSON_AddStringToObject(event, "nat_there", story_nat(&story.there, text));
    add_steps(event, &story);
}

void agent_explain(const struct session *s, FILE *out) {
    struct story story;
    char text[STORY_MAX];
    session_story(s, &story);
    for (size_t i = 0; i < story.step_count; i++) {
        const struct punch_step *step = &story.steps[i];
        fprintf(out, "  %6.0f ms  %s: %u packets, %u sockets, %.0f ms, %s\n",
                (double)step->begun_us / 1000,
                bk_oracle_method_text((enum bk_oracle_method)step->method), (unsigned)step->packets,
                (unsigned)step->sockets, (double)step->took_us / 1000,
                step->hit ? "got through" : "nothing came through");
    }
    fprintf(out, "%s\n", story_tell(&story, text));
}

static void report_path(struct agent *a, const struct session *s) {
    struct session_path path;
    char text[BK_ADDR_TEXT_MAX];
    session_path(s, &path);
    cJSON *event = report_event(&a->report, "path", net_now(a->loop));
    cJSON_AddStringToObject(event, "kind", path.direct ? "direct" : "relayed");
    if (path.direct) {
        cJSON_AddStringToObject(event, "local", bk_addr_format(&path.local, text));
        cJSON_AddStringToObject(event, "remote", bk_addr_format(&path.remote, text));
    } else {
        cJSON_AddStringToObject(event, "why", why_text(path.why));
        cJSON_AddStringToObject(event, "reason", why_word(path.why));
    }
    if (path.rtt_us > 0)
        cJSON_AddNumberToObject(event, "rtt_ms", (double)(path.rtt_us / 100) / 10);
    add_story(event, s);
    report_send(&a->report, event);
}

void agent_show_path(struct agent *a, const struct session *s, const char *tail) {
    struct session_path path;
    char local[BK_ADDR_TEXT_MAX], remote[BK_ADDR_TEXT_MAX], home[HOME_URL_TEXT_MAX];
    session_path(s, &path);
    if (tail == NULL)
        tail = "";
    double ms = (double)path.rtt_us / 1000;
    if (path.direct)
        report_status(&a->report, "direct %s \342\206\224 %s, %.0f ms%s",
                      bk_addr_format(&path.local, local), bk_addr_format(&path.remote, remote), ms,
                      tail);
    else
        report_status(&a->report, "relayed via %s, %.0f ms, because: %s%s", home_text(a, home), ms,
                      why_text(path.why), tail);
}

/* --- how sessions end --- */

static const struct {
    enum exit_code code;
    const char *text;
} ends[] = {
    [SESSION_END_CLOSED] = {EXIT_LOST, "the peer ended the session"},
    [SESSION_END_REFUSED_TICKET] = {EXIT_TICKET_USED,
                                    "the peer refused the ticket: it was used already or is not "
                                    "valid; ask for a new one"},
    [SESSION_END_REFUSED_PEER] = {EXIT_PEER_REFUSED,
                                  "the peer refused: it does not know this key; ask for a ticket, "
                                  "or to be allowed (bodkin listen --allow KEY)"},
    [SESSION_END_REFUSED_BUSY] = {EXIT_PEER_REFUSED,
                                  "the peer refused: it has as many sessions as it wants"},
    [SESSION_END_NOT_HOME] = {EXIT_NOT_HOME,
                              "the peer is not connected to its home server; is bodkin listen "
                              "still running there?"},
    [SESSION_END_NO_ANSWER] = {EXIT_NOT_HOME, "the peer does not answer"},
    [SESSION_END_IMPOSTOR] = {EXIT_IMPOSTOR,
                              "somebody answered without the peer's key; nothing was sent to them"},
    [SESSION_END_LOST] = {EXIT_LOST, "the connection was lost: the peer has been silent too long"},
    [SESSION_END_FAILED] = {EXIT_OTHER, "the session failed"},
};

/* The peer said goodbye with a code that is not QUIC_CODE_DONE. */
static enum exit_code explain_goodbye(struct agent *a, const struct session_event *e) {
    switch (e->code) {
    case QUIC_CODE_INTERRUPTED:
        report_error(&a->report, "the peer was interrupted");
        return EXIT_LOST;
    case QUIC_CODE_READ_FAILED:
        report_error(&a->report, "the peer could not read all of its input");
        return EXIT_OTHER;
    case QUIC_CODE_WRITE_FAILED:
        report_error(&a->report, "the peer stopped reading: its output is closed");
        return EXIT_OTHER;
    case QUIC_CODE_MODE:
        report_error(&a->report, "%s",
                     e->reason[0] != '\0' ? e->reason
                                          : "the peer wants to forward a port, and this side is a "
                                            "pipe; here: bodkin listen --allow-forward HOST:PORT");
        return EXIT_FORWARD;
    default:
        report_error(&a->report, "the peer failed%s%s", e->reason[0] != '\0' ? ": " : "",
                     e->reason);
        return EXIT_LOST;
    }
}

enum exit_code agent_explain_end(struct agent *a, const struct session_event *e) {
    if (e->end == SESSION_END_CLOSED)
        return e->code == QUIC_CODE_DONE ? EXIT_FINE : explain_goodbye(a, e);
    if (e->end == SESSION_END_FAILED)
        report_error(&a->report, "%s: %s", ends[e->end].text, e->reason);
    else
        report_error(&a->report, "%s", ends[e->end].text);
    return ends[e->end].code;
}

/* --- the node's callbacks --- */

static void on_session_event(struct agent *a, struct session *s, const struct session_event *e) {
    switch (e->type) {
    case SESSION_SECURED:
        report_send(&a->report, report_event(&a->report, "secured", net_now(a->loop)));
        if (a->events.on_secured != NULL)
            a->events.on_secured(a, s);
        break;
    case SESSION_EXCHANGED:
        report_send(&a->report, report_event(&a->report, "candidates", net_now(a->loop)));
        break;
    case SESSION_PATH:
        report_path(a, s);
        if (a->events.on_path != NULL)
            a->events.on_path(a, s);
        break;
    case SESSION_QUIC:
        a->events.on_quic(a, s, &e->quic);
        break;
    case SESSION_ENDED:
        a->events.on_ended(a, s, e);
        endpoint_release(node_endpoint(a->node), s);
        break;
    }
}

static void on_refused(struct agent *a, const struct endpoint_event *event) {
    char key[PEER_KEY_TEXT_MAX];
    peer_key_format(&event->peer, key);
    const char *why = event->refusal == SIGNAL_REFUSED_TICKET ? "its ticket is wrong or was used"
                      : event->refusal == SIGNAL_REFUSED_BUSY ? "there is no room"
                                                              : "it is not allowed";
    cJSON *json = report_event(&a->report, "refused", net_now(a->loop));
    cJSON_AddStringToObject(json, "peer", key);
    cJSON_AddStringToObject(json, "why", why);
    report_send(&a->report, json);
    report_note(&a->report, "refused %s: %s", key, why);
}

static void on_event(void *ctx, const struct endpoint_event *event) {
    struct agent *a = ctx;
    switch (event->type) {
    case ENDPOINT_INCOMING:
        if (a->events.on_incoming != NULL)
            a->events.on_incoming(a, event->session);
        break;
    case ENDPOINT_SESSION:
        on_session_event(a, event->session, &event->event);
        break;
    case ENDPOINT_REFUSED:
        on_refused(a, event);
        break;
    }
}

static void home_failed(struct agent *a) {
    char home[HOME_URL_TEXT_MAX];
    report_error(&a->report, "the home server %s cannot be used: %s", home_text(a, home),
                 a->home_reason[0] != '\0' ? a->home_reason : "it does not answer");
    agent_finish(a, EXIT_HOME_DEAD, QUIC_CODE_FAILED);
}

/* A network that wants a login gets it from the user, who must be told at once. */
static void wait_for_login(struct agent *a) {
    if (a->waits_for_login)
        return;
    a->waits_for_login = true;
    report_error(&a->report, "%s", a->home_reason);
    net_timer_set(&a->patience, bk_after(net_now(a->loop), LOGIN_US));
}

static void on_home(void *ctx, bool up, enum bk_err err, const char *reason) {
    struct agent *a = ctx;
    char way[REACH_TEXT_MAX];
    cJSON *json = report_event(&a->report, up ? "home" : "home-lost", net_now(a->loop));
    if (!up)
        cJSON_AddStringToObject(json, "why", reason);
    else if (node_home_way(a->node, way)[0] != '\0')
        cJSON_AddStringToObject(json, "way", way);
    report_send(&a->report, json);
    if (!up) {
        snprintf(a->home_reason, sizeof a->home_reason, "%s", reason);
        if (!a->ready && node_home_trouble(a->node) == HOME_PORTAL)
            wait_for_login(a);
        /* No patience cures these two; later on, a server may well come back. */
        if (!a->ready && (err == BK_ERR_AUTH || err == BK_ERR_NOT_FOUND))
            home_failed(a);
        return;
    }
    net_timer_set(&a->patience, BK_NEVER);
    if (a->ready)
        return;
    a->ready = true;
    a->events.on_ready(a);
}

static void on_progress(void *ctx) {
    struct agent *a = ctx;
    if (a->events.on_progress != NULL && !a->finishing)
        a->events.on_progress(a);
}

/* --- timers and signals --- */

static void on_patience(void *ctx, struct bk_time now) {
    (void)now;
    home_failed(ctx);
}

static void on_linger(void *ctx, struct bk_time now) {
    (void)now;
    struct agent *a = ctx;
    net_loop_stop(a->loop);
}

static void on_tick(void *ctx, struct bk_time now) {
    struct agent *a = ctx;
    if (a->on_tick == NULL || a->finishing)
        return;
    a->on_tick(a);
    net_timer_set(&a->tick, bk_after(now, TICK_US));
}

void agent_set_tick(struct agent *a, void (*tick)(struct agent *a)) {
    a->on_tick = tick;
    if (a->report.status)
        net_timer_set(&a->tick, bk_after(net_now(a->loop), TICK_US));
}

static void on_signal(void *ctx, int signum) {
    struct agent *a = ctx;
    enum exit_code code = (enum exit_code)(EXIT_SIGNAL + signum);
    if (a->finishing)
        net_loop_stop(a->loop); /* a second time: at once */
    else if (a->events.on_interrupt != NULL)
        a->events.on_interrupt(a, code);
    else
        agent_finish(a, code, QUIC_CODE_INTERRUPTED);
}

/* --- life --- */

static bool is_ignored(int signum) {
    struct sigaction old;
    return sigaction(signum, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

static enum bk_err catch_signals(struct agent *a) {
    static const int signums[AGENT_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < AGENT_SIGNALS && err == BK_OK; i++) {
        if (signums[i] == SIGHUP && is_ignored(SIGHUP))
            continue; /* nohup(1) */
        err = net_signal_new(a->loop, signums[i], on_signal, a, &a->signals[i]);
    }
    return err;
}

static enum exit_code open_loop(struct agent *a) {
    static const struct node_events node_events = {
        .on_event = on_event, .on_home = on_home, .on_progress = on_progress};
    struct node_config config = {.identity = &a->mine.identity, .home = a->home};
    char reason[NET_REASON_MAX] = "";
    enum bk_err err = net_loop_new(net_alloc(), &a->loop);
    if (err == BK_OK) {
        net_timer_init(&a->patience, a->loop, on_patience, a);
        net_timer_init(&a->linger, a->loop, on_linger, a);
        net_timer_init(&a->tick, a->loop, on_tick, a);
        err = catch_signals(a);
    }
    config.relay_only = a->relay_only;
    config.private_addresses = a->private_addresses;
    config.no_beacons = a->no_beacons;
    config.no_portmap = a->no_portmap;
    config.proxy = a->proxy.proxy.kind == PROXY_NONE ? NULL : &a->proxy.proxy;
    config.proxy_only = a->proxy.only;
    config.keepalive_max_s = a->keepalive_s;
    if (err == BK_OK)
        err = node_new(a->loop, &config, &node_events, a, &a->node, reason);
    if (err == BK_OK)
        return EXIT_FINE;
    report_error(&a->report, "cannot start: %s", reason[0] != '\0' ? reason : bk_err_text(err));
    return err == BK_ERR_NOT_FOUND ? EXIT_HOME_DEAD
                                   : EXIT_OTHER; /* no authorities to verify it by */
}

enum exit_code agent_open(struct agent *a, const char *command, const struct agent_options *options,
                          const struct home *home, const struct agent_events *events, void *ctx) {
    memset(a, 0, sizeof *a);
    a->events = *events;
    a->ctx = ctx;
    a->mine.lock = -1;
    a->relay_only = options->relay_only;
    a->no_beacons = options->no_beacons;
    a->no_portmap = options->no_portmap;
    report_init(&a->report, command, options->json, net_clock());
    enum exit_code code = EXIT_FINE;
    if (home != NULL)
        a->home = *home;
    else
        code = settings_home(&a->report, options->home, &a->home);
    a->private_addresses = options->private_addresses;
    if (code == EXIT_FINE && !a->private_addresses)
        code = settings_private(&a->report, &a->private_addresses);
    if (code == EXIT_FINE)
        code = proxy_choose(&a->report, options->proxy, &a->home, &a->proxy);
    if (code == EXIT_FINE)
        code = settings_keepalive(&a->report, &a->keepalive_s);
    if (code == EXIT_FINE)
        code = settings_identity(&a->report, false, &a->mine);
    if (code == EXIT_FINE)
        code = open_loop(a);
    if (code != EXIT_FINE)
        return code;
    net_timer_set(&a->patience, bk_after(net_now(a->loop), PATIENCE_US));
    report_status(&a->report, "connecting to the home server");
    return EXIT_FINE;
}

enum exit_code agent_run(struct agent *a) {
    if (!a->finishing || !bk_is_never(a->linger.deadline))
        net_loop_run(a->loop);
    return a->code;
}

void agent_close(struct agent *a) {
    report_end(&a->report);
    node_free(a->node);
    if (a->loop != NULL) {
        net_timer_set(&a->patience, BK_NEVER);
        net_timer_set(&a->linger, BK_NEVER);
        net_timer_set(&a->tick, BK_NEVER);
    }
    for (size_t i = 0; i < AGENT_SIGNALS; i++)
        net_signal_free(a->signals[i]);
    net_loop_free(a->loop);
    proxy_fini(&a->proxy.proxy);
    settings_identity_fini(&a->mine);
}

void agent_finish(struct agent *a, enum exit_code code, uint64_t quic_code) {
    if (a->finishing)
        return;
    a->finishing = true;
    a->code = code;
    bool any = endpoint_close_all(node_endpoint(a->node), quic_code,
                                  quic_code == QUIC_CODE_INTERRUPTED ? "interrupted" : "",
                                  net_now(a->loop));
    node_touch(a->node);
    struct bk_time now = net_now(a->loop);
    net_timer_set(&a->linger, any ? bk_after(now, LINGER_US) : now);
}

void agent_start_clock(struct agent *a) {
    a->report.start = net_now(a->loop);
}
