/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: open, fchmod */
#include "server/users_db.h"

#include "base/wipe.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    WAIT_MS = 2000, /* for another writer */
    APPLICATION_ID = 0x626f646b
};

struct users_db {
    sqlite3 *sql;
};

static const char schema[] =
    "PRAGMA application_id = 1651467371;" /* APPLICATION_ID */
    "CREATE TABLE IF NOT EXISTS users ("
    " realm TEXT NOT NULL, name TEXT NOT NULL, md5 BLOB, sha256 BLOB,"
    " allocations_max INTEGER NOT NULL DEFAULT 0, bytes_per_s INTEGER NOT NULL DEFAULT 0,"
    " PRIMARY KEY (realm, name)) WITHOUT ROWID;";

static enum bk_err said(struct users_db *db, enum bk_err err, char *reason) {
    snprintf(reason, USERS_DB_REASON_MAX, "%s", sqlite3_errmsg(db->sql));
    return err;
}

/* For its owner alone from the first moment on. */
static enum bk_err make_file(const char *path, char *reason) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0) {
        snprintf(reason, USERS_DB_REASON_MAX, "cannot make %.200s", path);
        return BK_ERR_PERMISSION;
    }
    bool open_to_all = fstat(fd, &st) == 0 && (st.st_mode & 0007) != 0;
    close(fd);
    if (open_to_all) {
        snprintf(reason, USERS_DB_REASON_MAX, "%.200s can be read by everybody; chmod o= it", path);
        return BK_ERR_PERMISSION;
    }
    return BK_OK;
}

/* The one number that `text` gives; -1: an error. */
static int64_t number_of(struct users_db *db, const char *text) {
    sqlite3_stmt *ask = NULL;
    int64_t number = -1;
    if (sqlite3_prepare_v2(db->sql, text, -1, &ask, NULL) == SQLITE_OK &&
        sqlite3_step(ask) == SQLITE_ROW)
        number = sqlite3_column_int64(ask, 0);
    sqlite3_finalize(ask);
    return number;
}

static enum bk_err prepare_file(struct users_db *db, bool write, char *reason) {
    sqlite3_busy_timeout(db->sql, WAIT_MS);
    int64_t id = number_of(db, "PRAGMA application_id");
    if (id < 0)
        return said(db, BK_ERR_MALFORMED, reason);
    bool empty = id == 0 && number_of(db, "PRAGMA schema_version") == 0;
    if (write && empty)
        return sqlite3_exec(db->sql, schema, NULL, NULL, NULL) == SQLITE_OK
                   ? BK_OK
                   : said(db, BK_ERR_IO, reason);
    if (id == APPLICATION_ID)
        return BK_OK;
    snprintf(reason, USERS_DB_REASON_MAX, "not a file of `bodkin user`");
    return BK_ERR_MALFORMED;
}

enum bk_err users_db_open(const char *path, bool write, struct users_db **out, char *reason) {
    int flags = write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    enum bk_err err = write ? make_file(path, reason) : BK_OK;
    if (err != BK_OK)
        return err;
    struct users_db *db = sqlite3_malloc(sizeof *db);
    if (db == NULL)
        return BK_ERR_NO_MEMORY;
    db->sql = NULL;
    if (sqlite3_open_v2(path, &db->sql, flags, NULL) != SQLITE_OK) {
        snprintf(reason, USERS_DB_REASON_MAX, "cannot open %.180s%s", path,
                 write ? "" : "; `bodkin user add` makes one");
        err = BK_ERR_NOT_FOUND;
    } else {
        err = prepare_file(db, write, reason);
    }
    if (err == BK_OK)
        *out = db;
    else
        users_db_close(db);
    return err;
}

void users_db_close(struct users_db *db) {
    if (db == NULL)
        return;
    sqlite3_close(db->sql);
    sqlite3_free(db);
}

static void bind_key(sqlite3_stmt *put, int at, bool has, const uint8_t *key, int len) {
    if (has)
        sqlite3_bind_blob(put, at, key, len, SQLITE_STATIC);
    else
        sqlite3_bind_null(put, at);
}

/* Runs a statement that gives no rows. */
static enum bk_err finish(struct users_db *db, sqlite3_stmt *statement, char *reason) {
    enum bk_err err = sqlite3_step(statement) == SQLITE_DONE ? BK_OK : said(db, BK_ERR_IO, reason);
    sqlite3_finalize(statement);
    return err;
}

