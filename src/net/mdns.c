/* SPDX-License-Identifier: MIT
 * Lookups ask three times and time out; published names are answered for when somebody asks. All
 * that arrives must come from an address of a link we are on: RFC 6762 section 11.
 *
 * Not here, because a random name that only one machine can have does not need it: probing and
 * announcing (section 8), the cache (10.2), negative answers (6.1). */
#define _GNU_SOURCE /* NOLINT: libuv needs it */
#include "net/mdns.h"

#include "net/mcast.h"
#include "wire/mdns.h"
#include <string.h>

enum {
    TRIES = 3,
    PATIENCE_US = 200000, /* at least, after each question */
    ANSWERS_MAX = 16,     /* to one message: nobody gets much for little */
    QUIET_US = 1000000,   /* between two multicasts of one record, RFC 6762 section 6 */
    RECENT_US = 1000000 / 4 * MDNS_TTL_S /* a multicast that everybody knows of, section 5.4 */
};

/* When the tries are made, and when the lookup ends. The second departs from RFC 6762 section 5.2,
 * which has a second between the first two for the sake of services that are asked for for ever; a
 * call that waits on one lost packet is asked for once. The third finds a responder that has just
 * answered no longer quiet. */
static const int64_t try_at_us[TRIES + 1] = {0, 250000, 1100000, 2500000};

struct net_mdns_lookup {
    struct net_mdns *mdns;
    struct net_mdns_lookup *next;
    struct net_timer timer;
    struct bk_time began;
    unsigned tries;
    void (*on_done)(void *ctx, enum bk_err err, const struct bk_ip *ips, size_t count);
    void *ctx;
    struct bk_ip ips[NET_MDNS_IPS_MAX];
    size_t count;
    char name[MDNS_NAME_MAX + 1];
};

struct published {
    struct published *next;
    struct bk_ip ip;
    struct bk_time told; /* the last multicast; BK_NEVER: none */
    char name[MDNS_NAME_MAX + 1];
};

struct net_mdns {
    struct net_loop *loop;
    struct mcast sockets[2]; /* IPv4, IPv6 */
    unsigned held;           /* sockets that libuv holds */
    struct net_interface links[NET_INTERFACES_MAX];
    size_t link_count;
    struct net_mdns_lookup *lookups;
    size_t lookup_count;
    struct published *names;
    size_t name_count, names_max;
};

/* ---- Links -------------------------------------------------------------------------------- */

static bool same_link(const struct net_interface *a, const struct net_interface *b) {
    return a->index == b->index && a->ip.family == b->ip.family;
}

/* Is this the first address of its interface and family? The groups go by those. */
static bool is_first(const struct net_interface *list, size_t i) {
    for (size_t j = 0; j < i; j++)
        if (same_link(&list[j], &list[i]))
            return false;
    return true;
}

static bool is_listed(const struct net_interface *list, size_t count,
                      const struct net_interface *link) {
    for (size_t i = 0; i < count; i++)
        if (same_link(&list[i], link))
            return true;
    return false;
}

static struct mcast *socket_of(struct net_mdns *m, uint8_t family) {
    return &m->sockets[family == BK_IPV6];
}

void net_mdns_set_interfaces(struct net_mdns *m, const struct net_interface *list, size_t count) {
    if (count > NET_INTERFACES_MAX)
        count = NET_INTERFACES_MAX;
    for (size_t i = 0; i < m->link_count; i++)
        if (is_first(m->links, i) && !is_listed(list, count, &m->links[i]))
            mcast_leave(socket_of(m, m->links[i].ip.family), m->links[i].index);
    for (size_t i = 0; i < count; i++)
        if (is_first(list, i) && !is_listed(m->links, m->link_count, &list[i]))
            mcast_join(socket_of(m, list[i].ip.family), list[i].index);
    if (count > 0)
        memcpy(m->links, list, count * sizeof list[0]);
    m->link_count = count;
}

