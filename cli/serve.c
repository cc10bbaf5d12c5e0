/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: strdup */
#include "cli/command.h"

#include "base/wipe.h"
#include "server/check.h"
#include "server/config.h"
#include "server/import.h"
#include "server/options_copy.h"
#include "server/server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_LEN = 64, IMPORT_MAX = 1 << 20 };

static const char head[] =
    "bodkin serve                  runs a home server: STUN, TURN and the relay\n"
    "\n"
    "Needs no configuration. Prints the one line to give to clients,\n"
    "`home: https://HOST[:PORT]#PIN`, and logs to standard error. SIGHUP reads the\n"
    "options again; SIGUSR2 hands everything over to the version that is installed\n"
    "now; SIGINT and SIGTERM end it.\n"
    "\n";
static const char tail[] =
    "  --config FILE        read options from an INI file: `https = 8443`\n"
    "  --check              say what is wrong and what would happen, then end\n"
    "  --import FILE        print a coturn configuration as ours, then end\n"
    "  --help-turn          TURN; on with --turn-user NAME:PASSWORD\n"
    "  --help-more          the other options\n";
static const char head_turn[] =
    "bodkin serve --turn-user NAME:PASSWORD         a TURN server\n"
    "bodkin serve --turn-secret @/etc/turn.secret   ... for time-limited names (REST)\n"
    "bodkin user add NAME; bodkin serve --users ~/.local/state/bodkin/users.db\n"
    "\n";

/* The command line, read once to check it and again whenever the server is told to. A copy, since
 * the original is what other users of the machine can see. */
struct command_line {
    int argc;
    char **argv, **seen; /* the copy; the original */
    bool check, loud;    /* loud: mistakes are told on standard error */
    const char *file, *import;
    char **command;              /* the program and the copy */
    char first[SERVER_TEXT_MAX]; /* the first mistake */
    enum exit_code code;
};

static void print_help(enum server_option_group group, const char *before, const char *after) {
    char options[SERVER_HELP_MAX];
    fputs(before, stdout);
    fputs(server_options_help(group, options), stdout);
    fputs(after, stdout);
}

static bool help_asked_for(const char *word) {
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        print_help(SERVER_GROUP_GENERAL, head, tail);
    else if (strcmp(word, "--help-turn") == 0)
        print_help(SERVER_GROUP_TURN, head_turn, "");
    else if (strcmp(word, "--help-more") == 0)
        print_help(SERVER_GROUP_MORE, "bodkin serve, the rarer options:\n\n", "");
    else
        return false;
    return true;
}

static void mistake(struct command_line *c, enum exit_code code, const char *sentence) {
    if (c->code == EXIT_FINE) {
        c->code = code;
        snprintf(c->first, sizeof c->first, "%s", sentence);
    }
    if (c->loud)
        fprintf(stderr, "bodkin serve: %s\n", sentence);
}

static void wrong(struct command_line *c, const char *sentence, const char *word) {
    char text[SERVER_TEXT_MAX];
    snprintf(text, sizeof text, "%.500s%.200s; see bodkin serve --help", sentence, word);
    mistake(c, EXIT_USAGE, text);
}

static void on_file_mistake(void *ctx, unsigned line, const char *sentence) {
    struct command_line *c = ctx;
    char text[SERVER_TEXT_MAX];
    if (line == 0)
        snprintf(text, sizeof text, "%.300s: %.300s", c->file, sentence);
    else
        snprintf(text, sizeof text, "%.300s, line %u: %.500s", c->file, line, sentence);
    mistake(c, EXIT_KEY, text);
}

static void read_file(struct command_line *c, const char *path, struct server_options *options) {
    const struct config_reader reader = {on_file_mistake, c};
    c->file = path;
    if (config_read(path, options, &reader) != BK_OK && c->code == EXIT_FINE)
        c->code = EXIT_KEY; /* each mistake was told */
}

/* A word of ours and no option of the server. */
static bool is_our_own(struct command_line *c, const char *name, const char *value,
                       struct server_options *options) {
    if (strcmp(name, "check") == 0)
        c->check = true;
    else if (strcmp(name, "config") == 0 && value != NULL)
        read_file(c, value, options);
    else if (strcmp(name, "import") == 0 && value != NULL)
        c->import = value;
    else
        return false;
    return true;
}

static bool takes_value(const char *name, const struct server_option *row) {
    return row != NULL ? row->type != SERVER_FLAG
                       : strcmp(name, "config") == 0 || strcmp(name, "import") == 0;
}

