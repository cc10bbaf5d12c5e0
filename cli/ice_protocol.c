/* SPDX-License-Identifier: MIT
 * A program signals: the line protocol of tests/interop/ice/README.md, which is part of the manual.
 * Lines in configure the agent, begin it and hand in what the other side said; lines out carry the
 * time since the program began. */
#define _GNU_SOURCE
#include "cli/ice.h"
#include "cli/ice_lines.h"
#include "cli/ice_show.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SAY_MAX = 8192, OPTIONS_MAX = 128 };

struct protocol {
    struct ice_lines lines;
    bool restarted;            /* until there is a path again */
    char options[OPTIONS_MAX]; /* the other side's, RFC 8839 section 5.6 */
};

static struct protocol state;

/* "MICROSECONDS WORD ...", in one write. Whoever reads this keeps up: they drive us. */
static void say(struct ice_cli *i, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct ice_cli *i, const char *format, ...) {
    char line[SAY_MAX];
    int64_t us = bk_elapsed_us(i->report.start, net_clock());
    size_t at = (size_t)snprintf(line, sizeof line, "%" PRId64 " ", us);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + at, sizeof line - at - 1, format, args);
    va_end(args);
    if (more < 0)
        return;
    at += (size_t)more < sizeof line - at - 2 ? (size_t)more : sizeof line - at - 2;
    line[at++] = '\n';
    if (write(i->out_fd, line, at) != (ssize_t)at)
        ice_end(i, EXIT_OTHER);
}

/* ---- out ---------------------------------------------------------------------------------- */

/* The options come first: they are part of the description that the credentials begin. */
static void say_credentials(struct ice_cli *i) {
    static const char name[] = "a=ice-options:";
    size_t len = 0;
    const char *options = strstr(ice_description(i, &len), name);
    if (options != NULL) {
        options += sizeof name - 1;
        say(i, "options %.*s", (int)strcspn(options, "\r\n"), options);
    }
    say(i, "credentials %s %s", bk_ice_ufrag(i->ice), bk_ice_pwd(i->ice));
}

/* After a restart the other side wants everything again. */
static void say_description(struct ice_cli *i) {
    size_t len = 0;
    say_credentials(i);
    const char *text = ice_description(i, &len);
    while (*text != '\0') {
        size_t line = strcspn(text, "\r\n");
        if (strncmp(text, "a=candidate:", 12) == 0)
            say(i, "candidate %.*s", (int)line - 2, text + 2);
        if (line == 19 && strncmp(text, "a=end-of-candidates", line) == 0)
            say(i, "gathered");
        text += line;
        text += strspn(text, "\r\n");
    }
}

static void say_path(struct ice_cli *i, const struct bk_ice_event *e) {
    char local[ICE_END_MAX], remote[ICE_END_MAX];
    if (e->kind == BK_ICE_ON_CONNECTED || state.restarted)
        say(i, "connected");
    state.restarted = false;
    if (e->kind == BK_ICE_ON_SELECTED)
        say(i, "selected %s %s", ice_end_text(&e->local, local), ice_end_text(&e->remote, remote));
}

static void protocol_event(struct ice_cli *i, const struct bk_ice_event *e) {
    switch (e->kind) {
    case BK_ICE_ON_CANDIDATE:
        say(i, "candidate %s", e->text);
        break;
    case BK_ICE_ON_GATHERED:
        say(i, "gathered");
        break;
    case BK_ICE_ON_CONNECTED:
    case BK_ICE_ON_SELECTED:
        say_path(i, e);
        break;
    case BK_ICE_ON_DISCONNECTED:
        say(i, "state disconnected");
        break;
    case BK_ICE_ON_RECONNECTED:
        say(i, "state reconnected");
        break;
    case BK_ICE_ON_FAILED:
        say(i, "failed %s", e->text);
        break;
    case BK_ICE_ON_RESTART:
        state.restarted = true;
        say(i, "state restarting");
        say_description(i);
        break;
    case BK_ICE_ON_CLOSED:
        break;
    }
}

/* What does not print is written \xNN, so that one datagram stays one line. */
static void protocol_data(struct ice_cli *i, const uint8_t *data, size_t len) {
    char text[SAY_MAX / 2];
    size_t at = 0;
    for (size_t n = 0; n < len && at + 5 < sizeof text; n++) {
        if (isprint(data[n]) && data[n] != '\\')
            text[at++] = (char)data[n];
        else
            at += (size_t)snprintf(text + at, sizeof text - at, "\\x%02x", data[n]);
    }
    text[at] = '\0';
    say(i, "data %s", text);
}

/* ---- in ----------------------------------------------------------------------------------- */

static void on_role(struct ice_cli *i, char *args) {
    i->config.role = strcmp(args, "controlled") == 0 ? BK_ICE_CONTROLLED : BK_ICE_CONTROLLING;
}