static bool in_prefix(const struct bk_ip *ip, const struct net_interface *link) {
    if (ip->family != link->ip.family || (ip->zone != 0 && ip->zone != link->index) ||
        link->prefix_len == 0)
        return false;
    for (unsigned bit = 0; bit < link->prefix_len; bit++)
        if (((ip->bytes[bit / 8] ^ link->ip.bytes[bit / 8]) & (0x80u >> (bit % 8))) != 0)
            return false;
    return true;
}

/* The link that has this address on it; NULL: none of ours. */
static const struct net_interface *link_to(const struct net_mdns *m, const struct bk_ip *ip) {
    for (size_t i = 0; i < m->link_count; i++)
        if (in_prefix(ip, &m->links[i]))
            return &m->links[i];
    return NULL;
}

/* To both groups of one interface, or of every one (index 0). */
static void multicast(struct net_mdns *m, uint32_t index, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < m->link_count; i++)
        if (is_first(m->links, i) && (index == 0 || index == m->links[i].index))
            mcast_send(socket_of(m, m->links[i].ip.family), m->links[i].index, &m->links[i].ip,
                       data, len);
}

/* ---- Lookups ------------------------------------------------------------------------------ */

static struct published *find(const struct net_mdns *m, const char *name) {
    struct published *p = m->names;
    while (p != NULL && !mdns_same_name(p->name, name))
        p = p->next;
    return p;
}

static void lookup_free(struct net_mdns_lookup *l) {
    struct net_mdns *m = l->mdns;
    struct net_mdns_lookup **at = &m->lookups;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    m->lookup_count--;
    net_timer_set(&l->timer, BK_NEVER);
    loop_put(m->loop, l);
}

static void finish(struct net_mdns_lookup *l, enum bk_err err) {
    struct net_mdns_lookup done = *l;
    lookup_free(l);
    done.on_done(done.ctx, err, done.ips, done.count);
}

static void lookup_on_due(void *ctx, struct bk_time now) {
    struct net_mdns_lookup *l = ctx;
    uint8_t out[MDNS_WRITTEN_MAX];
    const struct published *own = find(l->mdns, l->name);
    if (own != NULL) { /* two agents on one machine that may have no network at all */
        l->ips[l->count++] = own->ip;
        finish(l, BK_OK);
        return;
    }
    if (l->tries == TRIES) {
        finish(l, BK_ERR_TIMEOUT);
        return;
    }
    /* To a shared port a unicast answer reaches one of the programs there, perhaps another. So only
     * the second try asks for one: whoever has just answered must not multicast again (section 6),
     * but may tell us alone (section 5.4). */
    multicast(l->mdns, 0, out, mdns_write_query(l->name, l->tries == 1, out));
    l->tries++;
    /* A program that was held up for seconds gives its questions time for an answer all the same.
     */
    net_timer_set(&l->timer,
                  bk_later(bk_after(l->began, try_at_us[l->tries]), bk_after(now, PATIENCE_US)));
}

/* RFC 6762 section 3: what ends in ".local." is asked for here, and nothing else. */
static bool is_local(const char *name) {
    static const char local[] = ".local";
    size_t len = strlen(name);
    return mdns_is_name(name) && len >= sizeof local &&
           mdns_same_name(name + len - (sizeof local - 1), local);
}

enum bk_err net_mdns_resolve(struct net_mdns *m, const char *name,
                             void (*on_done)(void *ctx, enum bk_err err, const struct bk_ip *ips,
                                             size_t count),
                             void *ctx, struct net_mdns_lookup **out) {
    if (!is_local(name))
        return BK_ERR_ARGUMENT;
    if (m->lookup_count == NET_MDNS_LOOKUPS_MAX)
        return BK_ERR_FULL;
    struct net_mdns_lookup *l = loop_get(m->loop, sizeof *l);
    if (l == NULL)
        return BK_ERR_NO_MEMORY;
    l->mdns = m;
    l->began = net_now(m->loop);
    l->on_done = on_done;
    l->ctx = ctx;
    memcpy(l->name, name, strlen(name) + 1);
    l->next = m->lookups;
    m->lookups = l;
    m->lookup_count++;
    net_timer_init(&l->timer, m->loop, lookup_on_due, l);
    net_timer_set(&l->timer, l->began);
    *out = l;
    return BK_OK;
}

