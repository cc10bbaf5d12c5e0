/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: clock_gettime, gmtime_r, write */
#include "server/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 5, TIME_MAX = 32 };

static struct {
    atomic_int least; /* enum log_level; both may change while others write */
    atomic_bool json;
} setup = {LOG_INFO, false};

/* Lines in the present second, and what was left out. Races lose a count at worst. */
static struct {
    atomic_llong second;
    atomic_uint lines, left_out;
} limits[LOG_TOPICS];

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level least, bool json) {
    setup.least = (int)least;
    setup.json = json;
}

bool log_level_parse(const char *text, enum log_level *out) {
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void put(struct log_line *l, const char *text, size_t len) {
    size_t room = sizeof l->text - 1 - l->len; /* the newline has its place */
    if (len > room)
        len = room;
    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static void put_text(struct log_line *l, const char *text) {
    put(l, text, strlen(text));
}

/* Quotes what could be mistaken for more keys or lines: names and reasons come from outside. */
static void put_value(struct log_line *l, const char *value) {
    bool plain = !setup.json && *value != '\0' && strpbrk(value, " =\"\\\t\r\n") == NULL;
    if (!plain)
        put_text(l, "\"");
    for (const char *p = value; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        char escaped[8];
        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof escaped, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            snprintf(escaped, sizeof escaped, "\\u%04x", c);
        else
            snprintf(escaped, sizeof escaped, "%c", c);
        put_text(l, escaped);
    }
    if (!plain)
        put_text(l, "\"");
}

static void put_key(struct log_line *l, const char *key) {
    put_text(l, setup.json ? ",\"" : " ");
    put_text(l, key);
    put_text(l, setup.json ? "\":" : "=");
}

/* May this line be written? *left_out is what was not since the last one. */
static bool within_limit(enum log_topic topic, long long second, unsigned *left_out) {
    if (topic == LOG_ALWAYS)
        return true;
    if (atomic_exchange(&limits[topic].second, second) != second)
        atomic_store(&limits[topic].lines, 0);
    if (atomic_fetch_add(&limits[topic].lines, 1) >= BURST) {
        atomic_fetch_add(&limits[topic].left_out, 1);
        return false;
    }
    *left_out = atomic_exchange(&limits[topic].left_out, 0);
    return true;
}

void log_begin(struct log_line *l, enum log_level level, enum log_topic topic, const char *event) {
    struct timespec now;
    struct tm utc;
    char date[TIME_MAX], fraction[TIME_MAX];
    unsigned left_out = 0;
    l->len = 0;
    l->wanted = (int)level >= setup.least;
    clock_gettime(CLOCK_REALTIME, &now);
    if (l->wanted)
        l->wanted = within_limit(topic, (long long)now.tv_sec, &left_out);
    if (!l->wanted)
        return;
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(fraction, sizeof fraction, ".%03uZ", (unsigned)(now.tv_nsec / 1000000));
    put_text(l, setup.json ? "{\"time\":\"" : "");
    put_text(l, date);
    put_text(l, fraction);
    put_text(l, setup.json ? "\",\"level\":\"" : " ");
    put_text(l, level_names[level]);
    put_text(l, setup.json ? "\",\"event\":" : " ");
    put_value(l, event);
    if (left_out > 0)
        log_number(l, "left_out", left_out);
}

void log_text(struct log_line *l, const char *key, const char *value) {
    if (!l->wanted)
        return;
    put_key(l, key);
    put_value(l, value);
}

void log_number(struct log_line *l, const char *key, uint64_t value) {
    char text[24];
    if (!l->wanted)
        return;
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    put_key(l, key);
    put_text(l, text);
}

void log_addr(struct log_line *l, const char *key, const struct bk_addr *addr) {
    char text[BK_ADDR_TEXT_MAX];
    if (l->wanted)
        log_text(l, key, bk_addr_format(addr, text));
}

void log_end(struct log_line *l) {
    if (!l->wanted)
        return;
    if (setup.json)
        put_text(l, "}");
    l->text[l->len++] = '\n';
    ssize_t written = write(STDERR_FILENO, l->text, l->len);
    (void)written; /* nowhere to complain about a log that cannot be written */
}

void log_event(enum log_level level, const char *event, const char *key, const char *value) {
    struct log_line l;
    log_begin(&l, level, LOG_ALWAYS, event);
    log_text(&l, key, value);
    log_end(&l);
}