/* One `--name value`, `--name=value` or flag at argv[*i]. */
static void read_argument(struct command_line *c, int *i, struct server_options *options) {
    char name[NAME_LEN], reason[SERVER_TEXT_MAX];
    const char *word = c->argv[*i], *equals = strchr(word, '=');
    size_t len = equals == NULL ? strlen(word) : (size_t)(equals - word);
    if (strncmp(word, "--", 2) != 0 || len < 3 || len - 2 >= sizeof name) {
        wrong(c, "not an option: ", word);
        return;
    }
    memcpy(name, word + 2, len - 2);
    name[len - 2] = '\0';
    const struct server_option *row = server_option_find(name);
    const char *value = equals == NULL ? NULL : equals + 1;
    if (value == NULL && takes_value(name, row) && *i + 1 < c->argc)
        value = c->argv[++*i];
    if (row != NULL) {
        if (server_option_set(options, row, value, reason) != BK_OK)
            wrong(c, reason, "");
    } else if (!is_our_own(c, name, value, options)) {
        wrong(c, takes_value(name, NULL) ? "it needs a file: " : "there is no option ", word);
    }
}

static enum bk_err read_options(void *ctx, struct server_options *out, char *reason) {
    struct command_line *c = ctx;
    c->code = EXIT_FINE;
    for (int i = 1; i < c->argc && (c->loud || c->code == EXIT_FINE); i++) {
        bool usage = c->code == EXIT_USAGE;
        if (usage)
            break; /* one sentence about a command line is enough */
        read_argument(c, &i, out);
    }
    if (c->code == EXIT_FINE && server_options_check(out, c->first) != BK_OK) {
        snprintf(reason, SERVER_TEXT_MAX, "%s", c->first);
        wrong(c, reason, "");
    }
    snprintf(reason, SERVER_TEXT_MAX, "%s", c->first);
    return c->code == EXIT_FINE ? BK_OK : BK_ERR_MALFORMED;
}

/* Whatever may hold a secret is overwritten where `ps` shows it. */
static void hide_secrets(const struct command_line *c) {
    for (int i = 1; i < c->argc && c->seen[i] != NULL; i++) {
        char *word = c->seen[i], *equals = strchr(word, '=');
        if (strncmp(word, "--turn-user", 11) != 0 && strncmp(word, "--turn-secret", 13) != 0 &&
            strncmp(word, "--turn-token-key", 16) != 0 &&
            strncmp(word, "--turn-nonce-key", 16) != 0)
            continue;
        char *value = equals != NULL ? equals + 1 : i + 1 < c->argc ? c->seen[i + 1] : NULL;
        if (value != NULL)
            memset(value, '*', strlen(value));
    }
}

static bool copy_line(struct command_line *c, int argc, char **argv) {
    c->argc = argc;
    c->seen = argv;
    c->command = calloc((size_t)argc + 2, sizeof *c->command);
    if (c->command == NULL)
        return false;
    c->command[0] = argv[-1]; /* the program: cli/command.h */
    c->argv = c->command + 1;
    for (int i = 0; i < argc; i++) {
        c->argv[i] = strdup(argv[i]);
        if (c->argv[i] == NULL)
            return false;
    }
    return true;
}

static int import_file(const char *path) {
    static char text[IMPORT_MAX];
    unsigned left = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "bodkin serve: cannot read %s\n", path);
        return EXIT_KEY;
    }
    size_t len = fread(text, 1, sizeof text, file);
    bool whole = ferror(file) == 0 && len < sizeof text;
    fclose(file);
    enum bk_err err = whole ? import_coturn(text, len, stdout, stderr, &left) : BK_ERR_TOO_LONG;
    wipe(text, len);
    if (err != BK_OK) {
        fprintf(stderr, "bodkin serve: %s: %s\n", path, bk_err_text(err));
        return EXIT_OTHER;
    }
    return EXIT_FINE;
}

static int run(struct command_line *c) {
    const struct server_source source = {read_options, c, c->file, c->command};
    char reason[SERVER_TEXT_MAX] = "";
    c->loud = false;
    enum bk_err err = server_run(&source, reason);
    if (err == BK_OK)
        return EXIT_FINE;
    fprintf(stderr, "bodkin serve: %s\n", reason);
    return err == BK_ERR_MALFORMED || err == BK_ERR_AUTH || err == BK_ERR_NOT_FOUND ? EXIT_KEY
                                                                                    : EXIT_OTHER;
}

int cmd_serve(int argc, char **argv) {
    static struct command_line c;
    char reason[SERVER_TEXT_MAX];
    for (int i = 1; i < argc; i++)
        if (help_asked_for(argv[i]))
            return EXIT_FINE;
    struct options_copy *options = options_copy_new();
    if (options == NULL || !copy_line(&c, argc, argv))
        return EXIT_OTHER;
    hide_secrets(&c);
    c.loud = true;
    enum bk_err err = read_options(&c, &options->options, reason);
    int code = (int)c.code;
    if (c.import != NULL && c.code != EXIT_USAGE)
        code = import_file(c.import);
    else if (c.check && c.code != EXIT_USAGE)
        code = server_check(&options->options, stdout) && err == BK_OK ? EXIT_FINE : EXIT_KEY;
    options_copy_unref(options);
    return c.import != NULL || c.check || code != EXIT_FINE ? code : run(&c);
}
