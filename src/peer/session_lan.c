/* SPDX-License-Identifier: MIT
 * A session and the networks at its ends: addresses kept from the peer until it turns out to be
 * near, addresses that it told by beacon, and IPv4 from where there is only IPv6. */
#include "peer/session_inner.h"

#include <string.h>

static bool is_signalled(const struct session *s, const struct bk_ice_candidate *c) {
    for (size_t i = 0; i < s->mine.candidate_count; i++)
        if (bk_addr_equal(&s->mine.candidates[i].addr, &c->addr))
            return true;
    return false;
}

bool session_withhold(struct session *s, const struct bk_ice_candidate *c) {
    static const uint8_t clat[3] = {192, 0,
                                    0}; /* RFC 7335: every such host has this very address */
    bool useless = bk_ip_scope(&c->base.ip) == BK_SCOPE_LINK ||
                   (c->base.ip.family == BK_IPV4 && memcmp(c->base.ip.bytes, clat, 3) == 0 &&
                    bk_ip_scope(&c->base.ip) == BK_SCOPE_PRIVATE);
    if (c->kind != BK_ICE_HOST || (!s->env->private_addresses && !useless))
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

/* --- IPv4 from where there is none --- */

void session_add_remote(struct session *s, const struct bk_ice_candidate *c, struct bk_time now) {
    struct bk_ice_candidate translated = *c;
    enum bk_err err = bk_checker_add_remote_candidate(s->ice, c, now);
    (void)err; /* known, unusable or too many: ICE has counted it */
    if (!nat64_embed(&s->env->nat64, &c->addr.ip, &translated.addr.ip))
        return;
    err = bk_checker_add_remote_candidate(s->ice, &translated, now);
    (void)err; /* the same */
}

void session_nat64_changed(struct session *s, struct bk_time now) {
    for (size_t i = 0; s->peer_described && i < s->theirs.candidate_count; i++)
        if (session_may_go_direct(s))
            session_add_remote(s, &s->theirs.candidates[i], now);
    session_path_update(s, now);
}

/* --- beacons --- */

static void add_heard(struct session *s, const struct bk_addr *addr, struct bk_time now) {
    const struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = *addr};
    session_add_remote(s, &c, now);
}

void session_heard_again(struct session *s, struct bk_time now) {
    for (size_t i = 0; i < s->heard_count; i++)
        add_heard(s, &s->heard[i], now);
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
    add_heard(s, addr, now);
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
