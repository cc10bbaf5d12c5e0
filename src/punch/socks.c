/* SPDX-License-Identifier: MIT
 * Fresh sockets, which the owner opens, asks from and closes. */
#include "punch/state.h"

#include "base/assert.h"

static bool has_to_tell(uint8_t state) {
    return state == SOCK_WANTED || state == SOCK_ASK || state == SOCK_CLOSE || state == SOCK_AGAIN;
}

static bool is_open(uint8_t state) {
    return state == SOCK_OPENING || state == SOCK_OPEN || state == SOCK_ASK ||
           state == SOCK_ASKED || state == SOCK_CLOSE || state == SOCK_AGAIN;
}

static void set(struct socks *s, uint16_t socket, enum sock_state to) {
    uint8_t from = s->state[socket];
    s->busy =
        (uint16_t)(s->busy + (has_to_tell((uint8_t)to) ? 1 : 0) - (has_to_tell(from) ? 1 : 0));
    s->open = (uint16_t)(s->open + (is_open((uint8_t)to) ? 1 : 0) - (is_open(from) ? 1 : 0));
    s->state[socket] = (uint8_t)to;
}

void socks_want(struct socks *s, uint16_t socket, uint16_t port) {
    bk_assert(socket > PUNCH_SHARED && socket < PUNCH_SOCKETS_MAX);
    uint8_t state = s->state[socket];
    if (state == SOCK_CLOSE || state == SOCK_NONE) {
        s->port[socket] = port;
        set(s, socket, state == SOCK_CLOSE ? SOCK_AGAIN : SOCK_WANTED);
    }
}

void socks_ask(struct socks *s, uint16_t socket) {
    if (s->state[socket] == SOCK_OPEN)
        set(s, socket, SOCK_ASK);
}

void socks_close_one(struct socks *s, uint16_t socket) {
    uint8_t state = s->state[socket];
    if (state == SOCK_WANTED)
        set(s, socket, SOCK_NONE);
    else if (state != SOCK_NONE)
        set(s, socket, SOCK_CLOSE);
}

void socks_close(struct socks *s, uint16_t keep) {
    for (uint16_t i = PUNCH_SHARED + 1; i < PUNCH_SOCKETS_MAX && s->open + s->busy > 0; i++) {
        uint8_t state = s->state[i];
        if (i == keep && (state == SOCK_OPEN || state == SOCK_ASK || state == SOCK_ASKED))
            set(s, i, SOCK_NONE); /* it is the owner's now */
        else
            socks_close_one(s, i);
    }
}

bool socks_next(struct socks *s, struct punch_action *out) {
    if (s->busy == 0)
        return false;
    uint16_t i = PUNCH_SHARED + 1;
    while (!has_to_tell(s->state[i]))
        i++;
    bk_assert(i < PUNCH_SOCKETS_MAX);
    *out = (struct punch_action){.socket = i};
    switch ((enum sock_state)s->state[i]) {
    case SOCK_WANTED:
        out->kind = PUNCH_OPEN;
        out->port = s->port[i];
        s->port[i] = 0;
        set(s, i, SOCK_OPENING);
        break;
    case SOCK_ASK:
        out->kind = PUNCH_ASK;
        set(s, i, SOCK_ASKED);
        break;
    case SOCK_CLOSE:
    case SOCK_AGAIN:
        out->kind = PUNCH_CLOSE;
        set(s, i, s->state[i] == SOCK_AGAIN ? SOCK_WANTED : SOCK_NONE);
        break;
    case SOCK_NONE:
    case SOCK_OPENING:
    case SOCK_OPEN:
    case SOCK_ASKED:
        bk_assert(false);
    }
    return true;
}

bool socks_opened(struct socks *s, uint16_t socket, bool ok) {
    if (socket >= PUNCH_SOCKETS_MAX || s->state[socket] != SOCK_OPENING)
        return false;
    set(s, socket, ok ? SOCK_OPEN : SOCK_NONE);
    return true;
}

bool socks_answered(struct socks *s, uint16_t socket) {
    if (socket >= PUNCH_SOCKETS_MAX || s->state[socket] != SOCK_ASKED)
        return false;
    set(s, socket, SOCK_OPEN);
    return true;
}
