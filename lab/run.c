/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: the subreaper and the clocks need it */
#include "lab/lab.h"
#include "lab/scratch.h"
#include "net/alloc.h"
#include "net/loop.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 64,   /* of one epoll_wait() */
    TUN_READ_MAX = 64, /* packets from one host before the others get a turn */
    FDS_PER_HOST = 3,
    ROUTER_NICER = 10,
    FDS_OTHER = 64 + 2 * TOPOLOGY_STEPS_MAX
};

static bool put_out(struct lab *lab, int host, const uint8_t *bytes, size_t len) {
    return write(lab->hosts[host].tun, bytes, len) == (ssize_t)len;
}

/* Writes what has been put together. */
static void flush_merged(struct lab *lab) {
    struct merge *m = &lab->merge;
    if (m->count == 0)
        return;
    merge_finish(m);
    if (!put_out(lab, m->host, m->bytes, m->len)) {
        lab->fabric.counters.delivered -= m->count;
        lab->fabric.counters.dropped[LAB_DROP_HOST_BUSY] += m->count;
    }
    m->count = 0;
}

/* A write() takes the packet through the receiving host's stack: half of the router's time when
 * packets are small. So packets of a flow that come together are written together. */
static bool deliver(void *ctx, int host, const uint8_t *bytes, size_t len) {
    struct lab *lab = ctx;
    bool may = lab->hosts[host].uso;
    if (may && merge_add(&lab->merge, host, bytes, len))
        return true;
    flush_merged(lab);
    return (may && merge_add(&lab->merge, host, bytes, len)) || put_out(lab, host, bytes, len);
}

enum bk_err lab_watch(struct lab *lab, int fd, enum lab_watch kind, uint32_t index) {
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};
    return epoll_ctl(lab->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? BK_ERR_IO : BK_OK;
}

void lab_tell(struct lab *lab, struct lab_event event) {
    event.at_us = bk_elapsed_us(lab->started, lab->now);
    event.host = event.host == NULL ? "" : event.host;
    event.program = event.program == NULL ? "" : event.program;
    event.text = event.text == NULL ? "" : event.text;
    event.reason = event.reason == NULL ? "" : event.reason;
    bool for_all = event.kind < LAB_MAPPED || lab->config.follow;
    if (for_all && lab->config.event != NULL)
        lab->config.event(lab->config.ctx, &event);
    watch_event(lab, &event);
}

void lab_stop(struct lab *lab, int status) {
    if (lab->stopping)
        return;
    lab->stopping = true;
    lab->status = status;
    lab->kill_at = bk_after(lab->now, LAB_GRACE_US);
    for (size_t i = 0; i < lab->program_count; i++)
        program_signal(lab->programs[i], SIGTERM);
}

static void set_offloads(struct lab *lab) {
    bool want = !lab->config.no_offload && fabric_wants_superpackets(&lab->fabric);
    for (size_t i = 0; i < lab->topology->node_count; i++) {
        struct netns *ns = &lab->hosts[i];
        if (ns->tun < 0 || ns->superpackets == want)
            continue;
        enum bk_err ignored = netns_offload(ns, want); /* slower or coarser, but it works */
        (void)ignored;
    }
}

enum bk_err lab_change(struct lab *lab, const struct topology_change *change, const char *text) {
    fabric_advance(&lab->fabric, lab->now);
    flush_merged(lab);
    enum bk_err err = fabric_change(&lab->fabric, change);
    if (err != BK_OK)
        return err;
    set_offloads(lab);
    lab_tell(lab, (struct lab_event){.kind = LAB_CHANGED, .text = text});
    return BK_OK;
}

/* Output goes to the user line by line, and stays findable for wait steps. */
static void on_line(void *ctx, struct program *p, size_t stream, const char *text) {
    struct lab *lab = ctx;
    program_remember(p, text);
    lab_tell(lab, (struct lab_event){.kind = LAB_OUTPUT,
                                     .host = lab->topology->nodes[p->host].name,
                                     .program = p->name,
                                     .text = text,
                                     .is_stderr = stream == 1});
}

