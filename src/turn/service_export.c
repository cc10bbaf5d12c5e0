/* SPDX-License-Identifier: MIT
 * An allocation as bytes and back. Times are what is left of them, since clocks differ. The bytes
 * come from another process of ours, perhaps of another version: they are checked like a
 * stranger's. */
#include "turn/service_int.h"

#include "wire/channel.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

enum {
    VERSION = 1,
    ADDR_LEN = 1 + 16 + 4 + 2,
    FIXED_LEN = 320,
    PERM_LEN = ADDR_LEN + 8,
    CHAN_LEN = 2 + ADDR_LEN + 8
};

#define NEVER_LEFT UINT64_MAX
#define LEFT_MAX_US (INT64_C(86400) * 400 * BK_US_PER_S)

/* ---- Writing ------------------------------------------------------------------------------ */

static void put_ip(struct wire_writer *w, const struct bk_ip *ip) {
    wire_put_u8(w, ip->family);
    wire_put_bytes(w, ip->bytes, sizeof ip->bytes);
    wire_put_u32(w, ip->zone);
}

static void put_addr(struct wire_writer *w, const struct bk_addr *addr) {
    put_ip(w, &addr->ip);
    wire_put_u16(w, addr->port);
}

static void put_left(struct wire_writer *w, const struct turn_service *s, struct bk_time when) {
    uint64_t left = when.us > s->now.us ? (uint64_t)(when.us - s->now.us) : 0;
    wire_put_u64(w, bk_is_never(when) ? NEVER_LEFT : left);
}

static void put_fixed(struct wire_writer *w, const struct turn_service *s,
                      const struct turn_alloc *a) {
    wire_put_u16(w, VERSION);
    put_addr(w, &a->client);
    put_addr(w, &a->server);
    wire_put_u8(w, a->protocol);
    wire_put_u64(w, a->user);
    wire_put_u64(w, a->ticket);
    wire_put_u32(w, a->lifetime_s);
    put_left(w, s, a->wait.when);
    put_left(w, s, a->kid == 0 ? BK_NEVER : a->good_until);
    for (size_t i = 0; i < TURN_FAMILIES; i++)
        wire_put_u16(w, a->port[i]);
    wire_put_bytes(w, a->txid, STUN_TXID_LEN);
    wire_put_u32(w, a->kid);
    wire_put_u8(w, a->token_key_len);
    wire_put_bytes(w, a->token_key, sizeof a->token_key);
    for (size_t i = 0; i < 2; i++) {
        wire_put_u64(w, a->bytes[i]);
        wire_put_u64(w, a->packets[i]);
    }
}

size_t turn_service_export_max(const struct turn_service *service) {
    const struct turn_service_config *c = &service->config;
    return FIXED_LEN + (size_t)c->permissions_max * PERM_LEN + (size_t)c->channels_max * CHAN_LEN;
}

static struct bk_addr relay_of(const struct turn_service *s, size_t family, uint16_t port) {
    const struct bk_addr none = {.ip.family = BK_FAMILY_NONE};
    return port == 0 ? none : bk_addr(s->config.relay[family], port);
}

static bool export_one(const struct turn_service *s, const struct turn_alloc *a, uint8_t *buf,
                       size_t cap, struct turn_exported *out) {
    struct wire_writer w = wire_writer(buf, cap);
    put_fixed(&w, s, a);
    wire_put_u16(&w, a->perms);
    for (uint32_t i = a->first_perm; i != TURN_NONE; i = turn_permission_at(&s->perms, i)->next) {
        const struct turn_permission *p = turn_permission_at(&s->perms, i);
        put_ip(&w, &p->ip);
        put_left(&w, s, p->wait.when);
    }
    wire_put_u16(&w, a->chans);
    for (uint32_t i = a->first_chan; i != TURN_NONE; i = turn_channel_at(&s->chans, i)->next) {
        const struct turn_channel *c = turn_channel_at(&s->chans, i);
        wire_put_u16(&w, c->number);
        put_addr(&w, &c->peer);
        put_left(&w, s, c->wait.when);
    }
    out->len = w.len;
    out->client =
        (struct bk_datagram){.local = a->server, .remote = a->client, .protocol = a->protocol};
    for (size_t i = 0; i < TURN_FAMILIES; i++)
        out->relay[i] = relay_of(s, i, a->port[i]);
    return !w.failed;
}

bool turn_service_export(const struct turn_service *service, uint32_t *cursor, uint8_t *buf,
                         size_t cap, struct turn_exported *out) {
    for (; *cursor < service->allocs.pool.max; (*cursor)++) {
        if (!turn_alloc_is(&service->allocs, *cursor))
            continue;
        const struct turn_alloc *a = turn_service_alloc(service, *cursor);
        if (a->relayed == BK_UDP && export_one(service, a, buf, cap, out)) {
            out->alloc = (*cursor)++;
            return true;
        }
    }
    return false;
}

