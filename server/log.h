/* SPDX-License-Identifier: MIT
 * The server's log: one line per event on standard error, `time level event key=value ...`, or one
 * JSON object per line. Any thread; a line is written with one write(2), so lines do not mix. Lines
 * about what strangers do are limited per event: the first five in a second, then a count. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <bodkin/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Any time: the next lines are so. */
void log_setup(enum log_level least, bool json);
/* "debug", "info", "warn" or "error". false: none of them. */
bool log_level_parse(const char *text, enum log_level *out);

enum { LOG_LINE_MAX = 1024 };

/* A line being built; log_end() writes it. */
struct log_line {
    char text[LOG_LINE_MAX];
    size_t len;
    bool wanted;
};

enum { LOG_TURN_RULES = 32 }; /* no fewer than TURN_RULES */

/* What may be logged often, by whose doing. */
enum log_topic {
    LOG_ALWAYS, /* our own doing: never limited */
    LOG_TLS_FAILED,
    LOG_HTTP_BAD,
    LOG_RELAY_CLOSED,
    LOG_REFUSED,
    LOG_CONNECTION,
    LOG_USERS_URL,
    LOG_TURN_REFUSED, /* one for each enum turn_rule */
    LOG_TOPICS = LOG_TURN_REFUSED + LOG_TURN_RULES
};

void log_begin(struct log_line *l, enum log_level level, enum log_topic topic, const char *event);
void log_text(struct log_line *l, const char *key, const char *value);
void log_number(struct log_line *l, const char *key, uint64_t value);
void log_addr(struct log_line *l, const char *key, const struct bk_addr *addr);
void log_end(struct log_line *l);

/* One event with one text. */
void log_event(enum log_level level, const char *event, const char *key, const char *value);

#endif
