/* SPDX-License-Identifier: MIT
 * What the files of a running lab share: run.c is the loop, script.c the steps of [run], serve.c
 * the control socket. Nobody else includes this.
 *
 * Order of an end: the script (or a signal) calls lab_stop(); programs get SIGTERM; the loop goes
 * on, so that their last words are shown and their last packets carried; after LAB_GRACE_US they
 * get SIGKILL; when all have been waited for, what they left behind is killed too, and lab_run()
 * returns. */
#ifndef LAB_LAB_H
#define LAB_LAB_H

#include "lab/control.h"
#include "lab/fabric.h"
#include "lab/merge.h"
#include "lab/netns.h"
#include "lab/program.h"
#include "lab/run.h"
#include "lab/watch.h"

enum {
    LAB_VARIABLES_MAX = 64,
    LAB_CLIENTS_MAX = WATCH_CLIENTS_MAX, /* control connections at a time */
    LAB_GRACE_US = 2000000
};

enum script_wait {
    SCRIPT_READY,
    SCRIPT_EXIT,
    SCRIPT_LINE,
    SCRIPT_PATH, /* the path is what the step expects */
    SCRIPT_HOLD, /* and must stay so for a while */
    SCRIPT_TIME,
    SCRIPT_DONE
};

struct script {
    size_t next; /* step */
    enum script_wait wait;
    const struct topology_step *step; /* the one we wait for */
    struct program *program;
    struct bk_time deadline;
    bool at_done[TOPOLOGY_STEPS_MAX]; /* of the steps with a time of their own */
    struct program_variable variables[LAB_VARIABLES_MAX];
    size_t variable_count;
};

struct lab {
    const struct topology *topology;
    struct lab_config config;
    struct netns_base base;
    struct netns *hosts; /* by node; NAT boxes have none */
    struct fabric fabric;
    struct script script;
    struct program *programs[TOPOLOGY_STEPS_MAX];
    size_t program_count;
    int epoll, timer, signals, control;
    int clients[LAB_CLIENTS_MAX]; /* -1: free */
    char control_path[CONTROL_PATH_MAX];
    int priority;            /* our nice value before we lowered it */
    unsigned long files_max; /* the limit on open files before we raised it */
    struct bk_time now, started, armed, kill_at;
    bool stopping;
    int status;
    struct merge merge;  /* packets that wait for more of their kind, until the turn's end */
    struct watch *watch; /* NULL: not yet, or no longer */
    uint8_t packet[NETNS_PACKET_MAX];
};

enum lab_watch { WATCH_TUN, WATCH_OUTPUT, WATCH_TIMER, WATCH_SIGNAL, WATCH_CONTROL, WATCH_CLIENT };

BK_MUST_USE enum bk_err lab_watch(struct lab *lab, int fd, enum lab_watch kind, uint32_t index);
/* Ends the lab with this exit status; the first one counts. */
void lab_stop(struct lab *lab, int status);
/* Fills in the time and the empty texts, and tells the user. */
void lab_tell(struct lab *lab, struct lab_event event);
/* Starts a program and watches its output. NULL: it could not be started; errno says why. */
struct program *lab_start_program(struct lab *lab, const char *name, int host, const char *command);
BK_MUST_USE enum bk_err lab_change(struct lab *lab, const struct topology_change *change,
                                   const char *text);

void script_advance(struct lab *lab);
struct bk_time script_deadline(const struct lab *lab);
void script_fini(struct script *s);

void serve_accept(struct lab *lab);
void serve_client(struct lab *lab, uint32_t index);
void serve_fini(struct lab *lab);

#endif
