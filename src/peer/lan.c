/* SPDX-License-Identifier: MIT */
#include "peer/lan.h"

#include "base/wipe.h"
#include "box/box.h"

#include <string.h>

_Static_assert((int)BEACON_ID_LEN == (int)SIGNAL_SESSION_LEN &&
                   (int)BEACON_SECRET_LEN == (int)BOX_KEY_LEN,
               "a session's id and a shared key fit");

void lan_init(struct lan *lan, const struct bk_rng *rng, bool off) {
    lan->off = off;
    beacon_init(&lan->beacon, rng);
}

void lan_fini(struct lan *lan) {
    beacon_fini(&lan->beacon);
}

void lan_watch(struct lan *lan, const struct identity *self, const struct session *s) {
    uint8_t secret[BEACON_SECRET_LEN];
    if (lan->off || box_shared(session_relay_key(s), self->relay_secret, secret) != BK_OK)
        return;
    enum bk_err err = beacon_watch(&lan->beacon, session_id(s), secret, session_is_offerer(s));
    (void)err; /* full: signalling alone has to do */
    wipe(secret, sizeof secret);
}

void lan_forget(struct lan *lan, const struct session *s) {
    beacon_forget(&lan->beacon, session_id(s));
}

void lan_look(struct lan *lan, struct session *s, struct bk_time now) {
    if (session_take_seek(s) && !lan->off)
        beacon_seek(&lan->beacon, session_id(s), now);
}

static void add_local(struct session *s, const struct bk_addr *addr, struct bk_time now) {
    const struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = *addr, .base = *addr};
    session_add_local(s, &c, now); /* most are known; link-local ones are not */
    session_reveal(s, addr, now);
}

void lan_heard(struct lan *lan, struct session *s, const struct beacon_event *event,
               struct bk_time now) {
    const struct beacon_link *link = beacon_find_link(&lan->beacon, event->link);
    for (size_t i = 0; link != NULL && i < link->count; i++)
        add_local(s, &link->addrs[i], now);
    for (size_t i = 0; i < event->count; i++)
        session_add_heard(s, &event->addrs[i], now);
}

static bool has(const struct beacon_link *links, size_t count, const struct bk_addr *addr) {
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < links[i].count; k++)
            if (bk_addr_equal(&links[i].addrs[k], addr))
                return true;
    return false;
}

void lan_leave(struct lan *lan, struct session *s, const struct beacon_link *links, size_t count,
               struct bk_time now) {
    const struct beacon *b = &lan->beacon;
    for (size_t i = 0; i < b->link_count; i++)
        for (size_t k = 0; k < b->links[i].count; k++) {
            const struct bk_addr *addr = &b->links[i].addrs[k];
            if (bk_ip_scope(&addr->ip) == BK_SCOPE_LINK && !has(links, count, addr))
                session_remove_local(s, addr, now);
        }
    session_want_seek(s);
}
