/* SPDX-License-Identifier: MIT
 * The box: creation, one packet, reboot, and looking in. */
#include "nat/nat.h"
#include "nat/state.h"

#include "base/assert.h"

#include <string.h>

void nat_reset_pools(struct nat *nat) {
    uint32_t mappings = nat->config.mappings_max, sessions = nat->config.sessions_max;
    memset(nat->mappings, 0, mappings * sizeof *nat->mappings);
    memset(nat->sessions, 0, sessions * sizeof *nat->sessions);
    for (uint32_t i = 0; i < mappings; i++)
        nat->mappings[i].next_free = i + 1 < mappings ? i + 1 : NAT_NONE;
    for (uint32_t i = 0; i < sessions; i++) {
        nat->sessions[i].mapping = NAT_NONE;
        nat->sessions[i].next = i + 1 < sessions ? i + 1 : NAT_NONE;
    }
    nat->free_mapping = 0;
    nat->free_session = 0;
    nat->next_port = nat->next_low_port = 0;
    nat->hold_first = nat->hold_count = 0;
    nat->late_first = nat->late_count = 0;
    nat->rate.busy_until = nat->now;
    nat_hosts_reset(nat);
    nat_blocks_reset(nat);
}

/* RFC 7857 section 5: behaviours are per protocol. */
static void set_behaviours(struct nat *nat) {
    const struct nat_config *c = &nat->config;
    for (int p = 0; p < NAT_PROTOS; p++) {
        bool own = p == NAT_TCP;
        nat->mapping_of[p] = own && c->tcp_mapping != NAT_DEP_AS_UDP ? c->tcp_mapping : c->mapping;
        nat->filtering_of[p] =
            own && c->tcp_filtering != NAT_DEP_AS_UDP ? c->tcp_filtering : c->filtering;
        nat->ports_of[p] = own && c->tcp_ports != NAT_PORT_AS_UDP ? c->tcp_ports : c->ports;
    }
    if (c->icmp_ports != NAT_PORT_AS_UDP)
        nat->ports_of[NAT_ICMP] = c->icmp_ports;
    if (c->icmp_filtering != NAT_DEP_AS_UDP)
        nat->filtering_of[NAT_ICMP] = c->icmp_filtering;
}

/* The key of everything that is hashed, and survives a reboot. Drawn only by boxes that hash, as a
 * draw changes all that follow. */
static void draw_hash_key(struct nat *nat) {
    bool hashes = false;
    for (int p = 0; p < NAT_PROTOS; p++)
        hashes = hashes || nat->mapping_of[p] == NAT_DEP_HASH ||
                 nat->ports_of[p] == NAT_PORT_HASH || nat->ports_of[p] == NAT_PORT_HASH_REMOTE;
    for (int i = 0; hashes && i < 2; i++)
        nat->hash_key[i] = rng_u64(&nat->rng);
}

static bool has_adf(const struct nat *nat) {
    return nat->filtering_of[NAT_UDP] == NAT_AD || nat->filtering_of[NAT_TCP] == NAT_AD ||
           nat->filtering_of[NAT_ICMP] == NAT_AD;
}

static enum bk_err init_tables(struct nat *nat) {
    const struct nat_config *c = &nat->config;
    const struct {
        struct table *table;
        size_t key_len, capacity;
    } wanted[] = {
        {&nat->by_inside, NAT_KEY_INSIDE, c->mappings_max},
        {&nat->by_outside, NAT_KEY_OUTSIDE, c->mappings_max},
        {&nat->by_flow, NAT_KEY_FLOW, c->sessions_max},
        {&nat->by_remote, NAT_KEY_REMOTE, c->sessions_max},
        {&nat->by_reply, NAT_KEY_FLOW, c->overload != NAT_OVERLOAD_OFF ? c->sessions_max : 1},
        {&nat->by_host, NAT_KEY_HOST, has_adf(nat) ? c->sessions_max : 1},
        {&nat->per_host, NAT_KEY_IP, nat_hosts_wanted(c) ? c->mappings_max : 1},
        {&nat->by_hold, NAT_KEY_OUTSIDE, nat_holds_max(c)},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        enum bk_err e = table_init(wanted[i].table, wanted[i].key_len, wanted[i].capacity,
                                   &nat->rng, &nat->alloc);
        if (e != BK_OK)
            return e;
    }
    return heap_init(&nat->timers, c->sessions_max, &nat->alloc);
}