void turn_service_elsewhere(struct turn_service *service, const struct bk_addr *relay, bool open) {
    const size_t family = turn_family_index(relay->ip.family);
    if (!turn_relay_is_here(service, relay))
        service->ledger.set_open(service->ledger.ctx, (uint8_t)family, relay->port, open);
}

void turn_service_exported(struct turn_service *service, const struct turn_exported *what,
                           struct bk_time now) {
    turn_service_begin(service, now);
    if (turn_allocs_find(&service->allocs, &what->client) != what->alloc)
        return;
    turn_service_end(service, what->alloc);
    for (size_t i = 0; i < TURN_FAMILIES; i++)
        if (what->relay[i].ip.family != BK_FAMILY_NONE)
            turn_service_elsewhere(service, &what->relay[i], true);
}

/* ---- Reading ------------------------------------------------------------------------------ */

static bool get_ip(struct wire_reader *r, struct bk_ip *ip) {
    memset(ip, 0, sizeof *ip);
    ip->family = wire_u8(r);
    const uint8_t *bytes = wire_bytes(r, sizeof ip->bytes);
    ip->zone = wire_u32(r);
    if (r->failed || (ip->family != BK_IPV4 && ip->family != BK_IPV6))
        return false;
    memcpy(ip->bytes, bytes, ip->family == BK_IPV4 ? 4 : 16);
    return true;
}

static bool get_addr(struct wire_reader *r, struct bk_addr *addr) {
    bool good = get_ip(r, &addr->ip);
    addr->port = wire_u16(r);
    return good && !r->failed && addr->port != 0;
}

static bool get_left(struct wire_reader *r, const struct turn_service *s, struct bk_time *when) {
    uint64_t left = wire_u64(r);
    *when = left == NEVER_LEFT ? BK_NEVER : bk_after(s->now, (int64_t)(left % LEFT_MAX_US));
    return !r->failed && (left == NEVER_LEFT || left < LEFT_MAX_US);
}

/* Everything but lists and what the service counts; into a struct of its own first. */
static bool get_fixed(struct wire_reader *r, const struct turn_service *s, struct turn_alloc *a) {
    bool good = wire_u16(r) == VERSION && get_addr(r, &a->client) && get_addr(r, &a->server);
    a->protocol = wire_u8(r);
    a->user = wire_u64(r);
    a->ticket = wire_u64(r);
    a->lifetime_s = wire_u32(r);
    good = good && get_left(r, s, &a->wait.when) && get_left(r, s, &a->good_until);
    for (size_t i = 0; i < TURN_FAMILIES; i++)
        a->port[i] = wire_u16(r);
    const uint8_t *txid = wire_bytes(r, STUN_TXID_LEN);
    a->kid = wire_u32(r);
    a->token_key_len = wire_u8(r);
    const uint8_t *key = wire_bytes(r, sizeof a->token_key);
    for (size_t i = 0; i < 2; i++) {
        a->bytes[i] = wire_u64(r);
        a->packets[i] = wire_u64(r);
    }
    if (!good || r->failed || a->user == 0 || a->token_key_len > sizeof a->token_key ||
        a->protocol > TURN_PROXIED || bk_is_never(a->wait.when))
        return false;
    memcpy(a->txid, txid, STUN_TXID_LEN);
    memcpy(a->token_key, key, sizeof a->token_key);
    return a->port[0] != 0 || a->port[1] != 0;
}

/* What a peer of it must be like, as if it were asked for now: the filter may have changed. */
static bool is_fit(const struct turn_service *s, const struct turn_alloc *a,
                   const struct bk_ip *ip) {
    const struct bk_addr peer = bk_addr(*ip, 1);
    return turn_peer_judge(s, a, &peer) == 0;
}

static enum bk_err import_perms(struct turn_service *s, uint32_t alloc, struct wire_reader *r) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    for (size_t left = wire_u16(r); left > 0; left--) {
        struct bk_ip ip;
        struct bk_time when;
        if (!get_ip(r, &ip) || !get_left(r, s, &when) || bk_is_never(when))
            return BK_ERR_MALFORMED;
        if (!is_fit(s, a, &ip) || bk_due(when, s->now))
            continue;
        if (a->perms >= s->config.permissions_max || !turn_add_permission(s, alloc, &ip, when))
            return BK_ERR_FULL;
    }
    return r->failed ? BK_ERR_MALFORMED : BK_OK;
}

