/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "../test.h"
#include "server/users_db.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/bodkin-users-XXXXXX", path[64];

static int make_dir(void **state) {
    (void)state;
    return mkdtemp(dir) == NULL || snprintf(path, sizeof path, "%s/users.db", dir) < 0;
}

static int remove_dir(void **state) {
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static struct users_db *open_db(bool write) {
    char reason[USERS_DB_REASON_MAX] = "";
    struct users_db *db = NULL;
    if (users_db_open(path, write, &db, reason) != BK_OK)
        fail_msg("%s", reason);
    return db;
}

static void put(struct users_db *db, const char *name, const char *realm, const char *password) {
    char reason[USERS_DB_REASON_MAX];
    struct users_row row = {.name = name, .realm = realm};
    assert_int_equal(users_entry_make(name, realm, password, &row.entry), BK_OK);
    row.entry.allocations_max = 7;
    row.entry.bytes_per_s = 1000;
    assert_int_equal(users_db_put(db, &row, reason), BK_OK);
}

struct seen {
    char names[8][32];
    struct users_entry entries[8];
    size_t count;
};

static bool see(void *ctx, const struct users_row *row) {
    struct seen *seen = ctx;
    assert_true(seen->count < 8);
    snprintf(seen->names[seen->count], sizeof seen->names[0], "%s@%s", row->name, row->realm);
    seen->entries[seen->count++] = row->entry;
    return true;
}

static void what_is_put_in_comes_out(void **state) {
    char reason[USERS_DB_REASON_MAX];
    struct seen seen = {.count = 0};
    struct users_entry alice;
    uint32_t count = 0;
    struct stat st;
    (void)state;
    assert_int_equal(users_db_open(path, false, &(struct users_db *){NULL}, reason),
                     BK_ERR_NOT_FOUND);
    struct users_db *writer = open_db(true), *reader = open_db(false);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    uint64_t before = users_db_version(reader);
    assert_true(before != 0 && before == users_db_version(reader));
    put(writer, "alice", "bodkin", "sesame");
    put(writer, "bob", "bodkin", "tahini");
    put(writer, "alice", "other", "halva");
    put(writer, "alice", "bodkin", "new"); /* replaces */
    assert_true(before != users_db_version(reader));
    assert_int_equal(users_db_count(reader, "bodkin", &count, reason), BK_OK);
    assert_int_equal(count, 2);
    assert_int_equal(users_db_each(reader, "bodkin", see, &seen, reason), BK_OK);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.names[0], "alice@bodkin");
    assert_string_equal(seen.names[1], "bob@bodkin");
    assert_int_equal(users_entry_make("alice", "bodkin", "new", &alice), BK_OK);
    assert_memory_equal(seen.entries[0].md5, alice.md5, sizeof alice.md5);
    assert_memory_equal(seen.entries[0].sha256, alice.sha256, sizeof alice.sha256);
    assert_int_equal(seen.entries[0].allocations_max, 7);
    assert_int_equal(seen.entries[0].bytes_per_s, 1000);
    seen.count = 0;
    assert_int_equal(users_db_each(reader, NULL, see, &seen, reason), BK_OK);
    assert_int_equal(seen.count, 3);
    assert_int_equal(users_db_remove(writer, "bob", "bodkin", reason), BK_OK);
    assert_int_equal(users_db_remove(writer, "bob", "bodkin", reason), BK_ERR_NOT_FOUND);
    assert_int_equal(users_db_count(reader, "bodkin", &count, reason), BK_OK);
    assert_int_equal(count, 1);
    users_db_close(writer);
    users_db_close(reader);
}

static void the_file_has_no_password(void **state) {
    static char bytes[65536];
    (void)state;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (size_t i = 0; i + 6 <= len; i++)
        assert_true(memcmp(bytes + i, "sesame", 6) != 0 && memcmp(bytes + i, "tahini", 6) != 0);
}

static void what_is_not_ours_is_left_alone(void **state) {
    char reason[USERS_DB_REASON_MAX] = "";
    struct users_db *db;
    (void)state;
    unlink(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("name = value, a file of something else altogether\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(users_db_open(path, false, &db, reason), BK_ERR_MALFORMED);
    assert_true(reason[0] != '\0');
    assert_int_equal(users_db_open(path, true, &db, reason), BK_ERR_MALFORMED);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(users_db_open(path, true, &db, reason), BK_ERR_PERMISSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_in_comes_out),
        cmocka_unit_test(the_file_has_no_password),
        cmocka_unit_test(what_is_not_ours_is_left_alone),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
