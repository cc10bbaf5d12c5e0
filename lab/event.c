/* SPDX-License-Identifier: MIT */
#include "lab/event.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[LAB_EVENT_KINDS] = {
    [LAB_UP] = "up",
    [LAB_STARTED] = "started",
    [LAB_OUTPUT] = "output",
    [LAB_EXITED] = "exited",
    [LAB_CAPTURED] = "captured",
    [LAB_CHANGED] = "changed",
    [LAB_FAILED] = "failed",
    [LAB_NOTE] = "note",
    [LAB_MAPPED] = "mapped",
    [LAB_UNMAPPED] = "unmapped",
    [LAB_DROPPED] = "dropped",
    [LAB_SKIPPED] = "skipped",
};

/* A line being written. What does not fit is left out. */
struct line {
    char *out;
    size_t cap, len;
};

static void add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int put = vsnprintf(l->out + l->len, l->cap - l->len, format, args);
    va_end(args);
    if (put > 0)
        l->len += (size_t)put < l->cap - l->len ? (size_t)put : l->cap - l->len - 1;
}

/* The length of the UTF-8 character at `text` (RFC 3629 section 4); 0: it is none. Programs print
 * what they like. */
static size_t utf8_len(const unsigned char *text) {
    size_t len = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (len > 1 && (text[0] < 0xc2 || text[0] > 0xf4))
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool beyond = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || beyond ? 0 : len;
}

/* A JSON string, RFC 8259 section 7. Keeps `room` bytes free for what must come after it. */
static void add_string(struct line *l, const char *text, size_t room) {
    const unsigned char *at = (const unsigned char *)text;
    add(l, "\"");
    while (*at != '\0' && l->len + room < l->cap) {
        size_t len = utf8_len(at);
        if (*at == '"' || *at == '\\')
            add(l, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            add(l, "\\u%04x", *at);
        else if (len == 0)
            add(l, "\\ufffd");
        else
            add(l, "%.*s", (int)len, (const char *)at);
        at += len == 0 ? 1 : len;
    }
    add(l, "\"");
}

enum { TAIL_ROOM = 512 }; /* everything that follows a text */

static void add_field(struct line *l, const char *name, const char *text) {
    if (text == NULL || text[0] == '\0')
        return;
    add(l, ",\"%s\":", name);
    add_string(l, text, TAIL_ROOM);
}

static const char *endpoint(const struct lab_flow *flow, const struct bk_addr *a, char *out) {
    bool has_ports = flow->proto[0] != '\0' && a->port != 0;
    return has_ports ? bk_addr_format(a, out) : bk_ip_format(&a->ip, out);
}

static void add_endpoint(struct line *l, const char *name, const struct lab_flow *flow,
                         const struct bk_addr *a) {
    char text[BK_ADDR_TEXT_MAX];
    if (a->ip.family != 0)
        add_field(l, name, endpoint(flow, a, text));
}

char *event_json(const struct lab_event *e, char *out, size_t cap) {
    struct line l = {out, cap, 0};
    add(&l, "{\"event\":\"%s\",\"at_ms\":%" PRId64 ".%03" PRId64, names[e->kind], e->at_us / 1000,
        e->at_us % 1000);
    add_field(&l, "host", e->host);
    add_field(&l, e->kind == LAB_CAPTURED ? "variable" : "program", e->program);
    if (e->kind == LAB_OUTPUT && e->text[0] == '\0')
        add(&l, ",\"text\":\"\"");
    add_field(&l, "text", e->text);
    if (e->kind == LAB_OUTPUT)
        add_field(&l, "stream", e->is_stderr ? "stderr" : "stdout");
    if (e->kind == LAB_EXITED || e->kind == LAB_FAILED)
        add(&l, ",\"status\":%d", e->status);
    if (e->kind == LAB_FAILED)
        add(&l, ",\"line\":%u", e->line);
    add_field(&l, "reason", e->reason);
    if (e->flow != NULL) {
        add_field(&l, "proto", e->flow->proto);
        add_endpoint(&l, "from", e->flow, &e->flow->from);
        add_endpoint(&l, "outside", e->flow, &e->flow->outside);
        add_endpoint(&l, "to", e->flow, &e->flow->to);
    }
    if (e->kind == LAB_DROPPED || e->kind == LAB_SKIPPED)
        add(&l, ",\"count\":%" PRIu64, e->count);
    add(&l, "}");
    return out;
}

static void line_of_mapping(struct line *l, const struct lab_event *e) {
    char from[BK_ADDR_TEXT_MAX], outside[BK_ADDR_TEXT_MAX], to[BK_ADDR_TEXT_MAX];
    const struct lab_flow *f = e->flow;
    bool made = e->kind == LAB_MAPPED, any = f->to.ip.family == 0;
    add(l, "%s: %s %s %s %s outside%s%s", e->host, f->proto, endpoint(f, &f->from, from),
        made ? "is now" : "is no longer", endpoint(f, &f->outside, outside), any ? "" : ", for ",
        any ? "" : endpoint(f, &f->to, to));
}

static void line_of_drop(struct line *l, const struct lab_event *e) {
    char from[BK_ADDR_TEXT_MAX], to[BK_ADDR_TEXT_MAX];
    const struct lab_flow *f = e->flow;
    if (e->count > 1)
        add(l, "%s: dropped %" PRIu64 " more of ", e->host, e->count);
    else
        add(l, "%s: dropped ", e->host);
    add(l, "%s%s%s -> %s: %s", f->proto, f->proto[0] == '\0' ? "" : " ",
        endpoint(f, &f->from, from), endpoint(f, &f->to, to), e->text);
}

static void line_of_program(struct line *l, const struct lab_event *e) {
    bool own = strcmp(e->host, e->program) == 0;
    add(l, "%s%s%s: ", e->host, own ? "" : "/", own ? "" : e->program);
    if (e->kind == LAB_EXITED)
        add(l, "ended with status %d", e->status);
    else
        add(l, "%s%s", e->kind == LAB_STARTED ? "$ " : "", e->text);
}

char *event_line(const struct lab_event *e, char *out, size_t cap) {
    struct line l = {out, cap, 0};
    add(&l, "%" PRId64 ".%03" PRId64 "s ", e->at_us / 1000000, e->at_us / 1000 % 1000);
    switch (e->kind) {
    case LAB_MAPPED:
    case LAB_UNMAPPED:
        line_of_mapping(&l, e);
        break;
    case LAB_DROPPED:
        line_of_drop(&l, e);
        break;
    case LAB_STARTED:
    case LAB_OUTPUT:
    case LAB_EXITED:
        line_of_program(&l, e);
        break;
    case LAB_SKIPPED:
        add(&l, "and %" PRIu64 " more %s", e->count, e->text);
        break;
    case LAB_UP:
        add(&l, "up");
        break;
    case LAB_CAPTURED:
        add(&l, "%s is \"%s\"", e->program, e->text);
        break;
    case LAB_FAILED:
        add(&l, "line %u: %s", e->line, e->text);
        break;
    case LAB_CHANGED:
    case LAB_NOTE:
    case LAB_EVENT_KINDS:
        add(&l, "%s", e->text);
        break;
    }
    return out;
}
