/* SPDX-License-Identifier: MIT
 * What was measured: named figures, printed as lines for people or as one JSON object. */
#ifndef CLI_TURN_RESULT_H
#define CLI_TURN_RESULT_H

#include "cli/turn_histogram.h"
#include "cli/turn_usage.h"

#include <bodkin/addr.h>
#include <stdbool.h>

struct cJSON;

struct turn_result {
    struct cJSON *object; /* NULL: out of memory, and nothing is printed */
    bool json;
};

void turn_result_init(struct turn_result *r, bool json);
void turn_result_text(struct turn_result *r, const char *name, const char *value);
void turn_result_addr(struct turn_result *r, const char *name, const struct bk_addr *addr);
void turn_result_number(struct turn_result *r, const char *name, double value);
/* NAME_us: {"count": "p50": "p90": "p99": "max":}; nothing when it is empty. */
void turn_result_histogram(struct turn_result *r, const char *name, const struct turn_histogram *h);
/* Between two looks at a process: cpu_s, cpu_s_per_million of `events`, rss_kb. */
void turn_result_usage(struct turn_result *r, const struct turn_usage *before,
                       const struct turn_usage *after, uint64_t events);
/* On standard output, and the end of it. */
void turn_result_print(struct turn_result *r);

#endif