enum bk_err users_db_put(struct users_db *db, const struct users_row *row, char *reason) {
    static const char text[] = "INSERT OR REPLACE INTO users"
                               " (realm, name, md5, sha256, allocations_max, bytes_per_s)"
                               " VALUES (?, ?, ?, ?, ?, ?)";
    const struct users_entry *e = &row->entry;
    sqlite3_stmt *put;
    if (sqlite3_prepare_v2(db->sql, text, -1, &put, NULL) != SQLITE_OK)
        return said(db, BK_ERR_IO, reason);
    sqlite3_bind_text(put, 1, row->realm, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 2, row->name, -1, SQLITE_STATIC);
    bind_key(put, 3, e->has_md5, e->md5, sizeof e->md5);
    bind_key(put, 4, e->has_sha256, e->sha256, sizeof e->sha256);
    sqlite3_bind_int64(put, 5, e->allocations_max);
    sqlite3_bind_int64(put, 6, (sqlite3_int64)e->bytes_per_s);
    return finish(db, put, reason);
}

enum bk_err users_db_remove(struct users_db *db, const char *name, const char *realm,
                            char *reason) {
    sqlite3_stmt *cut;
    if (sqlite3_prepare_v2(db->sql, "DELETE FROM users WHERE realm = ? AND name = ?", -1, &cut,
                           NULL) != SQLITE_OK)
        return said(db, BK_ERR_IO, reason);
    sqlite3_bind_text(cut, 1, realm, -1, SQLITE_STATIC);
    sqlite3_bind_text(cut, 2, name, -1, SQLITE_STATIC);
    enum bk_err err = finish(db, cut, reason);
    if (err == BK_OK && sqlite3_changes(db->sql) == 0) {
        snprintf(reason, USERS_DB_REASON_MAX, "there is no user \"%.100s\" in realm \"%.40s\"",
                 name, realm);
        return BK_ERR_NOT_FOUND;
    }
    return err;
}

static bool read_key(sqlite3_stmt *row, int column, uint8_t *out, int len) {
    const void *bytes = sqlite3_column_blob(row, column);
    if (bytes == NULL || sqlite3_column_bytes(row, column) != len)
        return false;
    memcpy(out, bytes, (size_t)len);
    return true;
}

/* A limit somebody wrote by other means may be anything. */
static int64_t read_limit(sqlite3_stmt *row, int column, int64_t max) {
    int64_t value = sqlite3_column_int64(row, column);
    return value < 0 ? 0 : value > max ? max : value;
}

static void read_row(sqlite3_stmt *at, struct users_row *out) {
    memset(out, 0, sizeof *out);
    out->realm = (const char *)sqlite3_column_text(at, 0);
    out->name = (const char *)sqlite3_column_text(at, 1);
    out->entry.has_md5 = read_key(at, 2, out->entry.md5, sizeof out->entry.md5);
    out->entry.has_sha256 = read_key(at, 3, out->entry.sha256, sizeof out->entry.sha256);
    out->entry.allocations_max = (uint32_t)read_limit(at, 4, UINT32_MAX);
    out->entry.bytes_per_s = (uint64_t)read_limit(at, 5, INT64_MAX);
}

enum bk_err users_db_each(struct users_db *db, const char *realm,
                          bool (*each)(void *ctx, const struct users_row *row), void *ctx,
                          char *reason) {
    static const char text[] =
        "SELECT realm, name, md5, sha256, allocations_max, bytes_per_s FROM users"
        " WHERE ?1 IS NULL OR realm = ?1 ORDER BY realm, name";
    struct users_row row;
    sqlite3_stmt *at;
    if (sqlite3_prepare_v2(db->sql, text, -1, &at, NULL) != SQLITE_OK)
        return said(db, BK_ERR_IO, reason);
    if (realm != NULL)
        sqlite3_bind_text(at, 1, realm, -1, SQLITE_STATIC);
    bool more = true;
    int step = SQLITE_ROW;
    while (more && (step = sqlite3_step(at)) == SQLITE_ROW) {
        read_row(at, &row);
        more = row.name == NULL || row.realm == NULL || each(ctx, &row);
    }
    enum bk_err err = !more || step == SQLITE_DONE ? BK_OK : said(db, BK_ERR_IO, reason);
    wipe(&row, sizeof row);
    sqlite3_finalize(at);
    return err;
}

enum bk_err users_db_count(struct users_db *db, const char *realm, uint32_t *out, char *reason) {
    sqlite3_stmt *at;
    if (sqlite3_prepare_v2(db->sql, "SELECT count(*) FROM users WHERE realm = ?", -1, &at, NULL) !=
        SQLITE_OK)
        return said(db, BK_ERR_IO, reason);
    sqlite3_bind_text(at, 1, realm, -1, SQLITE_STATIC);
    bool row = sqlite3_step(at) == SQLITE_ROW;
    int64_t count = row ? sqlite3_column_int64(at, 0) : 0;
    enum bk_err err = row ? BK_OK : said(db, BK_ERR_IO, reason);
    sqlite3_finalize(at);
    if (err == BK_OK)
        *out = count > USERS_DB_MAX ? USERS_DB_MAX : (uint32_t)count;
    return err;
}

uint64_t users_db_version(struct users_db *db) {
    int64_t version = number_of(db, "PRAGMA data_version");
    return version < 0 ? 0 : (uint64_t)version;
}
