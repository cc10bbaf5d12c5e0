/* SPDX-License-Identifier: MIT */
#include "peer/beacon.h"

#include "base/rng.h"
#include "base/wipe.h"
#include "crypto/aead.h"
#include "crypto/hmac.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

enum {
    NONCE_LEN = 12,
    PLAIN_LEN = BEACON_LEN - NONCE_LEN - AEAD_TAG_LEN,
    FORMAT_VERSION = 1,
    KIND_SEEK = 1,
    KIND_ANSWER = 2,
    BURST = 16,                         /* packets that either limit lets through at once */
    REPLAY_WINDOW = 64,                 /* numbers, RFC 4303 section 3.4.3's way */
    ANSWER_WITHIN_US = 10 * 1000 * 1000 /* of the search's beginning */
};

/* Pauses after each seek of a search: the first may come before the peer listens. */
static const int64_t pause_us[BEACON_SEEKS] = {250000, 750000, 2000000, 0};

/* --- tables --- */

void beacon_init(struct beacon *b, const struct bk_rng *rng) {
    memset(b, 0, sizeof *b);
    b->rng = *rng;
}

void beacon_fini(struct beacon *b) {
    wipe(b, sizeof *b);
}

static struct beacon_session *find(struct beacon *b, const uint8_t *id) {
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++)
        if (b->sessions[i].used && memcmp(b->sessions[i].id, id, BEACON_ID_LEN) == 0)
            return &b->sessions[i];
    return NULL;
}

const struct beacon_link *beacon_find_link(const struct beacon *b, uint32_t index) {
    for (size_t i = 0; i < b->link_count; i++)
        if (b->links[i].index == index)
            return &b->links[i];
    return NULL;
}

enum bk_err beacon_watch(struct beacon *b, const uint8_t id[BEACON_ID_LEN],
                         const uint8_t secret[BEACON_SECRET_LEN], bool first) {
    static const char label[] = "bodkin beacon 1";
    const struct crypto_piece pieces[] = {{label, sizeof label}, {id, BEACON_ID_LEN}};
    size_t i = 0;
    if (find(b, id) != NULL)
        return BK_ERR_EXISTS;
    while (i < BEACON_SESSIONS_MAX && b->sessions[i].used)
        i++;
    if (i == BEACON_SESSIONS_MAX)
        return BK_ERR_FULL;
    struct beacon_session *s = &b->sessions[i];
    *s = (struct beacon_session){.used = true, .first = first, .due = BK_NEVER};
    s->searched = BK_NEVER;
    memcpy(s->id, id, sizeof s->id);
    hmac_sha256(secret, BEACON_SECRET_LEN, pieces, 2, s->key);
    b->session_count++;
    return BK_OK;
}

void beacon_forget(struct beacon *b, const uint8_t id[BEACON_ID_LEN]) {
    struct beacon_session *s = find(b, id);
    if (s == NULL)
        return;
    wipe(s, sizeof *s);
    b->session_count--;
}

bool beacon_is_watching(const struct beacon *b) {
    return b->session_count > 0;
}

/* --- searching --- */

static void begin(struct beacon_session *s, struct bk_time now) {
    s->search_number = s->number;
    s->searched = now;
    s->seeks = 0;
    s->pending = 0;
    s->due = now;
}

void beacon_seek(struct beacon *b, const uint8_t id[BEACON_ID_LEN], struct bk_time now) {
    struct beacon_session *s = find(b, id);
    if (s == NULL || !bk_is_never(s->due) || s->pending != 0)
        return;
    begin(s, now);
    beacon_advance(b, now);
}

static void stop(struct beacon_session *s) {
    s->due = BK_NEVER;
    s->pending = 0;
}

void beacon_stop(struct beacon *b, const uint8_t id[BEACON_ID_LEN]) {
    struct beacon_session *s = find(b, id);
    if (s != NULL)
        stop(s);
}

