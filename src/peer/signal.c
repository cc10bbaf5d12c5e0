/* SPDX-License-Identifier: MIT */
#include "peer/signal.h"

#include "base/wipe.h"
#include "box/box.h"
#include "peer/signal_nat.h"
#include "punch/note.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

enum { FORMAT_VERSION = 1, CLEAR_LEN = 2, PLAIN_MAX = SIGNAL_LEN_MAX - CLEAR_LEN - BOX_OVERHEAD };

enum attribute {
    ATTR_OFFER = 1,     /* 32 key, u8 purpose, u32 tag of the offerer, u32 tag of the answerer */
    ATTR_SECRET = 2,    /* 16 bytes; only with an offer */
    ATTR_ICE = 3,       /* u8 generation, u8 length of ufrag, ufrag, pwd */
    ATTR_CANDIDATE = 4, /* u8 kind, u32 priority, u8 family, 4 or 16 bytes, u16 port, foundation */
    ATTR_STATE = 5,     /* u8 flags (1: end of candidates, 2: relay only, 4: NAT known), u8 udp,
                           u8 mapping */
    ATTR_REFUSAL = 6,   /* u8 */
    ATTR_NAT = 7,       /* signal_nat.h */
    ATTR_PUNCH = 8      /* punch/note.h */
};

bool signal_is_signal(const uint8_t *data, size_t len) {
    return len > CLEAR_LEN && data[0] == SIGNAL_FIRST_BYTE;
}

/* --- writing --- */

/* Starts an attribute and returns where its length goes. */
static size_t attr_begin(struct wire_writer *w, enum attribute type) {
    wire_put_u8(w, (uint8_t)type);
    wire_put_u16(w, 0);
    return w->len - 2;
}

static void attr_end(struct wire_writer *w, size_t at) {
    if (!w->failed)
        wire_patch_u16(w, at, (uint16_t)(w->len - at - 2));
}

static void put_offer(struct wire_writer *w, const struct signal_offer *offer) {
    size_t at = attr_begin(w, ATTR_OFFER);
    wire_put_bytes(w, offer->key.bytes, PEER_KEY_LEN);
    wire_put_u8(w, (uint8_t)offer->purpose);
    wire_put_u32(w, offer->tag_offerer);
    wire_put_u32(w, offer->tag_answerer);
    attr_end(w, at);
    if (!offer->has_secret)
        return;
    at = attr_begin(w, ATTR_SECRET);
    wire_put_bytes(w, offer->secret, TICKET_SECRET_LEN);
    attr_end(w, at);
}

static void put_candidate(struct wire_writer *w, const struct bk_ice_candidate *c) {
    size_t at = attr_begin(w, ATTR_CANDIDATE);
    wire_put_u8(w, (uint8_t)c->kind);
    wire_put_u32(w, c->priority);
    wire_put_u8(w, c->addr.ip.family);
    wire_put_bytes(w, c->addr.ip.bytes, c->addr.ip.family == BK_IPV4 ? 4 : 16);
    wire_put_u16(w, c->addr.port);
    wire_put_bytes(w, c->foundation, strlen(c->foundation));
    attr_end(w, at);
}

static void put_hard_nat(struct wire_writer *w, const struct signal_description *d) {
    if (d->has_nat) {
        size_t at = attr_begin(w, ATTR_NAT);
        signal_put_nat(w, &d->nat);
        attr_end(w, at);
    }
    if (d->has_punch) {
        uint8_t note[PUNCH_NOTE_LEN];
        size_t at = attr_begin(w, ATTR_PUNCH);
        punch_note_put(&d->punch, note);
        wire_put_bytes(w, note, sizeof note);
        attr_end(w, at);
    }
}

static void put_description(struct wire_writer *w, const struct signal_description *d) {
    if (d->has_offer)
        put_offer(w, &d->offer);
    size_t at = attr_begin(w, ATTR_ICE);
    wire_put_u8(w, d->generation);
    wire_put_u8(w, (uint8_t)strlen(d->ufrag));
    wire_put_bytes(w, d->ufrag, strlen(d->ufrag));
    wire_put_bytes(w, d->pwd, strlen(d->pwd));
    attr_end(w, at);
    for (size_t i = 0; i < d->candidate_count; i++)
        put_candidate(w, &d->candidates[i]);
    at = attr_begin(w, ATTR_STATE);
    wire_put_u8(w, (uint8_t)((d->end_of_candidates ? 1 : 0) | (d->relay_only ? 2 : 0) |
                             (d->nat_is_final ? 4 : 0)));
    wire_put_u8(w, (uint8_t)d->udp);
    wire_put_u8(w, (uint8_t)d->mapping);
    attr_end(w, at);
    put_hard_nat(w, d);
}

