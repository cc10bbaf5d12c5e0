/* SPDX-License-Identifier: MIT
 * Which files a running server still needs: what SIGHUP and renewed certificates read. */
#define _XOPEN_SOURCE 700 /* NOLINT: realpath */
#include "server/server_int.h"

#include "net/names.h"
#include "server/sandbox.h"
#include <stdlib.h>
#include <string.h>

enum { FILES = 4 + SERVER_SECRET_FILES_MAX, NAMES_MAX = 16 };

struct folders {
    char text[2 * FILES][SERVER_PATH_MAX];
    const char *list[2 * FILES + NAMES_MAX];
    size_t count;
};

static void add_folder_of(struct folders *f, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *to = f->text[f->count];
    if (len >= SERVER_PATH_MAX)
        return;
    memcpy(to, slash == NULL ? "." : path, slash == NULL ? 1 : len);
    to[slash == NULL ? 1 : len] = '\0';
    f->list[f->count++] = to;
}

/* The folder, since files are replaced; and the one behind a symbolic link, as certificate clients
 * make them. */
static void add_file(struct folders *f, const char *path) {
    if (path == NULL || path[0] == '\0')
        return;
    char *real = realpath(path, NULL);
    add_folder_of(f, path);
    if (real != NULL)
        add_folder_of(f, real);
    free(real);
}

void server_sandbox(const struct server *s) {
    static struct folders f;
    struct sandbox_outcome outcome;
    struct log_line l;
    const struct server_options *o = s->options;
    f.count = 0;
    if (o->no_sandbox)
        return;
    add_file(&f, o->cert.text);
    add_file(&f, o->key.text);
    add_file(&f, s->source->file);
    add_file(&f, o->turn.users_db.text);
    for (size_t i = 0; i < SERVER_SECRET_FILES_MAX; i++)
        add_file(&f, o->secret_files[i].text);
    for (size_t i = 0; i < NAMES_MAX && turn_options_on(&o->turn) && net_names_path(i); i++)
        f.list[f.count++] = net_names_path(i); /* for --users-url, now or later */
    sandbox_enter(f.list, f.count, s->state_dir, &outcome);
    log_begin(&l, outcome.files && outcome.calls ? LOG_INFO : LOG_WARN, LOG_ALWAYS, "sandbox");
    log_text(&l, "files", outcome.files ? "closed" : "open: no landlock in this kernel");
    log_text(&l, "calls", outcome.calls ? "closed" : "open: no seccomp in this kernel");
    log_end(&l);
}
