/* SPDX-License-Identifier: MIT
 * Has a certificate's file changed? Asked every two seconds: that works on every file system, and
 * with files that are replaced, linked or mounted. */
#ifndef SERVER_CERT_WATCH_H
#define SERVER_CERT_WATCH_H

#include "net/loop.h"
#include <stdint.h>

enum { CERT_WATCH_FILES = 2 };

/* What a file looked like. */
struct cert_sight {
    uint64_t device, inode, size;
    int64_t changed_s, changed_ns;
};

struct cert_watch {
    struct net_timer timer;
    const char *files[CERT_WATCH_FILES]; /* NULL: none */
    struct cert_sight known[CERT_WATCH_FILES], last[CERT_WATCH_FILES];
};

/* Looks at the files as they are now; the texts are borrowed. */
void cert_watch_start(struct cert_watch *w, const char *cert, const char *key);
/* Have they changed since the start or the last time this gave true, and not since the last call? A
 * file that is being written, or one of two, is left a moment. */
bool cert_watch_changed(struct cert_watch *w);

#endif