enum bk_err signal_encode(const struct signal *s, uint8_t *out, size_t cap, size_t *len) {
    struct wire_writer w = wire_writer(out, cap);
    wire_put_u8(&w, (uint8_t)s->type);
    wire_put_bytes(&w, s->session, SIGNAL_SESSION_LEN);
    wire_put_u32(&w, s->version);
    wire_put_u32(&w, s->ack);
    if (s->type == SIGNAL_DESCRIBE)
        put_description(&w, &s->description);
    if (s->type == SIGNAL_REFUSE) {
        size_t at = attr_begin(&w, ATTR_REFUSAL);
        wire_put_u8(&w, (uint8_t)s->refusal);
        attr_end(&w, at);
    }
    if (w.failed)
        return BK_ERR_TOO_LONG;
    *len = w.len;
    return BK_OK;
}

enum bk_err signal_seal(const struct signal *s, const struct identity *self,
                        const uint8_t peer[PEER_KEY_LEN], const struct bk_rng *rng, uint8_t *out,
                        size_t *len) {
    uint8_t plain[PLAIN_MAX];
    size_t plain_len;
    enum bk_err err = signal_encode(s, plain, sizeof plain, &plain_len);
    if (err == BK_OK)
        err = box_seal(rng, peer, self->relay_secret, plain, plain_len, out + CLEAR_LEN);
    wipe(plain, sizeof plain);
    if (err != BK_OK)
        return err;
    out[0] = SIGNAL_FIRST_BYTE;
    out[1] = FORMAT_VERSION;
    *len = CLEAR_LEN + plain_len + BOX_OVERHEAD;
    return BK_OK;
}

/* --- reading --- */

static bool get_offer(struct wire_reader *r, struct signal_description *d) {
    const uint8_t *key = wire_bytes(r, PEER_KEY_LEN);
    uint8_t purpose = wire_u8(r);
    d->offer.tag_offerer = wire_u32(r);
    d->offer.tag_answerer = wire_u32(r);
    if (r->failed || purpose < SIGNAL_PURPOSE_SESSION || purpose > SIGNAL_PURPOSE_PING)
        return false;
    memcpy(d->offer.key.bytes, key, PEER_KEY_LEN);
    d->offer.purpose = (enum signal_purpose)purpose;
    d->has_offer = true;
    return true;
}

static bool get_secret(struct wire_reader *r, struct signal_description *d) {
    const uint8_t *secret = wire_bytes(r, TICKET_SECRET_LEN);
    if (secret == NULL)
        return false;
    memcpy(d->offer.secret, secret, TICKET_SECRET_LEN);
    d->offer.has_secret = true;
    return true;
}

