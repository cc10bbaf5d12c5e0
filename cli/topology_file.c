/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: "e" of fopen() */
#include "cli/topology_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads a file of at most TOPOLOGY_FILE_MAX bytes (one more is read, so that the parser sees what
 * is too long). NULL: errno says why. The caller frees it. */
static char *read_file(const char *path, size_t *len) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = file == NULL ? NULL : malloc(TOPOLOGY_FILE_MAX + 1);
    if (text != NULL)
        *len = fread(text, 1, TOPOLOGY_FILE_MAX + 1, file);
    if (text != NULL && ferror(file)) {
        free(text);
        text = NULL;
    }
    if (file != NULL && file != stdin)
        fclose(file);
    return text;
}

bool topology_file_load(const char *command, const char *path, struct topology *out) {
    struct topology_error error;
    size_t len = 0;
    char *text = read_file(path, &len);
    if (text == NULL) {
        fprintf(stderr, "bodkin %s: cannot read %s: %s\n", command, path, strerror(errno));
        return false;
    }
    enum bk_err err = topology_parse(text, len, out, &error);
    free(text);
    if (err == BK_OK)
        return true;
    if (error.line > 0)
        fprintf(stderr, "%s:%u: %s\n", path, error.line, error.text);
    else
        fprintf(stderr, "%s: %s\n", path, error.text);
    return false;
}