static enum bk_err init_pools(struct nat *nat) {
    const struct nat_config *c = &nat->config;
    const struct bk_alloc *alloc = &nat->alloc;
    size_t hosts = nat_hosts_wanted(c) ? c->mappings_max : 1;
    nat->mappings = alloc->get(alloc->ctx, c->mappings_max * sizeof *nat->mappings);
    nat->sessions = alloc->get(alloc->ctx, c->sessions_max * sizeof *nat->sessions);
    nat->hosts = alloc->get(alloc->ctx, hosts * sizeof *nat->hosts);
    nat->blocks = alloc->get(alloc->ctx, nat_blocks_max(c) * sizeof *nat->blocks);
    nat->holds = alloc->get(alloc->ctx, nat_holds_max(c) * sizeof *nat->holds);
    bool all = nat->mappings != NULL && nat->sessions != NULL && nat->hosts != NULL &&
               nat->blocks != NULL && nat->holds != NULL;
    return all ? BK_OK : BK_ERR_NO_MEMORY;
}

enum bk_err nat_new(const struct nat_config *config, const struct bk_rng *rng,
                    const struct bk_alloc *alloc, struct nat **out) {
    enum bk_err e = nat_config_check(config, NULL);
    if (e != BK_OK)
        return e;
    struct nat *nat = alloc->get(alloc->ctx, sizeof *nat);
    if (nat == NULL)
        return BK_ERR_NO_MEMORY;
    nat->config = *config;
    nat->rng = *rng;
    nat->alloc = *alloc;
    nat->now.us = INT64_MIN;
    set_behaviours(nat);
    draw_hash_key(nat);
    e = init_pools(nat);
    if (e == BK_OK)
        e = init_tables(nat);
    if (e != BK_OK) {
        nat_free(nat);
        return e;
    }
    nat_reset_pools(nat);
    *out = nat;
    return BK_OK;
}

void nat_free(struct nat *nat) {
    if (nat == NULL)
        return;
    struct bk_alloc alloc = nat->alloc;
    table_fini(&nat->by_inside);
    table_fini(&nat->by_outside);
    table_fini(&nat->by_flow);
    table_fini(&nat->by_remote);
    table_fini(&nat->by_host);
    table_fini(&nat->by_reply);
    table_fini(&nat->per_host);
    table_fini(&nat->by_hold);
    heap_fini(&nat->timers);
    alloc.put(alloc.ctx, nat->mappings);
    alloc.put(alloc.ctx, nat->sessions);
    alloc.put(alloc.ctx, nat->hosts);
    alloc.put(alloc.ctx, nat->blocks);
    alloc.put(alloc.ctx, nat->holds);
    alloc.put(alloc.ctx, nat);
}

static void refuse(struct nat *nat, const struct nat_header *in, enum nat_side from,
                   enum nat_drop why, struct nat_verdict *out) {
    out->drop = why;
    out->answer = nat_unsolicited_answer(nat, from, in, why);
    if (from == NAT_INSIDE && out->answer == NAT_ANSWER_NONE)
        out->answer = nat_policy_refusal(nat, why);
    if (from == NAT_OUTSIDE && out->answer != NAT_ANSWER_NONE && nat_late_wants(nat, in)) {
        nat_late_add(nat, in, out->answer);
        out->answer = NAT_ANSWER_NONE;
    }
    out->action = out->answer == NAT_ANSWER_NONE ? NAT_DROP : NAT_ANSWER;
    nat->counters.dropped[why]++;
    if (out->action == NAT_ANSWER)
        nat->counters.answered++;
}

static void pass(struct nat *nat, enum nat_side from, struct nat_verdict *out) {
    out->action = NAT_FORWARD;
    out->to = from == NAT_INSIDE ? NAT_OUTSIDE : NAT_INSIDE;
    nat->counters.forwarded[from]++;
}

