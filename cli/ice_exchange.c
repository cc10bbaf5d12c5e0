/* SPDX-License-Identifier: MIT
 * A person signals, with one whole description each way: by copy and paste, or through two files
 * that something carries over. Files are watched for as long as the agent lives, so a restart on
 * one side (new credentials in its file) reaches the other. */
#define _GNU_SOURCE
#include "cli/ice.h"
#include "cli/ice_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_US = 100000, PATH_MAX_LEN = 1024 };

struct exchange {
    struct ice_lines lines; /* pasted ones */
    struct net_timer look;  /* at the other side's file */
    const char *ours, *theirs;
    bool described; /* the first description of ours is out */
    bool heard;     /* theirs is in */
    size_t pasted;
    char text[ICE_DESCRIPTION_MAX], last[ICE_DESCRIPTION_MAX];
};

static struct exchange state;

static bool controlling(const struct ice_cli *i) {
    return i->config.role == BK_ICE_CONTROLLING;
}

static const char *their_word(const struct ice_cli *i) {
    return controlling(i) ? "answer" : "offer";
}

/* ---- ours --------------------------------------------------------------------------------- */

/* Written beside it and renamed, so that nobody reads half of it. */
static bool write_file(struct ice_cli *i, const char *path, const char *text, size_t len) {
    char part[PATH_MAX_LEN];
    int n = snprintf(part, sizeof part, "%s.part", path);
    int fd = n > 0 && n < PATH_MAX_LEN
                 ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)
                 : -1;
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len;
    if (fd >= 0)
        ok = close(fd) == 0 && ok;
    if (ok && rename(part, path) == 0)
        return true;
    report_error(&i->report, "%s cannot be written: %s", path, strerror(errno));
    ice_end(i, EXIT_OTHER);
    return false;
}

static void give(struct ice_cli *i) {
    size_t len = 0;
    const char *text = ice_description(i, &len);
    state.described = true;
    if (state.ours != NULL) {
        (void)write_file(i, state.ours, text, len);
        return;
    }
    report_end(&i->report);
    fprintf(stderr, "%s\nGive these lines to the other side%s%s%s.\n", text,
            controlling(i) ? ", and paste its " : "", controlling(i) ? their_word(i) : "",
            controlling(i) ? " here, with an empty line after it" : "");
}

/* ---- theirs ------------------------------------------------------------------------------- */

static bool begin(struct ice_cli *i) {
    if (!ice_begin(i))
        return false;
    ice_gather(i);
    return true;
}

static void hear(struct ice_cli *i, const char *text, size_t len) {
    enum bk_err err = ice_hear(i, text, len);
    state.heard = state.heard || err == BK_OK || err == BK_ERR_TOO_LONG;
    if (err == BK_OK)
        return;
    if (err == BK_ERR_TOO_LONG) {
        report_note(&i->report, "the %s has more candidates than are used", their_word(i));
        return;
    }
    report_error(&i->report,
                 err == BK_ERR_NOT_FOUND
                     ? "there is no a=ice-ufrag and a=ice-pwd in the %s; copy all lines of it"
                     : "the %s is damaged; copy it again",
                 their_word(i));
    ice_end(i, EXIT_DESCRIPTION);
}

/* false: not there yet, or as before. */
static bool read_file(struct ice_cli *i, size_t *len) {
    int fd = open(state.theirs, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return false;
    ssize_t n = fd >= 0 ? read(fd, state.text, sizeof state.text - 1) : -1;
    if (n < 0) {
        report_error(&i->report, "%s cannot be read: %s", state.theirs, strerror(errno));
        ice_end(i, EXIT_OTHER);
    }
    if (fd >= 0)
        (void)close(fd);
    if (n <= 0)
        return false;
    state.text[n] = '\0';
    *len = (size_t)n;
    return state.text[n - 1] == '\n' && strcmp(state.text, state.last) != 0;
}

static void on_look(void *ctx, struct bk_time now) {
    struct ice_cli *i = ctx;
    size_t len = 0;
    if (i->ending)
        return;
    net_timer_set(&state.look, bk_after(now, LOOK_US));
    if (!read_file(i, &len))
        return;
    memcpy(state.last, state.text, len + 1);
    if (i->ice == NULL && !begin(i))
        return;
    hear(i, state.text, len);
}

static void on_pasted(void *ctx, char *line) {
    struct ice_cli *i = ctx;
    size_t len = strlen(line);
    if (len == 0 && state.pasted == 0)
        return; /* empty lines before it */
    if (len > 0 && state.pasted + len + 2 < sizeof state.text) {
        memcpy(state.text + state.pasted, line, len);
        state.pasted += len;
        state.text[state.pasted++] = '\n';
        return;
    }
    ice_lines_stop(&state.lines); /* what follows is data */
    i->typed = state.lines.buffer;
    i->typed_len = state.lines.used;
    if (i->ice != NULL || begin(i))
        hear(i, state.text, state.pasted);
}

static void on_paste_end(void *ctx) {
    struct ice_cli *i = ctx;
    report_error(&i->report, "the input ended before the empty line after the %s", their_word(i));
    ice_end(i, EXIT_DESCRIPTION);
}

/* ---- life --------------------------------------------------------------------------------- */

static void open_files(struct ice_cli *i) {
    if (i->offer_file == NULL || i->answer_file == NULL) {
        report_error(&i->report, "--offer-file and --answer-file belong together");
        ice_end(i, EXIT_USAGE);
        return;
    }
    state.ours = controlling(i) ? i->offer_file : i->answer_file;
    state.theirs = controlling(i) ? i->answer_file : i->offer_file;
    if (controlling(i) && access(state.theirs, F_OK) == 0) {
        report_error(&i->report, "%s is there already; remove it, an old answer fits no new offer",
                     state.theirs);
        ice_end(i, EXIT_USAGE);
        return;
    }
    net_timer_set(&state.look, bk_after(net_now(i->loop), 0));
    if (controlling(i))
        (void)begin(i);
}

static void open_paste(struct ice_cli *i) {
    state.lines = (struct ice_lines){
        .fd = STDIN_FILENO, .on_line = on_pasted, .on_end = on_paste_end, .ctx = i};
    if (ice_lines_open(&state.lines, i->loop) != BK_OK) {
        report_error(&i->report, "standard input is closed; the description is read from there");
        ice_end(i, EXIT_USAGE);
        return;
    }
    if (controlling(i))
        (void)begin(i);
    else
        report_note(&i->report, "Paste the other side's offer here, with an empty line after it:");
}

static void exchange_open(struct ice_cli *i) {
    memset(&state, 0, sizeof state);
    net_timer_init(&state.look, i->loop, on_look, i);
    i->config.trickle = BK_ICE_NO_TRICKLE;
    if (i->offer_file != NULL || i->answer_file != NULL)
        open_files(i);
    else
        open_paste(i);
}

/* The first description waits for all candidates; later ones are a restart's. */
static void exchange_event(struct ice_cli *i, const struct bk_ice_event *e) {
    bool due = e->kind == BK_ICE_ON_GATHERED && !state.described;
    if (e->kind == BK_ICE_ON_RESTART)
        due = state.described;
    if (due)
        give(i);
}

static void exchange_close(struct ice_cli *i) {
    (void)i;
    ice_lines_close(&state.lines);
    net_timer_set(&state.look, BK_NEVER);
}

const struct ice_signaller ice_exchange = {
    .open = exchange_open, .event = exchange_event, .data = NULL, .close = exchange_close};
