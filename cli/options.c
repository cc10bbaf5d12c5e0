/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_row *find_row(const struct option_row *rows, const char *word,
                                         size_t len) {
    for (const struct option_row *r = rows; r->name != NULL; r++) {
        bool is_long = word[1] == '-';
        if (is_long && strlen(r->name) == len - 2 && strncmp(r->name, word + 2, len - 2) == 0)
            return r;
        if (!is_long && len == 2 && r->letter != '\0' && r->letter == word[1])
            return r;
    }
    return NULL;
}

static bool set_number(uint32_t *target, const char *value) {
    char *end;
    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (errno != 0 || *value < '0' || *value > '9' || *end != '\0' || number > UINT32_MAX)
        return false;
    *target = (uint32_t)number;
    return true;
}

/* NULL, or what is wrong with the value. */
static const char *set_value(const struct option_row *row, const char *value) {
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)row->target = true;
        return NULL;
    case OPTION_TEXT:
        *(const char **)row->target = value;
        return NULL;
    case OPTION_NUMBER:
        return set_number(row->target, value) ? NULL : "wants a number";
    case OPTION_LIST: {
        struct option_list *list = row->target;
        if (list->count == OPTION_LIST_MAX)
            return "is given too often";
        list->items[list->count++] = value;
        return NULL;
    }
    }
    return NULL;
}

static enum options_verdict wrong(const char *command, const char *word, const char *what) {
    fprintf(stderr, "bodkin %s: %s %s; see bodkin %s --help\n", command, word, what, command);
    return OPTIONS_WRONG;
}

enum options_verdict options_read(int argc, char **argv, const struct option_row *rows,
                                  const char *help, struct option_words *words) {
    bool only_words = false;
    words->count = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (only_words || word[0] != '-' || word[1] == '\0') {
            if (words->count == words->max)
                return wrong(argv[0], word, "is one word too many");
            words->items[words->count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            fputs(help, stdout);
            return OPTIONS_HELP;
        }
        const char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
        size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
        const struct option_row *row = find_row(rows, word, len);
        if (row == NULL)
            return wrong(argv[0], word, "is not an option");
        if (row->type == OPTION_FLAG && equals != NULL)
            return wrong(argv[0], word, "takes no value");
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (row->type != OPTION_FLAG && value == NULL && i + 1 < argc)
            value = argv[++i];
        if (row->type != OPTION_FLAG && value == NULL)
            return wrong(argv[0], word, "wants a value");
        const char *mistake = set_value(row, value);
        if (mistake != NULL)
            return wrong(argv[0], word, mistake);
    }
    return OPTIONS_GO;
}
