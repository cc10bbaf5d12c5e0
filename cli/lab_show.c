/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/lab_show.h"

#include "lab/event.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show_json(const struct lab_event *e) {
    static char line[EVENT_JSON_MAX];
    puts(event_json(e, line, sizeof line));
    fflush(stdout);
}

/* What the network does, for those who asked with --events -. */
static void show_network(const struct lab_event *e) {
    char line[EVENT_LINE_MAX];
    printf("lab: %s\n", event_line(e, line, sizeof line));
    fflush(stdout);
}

/* "alice | " in the host's colour; a second program of a host has its own name behind a slash. */
static void show_prefix(const struct lab_view *v, const struct lab_event *e, FILE *out) {
    char label[2 * TOPOLOGY_NAME_MAX];
    bool own = strcmp(e->host, e->program) == 0;
    snprintf(label, sizeof label, "%s%s%s", e->host, own ? "" : "/", own ? "" : e->program);
    int colour = 31 + topology_find(v->topology, e->host) % 6;
    if (v->colour)
        fprintf(out, "\033[%dm%-*s |\033[0m ", colour, v->name_width, label);
    else
        fprintf(out, "%-*s | ", v->name_width, label);
}

static void show_up(const struct lab_view *v) {
    size_t hosts = 0;
    const char *first = "";
    for (size_t i = v->topology->node_count; i > 0; i--) {
        if (v->topology->nodes[i - 1].kind != TOPOLOGY_HOST)
            continue;
        hosts++;
        first = v->topology->nodes[i - 1].name;
    }
    fprintf(stderr, "lab: up, %zu hosts and %zu NATs; look inside with: bodkin lab shell %s\n",
            hosts, v->topology->node_count - hosts, first);
}

static void show_text(const struct lab_view *v, const struct lab_event *e) {
    bool quiet = v->quiet;
    switch (e->kind) {
    case LAB_UP:
        if (!quiet)
            show_up(v);
        return;
    case LAB_STARTED:
        if (!quiet) {
            show_prefix(v, e, stderr);
            fprintf(stderr, "$ %s\n", e->text);
        }
        return;
    case LAB_OUTPUT:
        show_prefix(v, e, e->is_stderr ? stderr : stdout);
        fprintf(e->is_stderr ? stderr : stdout, "%s\n", e->text);
        fflush(stdout);
        return;
    case LAB_EXITED:
        if (!quiet && e->status != 0 && !e->stopping) {
            show_prefix(v, e, stderr);
            fprintf(stderr, "[exit status %d]\n", e->status);
        }
        return;
    case LAB_CAPTURED:
        return;
    case LAB_CHANGED:
        if (!quiet)
            fprintf(stderr, "lab: %s\n", e->text);
        return;
    case LAB_FAILED:
        fprintf(stderr, "%s:%u: %s\n", v->file, e->line, e->text);
        return;
    case LAB_NOTE:
        fprintf(stderr, "lab: %s\n", e->text);
        return;
    case LAB_MAPPED:
    case LAB_UNMAPPED:
    case LAB_DROPPED:
    case LAB_SKIPPED:
        show_network(e);
        return;
    case LAB_EVENT_KINDS:
        return;
    }
}

void lab_view_init(struct lab_view *v, const struct topology *topology, const char *file) {
    *v = (struct lab_view){.topology = topology, .file = file, .colour = isatty(1) == 1};
    for (size_t i = 0; i < topology->node_count; i++) {
        int width = (int)strlen(topology->nodes[i].name);
        if (topology->nodes[i].kind == TOPOLOGY_HOST && width > v->name_width)
            v->name_width = width;
    }
}

void lab_show(void *ctx, const struct lab_event *event) {
    const struct lab_view *v = ctx;
    if (v->json)
        show_json(event);
    else
        show_text(v, event);
}
