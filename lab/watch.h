/* SPDX-License-Identifier: MIT
 * Who watches a running lab: the capture, the event file, and the clients that follow. Nobody does
 * at first, and then nothing is spent on it. Private to the files of lab.h. */
#ifndef LAB_WATCH_H
#define LAB_WATCH_H

#include "lab/capture.h"
#include "lab/event.h"
#include "lab/fabric.h"
#include "lab/journal.h"

struct lab;

enum { WATCH_CLIENTS_MAX = 16 };
enum watch_form { WATCH_NOT, WATCH_TEXT, WATCH_JSON };

struct watch {
    struct fabric_watcher watcher;
    struct journal *journal;                 /* NULL: nobody wants to know */
    struct capture *capture;                 /* NULL: none */
    int events;                              /* the file's descriptor; -1: none */
    enum watch_form form[WATCH_CLIENTS_MAX]; /* of the control connections that follow */
    uint64_t missed[WATCH_CLIENTS_MAX];      /* events that a slow one did not take */
    char text[EVENT_JSON_MAX];
};

/* Opens what the configuration asks for. `why` gets one sentence on failure: BK_ERR_IO,
 * BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err watch_init(struct lab *lab, char *why);
/* The control connection of this index follows from now on, or no longer (WATCH_NOT).
 * BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err watch_follow(struct lab *lab, uint32_t index, enum watch_form form);
/* A complete event, for the file and those who follow. */
void watch_event(struct lab *lab, const struct lab_event *event);
void watch_advance(struct lab *lab);
struct bk_time watch_deadline(const struct lab *lab);
/* Writes the rest while there are still people to tell. */
void watch_finish(struct lab *lab);
void watch_fini(struct lab *lab);

#endif