struct program *lab_start_program(struct lab *lab, const char *name, int host,
                                  const char *command) {
    const struct netns *ns = &lab->hosts[host];
    const char *host_name = lab->topology->nodes[host].name;
    struct program_start how = {.name = name,
                                .command = command,
                                .host = host,
                                .net = ns->net,
                                .uts = ns->uts,
                                .variables = lab->script.variables,
                                .variable_count = lab->script.variable_count,
                                .files_max = lab->files_max,
                                .priority = lab->priority};
    if (lab->program_count == TOPOLOGY_STEPS_MAX) {
        errno = EAGAIN;
        return NULL;
    }
    struct program *p = calloc(1, sizeof *p);
    if (p == NULL || scratch_make(lab->control_path, host_name) != BK_OK ||
        scratch_environment(lab->control_path, host_name) != BK_OK ||
        program_start(p, &how) != BK_OK) {
        free(p);
        return NULL;
    }
    uint32_t index = (uint32_t)lab->program_count;
    lab->programs[lab->program_count++] = p;
    for (uint32_t s = 0; s < PROGRAM_STREAMS; s++)
        if (lab_watch(lab, p->stream[s].fd, WATCH_OUTPUT, index * PROGRAM_STREAMS + s) != BK_OK)
            lab_stop(lab, 1);
    lab_tell(lab, (struct lab_event){
                      .kind = LAB_STARTED, .host = host_name, .program = name, .text = command});
    return p;
}

static void on_exit_of(struct lab *lab, struct program *p, int wait_status) {
    for (size_t s = 0; s < PROGRAM_STREAMS; s++)
        program_read(p, s, on_line, lab); /* its last words come before its end */
    program_ended(p, wait_status);
    lab_tell(lab, (struct lab_event){.kind = LAB_EXITED,
                                     .host = lab->topology->nodes[p->host].name,
                                     .program = p->name,
                                     .status = p->status,
                                     .stopping = lab->stopping});
}

static void reap(struct lab *lab) {
    int wait_status = 0;
    pid_t pid;
    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
        for (size_t i = 0; i < lab->program_count; i++)
            if (lab->programs[i]->running && lab->programs[i]->pid == pid)
                on_exit_of(lab, lab->programs[i], wait_status);
}

static void on_signal(struct lab *lab) {
    struct signalfd_siginfo info;
    while (read(lab->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            reap(lab);
        else if (lab->stopping) /* asked twice: do not wait */
            lab->kill_at = lab->now;
        else
            lab_stop(lab, 128 + (int)info.ssi_signo);
    }
}

static void on_tun(struct lab *lab, uint32_t host) {
    for (int i = 0; i < TUN_READ_MAX; i++) {
        ssize_t got = read(lab->hosts[host].tun, lab->packet, sizeof lab->packet);
        if (got <= 0)
            break;
        fabric_packet(&lab->fabric, (int)host, lab->packet, (size_t)got, lab->now);
    }
    flush_merged(lab);
}

static void on_timer(struct lab *lab) {
    uint64_t times = 0;
    ssize_t ignored = read(lab->timer, &times, sizeof times);
    (void)ignored;
    lab->armed = BK_NEVER;
}

static void dispatch(struct lab *lab, uint64_t data) {
    uint32_t index = (uint32_t)data;
    switch ((enum lab_watch)(data >> 32)) {
    case WATCH_TUN:
        on_tun(lab, index);
        return;
    case WATCH_OUTPUT:
        program_read(lab->programs[index / PROGRAM_STREAMS], index % PROGRAM_STREAMS, on_line, lab);
        return;
    case WATCH_TIMER:
        on_timer(lab);
        return;
    case WATCH_SIGNAL:
        on_signal(lab);
        return;
    case WATCH_CONTROL:
        serve_accept(lab);
        return;
    case WATCH_CLIENT:
        serve_client(lab, index);
        return;
    }
}

/* Sets the timer to the earliest deadline, if it is not set so already. epoll's own timeout counts
 * in milliseconds, which is too coarse for a link of 300 us. */
static void arm(struct lab *lab) {
    struct bk_time when = bk_earlier(fabric_deadline(&lab->fabric), script_deadline(lab));
    when = bk_earlier(when, lab->stopping ? lab->kill_at : BK_NEVER);
    when = bk_earlier(when, watch_deadline(lab));
    if (when.us == lab->armed.us)
        return;
    struct itimerspec t = {{0, 0}, {0, 0}};
    if (!bk_is_never(when)) {
        t.it_value.tv_sec = (time_t)(when.us / BK_US_PER_S);
        t.it_value.tv_nsec = (long)(when.us % BK_US_PER_S) * 1000 + 1;
    }
    timerfd_settime(lab->timer, TFD_TIMER_ABSTIME, &t, NULL);
    lab->armed = when;
}

static bool any_running(const struct lab *lab) {
    for (size_t i = 0; i < lab->program_count; i++)
        if (lab->programs[i]->running)
            return true;
    return false;
}

static void turn(struct lab *lab) {
    struct epoll_event events[EVENTS_MAX];
    arm(lab);
    int n = epoll_wait(lab->epoll, events, EVENTS_MAX, -1);
    lab->now = net_clock();
    for (int i = 0; i < n; i++)
        dispatch(lab, events[i].data.u64);
    fabric_advance(&lab->fabric, lab->now);
    flush_merged(lab);
    watch_advance(lab);
    script_advance(lab);
    if (lab->stopping && bk_due(lab->kill_at, lab->now)) {
        for (size_t i = 0; i < lab->program_count; i++)
            program_signal(lab->programs[i], SIGKILL);
        lab->kill_at = bk_after(lab->now, LAB_GRACE_US);
    }
}

/* The parent of a process, from /proc/PID/stat: "1 (name) S 0 ...". -1: it is gone. */
static long parent_of(const char *pid) {
    char path[64], text[512];
    if (snprintf(path, sizeof path, "/proc/%.20s/stat", pid) >= (int)sizeof path)
        return -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0)
        return -1;
    text[got] = '\0';
    const char *end = strrchr(text, ')');
    return end == NULL || strlen(end) < 5 ? -1 : strtol(end + 4, NULL, 10);
}

