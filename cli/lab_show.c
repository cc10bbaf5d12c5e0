/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/lab_show.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const event_names[] = {
    [LAB_UP] = "up",         [LAB_STARTED] = "started",   [LAB_OUTPUT] = "output",
    [LAB_EXITED] = "exited", [LAB_CAPTURED] = "captured", [LAB_CHANGED] = "changed",
    [LAB_FAILED] = "failed"};

static void show_json(const struct lab_event *e) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "event", event_names[e->kind]);
    cJSON_AddNumberToObject(o, "at_ms", (double)e->at_us / 1000.0);
    if (e->host[0] != '\0')
        cJSON_AddStringToObject(o, "host", e->host);
    if (e->program[0] != '\0')
        cJSON_AddStringToObject(o, e->kind == LAB_CAPTURED ? "variable" : "program", e->program);
    if (e->text[0] != '\0' || e->kind == LAB_OUTPUT)
        cJSON_AddStringToObject(o, "text", e->text);
    if (e->kind == LAB_OUTPUT)
        cJSON_AddStringToObject(o, "stream", e->is_stderr ? "stderr" : "stdout");
    if (e->kind == LAB_EXITED || e->kind == LAB_FAILED)
        cJSON_AddNumberToObject(o, "status", e->status);
    if (e->kind == LAB_FAILED)
        cJSON_AddNumberToObject(o, "line", e->line);
    char *line = cJSON_PrintUnformatted(o);
    puts(line != NULL ? line : "{}");
    fflush(stdout);
    cJSON_free(line);
    cJSON_Delete(o);
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