/* A NUL-terminated copy of `len` bytes; false: too long, or with a NUL inside. */
static bool copy_text(char *out, size_t max, const uint8_t *text, size_t len) {
    if (text == NULL || len > max || memchr(text, 0, len) != NULL)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static bool get_ice(struct wire_reader *r, struct signal_description *d) {
    d->generation = wire_u8(r);
    size_t ufrag_len = wire_u8(r);
    const uint8_t *ufrag = wire_bytes(r, ufrag_len);
    size_t pwd_len = wire_left(r);
    const uint8_t *pwd = wire_bytes(r, pwd_len);
    return !r->failed && copy_text(d->ufrag, SIGNAL_UFRAG_MAX, ufrag, ufrag_len) &&
           copy_text(d->pwd, SIGNAL_PWD_MAX, pwd, pwd_len);
}

static bool get_candidate(struct wire_reader *r, struct signal_description *d) {
    struct bk_ice_candidate c = {.kind = BK_ICE_HOST};
    uint8_t kind = wire_u8(r);
    c.priority = wire_u32(r);
    uint8_t family = wire_u8(r);
    if (kind >= BK_ICE_KINDS || (family != BK_IPV4 && family != BK_IPV6))
        return false;
    size_t ip_len = family == BK_IPV4 ? 4 : 16;
    const uint8_t *ip = wire_bytes(r, ip_len);
    c.addr.port = wire_u16(r);
    size_t foundation_len = wire_left(r);
    const uint8_t *foundation = wire_bytes(r, foundation_len);
    if (r->failed || !copy_text(c.foundation, BK_ICE_FOUNDATION_MAX, foundation, foundation_len))
        return false;
    c.kind = (enum bk_ice_kind)kind;
    c.addr.ip.family = family;
    memcpy(c.addr.ip.bytes, ip, ip_len);
    if (d->candidate_count < SIGNAL_CANDIDATES_MAX) /* a newer peer may know more: take the first */
        d->candidates[d->candidate_count++] = c;
    return true;
}

static bool get_state(struct wire_reader *r, struct signal_description *d) {
    uint8_t flags = wire_u8(r);
    uint8_t udp = wire_u8(r);
    uint8_t mapping = wire_u8(r);
    if (r->failed || udp > SIGNAL_UDP_BLOCKED || mapping > SIGNAL_MAPPING_VARIES)
        return false;
    d->end_of_candidates = (flags & 1) != 0;
    d->relay_only = (flags & 2) != 0;
    d->nat_is_final = (flags & 4) != 0;
    d->udp = (enum signal_udp)udp;
    d->mapping = (enum signal_mapping)mapping;
    return true;
}

static bool get_refusal(struct wire_reader *r, struct signal *s) {
    uint8_t refusal = wire_u8(r);
    if (r->failed || refusal < SIGNAL_REFUSED_TICKET || refusal > SIGNAL_REFUSED_BUSY)
        return false;
    s->refusal = (enum signal_refusal)refusal;
    return true;
}

static bool get_attribute(uint8_t type, struct wire_reader *r, struct signal *s) {
    switch (type) {
    case ATTR_OFFER:
        return get_offer(r, &s->description);
    case ATTR_SECRET:
        return get_secret(r, &s->description);
    case ATTR_ICE:
        return get_ice(r, &s->description);
    case ATTR_CANDIDATE:
        return get_candidate(r, &s->description);
    case ATTR_STATE:
        return get_state(r, &s->description);
    case ATTR_REFUSAL:
        return get_refusal(r, s);
    case ATTR_NAT:
        s->description.has_nat = signal_get_nat(r, &s->description.nat);
        return s->description.has_nat;
    case ATTR_PUNCH:
        s->description.has_punch = punch_note_get(&s->description.punch, r->data, r->left) == BK_OK;
        return s->description.has_punch;
    default:
        return true; /* from a newer version: skipped */
    }
}

/* What each type must carry. */
static bool is_complete(const struct signal *s) {
    switch (s->type) {
    case SIGNAL_DESCRIBE:
        return s->version > 0 && s->description.ufrag[0] != '\0' && s->description.pwd[0] != '\0';
    case SIGNAL_REFUSE:
        return s->refusal != 0;
    case SIGNAL_ACK:
    case SIGNAL_BYE:
        return true;
    }
    return false;
}

enum bk_err signal_decode(struct signal *out, const uint8_t *data, size_t len) {
    struct wire_reader r = wire_reader(data, len);
    struct signal s = {.type = (enum signal_type)wire_u8(&r)};
    const uint8_t *session = wire_bytes(&r, SIGNAL_SESSION_LEN);
    s.version = wire_u32(&r);
    s.ack = wire_u32(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    memcpy(s.session, session, SIGNAL_SESSION_LEN);
    while (wire_left(&r) > 0) {
        uint8_t type = wire_u8(&r);
        size_t value_len = wire_u16(&r);
        struct wire_reader value = wire_reader(wire_bytes(&r, value_len), value_len);
        if (r.failed)
            return BK_ERR_SHORT;
        if (!get_attribute(type, &value, &s))
            return BK_ERR_MALFORMED;
    }
    if (!is_complete(&s))
        return BK_ERR_MALFORMED;
    *out = s;
    return BK_OK;
}

enum bk_err signal_open(struct signal *out, const struct identity *self,
                        const uint8_t peer[PEER_KEY_LEN], const uint8_t *data, size_t len) {
    uint8_t plain[PLAIN_MAX];
    if (!signal_is_signal(data, len) || data[1] != FORMAT_VERSION)
        return BK_ERR_NOT_OURS;
    if (len > SIGNAL_LEN_MAX)
        return BK_ERR_MALFORMED;
    enum bk_err err = box_open(peer, self->relay_secret, data + CLEAR_LEN, len - CLEAR_LEN, plain);
    if (err == BK_OK)
        err = signal_decode(out, plain, len - CLEAR_LEN - BOX_OVERHEAD);
    wipe(plain, sizeof plain);
    return err;
}
