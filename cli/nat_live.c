/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/nat_live.h"

#include "cli/nat_text.h"
#include "cli/report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LIVE_TEXT_MAX = 16384, LABEL_COLUMNS = 17 };

void nat_live_init(struct nat_live *live, bool wanted) {
    const char *kind = getenv("TERM");
    bool dumb = kind == NULL || strcmp(kind, "dumb") == 0;
    *live = (struct nat_live){.on = wanted && !dumb && isatty(STDERR_FILENO)};
}

static const char *mark(const struct bk_nat_finding *f) {
    switch (f->status) {
    case BK_NAT_KNOWN:
        return "\342\234\223"; /* a tick */
    case BK_NAT_UNCLEAR:
        return f->reason == BK_NAT_REASON_NOT_APPLICABLE ? "-" : "?";
    case BK_NAT_PENDING:
    case BK_NAT_NOT_ASKED:
        break;
    }
    return "\302\267"; /* a dot in the middle */
}

static void line(const struct bk_nat_record *r, enum bk_nat_attr attr, size_t columns,
                 struct text *out) {
    char words[NAT_SENTENCE_MAX], whole[NAT_SENTENCE_MAX * 2];
    struct text t = text_in(whole, sizeof whole);
    const char *label = nat_text_label(attr);
    text_str(&t, mark(&r->findings[attr]));
    text_char(&t, ' ');
    text_str(&t, label);
    for (size_t column = strlen(label); column < LABEL_COLUMNS; column++)
        text_char(&t, ' ');
    text_str(&t, nat_text_finding(r, attr, words));
    while (t.len > 0 && whole[t.len - 1] == ' ')
        whole[--t.len] = '\0';
    text_bytes(out, whole, report_cut(whole, columns));
    text_char(out, '\n');
}

static size_t count_status(const struct bk_nat_record *r, enum bk_nat_status status) {
    size_t n = 0;
    for (unsigned i = 0; i < BK_NAT_ATTRS; i++)
        n += r->findings[i].status == status ? 1 : 0;
    return n;
}

size_t nat_live_lines(const struct bk_nat_record *record, size_t columns, size_t lines_max,
                      struct text *out) {
    size_t asked = BK_NAT_ATTRS - count_status(record, BK_NAT_NOT_ASKED);
    bool all = asked <= lines_max;
    size_t known = asked - count_status(record, BK_NAT_PENDING);
    size_t skip = all || known <= lines_max ? 0 : known - lines_max, n = 0;
    for (unsigned i = 0; i < BK_NAT_ATTRS; i++) {
        enum bk_nat_status status = record->findings[i].status;
        if (status == BK_NAT_NOT_ASKED || (status == BK_NAT_PENDING && !all))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        line(record, (enum bk_nat_attr)i, columns, out);
        n++;
    }
    return n;
}

/* Back to the first of our lines; what is below is cleared. */
static void go_back(struct nat_live *live) {
    if (live->shown > 0)
        fprintf(stderr, "\033[%zuA\r\033[J", live->shown);
    live->shown = 0;
}

void nat_live_show(struct nat_live *live, const struct bk_nat_record *record) {
    char lines[LIVE_TEXT_MAX];
    struct text t = text_in(lines, sizeof lines);
    struct winsize size;
    if (!live->on)
        return;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){.ws_col = 80, .ws_row = 24};
    size_t shown =
        nat_live_lines(record, size.ws_col - 1u, size.ws_row > 1 ? size.ws_row - 1u : 1, &t);
    go_back(live);
    fputs(lines, stderr);
    fflush(stderr);
    live->shown = shown;
}

void nat_live_end(struct nat_live *live) {
    go_back(live);
    if (live->on)
        fflush(stderr);
    live->on = false;
}
