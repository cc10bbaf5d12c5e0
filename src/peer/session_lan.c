/* SPDX-License-Identifier: MIT
 * A session and the local network: addresses kept from the peer until it turns out to be near, and
 * addresses that it told by beacon. */
#include "peer/session_inner.h"

#include <string.h>

static bool is_signalled(const struct session *s, const struct bk_ice_candidate *c) {
    for (size_t i = 0; i < s->mine.candidate_count; i++)
        if (bk_addr_equal(&s->mine.candidates[i].addr, &c->addr))
            return true;
    return false;
}

bool session_withhold(struct session *s, const struct bk_ice_candidate *c) {
    bool link_local = bk_ip_scope(&c->base.ip) == BK_SCOPE_LINK;
    if (c->kind != BK_ICE_HOST || (!s->env->private_addresses && !link_local))
        return false;
    if (s->withheld_count < SESSION_WITHHELD_MAX)
        s->withheld[s->withheld_count++] = *c;
    return true;
}

void session_forget_withheld(struct session *s, const struct bk_addr *base) {
    size_t kept = 0;
    for (size_t i = 0; i < s->withheld_count; i++)
        if (!bk_addr_equal(&s->withheld[i].base, base))
            s->withheld[kept++] = s->withheld[i];
    s->withheld_count = kept;
}

void session_reveal(struct session *s, const struct bk_addr *base, struct bk_time now) {
    bool changed = false;
    for (size_t i = 0; i < s->withheld_count; i++) {
        const struct bk_ice_candidate *c = &s->withheld[i];
        if (!bk_addr_equal(&c->base, base) || is_signalled(s, c) ||
            s->mine.candidate_count == SIGNAL_CANDIDATES_MAX)
            continue;
        s->mine.candidates[s->mine.candidate_count++] = *c;
        changed = true;
    }
    if (changed && s->version > 0)
        session_describe_anew(s, now);
}

static void add_remote(struct session *s, const struct bk_addr *addr, struct bk_time now) {
    const struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = *addr};
    enum bk_err err = bk_checker_add_remote_candidate(s->ice, &c, now);
    (void)err; /* known, unusable or too many: ICE has counted it */
}

void session_heard_again(struct session *s, struct bk_time now) {
    for (size_t i = 0; i < s->heard_count; i++)
        add_remote(s, &s->heard[i], now);
}

void session_add_heard(struct session *s, const struct bk_addr *addr, struct bk_time now) {
    if (s->state == SESSION_OVER || !session_may_go_direct(s))
        return;
    for (size_t i = 0; i < s->heard_count; i++)
        if (bk_addr_equal(&s->heard[i], addr))
            return;                          /* ICE has it, and tries it again at its own pace */
    if (s->heard_count == SESSION_HEARD_MAX) /* the oldest makes room */
        memmove(&s->heard[0], &s->heard[1], --s->heard_count * sizeof s->heard[0]);
    s->heard[s->heard_count++] = *addr;
    add_remote(s, addr, now);
    session_path_update(s, now);
}

/* The path in use goes to a neighbour: nothing nearer is to be found. */
static bool is_near(const struct session *s) {
    enum bk_scope scope = bk_ip_scope(&s->pair.remote.addr.ip);
    return path_is_direct(&s->path) && s->pair.id != 0 && s->pair.local.kind == BK_ICE_HOST &&
           s->pair.remote.kind == BK_ICE_HOST && scope < BK_SCOPE_GLOBAL;
}

void session_want_seek(struct session *s) {
    s->want_seek = s->exchanged;
}

bool session_take_seek(struct session *s) {
    bool want = s->want_seek;
    s->want_seek = false;
    return want && s->state != SESSION_OVER && session_may_go_direct(s) && !is_near(s);
}
