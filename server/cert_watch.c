/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: st_mtim */
#include "server/cert_watch.h"

#include <string.h>
#include <sys/stat.h>

/* All zeros where there is none to see. */
static void look(struct cert_watch *w, struct cert_sight out[CERT_WATCH_FILES]) {
    memset(out, 0, CERT_WATCH_FILES * sizeof *out);
    for (size_t i = 0; i < CERT_WATCH_FILES; i++) {
        struct stat st;
        if (w->files[i] == NULL || stat(w->files[i], &st) != 0)
            continue;
        out[i].device = (uint64_t)st.st_dev;
        out[i].inode = (uint64_t)st.st_ino;
        out[i].size = (uint64_t)st.st_size;
        out[i].changed_s = (int64_t)st.st_mtim.tv_sec;
        out[i].changed_ns = (int64_t)st.st_mtim.tv_nsec;
    }
}

void cert_watch_start(struct cert_watch *w, const char *cert, const char *key) {
    w->files[0] = cert;
    w->files[1] = key;
    look(w, w->known);
    memcpy(w->last, w->known, sizeof w->last);
}

bool cert_watch_changed(struct cert_watch *w) {
    struct cert_sight now[CERT_WATCH_FILES];
    look(w, now);
    bool still = memcmp(now, w->last, sizeof now) == 0;
    bool other = memcmp(now, w->known, sizeof now) != 0;
    memcpy(w->last, now, sizeof now);
    if (still && other)
        memcpy(w->known, now, sizeof now);
    return still && other;
}