static enum bk_err import_chans(struct turn_service *s, uint32_t alloc, struct wire_reader *r) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    for (size_t left = wire_u16(r); left > 0; left--) {
        struct bk_addr peer;
        struct bk_time when;
        uint16_t number = wire_u16(r);
        if (!get_addr(r, &peer) || !get_left(r, s, &when) || bk_is_never(when) ||
            number < CHANNEL_MIN || number > CHANNEL_OLD_MAX)
            return BK_ERR_MALFORMED;
        if (turn_channels_by_number(&s->chans, alloc, number) != TURN_NONE ||
            turn_channels_by_peer(&s->chans, alloc, &peer) != TURN_NONE)
            return BK_ERR_MALFORMED;
        if (!is_fit(s, a, &peer.ip) || bk_due(when, s->now))
            continue;
        if (a->chans >= s->config.channels_max)
            return BK_ERR_FULL;
        uint32_t i = turn_add_channel(s, alloc, number, &peer);
        if (i == TURN_NONE)
            return BK_ERR_FULL;
        waits_set(&s->chans.waits, i, when, s->now);
    }
    return r->failed || wire_left(r) != 0 ? BK_ERR_MALFORMED : BK_OK;
}

/* The empty allocation that `from` describes. */
static enum bk_err settle(struct turn_service *s, const struct turn_alloc *from, uint32_t *out) {
    const struct bk_datagram tuple = {
        .local = from->server, .remote = from->client, .protocol = from->protocol};
    if (turn_allocs_find(&s->allocs, &tuple) != TURN_NONE ||
        !turn_service_has_room(s, TURN_RELAY_PORTS_MAX))
        return BK_ERR_FULL;
    uint32_t i = turn_allocs_add(&s->allocs, &tuple, from->user);
    if (i == TURN_NONE)
        return BK_ERR_FULL;
    struct turn_alloc *a = turn_service_alloc(s, i);
    if (!turn_quota_take_over(s, a)) {
        turn_allocs_remove(&s->allocs, i);
        return BK_ERR_FULL;
    }
    a->via = s->via;
    a->ticket = from->ticket;
    a->lifetime_s = from->lifetime_s;
    a->good_until = from->good_until;
    a->kid = from->kid;
    a->token_key_len = from->token_key_len;
    memcpy(a->token_key, from->token_key, sizeof a->token_key);
    memcpy(a->txid, from->txid, sizeof a->txid);
    memcpy(a->bytes, from->bytes, sizeof a->bytes);
    memcpy(a->packets, from->packets, sizeof a->packets);
    turn_bucket_start(&a->bucket, s->config.bytes_per_s, s->now);
    waits_set(&s->allocs.waits, i, from->wait.when, s->now);
    *out = i;
    return BK_OK;
}

static enum bk_err import_ports(struct turn_service *s, uint32_t alloc,
                                const struct turn_alloc *from, struct turn_imported *out) {
    for (size_t i = 0; i < TURN_FAMILIES; i++) {
        if (from->port[i] == 0)
            continue;
        if (!turn_take_over_port(s, alloc, i, from->port[i]))
            return BK_ERR_FULL;
        out->relay[i] = bk_addr(s->config.relay[i], from->port[i]);
    }
    return BK_OK;
}

/* Takes back what was begun. The ports that it had got are closed with it. */
enum bk_err turn_service_import(struct turn_service *service, const uint8_t *bytes, size_t len,
                                struct bk_time now, struct turn_imported *out) {
    struct wire_reader r = wire_reader(bytes, len);
    struct turn_alloc from = {.user = 0};
    struct turn_imported made = {.client = {.len = 0}};
    uint32_t i;
    turn_service_begin(service, now);
    if (!get_fixed(&r, service, &from))
        return BK_ERR_MALFORMED;
    if (bk_due(from.wait.when, service->now))
        return BK_ERR_TIMEOUT;
    for (size_t family = 0; family < TURN_FAMILIES; family++)
        if (from.port[family] != 0 && service->config.relay[family].family == BK_FAMILY_NONE)
            return BK_ERR_ARGUMENT;
    enum bk_err err = settle(service, &from, &i);
    if (err != BK_OK)
        return err;
    err = import_ports(service, i, &from, &made);
    if (err == BK_OK)
        err = import_perms(service, i, &r);
    if (err == BK_OK)
        err = import_chans(service, i, &r);
    if (err != BK_OK) {
        turn_service_end(service, i);
        return err;
    }
    turn_flows_again(service, i, NULL);
    made.client = (struct bk_datagram){
        .local = from.server, .remote = from.client, .protocol = from.protocol};
    *out = made;
    return BK_OK;
}
