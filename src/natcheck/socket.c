/* SPDX-License-Identifier: MIT
 * The numbered sockets: asking the user to open and close them. */
#include "natcheck/state.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

/* RFC 6335 section 6: dynamic ports, less the upper end, which sequential NATs like. */
enum { PORT_FIRST = 32768, PORT_COUNT = 28000 };

struct bk_addr socket_any(enum family family) {
    const struct bk_addr any = {.ip.family = family == V4 ? BK_IPV4 : BK_IPV6};
    return any;
}

static void act(struct bk_natcheck *nc, const struct bk_natcheck_action *action) {
    bk_assert(nc->action_count < ACTIONS_MAX); /* an index is opened and closed once while queued */
    nc->actions[(nc->action_head + nc->action_count) % ACTIONS_MAX] = *action;
    nc->action_count++;
}

static uint32_t take(struct bk_natcheck *nc) {
    for (uint32_t i = 0; i < BK_NATCHECK_SOCKETS_MAX; i++) {
        if (nc->sockets[i].state == SOCKET_FREE)
            return i;
    }
    return NONE;
}

static void request_open(struct bk_natcheck *nc, uint32_t socket) {
    const struct check_socket *s = &nc->sockets[socket];
    const struct bk_natcheck_action action = {.kind = s->tcp ? BK_NATCHECK_DIAL : BK_NATCHECK_OPEN,
                                              .socket = socket,
                                              .local = s->local,
                                              .remote = s->remote};
    act(nc, &action);
}

uint32_t socket_open(struct bk_natcheck *nc, enum family family) {
    uint32_t socket = take(nc);
    if (socket == NONE || nc->action_count == ACTIONS_MAX)
        return NONE;
    struct check_socket *s = &nc->sockets[socket];
    *s = (struct check_socket){.state = SOCKET_OPENING, .local = socket_any(family)};
    s->local.port = (uint16_t)(PORT_FIRST + rng_below(&nc->rng, PORT_COUNT));
    request_open(nc, socket);
    return socket;
}

uint32_t socket_dial(struct bk_natcheck *nc, uint16_t port, const struct bk_addr *remote) {
    uint32_t socket = take(nc);
    if (socket == NONE || nc->action_count == ACTIONS_MAX)
        return NONE;
    struct check_socket *s = &nc->sockets[socket];
    *s = (struct check_socket){.state = SOCKET_OPENING,
                               .tcp = true,
                               .any_port = true, /* this port or none: the test is about it */
                               .local = socket_any(V4),
                               .remote = *remote};
    s->local.port = port;
    request_open(nc, socket);
    return socket;
}

void socket_close(struct bk_natcheck *nc, uint32_t socket) {
    if (socket == NONE || nc->sockets[socket].state == SOCKET_FREE)
        return;
    struct check_socket *s = &nc->sockets[socket];
    bool tell = s->state == SOCKET_OPEN || s->state == SOCKET_OPENING;
    const struct bk_natcheck_action action = {
        .kind = s->tcp ? BK_NATCHECK_HANG_UP : BK_NATCHECK_CLOSE, .socket = socket};
    if (tell && nc->action_count == ACTIONS_MAX)
        return; /* stays open until the queue is read; the end of the run closes it */
    if (tell)
        act(nc, &action);
    s->state = SOCKET_FREE;
}

void socket_close_all(struct bk_natcheck *nc) {
    for (uint32_t i = 0; i < BK_NATCHECK_SOCKETS_MAX; i++)
        socket_close(nc, i);
}

uint16_t socket_port(const struct bk_natcheck *nc, uint32_t socket) {
    return socket == NONE ? 0 : nc->sockets[socket].local.port;
}

bool socket_is_open(const struct bk_natcheck *nc, uint32_t socket) {
    return socket != NONE && nc->sockets[socket].state == SOCKET_OPEN;
}

bool bk_natcheck_next_action(struct bk_natcheck *check, struct bk_natcheck_action *out) {
    if (check->action_count == 0)
        return false;
    *out = check->actions[check->action_head];
    check->action_head = (check->action_head + 1) % ACTIONS_MAX;
    check->action_count--;
    return true;
}

/* The chosen port may be taken: any other will do, once. */
static void refused(struct bk_natcheck *nc, uint32_t socket) {
    struct check_socket *s = &nc->sockets[socket];
    if (!s->any_port && nc->action_count < ACTIONS_MAX) {
        s->any_port = true;
        s->local.port = 0;
        request_open(nc, socket);
        return;
    }
    s->state = SOCKET_FAILED;
    probe_socket_lost(nc, socket);
}

void socket_answer(struct bk_natcheck *nc, uint32_t socket, enum bk_err err,
                   const struct bk_addr *local) {
    struct check_socket *s = &nc->sockets[socket];
    if (s->state != SOCKET_OPENING)
        return;
    if (err != BK_OK || local == NULL) {
        refused(nc, socket);
        return;
    }
    s->state = SOCKET_OPEN;
    s->local = *local;
    probe_socket_ready(nc, socket);
}

void socket_end(struct bk_natcheck *nc, uint32_t socket) {
    struct check_socket *s = &nc->sockets[socket];
    if (!s->tcp || (s->state != SOCKET_OPEN && s->state != SOCKET_OPENING))
        return;
    s->state = SOCKET_FAILED;
    probe_socket_lost(nc, socket);
}
