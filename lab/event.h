/* SPDX-License-Identifier: MIT
 * An event of a lab as a line of text: JSON for programs, words for people. */
#ifndef LAB_EVENT_H
#define LAB_EVENT_H

#include "lab/run.h"
#include <stddef.h>

enum {
    EVENT_JSON_MAX = 64 * 1024, /* a line of output, every byte escaped */
    EVENT_LINE_MAX = 1024
};

/* One JSON object without a newline: "event", "at_ms" and what applies of "host", "program",
 * "variable", "text", "stream", "status", "line", "reason", "proto", "from", "outside", "to",
 * "count". What does not fit into `cap` is cut from the text. Returns `out`. */
char *event_json(const struct lab_event *event, char *out, size_t cap);
/* "1.234s alice-router: udp 192.168.1.10:5000 is 203.0.113.1:5000 outside", without a newline.
 * Returns `out`. */
char *event_line(const struct lab_event *event, char *out, size_t cap);

#endif
