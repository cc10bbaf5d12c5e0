/* SPDX-License-Identifier: MIT
 * A command line as a table. `--name value`, `--name=value` and `-x value` are the same. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTION_LIST_MAX = 32 };

struct option_list {
    const char *items[OPTION_LIST_MAX];
    size_t count;
};

enum option_type { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER, OPTION_LIST };

struct option_row {
    const char *name; /* without "--" */
    char letter;      /* '\0': none */
    enum option_type type;
    void *target; /* bool, const char *, uint32_t, struct option_list */
};

/* What options_read() decided. */
enum options_verdict { OPTIONS_GO, OPTIONS_HELP, OPTIONS_WRONG };

/* The words of a command line that are no options. */
struct option_words {
    const char *items[OPTION_LIST_MAX];
    size_t max; /* how many the command takes; at most OPTION_LIST_MAX */
    size_t count;
};

/* Reads argv[1..] into the rows' targets (`rows` ends with a NULL name) and into `words`, whose
 * `max` the caller sets. `--help` and `-h` print `help` to standard output: OPTIONS_HELP. A mistake
 * is told on standard error in one line: OPTIONS_WRONG. */
enum options_verdict options_read(int argc, char **argv, const struct option_row *rows,
                                  const char *help, struct option_words *words);

#endif