/* What programs left behind has become our child (we are a subreaper). Returns how many there were.
 */
static size_t kill_orphans(void) {
    size_t found = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    for (struct dirent *e = readdir(proc); e != NULL; e = readdir(proc)) {
        if (!isdigit((unsigned char)e->d_name[0]) || parent_of(e->d_name) != (long)getpid())
            continue;
        kill((pid_t)strtol(e->d_name, NULL, 10), SIGKILL);
        found++;
    }
    closedir(proc);
    return found;
}

/* Each round kills one generation. */
static void end_orphans(void) {
    for (int round = 0; round < 100 && kill_orphans() > 0; round++)
        while (waitpid(-1, NULL, 0) > 0)
            continue;
}

/* The network must keep up when the programs in it are busy, or delays come out too long. Only root
 * may ask for that; for others it stays as it is. */
static void take_precedence(struct lab *lab) {
    errno = 0;
    lab->priority = getpriority(PRIO_PROCESS, 0);
    (void)setpriority(PRIO_PROCESS, 0, lab->priority - ROUTER_NICER);
}

int lab_run(struct lab *lab) {
    lab->now = lab->started = net_clock();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    take_precedence(lab);
    lab_tell(lab, (struct lab_event){.kind = LAB_UP, .text = lab->control_path});
    script_advance(lab);
    while (!lab->stopping || any_running(lab))
        turn(lab);
    end_orphans();
    watch_finish(lab);
    (void)setpriority(PRIO_PROCESS, 0, lab->priority);
    return lab->status;
}

const struct lab_counters *lab_counters(const struct lab *lab) {
    return &lab->fabric.counters;
}

/* A host needs three open files: a thousand hosts are more than the usual limit. */
static enum bk_err raise_files_limit(struct lab *lab, char *why) {
    struct rlimit files;
    rlim_t want = lab->topology->node_count * FDS_PER_HOST + FDS_OTHER;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return BK_ERR_IO;
    lab->files_max = files.rlim_cur;
    if (files.rlim_cur >= want)
        return BK_OK;
    if (files.rlim_max < want && geteuid() != 0) {
        snprintf(why, TOPOLOGY_ERROR_MAX,
                 "this lab needs %lu open files and the limit is %lu: raise it with ulimit -n",
                 (unsigned long)want, (unsigned long)files.rlim_max);
        return BK_ERR_PERMISSION;
    }
    files.rlim_cur = want;
    files.rlim_max = files.rlim_max < want ? want : files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? BK_ERR_IO : BK_OK;
}