void beacon_set_links(struct beacon *b, const struct beacon_link *links, size_t count,
                      struct bk_time now) {
    b->link_count = count < BEACON_LINKS_MAX ? count : BEACON_LINKS_MAX;
    for (size_t i = 0; i < b->link_count; i++) {
        b->links[i] = links[i];
        if (b->links[i].count > BEACON_ADDRS_MAX)
            b->links[i].count = BEACON_ADDRS_MAX;
    }
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++)
        if (b->sessions[i].used && (!bk_is_never(b->sessions[i].due) || b->sessions[i].pending))
            begin(&b->sessions[i], now);
}

void beacon_advance(struct beacon *b, struct bk_time now) {
    b->now = bk_later(b->now, now);
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++) {
        struct beacon_session *s = &b->sessions[i];
        if (!s->used || !bk_due(s->due, b->now))
            continue;
        s->pending = (1u << b->link_count) - 1;
        s->due = s->seeks + 1 < BEACON_SEEKS ? bk_after(b->now, pause_us[s->seeks]) : BK_NEVER;
        s->seeks++;
    }
}

/* One of a steady pace with bursts, paid for in time. false: not now. */
static bool may(struct bk_time *paid, uint32_t per_s, struct bk_time now) {
    int64_t price = BK_US_PER_S / per_s;
    struct bk_time from = bk_later(*paid, now);
    if (bk_elapsed_us(now, from) > price * (BURST - 1))
        return false;
    *paid = bk_after(from, price);
    return true;
}

static bool has_output(const struct beacon *b) {
    if (b->answer_count > 0)
        return true;
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++)
        if (b->sessions[i].used && b->sessions[i].pending != 0)
            return true;
    return false;
}

/* What the limit holds back is tried again when it allows one more. */
struct bk_time beacon_deadline(const struct beacon *b) {
    struct bk_time t = BK_NEVER;
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++)
        if (b->sessions[i].used)
            t = bk_earlier(t, b->sessions[i].due);
    if (has_output(b))
        t = bk_earlier(t,
                       bk_after(b->sends_paid, -(BURST - 1) * (BK_US_PER_S / BEACON_SENDS_PER_S)));
    return t;
}

/* --- writing --- */

static void put_addr(struct wire_writer *w, const struct bk_addr *addr) {
    wire_put_u8(w, addr->ip.family);
    wire_put_bytes(w, addr->ip.bytes, sizeof addr->ip.bytes);
    wire_put_u16(w, addr->port);
}

static void seal(struct beacon *b, struct beacon_session *s, uint8_t kind, uint64_t echo,
                 const struct beacon_link *link) {
    uint8_t plain[PLAIN_LEN];
    struct wire_writer w = wire_writer(plain, sizeof plain);
    wire_put_u8(&w, FORMAT_VERSION);
    wire_put_u8(&w, kind);
    wire_put_u8(&w, s->first);
    wire_put_u8(&w, (uint8_t)link->count);
    wire_put_u64(&w, ++s->number);
    wire_put_u64(&w, echo);
    for (size_t i = 0; i < link->count; i++)
        put_addr(&w, &link->addrs[i]);
    wire_put_zeros(&w, wire_room(&w));
    rng_fill(&b->rng, b->out, NONCE_LEN);
    const struct aead a = {s->key, AEAD_KEY_256, {b->out, NONCE_LEN}, {NULL, 0}};
    aead_seal(&a, plain, sizeof plain, b->out + NONCE_LEN);
}

static bool next_answer(struct beacon *b, struct beacon_packet *out) {
    while (b->answer_count > 0) {
        const struct beacon_answer *a = &b->answers[b->answer_head];
        struct beacon_session *s = find(b, a->id);
        const struct beacon_link *link = beacon_find_link(b, a->link);
        if (s != NULL && link != NULL && !may(&b->sends_paid, BEACON_SENDS_PER_S, b->now))
            return false;
        b->answer_head = (b->answer_head + 1) % BEACON_ANSWERS_MAX;
        b->answer_count--;
        if (s == NULL || link == NULL)
            continue;
        seal(b, s, KIND_ANSWER, a->echo, link);
        *out = (struct beacon_packet){a->link, a->to, b->out, BEACON_LEN};
        return true;
    }
    return false;
}