void net_mdns_cancel(struct net_mdns_lookup *lookup) {
    if (lookup != NULL)
        lookup_free(lookup);
}

/* ---- What arrives ------------------------------------------------------------------------- */

static void take_record(struct net_mdns *m, const struct mdns_record *r,
                        const struct net_interface *link) {
    struct bk_ip ip = r->ip;
    if (r->ttl_s == 0 || bk_ip_scope(&ip) == BK_SCOPE_NONE)
        return;
    if (ip.family == BK_IPV6 && bk_ip_scope(&ip) == BK_SCOPE_LINK)
        ip.zone = link->index;
    for (struct net_mdns_lookup *l = m->lookups; l != NULL; l = l->next)
        if (l->tries > 0 && l->count < NET_MDNS_IPS_MAX && mdns_same_name(l->name, r->name))
            l->ips[l->count++] = ip;
}

static struct net_mdns_lookup *answered(const struct net_mdns *m) {
    struct net_mdns_lookup *l = m->lookups;
    while (l != NULL && l->count == 0)
        l = l->next;
    return l;
}

static void take_response(struct net_mdns *m, const struct mdns_msg *msg,
                          const struct net_interface *link) {
    struct mdns_iter it = mdns_iter(msg);
    struct mdns_record r;
    while (mdns_next_record(&it, &r))
        take_record(m, &r, link);
    /* Whoever is told may ask anew, which has no answer yet, or free it all, which leaves none. */
    for (struct net_mdns_lookup *l = answered(m); l != NULL; l = answered(m))
        finish(l, BK_OK);
}

/* RFC 6762 section 7.1: what the asker says it knows MUST NOT be told again. */
static bool is_known(const struct mdns_msg *msg, const struct published *p) {
    struct mdns_iter it = mdns_iter(msg);
    struct mdns_record r;
    while (mdns_next_record(&it, &r))
        if (r.answer && r.ttl_s >= MDNS_TTL_S / 2 && mdns_same_name(r.name, p->name) &&
            memcmp(r.ip.bytes, p->ip.bytes, sizeof r.ip.bytes) == 0)
            return true;
    return false;
}

static bool is_wanted(const struct mdns_question *q, const struct published *p) {
    return q->type == MDNS_ANY || (q->type == MDNS_A) == (p->ip.family == BK_IPV4);
}

/* How long ago it was multicast; a very long time, if never. */
static int64_t quiet_us(const struct published *p, struct bk_time now) {
    return bk_is_never(p->told) ? INT64_MAX : bk_elapsed_us(p->told, now);
}

static void answer(struct net_mdns *m, struct published *p, const struct mdns_msg *msg,
                   const struct mdns_question *q, const struct bk_addr *from) {
    struct bk_time now = net_now(m->loop);
    bool legacy = from->port != MDNS_PORT; /* section 6.7 */
    uint8_t out[MDNS_WRITTEN_MAX];
    struct mdns_record r = {
        .ip = p->ip, .ttl_s = legacy ? MDNS_LEGACY_TTL_S : MDNS_TTL_S, .flush = true};
    const struct net_interface *link = link_to(m, &p->ip);
    memcpy(r.name, p->name, sizeof r.name);
    size_t len = mdns_write_answer(&r, msg->id, legacy ? q : NULL, out);
    if (link == NULL)
        return; /* the address is on none of our links any more */
    if (legacy || (q->unicast && quiet_us(p, now) < RECENT_US)) {
        mcast_reply(socket_of(m, from->ip.family), from, out, len);
    } else if (quiet_us(p, now) >= QUIET_US) {
        multicast(m, link->index, out, len);
        p->told = now;
    }
}