static enum bk_err open_signals(struct lab *lab) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    lab->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    lab->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    lab->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (lab->signals < 0 || lab->timer < 0 || lab->epoll < 0)
        return BK_ERR_IO;
    enum bk_err err = lab_watch(lab, lab->signals, WATCH_SIGNAL, 0);
    return err == BK_OK ? lab_watch(lab, lab->timer, WATCH_TIMER, 0) : err;
}

static enum bk_err open_control(struct lab *lab, char *why) {
    const char *name = lab->config.name != NULL ? lab->config.name : "lab";
    enum bk_err err = control_listen(name, lab->control_path, &lab->control);
    if (err == BK_OK)
        return lab_watch(lab, lab->control, WATCH_CONTROL, 0);
    snprintf(why, TOPOLOGY_ERROR_MAX, "cannot make the control socket of the lab %.60s: %s", name,
             err == BK_ERR_IO ? strerror(errno) : bk_err_text(err));
    return err;
}

static enum bk_err open_hosts(struct lab *lab, char *why) {
    enum bk_err err = netns_begin(&lab->base, why);
    for (size_t i = 0; err == BK_OK && i < lab->topology->node_count; i++) {
        if (lab->topology->nodes[i].kind != TOPOLOGY_HOST)
            continue;
        err = netns_open(&lab->base, &lab->topology->nodes[i], &lab->hosts[i], why);
        if (err == BK_OK)
            err = lab_watch(lab, lab->hosts[i].tun, WATCH_TUN, (uint32_t)i);
    }
    if (err == BK_OK)
        set_offloads(lab);
    return err;
}

static enum bk_err open_all(struct lab *lab, char *why) {
    snprintf(why, TOPOLOGY_ERROR_MAX, "cannot start the lab: not enough memory or files");
    enum bk_err err = raise_files_limit(lab, why);
    if (err == BK_OK)
        err = fabric_init(&lab->fabric, lab->topology, net_alloc(), deliver, lab);
    if (err == BK_OK)
        err = open_signals(lab);
    if (err == BK_OK)
        err = watch_init(lab, why);
    if (err == BK_OK)
        err = open_hosts(lab, why);
    return err == BK_OK ? open_control(lab, why) : err;
}

enum bk_err lab_new(const struct topology *topology, const struct lab_config *config,
                    struct lab **out, char *why) {
    struct lab *lab = calloc(1, sizeof *lab);
    struct netns *hosts = calloc(topology->node_count, sizeof *hosts);
    if (lab == NULL || hosts == NULL) {
        free(lab);
        free(hosts);
        snprintf(why, TOPOLOGY_ERROR_MAX, "not enough memory");
        return BK_ERR_NO_MEMORY;
    }
    lab->topology = topology;
    lab->config = *config;
    lab->hosts = hosts;
    lab->base = (struct netns_base){-1, -1, -1};
    lab->epoll = lab->timer = lab->signals = lab->control = -1;
    lab->armed = lab->kill_at = BK_NEVER;
    for (size_t i = 0; i < LAB_CLIENTS_MAX; i++)
        lab->clients[i] = -1;
    for (size_t i = 0; i < topology->node_count; i++)
        hosts[i] = (struct netns){.tun = -1, .net = -1, .uts = -1};
    enum bk_err err = open_all(lab, why);
    if (err != BK_OK) {
        lab_free(lab);
        return err;
    }
    *out = lab;
    return BK_OK;
}

void lab_free(struct lab *lab) {
    if (lab == NULL)
        return;
    serve_fini(lab);
    watch_fini(lab);
    for (size_t i = 0; i < lab->program_count; i++) {
        program_fini(lab->programs[i]);
        free(lab->programs[i]);
    }
    for (size_t i = 0; i < lab->topology->node_count; i++)
        netns_close(&lab->hosts[i]);
    if (lab->fabric.boxes != NULL)
        fabric_fini(&lab->fabric);
    script_fini(&lab->script);
    netns_end(&lab->base);
    int fds[] = {lab->epoll, lab->timer, lab->signals};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(lab->hosts);
    free(lab);
}
