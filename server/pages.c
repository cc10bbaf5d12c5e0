/* SPDX-License-Identifier: MIT */
#include "server/pages.h"

#include <string.h>

static const char home_text[] =
    "This is a bodkin home server: it helps two machines find and reach each other.\n"
    "Nothing to see here for a browser; `bodkin --help` shows how to use it.\n";

static size_t put_home(struct metrics *const *sets, size_t count, char *out) {
    (void)sets;
    (void)count;
    memcpy(out, home_text, sizeof home_text);
    return sizeof home_text - 1;
}

static size_t put_health(struct metrics *const *sets, size_t count, char *out) {
    (void)sets;
    (void)count;
    memcpy(out, "ok\n", 4);
    return 3;
}

static const struct page {
    const char *path, *type; /* type NULL: text/plain */
    size_t (*put)(struct metrics *const *sets, size_t count, char *out);
} pages[] = {
    {"/", NULL, put_home},
    {"/healthz", NULL, put_health},
    {"/metrics", "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", metrics_print},
};

void pages_put(struct text *out, const struct relay_request *request,
               const struct pages_source *source, bool *close) {
    static _Thread_local char body[METRICS_TEXT_MAX]; /* one answer at a time in each thread */
    bool head = request->method == HTTP_HEAD, keep = request->keep_alive;
    *close = !keep;
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(pages[i].path, request->path) != 0)
            continue;
        if (request->method != HTTP_GET && !head) {
            relay_status_put(out, 405, "Allow: GET, HEAD\r\n", "only GET and HEAD\n", keep, head);
            return;
        }
        if (pages[i].put == metrics_print && !source->watcher) {
            relay_status_put(out, 403, NULL, "not from there; --metrics-from\n", keep, head);
            return;
        }
        body[pages[i].put(source->sets, source->count, body)] = '\0';
        relay_status_put(out, 200, pages[i].type, body, keep, head);
        return;
    }
    relay_status_put(out, 404, NULL, "no such page\n", keep, head);
}
