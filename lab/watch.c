/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: O_CLOEXEC needs it */
#include "lab/watch.h"

#include "lab/lab.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void note(struct lab *lab, const char *what, const char *path) {
    char text[TOPOLOGY_ERROR_MAX];
    snprintf(text, sizeof text, "%s %.120s has ended: %s", what, path, strerror(errno));
    lab_tell(lab, (struct lab_event){.kind = LAB_NOTE, .text = text});
}

static void on_sight(void *ctx, const struct fabric_sight *sight) {
    struct lab *lab = ctx;
    struct watch *w = lab->watch;
    if (w->journal != NULL)
        journal_sight(w->journal, sight, lab->now);
    if (w->capture != NULL && !capture_sight(w->capture, sight, lab->now))
        note(lab, "the capture", w->capture->path);
}

static void on_mapping(void *ctx, int box, const struct nat_mapping_view *mapping, bool made) {
    struct lab *lab = ctx;
    if (lab->watch->journal != NULL)
        journal_mapping(lab->watch->journal, box, mapping, made, lab->now);
}

static void on_journal(void *ctx, const struct lab_event *event) {
    struct lab *lab = ctx;
    lab_tell(lab, *event);
}

static enum bk_err want_journal(struct lab *lab) {
    struct watch *w = lab->watch;
    if (w->journal == NULL)
        w->journal = malloc(sizeof *w->journal);
    else
        return BK_OK;
    if (w->journal == NULL)
        return BK_ERR_NO_MEMORY;
    journal_init(w->journal, lab->topology, on_journal, lab);
    fabric_watch(&lab->fabric, &w->watcher);
    return BK_OK;
}

static enum bk_err open_capture(struct lab *lab, char *why) {
    struct watch *w = lab->watch;
    const char *name = lab->config.name != NULL ? lab->config.name : "lab";
    w->capture = calloc(1, sizeof *w->capture);
    if (w->capture == NULL)
        return BK_ERR_NO_MEMORY;
    w->capture->fd = -1;
    fabric_watch(&lab->fabric, &w->watcher);
    return capture_open(w->capture, lab->topology, lab->config.capture_directory, name, why);
}

static enum bk_err open_events(struct lab *lab, char *why) {
    const char *path = lab->config.events_path;
    lab->watch->events = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (lab->watch->events >= 0)
        return want_journal(lab);
    snprintf(why, TOPOLOGY_ERROR_MAX, "cannot write the events to %.120s: %s", path,
             strerror(errno));
    return BK_ERR_IO;
}

enum bk_err watch_init(struct lab *lab, char *why) {
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return BK_ERR_NO_MEMORY;
    w->events = -1;
    w->watcher = (struct fabric_watcher){.sight = on_sight, .mapping = on_mapping, .ctx = lab};
    lab->watch = w;
    enum bk_err err = lab->config.follow ? want_journal(lab) : BK_OK;
    if (err == BK_OK && lab->config.capture_directory != NULL)
        err = open_capture(lab, why);
    if (err == BK_OK && lab->config.events_path != NULL)
        err = open_events(lab, why);
    return err;
}

enum bk_err watch_follow(struct lab *lab, uint32_t index, enum watch_form form) {
    lab->watch->form[index] = form;
    lab->watch->missed[index] = 0;
    return form == WATCH_NOT ? BK_OK : want_journal(lab);
}

static void format(const struct lab_event *event, enum watch_form form, char *out, size_t cap) {
    if (form == WATCH_JSON)
        event_json(event, out, cap);
    else
        event_line(event, out, cap);
}

static void to_file(struct lab *lab, const struct lab_event *event) {
    struct watch *w = lab->watch;
    event_json(event, w->text, sizeof w->text - 1);
    size_t len = strlen(w->text);
    w->text[len] = '\n';
    if (write(w->events, w->text, len + 1) == (ssize_t)(len + 1))
        return;
    int fd = w->events;
    w->events = -1; /* before note(), which comes here again */
    note(lab, "the event file", lab->config.events_path);
    close(fd);
}

/* A client that does not read misses events, and is told how many as soon as it reads again. */
static void to_client(struct lab *lab, uint32_t index, const struct lab_event *event) {
    struct watch *w = lab->watch;
    struct control_message message = {.fd_count = 0};
    if (w->missed[index] > 0) {
        struct lab_event skipped = {.kind = LAB_SKIPPED,
                                    .at_us = event->at_us,
                                    .text = "events, because you read too slowly",
                                    .count = w->missed[index]};
        format(&skipped, w->form[index], message.text, sizeof message.text);
        if (control_send(lab->clients[index], &message) != BK_OK) {
            w->missed[index]++;
            return;
        }
        w->missed[index] = 0;
    }
    format(event, w->form[index], message.text, sizeof message.text);
    if (control_send(lab->clients[index], &message) != BK_OK)
        w->missed[index]++;
}

void watch_event(struct lab *lab, const struct lab_event *event) {
    if (lab->watch == NULL || event->kind == LAB_OUTPUT || event->kind == LAB_CAPTURED)
        return;
    if (lab->watch->events >= 0)
        to_file(lab, event);
    for (uint32_t i = 0; i < LAB_CLIENTS_MAX; i++)
        if (lab->watch->form[i] != WATCH_NOT)
            to_client(lab, i, event);
}

void watch_advance(struct lab *lab) {
    struct watch *w = lab->watch;
    if (w->journal != NULL)
        journal_advance(w->journal, lab->now);
    if (w->capture != NULL && !capture_advance(w->capture, lab->now))
        note(lab, "the capture", w->capture->path);
}

struct bk_time watch_deadline(const struct lab *lab) {
    const struct watch *w = lab->watch;
    struct bk_time when = w->journal != NULL ? journal_deadline(w->journal) : BK_NEVER;
    return w->capture == NULL ? when : bk_earlier(when, capture_deadline(w->capture));
}

void watch_finish(struct lab *lab) {
    struct watch *w = lab->watch;
    if (w->journal != NULL)
        journal_finish(w->journal, lab->now);
    if (w->capture != NULL && !capture_close(w->capture))
        note(lab, "the capture", w->capture->path);
}

void watch_fini(struct lab *lab) {
    struct watch *w = lab->watch;
    if (w == NULL)
        return;
    if (w->capture != NULL)
        (void)capture_close(w->capture);
    if (w->events >= 0)
        close(w->events);
    free(w->capture);
    free(w->journal);
    free(w);
    lab->watch = NULL;
}
