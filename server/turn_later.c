/* SPDX-License-Identifier: MIT */
#include "server/turn_later.h"

#include <string.h>

static bool is_from(const struct turn_later_one *one, const struct bk_datagram *client) {
    return one->link != NULL && bk_addr_equal(&one->in.remote, &client->remote) &&
           bk_addr_equal(&one->in.local, &client->local);
}

/* One for each client: a retransmission takes the place of what it repeats. */
bool turn_later_keep(struct turn_later *l, struct turn_link *link, const struct bk_datagram *in) {
    struct turn_later_one *one = NULL;
    if (link == NULL || in->len > TURN_LATER_LEN)
        return false;
    for (size_t i = 0; i < TURN_LATER_MAX; i++) {
        if (is_from(&l->list[i], in)) {
            one = &l->list[i];
            break;
        }
        if (one == NULL && l->list[i].link == NULL)
            one = &l->list[i];
    }
    if (one == NULL)
        return false;
    one->link = link;
    one->in = *in;
    memcpy(one->data, in->data, in->len);
    one->in.data = one->data;
    return true;
}

void turn_later_forget(struct turn_later *l, const struct bk_datagram *client) {
    for (size_t i = 0; i < TURN_LATER_MAX; i++)
        if (is_from(&l->list[i], client))
            l->list[i].link = NULL;
}

/* Copied out first: handing it in may keep it again, in its own place. */
void turn_later_again(struct turn_later *l, struct server_turn *t, struct bk_time now) {
    for (size_t i = 0; i < TURN_LATER_MAX; i++) {
        struct turn_later_one one = l->list[i];
        if (one.link == NULL)
            continue;
        l->list[i].link = NULL;
        one.in.data = one.data;
        enum bk_err err = server_turn_recv(t, one.link, &one.in, now);
        (void)err; /* nobody is left to be told */
    }
}
