/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: sigaction */
#include "server/upgrade_launcher.h"

#include "server/upgrade_channel.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { STANDARD_FDS = 3, FDS_LIKELY = 1024 };

/* Signals that are meant for the server, and that a whole group may get. */
static const int ignored[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD};

static void set_signals(void (*how)(int)) {
    const struct sigaction action = {.sa_handler = how};
    sigset_t none;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)sigaction(ignored[i], &action, NULL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What the server is told when there is nobody else to tell it. */
static void say_failed(int channel, const char *program, int error) {
    char text[256];
    int len = snprintf(text, sizeof text, "cannot run %.128s: %s", program, strerror(error));
    const struct upgrade_record r = {
        .kind = UPGRADE_REFUSED, .data = (const uint8_t *)text, .len = len < 0 ? 0 : (size_t)len};
    (void)!upgrade_channel_say(channel, &r, -1);
}

static void become(char *const command[], int launcher, int channel) {
    char number[16];
    set_signals(SIG_DFL);
    (void)close(launcher);
    (void)snprintf(number, sizeof number, "%d", channel);
    if (setenv(UPGRADE_ENVIRONMENT, number, 1) == 0 && fcntl(channel, F_SETFD, 0) == 0)
        (void)execvp(command[0], command);
    (void)fcntl(channel, F_SETFD, FD_CLOEXEC);
    say_failed(channel, command[0], errno);
    _exit(EXIT_FAILURE);
}

static void run(char *const command[], int launcher) {
    static struct upgrade_message m;
    while (upgrade_channel_recv(launcher, &m) == BK_OK) {
        int channel = upgrade_take_fd(&m);
        pid_t child = channel < 0 ? -1 : fork();
        if (child == 0) { /* and another one, so that it is nobody's but the system's */
            child = fork();
            if (child == 0)
                become(command, launcher, channel);
            if (child > 0)
                _exit(EXIT_SUCCESS);
            say_failed(channel, command[0], errno);
            _exit(EXIT_FAILURE);
        }
        if (child < 0 && channel >= 0)
            say_failed(channel, command[0], errno);
        if (channel >= 0)
            (void)close(channel);
        upgrade_message_drop(&m);
    }
    _exit(EXIT_SUCCESS);
}

enum bk_err upgrade_launcher_start(char *const command[], int *out) {
    int ends[2];
    enum bk_err err = upgrade_channel_new(ends);
    if (err != BK_OK)
        return err;
    pid_t child = fork();
    if (child < 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return BK_ERR_IO;
    }
    if (child == 0) {
        for (int fd = STANDARD_FDS; fd < FDS_LIKELY; fd++)
            if (fd != ends[1])
                (void)close(fd);
#ifdef __linux__
        (void)prctl(PR_SET_NAME, "bodkin-launcher", 0, 0, 0);
#endif
        set_signals(SIG_IGN);
        run(command, ends[1]);
    }
    (void)close(ends[1]);
    *out = ends[0];
    return BK_OK;
}

enum bk_err upgrade_launcher_run(int launcher, int channel) {
    const struct upgrade_record r = {.kind = UPGRADE_HELLO, .hello.workers = 1};
    return upgrade_channel_say(launcher, &r, channel);
}