/* RFC 4787 section 6, RFC 5382 REQ-8, RFC 5508 REQ-7: out and in again. */
static enum nat_drop hairpin(struct nat *nat, const struct nat_header *in,
                             struct nat_verdict *out) {
    struct nat_header outside;
    enum nat_drop drop = nat_translate_out(nat, in, &outside);
    if (drop == NAT_DROP_NONE)
        drop = nat_translate_in(nat, &outside, &out->header);
    if (drop != NAT_DROP_NONE)
        return drop;
    if (nat->config.hairpin == NAT_HAIRPIN_INTERNAL)
        out->header.flow.src = in->flow.src;
    out->action = NAT_HAIRPIN;
    out->to = NAT_INSIDE;
    nat->counters.hairpinned++;
    return NAT_DROP_NONE;
}

void nat_packet(struct nat *nat, enum nat_side from, const struct nat_header *in,
                struct bk_time now, struct nat_verdict *out) {
    memset(out, 0, sizeof *out);
    nat_advance(nat, now);
    enum nat_mode mode = nat_mode_of(nat, &in->flow.src.ip);
    enum nat_drop drop = nat_policy(nat, from, in);
    bool own = from == NAT_INSIDE && mode == NAT_MODE_TRANSLATE;
    own = own && drop != NAT_DROP_UNROUTABLE && nat_is_external(nat, &in->flow.dst.ip);
    if (own && nat->config.hairpin == NAT_HAIRPIN_OFF) /* before policies: it is not forwarded */
        drop = NAT_DROP_HAIRPIN_OFF;
    if (own) {
        if (drop == NAT_DROP_NONE)
            drop = hairpin(nat, in, out);
        if (drop != NAT_DROP_NONE)
            refuse(nat, in, from, drop, out);
        return;
    }
    if (drop == NAT_DROP_NONE && mode == NAT_MODE_ROUTE)
        out->header = *in;
    else if (drop == NAT_DROP_NONE && from == NAT_INSIDE)
        drop = nat_translate_out(nat, in, &out->header);
    else if (drop == NAT_DROP_NONE)
        drop = nat_translate_in(nat, in, &out->header);
    if (drop != NAT_DROP_NONE)
        refuse(nat, in, from, drop, out);
    else
        pass(nat, from, out);
}

bool nat_is_external(const struct nat *nat, const struct bk_ip *ip) {
    for (size_t i = 0; i < nat->config.external_count; i++) {
        if (bk_ip_equal(&nat->config.external[i], ip))
            return true;
    }
    return false;
}

const struct nat_config *nat_get_config(const struct nat *nat) {
    return &nat->config;
}

const struct nat_counters *nat_get_counters(const struct nat *nat) {
    return &nat->counters;
}

static struct bk_time mapping_expiry(const struct nat *nat, const struct nat_mapping *m) {
    struct bk_time last = nat->sessions[m->first].expires;
    for (uint32_t i = m->first; i != NAT_NONE; i = nat->sessions[i].next)
        last = bk_later(last, nat->sessions[i].expires);
    return last;
}

bool nat_next_mapping(const struct nat *nat, uint32_t *cursor, struct nat_mapping_view *out) {
    for (uint32_t i = *cursor; i < nat->config.mappings_max; i++) {
        const struct nat_mapping *m = &nat->mappings[i];
        if (!m->used || m->local)
            continue;
        *out = (struct nat_mapping_view){
            .proto = m->proto,
            .internal = m->internal,
            .external = m->external,
            .remote = m->remote,
            .sessions = m->sessions,
            .expires = mapping_expiry(nat, m),
        };
        *cursor = i + 1;
        return true;
    }
    return false;
}

void nat_look_on(struct nat *nat, nat_look *look, void *ctx) {
    nat->look = look;
    nat->look_ctx = ctx;
}

