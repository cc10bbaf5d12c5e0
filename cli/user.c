/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: isatty, fileno */
#include "cli/command.h"
#include "cli/options.h"

#include "base/text.h"
#include "base/wipe.h"
#include "server/options.h"
#include "server/store.h"
#include "server/users_db.h"
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const char help[] =
    "bodkin user add NAME       adds a TURN user, or gives one a new password\n"
    "bodkin user list           shows who there is\n"
    "bodkin user remove NAME    removes one\n"
    "\n"
    "A server that runs with `bodkin serve --users FILE` sees the change within two\n"
    "seconds. The password is asked for, or is the first line of standard input; the\n"
    "file has keys made of name, realm and password, not the password. \"0x\" and 32 or\n"
    "64 hexadecimal digits are taken for the key itself (MD5, SHA-256).\n"
    "\n"
    "  --db FILE              (default: users.db beside the server's keys)\n"
    "  --realm TEXT           as the server's --realm (default bodkin)\n"
    "  --allocations-max N    of this user; 0: as everybody (0)\n"
    "  --bandwidth BITS       per second, like 8M; 0: as everybody (0)\n"
    "  --help                 this text\n";

enum { PATH_LEN = 4096, PASSWORD_LEN = 256, BITS = 8 };

struct user_command {
    const char *file, *realm, *bandwidth;
    uint32_t allocations_max;
    char path[PATH_LEN];
};

static int fail(enum exit_code code, const char *sentence) {
    fprintf(stderr, "bodkin user: %s\n", sentence);
    return (int)code;
}

static bool read_line(char out[PASSWORD_LEN]) {
    if (fgets(out, PASSWORD_LEN, stdin) == NULL || strchr(out, '\n') == NULL)
        return false;
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

/* Without showing it. */
static bool ask_for(const char *prompt, char out[PASSWORD_LEN]) {
    struct termios shown, hidden;
    int terminal = fileno(stdin);
    if (tcgetattr(terminal, &shown) != 0)
        return false;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    fputs(prompt, stderr);
    if (tcsetattr(terminal, TCSAFLUSH, &hidden) != 0)
        return false;
    bool read = read_line(out);
    (void)tcsetattr(terminal, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    return read;
}

static bool read_password(char out[PASSWORD_LEN]) {
    char again[PASSWORD_LEN];
    if (isatty(fileno(stdin)) == 0)
        return read_line(out);
    bool same = ask_for("Password: ", out) && ask_for("Again: ", again) && strcmp(out, again) == 0;
    wipe(again, sizeof again);
    return same;
}

static enum exit_code choose_path(struct user_command *c) {
    struct text t = text_in(c->path, sizeof c->path);
    char dir[PATH_LEN];
    if (c->file != NULL) {
        text_str(&t, c->file);
    } else {
        if (store_default_dir(dir, sizeof dir) != BK_OK)
            return (enum exit_code)fail(EXIT_KEY, "no folder for users.db; use --db FILE");
        text_str(&t, dir);
        text_str(&t, "/users.db");
    }
    return t.cut ? (enum exit_code)fail(EXIT_USAGE, "the file's name is too long") : EXIT_FINE;
}

static int add(struct user_command *c, const char *name) {
    static struct server_options limits;
    char password[PASSWORD_LEN], reason[SERVER_TEXT_MAX];
    struct users_row row = {.name = name, .realm = c->realm};
    struct users_db *db;
    const struct server_option *rate = server_option_find("bandwidth");
    if (c->bandwidth != NULL && server_option_set(&limits, rate, c->bandwidth, reason) != BK_OK)
        return fail(EXIT_USAGE, reason);
    if (!read_password(password))
        return fail(EXIT_USAGE, "no password, or not the same one twice");
    enum bk_err err = users_entry_make(name, c->realm, password, &row.entry);
    wipe(password, sizeof password);
    if (err != BK_OK)
        return fail(EXIT_USAGE, "the name or the password is empty, too long or not UTF-8");
    row.entry.allocations_max = c->allocations_max;
    row.entry.bytes_per_s = (uint64_t)limits.turn.bandwidth / BITS;
    err = users_db_open(c->path, true, &db, reason);
    if (err != BK_OK)
        return fail(EXIT_KEY, reason);
    err = users_db_put(db, &row, reason);
    wipe(&row, sizeof row);
    users_db_close(db);
    return err == BK_OK ? EXIT_FINE : fail(EXIT_OTHER, reason);
}

static bool print_row(void *ctx, const struct users_row *row) {
    (void)ctx;
    printf("%-32s %-28s %10u %14llu\n", row->name, row->realm, (unsigned)row->entry.allocations_max,
           (unsigned long long)row->entry.bytes_per_s * BITS);
    return true;
}

static int list(struct user_command *c, bool one_realm) {
    char reason[SERVER_TEXT_MAX];
    struct users_db *db;
    if (users_db_open(c->path, false, &db, reason) != BK_OK)
        return fail(EXIT_KEY, reason);
    printf("%-32s %-28s %10s %14s\n", "# name", "realm", "allocations", "bits/s");
    enum bk_err err = users_db_each(db, one_realm ? c->realm : NULL, print_row, NULL, reason);
    users_db_close(db);
    return err == BK_OK ? EXIT_FINE : fail(EXIT_OTHER, reason);
}

static int cut(struct user_command *c, const char *name) {
    char reason[SERVER_TEXT_MAX];
    struct users_db *db;
    if (access(c->path, F_OK) != 0)
        return fail(EXIT_KEY, "there is no such file of users");
    if (users_db_open(c->path, true, &db, reason) != BK_OK)
        return fail(EXIT_KEY, reason);
    enum bk_err err = users_db_remove(db, name, c->realm, reason);
    users_db_close(db);
    return err == BK_OK ? EXIT_FINE : fail(EXIT_OTHER, reason);
}

int cmd_user(int argc, char **argv) {
    static struct user_command c;
    const struct option_row rows[] = {
        {"db", '\0', OPTION_TEXT, &c.file},
        {"realm", '\0', OPTION_TEXT, &c.realm},
        {"bandwidth", '\0', OPTION_TEXT, &c.bandwidth},
        {"allocations-max", '\0', OPTION_NUMBER, &c.allocations_max},
        {NULL, 0, OPTION_FLAG, NULL},
    };
    struct option_words words = {.max = 2};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    bool one_realm = c.realm != NULL;
    if (!one_realm)
        c.realm = server_options_default.turn.realm.text;
    if (strlen(c.realm) == 0 || strlen(c.realm) > SERVER_REALM_MAX)
        return fail(EXIT_USAGE, "a realm has 1 to 28 bytes");
    if (words.count == 0)
        return fail(EXIT_USAGE, "add, list or remove? See bodkin user --help");
    enum exit_code code = choose_path(&c);
    if (code != EXIT_FINE)
        return (int)code;
    if (strcmp(words.items[0], "list") == 0 && words.count == 1)
        return list(&c, one_realm);
    if (strcmp(words.items[0], "add") == 0 && words.count == 2)
        return add(&c, words.items[1]);
    if (strcmp(words.items[0], "remove") == 0 && words.count == 2)
        return cut(&c, words.items[1]);
    return fail(EXIT_USAGE, "not understood; see bodkin user --help");
}