static bool next_seek(struct beacon *b, struct beacon_session *s, struct beacon_packet *out) {
    for (size_t i = 0; i < b->link_count; i++) {
        if ((s->pending & 1u << i) == 0)
            continue;
        if (!may(&b->sends_paid, BEACON_SENDS_PER_S, b->now))
            return false;
        s->pending &= ~(1u << i);
        seal(b, s, KIND_SEEK, 0, &b->links[i]);
        *out = (struct beacon_packet){.link = b->links[i].index, .data = b->out, .len = BEACON_LEN};
        return true;
    }
    s->pending = 0; /* of links that are gone */
    return false;
}

bool beacon_next_packet(struct beacon *b, struct beacon_packet *out) {
    if (next_answer(b, out))
        return true;
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++)
        if (b->sessions[i].used && b->sessions[i].pending != 0 &&
            next_seek(b, &b->sessions[i], out))
            return true;
    return false;
}

/* --- reading --- */

struct message {
    uint8_t kind, first;
    uint64_t number, echo;
    size_t count;
    struct bk_addr addrs[BEACON_ADDRS_MAX];
};

static void get_addr(struct wire_reader *r, struct bk_addr *out) {
    *out = (struct bk_addr){.ip = {.family = wire_u8(r)}};
    const uint8_t *bytes = wire_bytes(r, sizeof out->ip.bytes);
    if (bytes != NULL)
        memcpy(out->ip.bytes, bytes, sizeof out->ip.bytes);
    if (out->ip.family == BK_IPV4)
        memset(out->ip.bytes + 4, 0, 12);
    out->port = wire_u16(r);
}

static enum bk_err decode(const uint8_t plain[PLAIN_LEN], struct message *out) {
    struct wire_reader r = wire_reader(plain, PLAIN_LEN);
    uint8_t version = wire_u8(&r);
    out->kind = wire_u8(&r);
    out->first = wire_u8(&r);
    out->count = wire_u8(&r);
    out->number = wire_u64(&r);
    out->echo = wire_u64(&r);
    if (version != FORMAT_VERSION || out->count > BEACON_ADDRS_MAX || out->number == 0 ||
        out->first > 1 || (out->kind != KIND_SEEK && out->kind != KIND_ANSWER))
        return BK_ERR_MALFORMED;
    for (size_t i = 0; i < out->count; i++)
        get_addr(&r, &out->addrs[i]);
    return BK_OK;
}

/* Whose is it? Every session's key is tried: a hint in the packet would be something to follow. */
static struct beacon_session *open_packet(struct beacon *b, const struct bk_datagram *in,
                                          uint8_t plain[PLAIN_LEN]) {
    for (size_t i = 0; i < BEACON_SESSIONS_MAX; i++) {
        struct beacon_session *s = &b->sessions[i];
        const struct aead a = {s->key, AEAD_KEY_256, {in->data, NONCE_LEN}, {NULL, 0}};
        if (s->used && aead_open(&a, in->data + NONCE_LEN, in->len - NONCE_LEN, plain))
            return s;
    }
    return NULL;
}

/* Has this number not been heard yet? Then it has now. */
static bool is_new(struct beacon_session *s, uint64_t number) {
    if (number > s->heard_top) {
        uint64_t shift = number - s->heard_top;
        s->heard_mask = shift < REPLAY_WINDOW ? s->heard_mask << shift | 1 : 1;
        s->heard_top = number;
        return true;
    }
    uint64_t back = s->heard_top - number;
    if (back >= REPLAY_WINDOW || (s->heard_mask >> back & 1) != 0)
        return false;
    s->heard_mask |= UINT64_C(1) << back;
    return true;
}

