/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

#include "server/server.h"
#include <ini.h>
#include <stdio.h>
#include <string.h>

static void print_help(void) {
    char options[SERVER_HELP_MAX];
    fputs("bodkin serve                  runs a home server: STUN, TURN and the relay\n"
          "\n"
          "Needs no configuration. Prints the one line to give to clients,\n"
          "`home: https://HOST[:PORT]#PIN`, and logs to standard error. SIGHUP reads the\n"
          "certificate again; SIGINT and SIGTERM end it.\n"
          "\n",
          stdout);
    fputs(server_options_help(SERVER_GROUP_GENERAL, options), stdout);
    fputs("  --config FILE        read options from an INI file: `https = 8443`\n"
          "\n"
          "TURN is on when somebody can log in: --turn-user NAME:PASSWORD is the shortest\n"
          "way. `bodkin serve --help-turn` has its options.\n",
          stdout);
}

static void print_help_turn(void) {
    char options[SERVER_HELP_MAX];
    fputs("bodkin serve --turn-user NAME:PASSWORD         a TURN server\n"
          "bodkin serve --turn-secret @/etc/turn.secret   ... for time-limited names (REST)\n"
          "\n",
          stdout);
    fputs(server_options_help(SERVER_GROUP_TURN, options), stdout);
}

/* What the file's reader needs to tell a mistake. */
struct file_context {
    struct server_options *options;
    char reason[SERVER_TEXT_MAX];
};

static int on_entry(void *ctx, const char *section, const char *name, const char *value) {
    struct file_context *file = ctx;
    const struct server_option *row = server_option_find(name);
    (void)section; /* sections only group */
    if (row == NULL) {
        snprintf(file->reason, sizeof file->reason, "there is no option \"%.100s\"", name);
        return 0;
    }
    return server_option_set(file->options, row, value, file->reason) == BK_OK ? 1 : 0;
}

static enum exit_code read_file(const char *path, struct server_options *options) {
    struct file_context file = {.options = options, .reason = "not an INI file"};
    int line = ini_parse(path, on_entry, &file);
    if (line == 0)
        return EXIT_FINE;
    if (line < 0)
        fprintf(stderr, "bodkin serve: cannot read %s\n", path);
    else
        fprintf(stderr, "bodkin serve: %s, line %d: %s\n", path, line, file.reason);
    return EXIT_KEY;
}

static enum exit_code wrong(const char *sentence, const char *word) {
    fprintf(stderr, "bodkin serve: %s%s; see bodkin serve --help\n", sentence, word);
    return EXIT_USAGE;
}

/* One `--name value`, `--name=value` or flag at argv[*i]. */
static enum exit_code read_argument(int argc, char **argv, int *i, struct server_options *options) {
    char name[64], reason[SERVER_TEXT_MAX];
    const char *word = argv[*i], *equals = strchr(word, '=');
    size_t len = equals == NULL ? strlen(word) : (size_t)(equals - word);
    if (strncmp(word, "--", 2) != 0 || len < 3 || len - 2 >= sizeof name)
        return wrong("not an option: ", word);
    memcpy(name, word + 2, len - 2);
    name[len - 2] = '\0';
    bool config = strcmp(name, "config") == 0;
    const struct server_option *row = server_option_find(name);
    if (row == NULL && !config)
        return wrong("there is no option ", word);
    const char *value = equals == NULL ? NULL : equals + 1;
    if (value == NULL && (config || row->type != SERVER_FLAG) && *i + 1 < argc)
        value = argv[++*i];
    if (config)
        return value == NULL ? wrong("config needs a value", "") : read_file(value, options);
    return server_option_set(options, row, value, reason) == BK_OK ? EXIT_FINE : wrong(reason, "");
}

int cmd_serve(int argc, char **argv) {
    static struct server_options options;
    char reason[SERVER_TEXT_MAX] = "";
    options = server_options_default;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return EXIT_FINE;
        }
        if (strcmp(argv[i], "--help-turn") == 0) {
            print_help_turn();
            return EXIT_FINE;
        }
        enum exit_code code = read_argument(argc, argv, &i, &options);
        if (code != EXIT_FINE)
            return (int)code;
    }
    if (server_options_check(&options, reason) != BK_OK)
        return (int)wrong(reason, "");
    enum bk_err err = server_run(&options, reason);
    if (err == BK_OK)
        return EXIT_FINE;
    fprintf(stderr, "bodkin serve: %s\n", reason);
    return err == BK_ERR_MALFORMED || err == BK_ERR_AUTH || err == BK_ERR_NOT_FOUND ? EXIT_KEY
                                                                                    : EXIT_OTHER;
}
