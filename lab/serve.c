/* SPDX-License-Identifier: MIT
 * The running lab's side of the control socket (control.h). Requests are short and answered at
 * once, so a client cannot hold up the packets. */
#define _GNU_SOURCE /* NOLINT: accept4() needs it */
#include "lab/lab.h"
#include "lab/scratch.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(struct control_message *answer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct control_message *answer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(answer->text, sizeof answer->text, format, args);
    va_end(args);
}

static void add_text(struct control_message *answer, const char *text) {
    size_t len = strlen(answer->text);
    snprintf(answer->text + len, sizeof answer->text - len, " %s", text);
}

static void answer_info(const struct lab *lab, struct control_message *answer) {
    unsigned hosts = 0, nats = 0;
    for (size_t i = 0; i < lab->topology->node_count; i++) {
        bool host = lab->topology->nodes[i].kind == TOPOLOGY_HOST;
        hosts += host;
        nats += !host;
    }
    say(answer, "ok %u %u %lld", hosts, nats,
        (long long)(bk_elapsed_us(lab->started, lab->now) / BK_US_PER_S));
    for (size_t i = 0; i < lab->topology->node_count; i++)
        if (lab->topology->nodes[i].kind == TOPOLOGY_HOST)
            add_text(answer, lab->topology->nodes[i].name);
}

static void answer_enter(const struct lab *lab, const char *name, struct control_message *answer) {
    int node = topology_find(lab->topology, name);
    if (node == TOPOLOGY_NOWHERE || lab->topology->nodes[node].kind != TOPOLOGY_HOST) {
        say(answer, "error there is no host \"%.60s\" in this lab", name);
        return;
    }
    if (scratch_make(lab->control_path, name) != BK_OK) {
        say(answer, "error cannot make the directory of %s", name);
        return;
    }
    answer->fds[answer->fd_count++] = lab->hosts[node].net;
    answer->fds[answer->fd_count++] = lab->hosts[node].uts;
    if (lab->base.user >= 0)
        answer->fds[answer->fd_count++] = lab->base.user;
    say(answer, "ok");
}

static void answer_change(struct lab *lab, const char *text, struct control_message *answer) {
    struct topology_change change;
    struct topology_error error = {0};
    if (topology_parse_change(lab->topology, text, &change, &error) != BK_OK) {
        say(answer, "error %s", error.text);
        return;
    }
    enum bk_err err = lab_change(lab, &change, text);
    if (err == BK_OK)
        say(answer, "ok");
    else
        say(answer, "error %s", bk_err_text(err));
}

/* The connection stays, and carries one event per message until a side closes it. */
static void answer_events(struct lab *lab, uint32_t index, const char *form,
                          struct control_message *answer) {
    enum watch_form want = strcmp(form, "json") == 0 ? WATCH_JSON : WATCH_TEXT;
    if (watch_follow(lab, index, want) == BK_OK)
        say(answer, "ok");
    else
        say(answer, "error not enough memory");
}

static void answer_request(struct lab *lab, uint32_t index, const char *request,
                           struct control_message *answer) {
    if (strcmp(request, "info") == 0) {
        answer_info(lab, answer);
    } else if (strncmp(request, "enter ", 6) == 0) {
        answer_enter(lab, request + 6, answer);
    } else if (strncmp(request, "change ", 7) == 0) {
        answer_change(lab, request + 7, answer);
    } else if (strncmp(request, "events ", 7) == 0) {
        answer_events(lab, index, request + 7, answer);
    } else if (strcmp(request, "stop") == 0) {
        say(answer, "ok");
        lab_stop(lab, 0);
    } else {
        say(answer, "error this lab does not know \"%.60s\"", request);
    }
}

void serve_accept(struct lab *lab) {
    int fd = accept4(lab->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (uint32_t i = 0; i < LAB_CLIENTS_MAX; i++) {
        if (lab->clients[i] >= 0)
            continue;
        if (lab_watch(lab, fd, WATCH_CLIENT, i) != BK_OK)
            break;
        lab->clients[i] = fd;
        return;
    }
    close(fd);
}

static void close_client(struct lab *lab, uint32_t index) {
    enum bk_err ignored = watch_follow(lab, index, WATCH_NOT); /* never fails */
    (void)ignored;
    close(lab->clients[index]);
    lab->clients[index] = -1;
}

void serve_client(struct lab *lab, uint32_t index) {
    struct control_message request, answer = {.fd_count = 0};
    int fd = lab->clients[index];
    if (fd < 0)
        return;
    /* One that follows has nothing more to say: it is gone. */
    bool asks = lab->watch->form[index] == WATCH_NOT;
    if (asks && control_receive(fd, &request) == BK_OK) {
        for (size_t i = 0; i < request.fd_count; i++)
            close(request.fds[i]); /* nobody asked for them */
        answer_request(lab, index, request.text, &answer);
        enum bk_err ignored = control_send(fd, &answer); /* a client that left is no loss */
        (void)ignored;
        if (lab->watch->form[index] != WATCH_NOT)
            return;
    }
    close_client(lab, index);
}

void serve_fini(struct lab *lab) {
    for (size_t i = 0; i < LAB_CLIENTS_MAX; i++)
        if (lab->clients[i] >= 0)
            close(lab->clients[i]);
    if (lab->control >= 0) {
        close(lab->control);
        unlink(lab->control_path);
        scratch_remove(lab->control_path);
    }
}
