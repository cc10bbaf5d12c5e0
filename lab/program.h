/* SPDX-License-Identifier: MIT
 * A command that runs in a host: its process, its output line by line, and its end. It lives in a
 * process group of its own, so that all it started can be ended with it, and the kernel kills it
 * if we die. */
#ifndef LAB_PROGRAM_H
#define LAB_PROGRAM_H

#include "topology/topology.h"
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    PROGRAM_LINE_MAX = 8192,    /* longer lines are cut in pieces */
    PROGRAM_HISTORY_MAX = 1024, /* lines a later wait step can still find */
    PROGRAM_READS_MAX = 17,     /* of 4 KiB: a full pipe and its end */
    PROGRAM_STREAMS = 2         /* standard output and standard error */
};

struct program_stream {
    int fd; /* -1: ended */
    char line[PROGRAM_LINE_MAX];
    size_t len;
};

struct program {
    char name[TOPOLOGY_NAME_MAX];
    int host;
    pid_t pid;
    bool running;
    bool awaited; /* a step waits for its end: it has no name that other steps could use */
    int status;   /* as a shell shows it: 128 + signal when killed */
    struct program_stream stream[PROGRAM_STREAMS];
    char **history; /* lines nobody waited for yet, oldest first */
    size_t history_count;
};

/* A variable that later commands find in their environment. */
struct program_variable {
    char name[TOPOLOGY_NAME_MAX];
    char *value;
};

struct program_start {
    const char *name, *command; /* the command goes to /bin/sh -c */
    int host;
    int net, uts; /* namespaces, see netns_enter() */
    const struct program_variable *variables;
    size_t variable_count;
    unsigned long files_max; /* the limit we found; ours may be higher */
    int priority;            /* and the nice value */
};

/* BK_ERR_IO: errno says why. */
BK_MUST_USE enum bk_err program_start(struct program *p, const struct program_start *how);
/* Frees what is kept; the process must have ended. */
void program_fini(struct program *p);

/* Reads what there is from a stream, but at most what a pipe holds, so that a program that never
 * stops printing cannot stop the packets. Calls `line` for each complete line, and for a last
 * incomplete one at the end. The stream's fd is -1 afterwards if it has ended. */
void program_read(struct program *p, size_t stream,
                  void (*line)(void *ctx, struct program *p, size_t stream, const char *text),
                  void *ctx);
/* Keeps a line for later wait steps. */
void program_remember(struct program *p, const char *line);
/* Drops the first `count` remembered lines. */
void program_forget(struct program *p, size_t count);
/* To the whole process group. */
void program_signal(const struct program *p, int signal);
/* What waitpid() said. */
void program_ended(struct program *p, int wait_status);

#endif
