/* SPDX-License-Identifier: MIT
 * Users in an SQLite file: `bodkin user` writes it, `bodkin serve` reads it. Keys only, no
 * passwords (RFC 8489 section 9.2.2 makes keys of name, realm and password; whoever reads a key can
 * use it in that realm, so the file is for its owner alone). */
#ifndef SERVER_USERS_DB_H
#define SERVER_USERS_DB_H

#include "server/users_book.h"

enum { USERS_DB_REASON_MAX = 256, USERS_DB_MAX = 1000000 };

struct users_db; /* opaque; one thread */

/* Opens the file; with `write`, makes it where there is none. BK_ERR_NOT_FOUND, BK_ERR_PERMISSION,
 * BK_ERR_MALFORMED: not ours; `reason` (room for USERS_DB_REASON_MAX) gets one sentence. */
BK_MUST_USE enum bk_err users_db_open(const char *path, bool write, struct users_db **out,
                                      char *reason);
void users_db_close(struct users_db *db); /* NULL is fine */

struct users_row {
    const char *name, *realm;
    struct users_entry entry;
};

/* Adds, or replaces the user of that name and realm. BK_ERR_IO, with `reason`. */
BK_MUST_USE enum bk_err users_db_put(struct users_db *db, const struct users_row *row,
                                     char *reason);
/* BK_ERR_NOT_FOUND: there is none. BK_ERR_IO. */
BK_MUST_USE enum bk_err users_db_remove(struct users_db *db, const char *name, const char *realm,
                                        char *reason);
/* Calls `each` for every user of `realm` (NULL: of all), by realm and name, until it gives false.
 * BK_ERR_IO. */
BK_MUST_USE enum bk_err users_db_each(struct users_db *db, const char *realm,
                                      bool (*each)(void *ctx, const struct users_row *row),
                                      void *ctx, char *reason);
/* How many of that realm. BK_ERR_IO. */
BK_MUST_USE enum bk_err users_db_count(struct users_db *db, const char *realm, uint32_t *out,
                                       char *reason);
/* A number that changes when another program has changed the file. */
uint64_t users_db_version(struct users_db *db);

#endif
