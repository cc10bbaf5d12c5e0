/* SPDX-License-Identifier: MIT */
#include "cli/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char blanks[] = " \t\r\n";

static bool refuse(const char *command, const char *what, const char *why) {
    fprintf(stderr, "bodkin %s: %s: %s\n", command, what, why);
    return false;
}

static bool read_line(const char *command, const char *path, char buf[TARGET_MAX]) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return refuse(command, path, strerror(errno));
    bool got = fgets(buf, TARGET_MAX, file) != NULL;
    bool whole = got && (strchr(buf, '\n') != NULL || feof(file));
    fclose(file);
    if (!got)
        return refuse(command, path, "there is no line in it");
    return whole || refuse(command, path, "its first line is too long for a ticket");
}

bool target_read(const char *command, const char *word, char buf[TARGET_MAX]) {
    if (word[0] == '@') {
        if (!read_line(command, word + 1, buf))
            return false;
    } else if (snprintf(buf, TARGET_MAX, "%s", word) >= TARGET_MAX) {
        return refuse(command, "the argument", "too long for a ticket");
    }
    size_t skip = strspn(buf, blanks);
    memmove(buf, buf + skip, strlen(buf + skip) + 1);
    buf[strcspn(buf, blanks)] = '\0';
    return true;
}