/* Every mapping is found under both its names and has the sessions it counts. */
static void check_mapping(const struct nat *nat, uint32_t index) {
    const struct nat_mapping *m = &nat->mappings[index];
    uint32_t sessions = 0;
    bk_assert(nat_overload_has(nat, index));
    for (uint32_t i = m->first; i != NAT_NONE; i = nat->sessions[i].next) {
        const struct nat_session *s = &nat->sessions[i];
        bk_assert(s->mapping == index);
        bk_assert(nat_session_find_remote(nat, index, &s->remote) == i);
        bk_assert(!bk_is_never(s->armed) && !bk_before(s->expires, s->armed));
        sessions++;
    }
    bk_assert(sessions == m->sessions && sessions > 0);
}

/* Hosts have the mappings and blocks they count, and blocks the mappings. */
static void check_hosts(const struct nat *nat) {
    uint32_t mappings = 0, sessions = 0, in_blocks = 0, owned = 0, given = 0;
    bool hosts = nat_hosts_wanted(&nat->config);
    for (uint32_t i = 0; hosts && i < nat->config.mappings_max; i++) {
        const struct nat_host *h = &nat->hosts[i];
        mappings += h->mappings;
        sessions += h->sessions;
        bk_assert(nat->config.sessions_per_host_max == 0 ||
                  h->sessions <= nat->config.sessions_per_host_max);
        given += h->blocks;
        for (uint32_t b = h->blocks > 0 ? h->first_block : NAT_NONE; b != NAT_NONE;
             b = nat->blocks[b].next) {
            bk_assert(nat->blocks[b].host == i && nat->blocks[b].used > 0);
            in_blocks += nat->blocks[b].used;
            owned++;
        }
    }
    bk_assert(!hosts || mappings == nat->mapping_count);
    bk_assert(sessions <= nat->session_count);
    bk_assert(owned == given && in_blocks <= mappings);
    bk_assert(nat->hold_count <= nat_holds_max(&nat->config));
    bk_assert(nat->by_hold.count <= nat->hold_count);
}

void nat_check(const struct nat *nat) {
    uint32_t mappings = 0, sessions = 0;
    for (uint32_t i = 0; i < nat->config.mappings_max; i++) {
        if (!nat->mappings[i].used)
            continue;
        check_mapping(nat, i);
        mappings++;
        sessions += nat->mappings[i].sessions;
    }
    bool unique = nat->config.overload == NAT_OVERLOAD_OFF;
    bk_assert(mappings == nat->mapping_count + nat->local_count && sessions == nat->session_count);
    bk_assert(nat->by_inside.count <= mappings && nat->by_outside.count <= mappings);
    bk_assert(!unique || nat->by_inside.count + nat->by_outside.count == 2 * (size_t)mappings);
    bk_assert(nat->by_reply.count == (unique ? 0 : sessions));
    bk_assert(nat->by_remote.count == sessions && nat->by_flow.count <= sessions);
    bk_assert(nat->timers.count == sessions);
    check_hosts(nat);
}

const char *nat_dep_text(enum nat_dep dep) {
    static const char *const text[] = {
        [NAT_EI] = "EI",
        [NAT_AD] = "AD",
        [NAT_APD] = "APD",
        [NAT_DEP_CONNECTION] = "connection",
        [NAT_DEP_TIME] = "time",
        [NAT_DEP_HASH] = "hash",
        [NAT_DEP_AS_UDP] = "as UDP",
    };
    return text[dep];
}

const char *nat_drop_text(enum nat_drop drop) {
    static const char *const text[NAT_DROPS] = {
        [NAT_DROP_NONE] = "none",
        [NAT_DROP_UNSOLICITED] = "unsolicited",
        [NAT_DROP_FILTERED] = "filtered",
        [NAT_DROP_BLOCKED] = "blocked",
        [NAT_DROP_HAIRPIN_OFF] = "hairpin-off",
        [NAT_DROP_FULL] = "full",
        [NAT_DROP_TCP_STATE] = "tcp-state",
        [NAT_DROP_ICMP] = "icmp",
        [NAT_DROP_UNROUTABLE] = "unroutable",
        [NAT_DROP_RATE] = "rate",
    };
    return text[drop];
}
