/* SPDX-License-Identifier: MIT */
#include "cli/sim_types.h"

#include "cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int complain(const char *option, const char *value, const char *what) {
    fprintf(stderr, "bodkin sim: --%s \"%s\": %s\n", option, value, what);
    return EXIT_USAGE;
}

/* The next piece between commas; NULL at the end. */
static char *next_piece(char **rest) {
    char *piece = *rest;
    if (piece == NULL)
        return NULL;
    char *comma = strchr(piece, ',');
    if (comma != NULL)
        *comma++ = '\0';
    *rest = comma;
    return piece;
}

int sim_types_read(struct sim_types *t, char *list) {
    if (list == NULL) {
        for (; t->count < NAT_TYPES27; t->count++)
            t->types[t->count].name = nat_type27(t->count, &t->types[t->count].config);
        return EXIT_FINE;
    }
    for (char *name = next_piece(&list); name != NULL; name = next_piece(&list)) {
        if (t->count == SIM_TYPES_MAX)
            return complain("types", name, "more than 64 types");
        if (nat_preset(name, &t->types[t->count].config) != BK_OK)
            return complain("types", name, "there is no such preset or type");
        t->types[t->count++].name = name;
    }
    return EXIT_FINE;
}

int sim_values_read(const char *option, const char *list, int64_t scale, int64_t max, int64_t *out,
                    size_t *count) {
    for (const char *at = list; *at != '\0';) {
        char *end;
        double value = strtod(at, &end);
        bool number = end != at && (*end == ',' || *end == '\0') && value >= 0 &&
                      value * (double)scale <= (double)max;
        if (!number || *count == SIM_VALUES_MAX)
            return complain(option, list, "at most 16 numbers with commas, such as 0,1,5");
        out[(*count)++] = (int64_t)(value * (double)scale + 0.5);
        at = *end == ',' ? end + 1 : end;
    }
    return *count > 0 ? EXIT_FINE : complain(option, list, "no number");
}