static void on_policy(struct ice_cli *i, char *args) {
    i->config.policy = strcmp(args, "relay") == 0    ? BK_ICE_RELAYED_ONLY
                       : strcmp(args, "public") == 0 ? BK_ICE_PUBLIC
                                                     : BK_ICE_ALL;
}

static void on_server(struct ice_cli *i, char *args) {
    char *rest = args;
    const char *uri = strsep(&rest, " ");
    const char *user = strsep(&rest, " ");
    const char *mistake = ice_add_server(i, uri, user, rest);
    if (mistake != NULL)
        say(i, "error server: %s", mistake);
}

static void on_gather(struct ice_cli *i, char *args) {
    (void)args;
    say(i, "state creating");
    if (!ice_begin(i))
        return;
    say_credentials(i);
    ice_gather(i);
}

static void on_remote_options(struct ice_cli *i, char *args) {
    if (strlen(args) < sizeof state.options)
        snprintf(state.options, sizeof state.options, "%s", args);
    else
        say(i, "error remote-options: too many");
}

/* Who tells no options trickles all the same: that is how this protocol is. */
static void on_remote_credentials(struct ice_cli *i, char *args) {
    char text[2 * BK_ICE_CRED_MAX + OPTIONS_MAX + 96];
    char *pwd = args;
    const char *ufrag = strsep(&pwd, " ");
    int len = snprintf(text, sizeof text,
                       "a=ice-options:trickle %s\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\n",
                       state.options, ufrag, pwd != NULL ? pwd : "");
    enum bk_err err =
        len > 0 && (size_t)len < sizeof text ? ice_hear(i, text, (size_t)len) : BK_ERR_TOO_LONG;
    if (err != BK_OK)
        say(i, "error remote-credentials: %s", bk_err_text(err));
}

static void on_remote_candidate(struct ice_cli *i, char *args) {
    enum bk_err err = bk_ice_add_remote_candidate(i->ice, 0, args, bk_run_now(i->run));
    if (err != BK_OK && err != BK_ERR_EXISTS)
        say(i, "error remote-candidate: %s", bk_err_text(err));
    ice_poke(i);
}

static void on_end_of_candidates(struct ice_cli *i, char *args) {
    (void)args;
    enum bk_err err =
        bk_ice_add_remote_candidate(i->ice, 0, "end-of-candidates", bk_run_now(i->run));
    if (err != BK_OK)
        say(i, "error end-of-candidates: %s", bk_err_text(err));
    ice_poke(i);
}

static void on_send(struct ice_cli *i, char *args) {
    enum bk_err err = ice_send(i, args, strlen(args));
    if (err != BK_OK)
        say(i, "error send: %s", bk_err_text(err));
}

static void on_restart(struct ice_cli *i, char *args) {
    (void)args;
    ice_restart(i);
}

static void on_quit(struct ice_cli *i, char *args) {
    (void)args;
    ice_end(i, EXIT_FINE);
}

static const struct word {
    const char *text;
    bool before_gather, after_gather;
    void (*run)(struct ice_cli *i, char *args);
} words[] = {
    {"role", true, false, on_role},
    {"policy", true, false, on_policy},
    {"server", true, false, on_server},
    {"gather", true, false, on_gather},
    {"remote-options", false, true, on_remote_options},
    {"remote-credentials", false, true, on_remote_credentials},
    {"remote-candidate", false, true, on_remote_candidate},
    {"end-of-candidates", false, true, on_end_of_candidates},
    {"send", false, true, on_send},
    {"restart", false, true, on_restart},
    {"quit", true, true, on_quit},
};

static void on_line(void *ctx, char *line) {
    struct ice_cli *i = ctx;
    char *args = line;
    const char *text = strsep(&args, " ");
    static char none[1];
    if (i->ending)
        return;
    for (size_t n = 0; n < sizeof words / sizeof *words; n++) {
        if (strcmp(words[n].text, text) != 0)
            continue;
        if (i->ice == NULL ? words[n].before_gather : words[n].after_gather)
            words[n].run(i, args != NULL ? args : none);
        else
            say(i, "error %s: %s gather", text, i->ice == NULL ? "not before" : "not after");
        return;
    }
    say(i, "error no such word: %s", text);
}

static void on_input_end(void *ctx) {
    ice_end(ctx, EXIT_FINE);
}

static void protocol_open(struct ice_cli *i) {
    state = (struct protocol){
        .lines = {.fd = i->in_fd, .on_line = on_line, .on_end = on_input_end, .ctx = i}};
    i->config.trickle = BK_ICE_TRICKLE;
    if (ice_lines_open(&state.lines, i->loop) == BK_OK)
        return;
    report_error(&i->report, "descriptor %d is not open for reading", i->in_fd);
    ice_end(i, EXIT_USAGE);
}

static void protocol_close(struct ice_cli *i) {
    (void)i;
    ice_lines_close(&state.lines);
}

const struct ice_signaller ice_protocol = {
    .open = protocol_open, .event = protocol_event, .data = protocol_data, .close = protocol_close};
