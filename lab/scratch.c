/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: nftw() needs it */
#include "lab/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { WALK_FDS = 16 };

/* "DIR/demo.123.sock" -> "DIR/demo.123.d", where the hosts' directories are. */
static enum bk_err lab_directory(const char *control_path, char *out) {
    const char *end = strstr(control_path, ".sock");
    if (end == NULL || end[5] != '\0')
        return BK_ERR_ARGUMENT;
    int len = snprintf(out, SCRATCH_PATH_MAX, "%.*s.d", (int)(end - control_path), control_path);
    return len < 0 || len >= SCRATCH_PATH_MAX ? BK_ERR_TOO_LONG : BK_OK;
}

enum bk_err scratch_path(const char *control_path, const char *host, char *out) {
    char directory[SCRATCH_PATH_MAX];
    enum bk_err err = lab_directory(control_path, directory);
    if (err != BK_OK)
        return err;
    int len = snprintf(out, SCRATCH_PATH_MAX, "%s/%s", directory, host);
    return len < 0 || len >= SCRATCH_PATH_MAX ? BK_ERR_TOO_LONG : BK_OK;
}

enum bk_err scratch_make(const char *control_path, const char *host) {
    char directory[SCRATCH_PATH_MAX], path[SCRATCH_PATH_MAX];
    enum bk_err err = lab_directory(control_path, directory);
    err = err == BK_OK ? scratch_path(control_path, host, path) : err;
    if (err != BK_OK)
        return err;
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return BK_ERR_IO;
    return mkdir(path, 0700) < 0 && errno != EEXIST ? BK_ERR_IO : BK_OK;
}

enum bk_err scratch_environment(const char *control_path, const char *host) {
    static const char *const names[] = {"BODKIN_LAB_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"};
    char path[SCRATCH_PATH_MAX];
    enum bk_err err = scratch_path(control_path, host, path);
    if (err != BK_OK)
        return err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setenv(names[i], path, 1) < 0)
            return BK_ERR_NO_MEMORY;
    if (setenv("BODKIN_LAB", control_path, 1) < 0 || setenv("BODKIN_LAB_HOST", host, 1) < 0)
        return BK_ERR_NO_MEMORY;
    return BK_OK;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *where) {
    (void)s;
    (void)type;
    (void)where;
    (void)remove(path); /* what cannot be removed stays; there is nobody to tell */
    return 0;
}

void scratch_remove(const char *control_path) {
    char directory[SCRATCH_PATH_MAX];
    if (lab_directory(control_path, directory) == BK_OK)
        (void)nftw(directory, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS);
}
