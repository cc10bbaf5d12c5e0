/* SPDX-License-Identifier: MIT
 * Sessions: the remote endpoints of a mapping. They carry the timers and, through the filter, the
 * permissions. */
#include "nat/state.h"

#include "base/assert.h"

#include <string.h>

uint32_t nat_session_find_flow(const struct nat *nat, enum nat_proto proto,
                               const struct bk_addr *internal, const struct bk_addr *remote) {
    uint8_t key[NAT_KEY_FLOW];
    nat_key_flow(key, proto, internal, remote);
    uint32_t index = NAT_NONE;
    return table_get(&nat->by_flow, key, &index) ? index : NAT_NONE;
}

void nat_session_end_all(struct nat *nat, uint32_t mapping) {
    while (nat->mappings[mapping].used)
        nat_session_end(nat, nat->mappings[mapping].first);
}

uint32_t nat_session_find_remote(const struct nat *nat, uint32_t mapping,
                                 const struct bk_addr *remote) {
    uint8_t key[NAT_KEY_REMOTE];
    nat_key_remote(key, mapping, remote);
    uint32_t index = NAT_NONE;
    return table_get(&nat->by_remote, key, &index) ? index : NAT_NONE;
}

/* Strangers may use three quarters of the pool: a flood through an open filter must not keep the
 * inside from making sessions. */
bool nat_session_room(const struct nat *nat, enum nat_side by) {
    uint32_t max = nat->config.sessions_max;
    return by == NAT_INSIDE ? nat->session_count < max : nat->session_count < max - max / 4;
}

/* The number of sessions with a remote address, which the address-dependent filter asks for. */
static void count_remote_host(struct nat *nat, const struct nat_session *s, int delta) {
    if (nat->filtering_of[nat->mappings[s->mapping].proto] != NAT_AD)
        return;
    uint8_t key[NAT_KEY_HOST];
    nat_key_host(key, s->mapping, &s->remote.ip);
    uint32_t n = 0;
    (void)table_get(&nat->by_host, key, &n);
    n = delta > 0 ? n + 1 : n - 1;
    if (n == 0) {
        (void)table_remove(&nat->by_host, key);
        return;
    }
    enum bk_err e = table_put(&nat->by_host, key, n);
    bk_assert(e == BK_OK);
}

static void link_to_mapping(struct nat *nat, uint32_t index) {
    struct nat_session *s = &nat->sessions[index];
    struct nat_mapping *m = &nat->mappings[s->mapping];
    s->prev = NAT_NONE;
    s->next = m->first;
    if (m->first != NAT_NONE)
        nat->sessions[m->first].prev = index;
    m->first = index;
    m->sessions++;
}

static void unlink_from_mapping(struct nat *nat, uint32_t index) {
    struct nat_session *s = &nat->sessions[index];
    struct nat_mapping *m = &nat->mappings[s->mapping];
    if (s->prev != NAT_NONE)
        nat->sessions[s->prev].next = s->next;
    else
        m->first = s->next;
    if (s->next != NAT_NONE)
        nat->sessions[s->next].prev = s->prev;
    m->sessions--;
}

void nat_session_own_flow(struct nat *nat, uint32_t index) {
    const struct nat_session *s = &nat->sessions[index];
    const struct nat_mapping *m = &nat->mappings[s->mapping];
    uint8_t key[NAT_KEY_FLOW];
    nat_key_flow(key, m->proto, &m->internal, &s->remote);
    enum bk_err e = table_put(&nat->by_flow, key, index);
    bk_assert(e == BK_OK); /* one flow per session at most, and as many fit */
}

uint32_t nat_session_make(struct nat *nat, uint32_t mapping, const struct bk_addr *remote,
                          enum nat_side by) {
    uint32_t index = nat->free_session;
    const struct bk_ip *host = &nat->mappings[mapping].internal.ip;
    if (index == NAT_NONE || !nat_session_room(nat, by) || !nat_host_session_room(nat, host))
        return NAT_NONE;
    struct nat_session *s = &nat->sessions[index];
    nat->free_session = s->next;
    *s = (struct nat_session){
        .mapping = mapping,
        .remote = *remote,
        .made = nat->now,
        .expires = nat->now,
        .armed = BK_NEVER,
        .made_by = by,
        .serial = ++nat->serial,
    };
    link_to_mapping(nat, index);
    uint8_t key[NAT_KEY_REMOTE];
    nat_key_remote(key, mapping, remote);
    enum bk_err e = table_put(&nat->by_remote, key, index);
    bk_assert(e == BK_OK);
    nat_overload_enter_session(nat, index);
    nat_session_own_flow(nat, index);
    count_remote_host(nat, s, 1);
    nat_host_count_session(nat, &nat->mappings[mapping], 1);
    nat_timer_start(nat, index);
    nat->session_count++;
    nat->counters.sessions_made++;
    return index;
}

/* With endpoint-dependent mappings two sessions can have the same inside and remote endpoints; the
 * flow then belongs to the other one and stays. */
static void disown_flow(struct nat *nat, uint32_t index) {
    const struct nat_session *s = &nat->sessions[index];
    const struct nat_mapping *m = &nat->mappings[s->mapping];
    uint8_t key[NAT_KEY_FLOW];
    nat_key_flow(key, m->proto, &m->internal, &s->remote);
    uint32_t owner = NAT_NONE;
    if (table_get(&nat->by_flow, key, &owner) && owner == index)
        (void)table_remove(&nat->by_flow, key);
}

void nat_session_end(struct nat *nat, uint32_t index) {
    struct nat_session *s = &nat->sessions[index];
    uint32_t mapping = s->mapping;
    bk_assert(mapping != NAT_NONE);
    uint8_t key[NAT_KEY_REMOTE];
    nat_key_remote(key, mapping, &s->remote);
    (void)table_remove(&nat->by_remote, key);
    nat_overload_leave_session(nat, index);
    disown_flow(nat, index);
    count_remote_host(nat, s, -1);
    nat_host_count_session(nat, &nat->mappings[mapping], -1);
    unlink_from_mapping(nat, index);
    heap_set(&nat->timers, index, BK_NEVER);
    memset(s, 0, sizeof *s);
    s->mapping = NAT_NONE;
    s->next = nat->free_session;
    nat->free_session = index;
    nat->session_count--;
    if (nat->mappings[mapping].sessions == 0)
        nat_mapping_end(nat, mapping);
}