static bool same_prefix(const struct bk_ip *a, const struct bk_ip *b, unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    if (a->family != b->family || bits > 128 || memcmp(a->bytes, b->bytes, whole) != 0)
        return false;
    return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

/* Can a neighbour on this link have that address? Everything else could aim us at a third party. */
static bool is_of_link(const struct beacon_link *link, const struct bk_ip *ip) {
    enum bk_scope scope = bk_ip_scope(ip);
    if (scope == BK_SCOPE_NONE || scope == BK_SCOPE_LOOPBACK)
        return false;
    if (scope == BK_SCOPE_LINK)
        return true;
    for (size_t i = 0; i < link->count; i++)
        if (link->prefix_len[i] > 0 && same_prefix(&link->addrs[i].ip, ip, link->prefix_len[i]))
            return true;
    return false;
}

static void tell(struct beacon *b, const struct beacon_session *s, const struct beacon_link *link,
                 const struct message *m) {
    struct beacon_event *e = &b->events[(b->event_head + b->event_count) % BEACON_EVENTS_MAX];
    if (b->event_count == BEACON_EVENTS_MAX) {
        b->counts.full++;
        return;
    }
    *e = (struct beacon_event){.link = link->index};
    memcpy(e->id, s->id, sizeof e->id);
    for (size_t i = 0; i < m->count; i++) {
        struct bk_addr addr = m->addrs[i];
        if (addr.port == 0 || !is_of_link(link, &addr.ip))
            continue;
        if (addr.ip.family == BK_IPV6 && bk_ip_scope(&addr.ip) == BK_SCOPE_LINK)
            addr.ip.zone = link->index;
        e->addrs[e->count++] = addr;
    }
    b->event_count++;
}

static void answer(struct beacon *b, const struct beacon_session *s, uint32_t link,
                   const struct bk_addr *to, uint64_t echo) {
    if (b->answer_count == BEACON_ANSWERS_MAX) {
        b->counts.full++;
        return;
    }
    struct beacon_answer *a =
        &b->answers[(b->answer_head + b->answer_count++) % BEACON_ANSWERS_MAX];
    *a = (struct beacon_answer){.link = link, .to = *to, .echo = echo};
    memcpy(a->id, s->id, sizeof a->id);
}

/* An answer must be to a seek of the present search: one that somebody held back says nothing about
 * where the peer is now. */
static bool answers_us(const struct beacon *b, const struct beacon_session *s, uint64_t echo) {
    return echo > s->search_number && echo <= s->number && !bk_is_never(s->searched) &&
           bk_elapsed_us(s->searched, b->now) <= ANSWER_WITHIN_US;
}

static enum bk_err refuse(uint64_t *counter, enum bk_err err) {
    ++*counter;
    return err;
}

static enum bk_err take(struct beacon *b, struct beacon_session *s, const struct beacon_link *link,
                        const struct bk_datagram *in, const uint8_t plain[PLAIN_LEN]) {
    struct message m;
    if (decode(plain, &m) != BK_OK)
        return refuse(&b->counts.malformed, BK_ERR_MALFORMED);
    if (m.first == s->first ||
        !is_new(s, m.number)) /* our own, come back to us, is no news either */
        return refuse(&b->counts.repeated, BK_ERR_EXISTS);
    if (m.kind == KIND_ANSWER && !answers_us(b, s, m.echo))
        return refuse(&b->counts.repeated, BK_ERR_EXISTS);
    if (m.kind == KIND_SEEK)
        answer(b, s, link->index, &in->remote, m.number);
    else
        stop(s);
    tell(b, s, link, &m);
    return BK_OK;
}

enum bk_err beacon_recv(struct beacon *b, uint32_t link_index, const struct bk_datagram *in,
                        struct bk_time now) {
    uint8_t plain[PLAIN_LEN];
    const struct beacon_link *link = beacon_find_link(b, link_index);
    b->now = bk_later(b->now, now);
    if (in->len != BEACON_LEN || link == NULL || in->ttl != BEACON_HOPS || in->remote.port == 0 ||
        !is_of_link(link, &in->remote.ip))
        return refuse(&b->counts.off_link, BK_ERR_UNREACHABLE);
    if (b->session_count == 0)
        return refuse(&b->counts.strange, BK_ERR_NOT_OURS);
    if (!may(&b->opens_paid, BEACON_OPENS_PER_S, b->now))
        return refuse(&b->counts.too_many, BK_ERR_FULL);
    struct beacon_session *s = open_packet(b, in, plain);
    if (s == NULL)
        return refuse(&b->counts.strange, BK_ERR_NOT_OURS);
    return take(b, s, link, in, plain);
}

bool beacon_next_event(struct beacon *b, struct beacon_event *out) {
    if (b->event_count == 0)
        return false;
    *out = b->events[b->event_head];
    b->event_head = (b->event_head + 1) % BEACON_EVENTS_MAX;
    b->event_count--;
    return true;
}
