/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: pipe2() needs it */
#include "lab/program.h"

#include "lab/netns.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
}

static void set_environment(const struct program_start *how) {
    for (size_t i = 0; i < how->variable_count; i++)
        setenv(how->variables[i].name, how->variables[i].value, 1);
}

/* The child's side of fork(). Its complaints go to its own standard error, like a shell's. */
static _Noreturn void become(const struct program_start *how, pid_t parent, int out, int err) {
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before we asked */
        _exit(126);
    if (netns_enter(-1, how->net, how->uts) != BK_OK) {
        fprintf(stderr, "cannot enter the network namespace: %s\n", strerror(errno));
        _exit(126);
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = how->files_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)setpriority(PRIO_PROCESS, 0, how->priority);
    set_environment(how);
    reset_signals();
    execl("/bin/sh", "sh", "-c", how->command, (char *)NULL);
    fprintf(stderr, "cannot run /bin/sh: %s\n", strerror(errno));
    _exit(127);
}

static void close_all(int fds[4]) {
    for (size_t i = 0; i < 4; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

enum bk_err program_start(struct program *p, const struct program_start *how) {
    int fds[4] = {-1, -1, -1, -1}; /* two pipes */
    if (pipe2(fds, O_CLOEXEC) < 0 || pipe2(fds + 2, O_CLOEXEC) < 0)
        goto failed;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(how, parent, fds[1], fds[3]);
    if (pid < 0)
        goto failed;
    setpgid(pid, pid); /* both sides do it, so that it is done whoever comes first */
    close(fds[1]);
    close(fds[3]);
    *p = (struct program){.host = how->host, .pid = pid, .running = true};
    snprintf(p->name, sizeof p->name, "%s", how->name);
    for (size_t i = 0; i < PROGRAM_STREAMS; i++) {
        p->stream[i].fd = fds[2 * i];
        (void)fcntl(fds[2 * i], F_SETFL, O_NONBLOCK);
    }
    return BK_OK;
failed:;
    int saved = errno;
    close_all(fds);
    errno = saved;
    return BK_ERR_IO;
}

void program_fini(struct program *p) {
    for (size_t i = 0; i < PROGRAM_STREAMS; i++)
        if (p->stream[i].fd >= 0)
            close(p->stream[i].fd);
    program_forget(p, p->history_count);
    free(p->history);
    *p = (struct program){.stream = {{.fd = -1}, {.fd = -1}}};
}

typedef void line_taker(void *ctx, struct program *p, size_t stream, const char *text);

static void take_line(struct program *p, size_t stream, line_taker *line, void *ctx) {
    struct program_stream *s = &p->stream[stream];
    s->line[s->len] = '\0';
    if (s->len > 0 && s->line[s->len - 1] == '\r')
        s->line[s->len - 1] = '\0';
    s->len = 0;
    line(ctx, p, stream, s->line);
}

void program_read(struct program *p, size_t stream, line_taker *line, void *ctx) {
    struct program_stream *s = &p->stream[stream];
    char bytes[4096];
    for (int i = 0; i < PROGRAM_READS_MAX && s->fd >= 0; i++) {
        ssize_t got = read(s->fd, bytes, sizeof bytes);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        for (ssize_t at = 0; at < got; at++) {
            bool end = bytes[at] == '\n';
            if (!end && bytes[at] != '\0')
                s->line[s->len++] = bytes[at];
            if (end || s->len == PROGRAM_LINE_MAX - 1)
                take_line(p, stream, line, ctx);
        }
        if (got > 0)
            continue;
        if (s->len > 0)
            take_line(p, stream, line, ctx);
        close(s->fd);
        s->fd = -1;
    }
}

void program_remember(struct program *p, const char *line) {
    size_t len = strlen(line) + 1;
    if (p->history == NULL)
        p->history = calloc(PROGRAM_HISTORY_MAX, sizeof *p->history);
    if (p->history == NULL)
        return;
    if (p->history_count == PROGRAM_HISTORY_MAX)
        program_forget(p, 1);
    char *copy = malloc(len);
    if (copy == NULL)
        return;
    memcpy(copy, line, len);
    p->history[p->history_count++] = copy;
}

void program_forget(struct program *p, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(p->history[i]);
    if (count > 0)
        memmove(p->history, p->history + count, (p->history_count - count) * sizeof *p->history);
    p->history_count -= count;
}

void program_signal(const struct program *p, int signal) {
    if (p->running)
        kill(-p->pid, signal);
}

void program_ended(struct program *p, int wait_status) {
    p->running = false;
    p->status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}
