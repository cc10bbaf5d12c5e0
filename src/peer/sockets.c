/* SPDX-License-Identifier: MIT */
#include "peer/sockets.h"

#include "base/assert.h"

/* FREE -> WANTED -> OPENING -> OPEN -> CLOSING -> FREE. One that is dropped while it is OPENING
 * becomes UNWANTED, and CLOSING when it is open. */
enum { FREE, WANTED, OPENING, UNWANTED, OPEN, CLOSING };

enum bk_err sockets_want(struct sockets *t, uint16_t place, uint16_t index, uint16_t port) {
    size_t i = 0;
    while (i < t->top && t->slots[i].state != FREE)
        i++;
    if (i == SOCKETS_MAX)
        return BK_ERR_FULL;
    if (i == t->top)
        t->top++;
    t->slots[i] =
        (struct sockets_slot){.state = WANTED, .place = place, .index = index, .port = port};
    return BK_OK;
}

static void drop(struct sockets_slot *s) {
    if (s->state == WANTED)
        s->state = FREE;
    else if (s->state == OPENING)
        s->state = UNWANTED;
    else if (s->state == OPEN)
        s->state = CLOSING;
}

void sockets_drop(struct sockets *t, uint16_t place, uint16_t port) {
    for (size_t i = 0; i < t->top; i++)
        if (t->slots[i].state == OPEN && t->slots[i].place == place && t->slots[i].port == port)
            drop(&t->slots[i]);
}

void sockets_drop_all(struct sockets *t, uint16_t place) {
    for (size_t i = 0; i < t->top; i++)
        if (t->slots[i].place == place)
            drop(&t->slots[i]);
}

static void shrink(struct sockets *t) {
    while (t->top > 0 && t->slots[t->top - 1].state == FREE)
        t->top--;
}

bool sockets_next(struct sockets *t, struct sockets_action *out) {
    for (size_t i = 0; i < t->top; i++) {
        struct sockets_slot *s = &t->slots[i];
        if (s->state != WANTED && s->state != CLOSING)
            continue;
        *out =
            (struct sockets_action){.open = s->state == WANTED, .id = (uint16_t)i, .port = s->port};
        s->state = s->state == WANTED ? OPENING : FREE;
        return true;
    }
    shrink(t);
    return false;
}

bool sockets_opened(struct sockets *t, uint16_t id, uint16_t port, uint16_t *place,
                    uint16_t *index) {
    bk_assert(id < SOCKETS_MAX);
    struct sockets_slot *s = &t->slots[id];
    bool wanted = s->state == OPENING;
    if (!wanted && s->state != UNWANTED)
        return false;
    s->port = port;
    s->state = port == 0 ? FREE : wanted ? OPEN : CLOSING;
    *place = s->place;
    *index = s->index;
    return wanted;
}

bool sockets_find(const struct sockets *t, uint16_t port, uint16_t *place, uint16_t *index) {
    for (size_t i = 0; i < t->top; i++) {
        const struct sockets_slot *s = &t->slots[i];
        if (s->state != OPEN || s->port != port)
            continue;
        *place = s->place;
        *index = s->index;
        return true;
    }
    return false;
}