static void take_query(struct net_mdns *m, const struct mdns_msg *msg, const struct bk_addr *from) {
    struct mdns_iter it = mdns_iter(msg);
    struct mdns_question q;
    for (int answers = 0; answers < ANSWERS_MAX && mdns_next_question(&it, &q);) {
        struct published *p = find(m, q.name);
        if (p == NULL || !is_wanted(&q, p) || is_known(msg, p))
            continue;
        answer(m, p, msg, &q, from);
        answers++;
    }
}

static void on_datagram(void *ctx, const struct bk_datagram *in) {
    struct net_mdns *m = ctx;
    struct mdns_msg msg;
    const struct net_interface *link = link_to(m, &in->remote.ip);
    if (link == NULL || mdns_parse(&msg, in->data, in->len) != BK_OK)
        return;
    if (!msg.response)
        take_query(m, &msg, &in->remote);
    else if (in->remote.port == MDNS_PORT) /* section 6: others MUST be ignored */
        take_response(m, &msg, link);
}

/* ---- Names of ours ------------------------------------------------------------------------ */

enum bk_err net_mdns_publish(struct net_mdns *m, const char *name, const struct bk_ip *ip) {
    if (!is_local(name) || bk_ip_scope(ip) == BK_SCOPE_NONE)
        return BK_ERR_ARGUMENT;
    if (!m->sockets[0].member_port && !m->sockets[1].member_port)
        return BK_ERR_UNSUPPORTED;
    if (find(m, name) != NULL)
        return BK_ERR_EXISTS;
    if (m->name_count == m->names_max)
        return BK_ERR_FULL;
    struct published *p = loop_get(m->loop, sizeof *p);
    if (p == NULL)
        return BK_ERR_NO_MEMORY;
    p->ip = *ip;
    p->told = BK_NEVER;
    memcpy(p->name, name, strlen(name) + 1);
    p->next = m->names;
    m->names = p;
    m->name_count++;
    return BK_OK;
}

enum bk_err net_mdns_withdraw(struct net_mdns *m, const char *name) {
    struct published **at = &m->names;
    while (*at != NULL && !mdns_same_name((*at)->name, name))
        at = &(*at)->next;
    struct published *p = *at;
    if (p == NULL)
        return BK_ERR_NOT_FOUND;
    *at = p->next;
    m->name_count--;
    loop_put(m->loop, p);
    return BK_OK;
}

/* ---- Life --------------------------------------------------------------------------------- */

static void on_socket_closed(void *ctx) {
    struct net_mdns *m = ctx;
    if (--m->held == 0)
        loop_put(m->loop, m);
}

enum bk_err net_mdns_new(struct net_loop *loop, size_t names_max, struct net_mdns **out) {
    static const uint8_t group6[16] = {0xff, 2, [15] = 0xfb}; /* RFC 6762 section 3 */
    const struct bk_ip groups[2] = {bk_ipv4(224, 0, 0, 251), bk_ipv6(group6)};
    struct net_mdns *m = loop_get(loop, sizeof *m);
    if (m == NULL)
        return BK_ERR_NO_MEMORY;
    bool any = false;
    m->loop = loop;
    m->names_max = names_max;
    for (int i = 0; i < 2; i++) {
        bool held, is_open;
        m->sockets[i] = (struct mcast){.loop = loop,
                                       .group = bk_addr(groups[i], MDNS_PORT),
                                       .on_datagram = on_datagram,
                                       .on_closed = on_socket_closed,
                                       .ctx = m};
        is_open = mcast_open(&m->sockets[i], &held);
        any = any || is_open;
        m->held += held;
    }
    if (any)
        *out = m;
    else if (m->held == 0)
        loop_put(loop, m);
    return any ? BK_OK : BK_ERR_UNSUPPORTED;
}

void net_mdns_free(struct net_mdns *m) {
    if (m == NULL)
        return;
    while (m->lookups != NULL)
        lookup_free(m->lookups);
    while (m->names != NULL) {
        struct published *p = m->names;
        m->names = p->next;
        loop_put(m->loop, p);
    }
    m->link_count = 0;
    mcast_close(&m->sockets[0]);
    mcast_close(&m->sockets[1]);
}
