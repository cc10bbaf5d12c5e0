/* SPDX-License-Identifier: MIT
 * What the user sees, all of it on standard error: a status line on a terminal, JSON events for
 * scripts (--json, one object a line), one sentence when something fails. Without a terminal and
 * without --json there is silence unless something fails. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

struct report {
    bool json, status; /* status: standard error is a terminal */
    bool line_shown;
    const char *command;
    struct bk_time start;
};

void report_init(struct report *r, const char *command, bool json, struct bk_time now);
/* Replaces the status line. printf's format. */
void report_status(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line that stays, on a terminal only. */
void report_note(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A sentence that is shown always (in JSON as an event "error" with "text"). Ends the status line.
 */
void report_error(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Leaves the cursor at the start of an empty line. */
void report_end(struct report *r);

/* Starts {"event":NAME,"after_ms":since start}; NULL without --json. Fields are added with cJSON's
 * functions, which accept NULL. report_send() prints and frees it; NULL is fine. */
struct cJSON *report_event(struct report *r, const char *name, struct bk_time now);
void report_send(struct report *r, struct cJSON *event);

/* How many bytes of UTF-8 text fit into so many columns, a letter taking one. */
size_t report_cut(const char *text, size_t columns);
/* "12.3 MB", "512 B"; `out` has room for 24. Returns `out`. */
char *report_bytes(uint64_t bytes, char *out);

#endif
