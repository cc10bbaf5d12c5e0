/* SPDX-License-Identifier: MIT
 * Private to import*.c. */
#ifndef SERVER_IMPORT_INT_H
#define SERVER_IMPORT_INT_H

enum import_kind {
    IMPORT_SAME,  /* another name, the same value */
    IMPORT_COUNT, /* the same, but 0 was no limit: ours stays */
    IMPORT_FLAG,
    IMPORT_BYTES, /* bytes per second to bits */
    IMPORT_TURNS,
    IMPORT_NO_TLS,
    IMPORT_NO_DTLS,
    IMPORT_RELAY,
    IMPORT_EXTERNAL,
    IMPORT_MIN_PORT,
    IMPORT_MAX_PORT,
    IMPORT_VERBOSE,
    IMPORT_ALLOW,
    IMPORT_DENY,
    IMPORT_LOOPBACK,
    IMPORT_SEPARATOR,
    IMPORT_ALWAYS, /* nothing to do */
    IMPORT_NEVER   /* cannot; `note` says what to do instead */
};

struct import_row {
    const char *name;
    enum import_kind kind;
    const char *ours, *note;
};

extern const struct import_row import_table[];
/* NULL: coturn has no such option, as far as we know. */
const struct import_row *import_find(const char *name);

#endif
