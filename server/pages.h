/* SPDX-License-Identifier: MIT
 * The server's own HTTP pages; the relay's are in relay/upgrade.h. A new page is a function and a
 * row in pages.c. */
#ifndef SERVER_PAGES_H
#define SERVER_PAGES_H

#include "relay/upgrade.h"
#include "server/metrics.h"

enum { PAGES_HEAD_MAX = 1024, PAGES_TEXT_MAX = METRICS_TEXT_MAX + PAGES_HEAD_MAX };

struct pages_source {
    struct metrics *const *sets;
    size_t count;
    bool watcher; /* may the client read /metrics? else 403 */
};

/* Answers a request that is not the relay's: `/`, `/healthz`, `/metrics`, or 404. `out` has room
 * for PAGES_TEXT_MAX. *close: close the stream when it is written. */
void pages_put(struct text *out, const struct relay_request *request,
               const struct pages_source *source, bool *close);

#endif
