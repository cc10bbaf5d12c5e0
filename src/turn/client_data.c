/* SPDX-License-Identifier: MIT
 * Data to peers and from them. */
#include "turn/client.h"

#include "base/rng.h"
#include "wire/channel.h"

#include <string.h>

/* Header, peer, DONT-FRAGMENT, DATA's own. */
_Static_assert(BK_TURN_HEADROOM >= (int)STUN_HEADER_LEN + 24 + 4 + 4, "bk_turn_send_in_place()");

static size_t padding(size_t len) {
    return (0u - len) & 3;
}

static void fill(const struct bk_turn *t, const uint8_t *data, size_t len,
                 struct bk_datagram *out) {
    memset(out, 0, sizeof *out);
    out->local = t->local;
    out->remote = t->server;
    out->data = data;
    out->len = len;
    out->protocol = t->stream ? BK_TCP : BK_UDP;
}

/* RFC 8656 section 12.5. Over streams it MUST be padded. */
static void in_channel(const struct bk_turn *t, const struct turn_chan *c, uint8_t *data,
                       size_t len, struct bk_datagram *out) {
    uint8_t *head = data - CHANNEL_HEADER_LEN;
    size_t pad = t->stream ? padding(len) : 0;
    channel_write_header(head, (uint16_t)(CHANNEL_MIN + turn_chan_index(&t->peers, c)), len);
    if (pad > 0)
        memset(data + len, 0, pad);
    fill(t, head, CHANNEL_HEADER_LEN + len + pad, out);
}

/* RFC 8656 section 11.1: a Send indication, written backwards from the data. Nothing in it depends
 * on what follows, so only its length has to be known beforehand. */
static void in_indication(const struct bk_turn *t, const struct bk_addr *peer, uint8_t *data,
                          size_t len, struct bk_datagram *out) {
    size_t body = (peer->ip.family == BK_IPV4 ? 12u : 24u) + (t->dont_fragment ? 4u : 0u);
    uint8_t *head = data - (STUN_HEADER_LEN + body + 4);
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&t->rng, txid, sizeof txid);
    struct stun_builder b =
        stun_start(head, STUN_HEADER_LEN + body, STUN_INDICATION, TURN_SEND, txid);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, peer);
    if (t->dont_fragment)
        stun_put_flag(&b, TURN_DONT_FRAGMENT);
    struct wire_writer w = wire_writer(data - 4, 4);
    wire_put_u16(&w, TURN_DATA_ATTR);
    wire_put_u16(&w, (uint16_t)len);
    memset(data + len, 0, padding(len));
    wire_patch_u16(&b.w, 2, (uint16_t)(body + 4 + len + padding(len)));
    fill(t, head, STUN_HEADER_LEN + body + 4 + len + padding(len), out);
}

/* Section 11.1 wants a permission to be installed when a Send indication goes. One that was asked
 * for is enough here: the request is ahead on the same way, so an answer's time is saved, and what
 * overtakes it the server drops, as it must. */
static bool may_send(const struct bk_turn *t, const struct bk_addr *peer) {
    const struct turn_perm *p = turn_peers_perm(&t->peers, &peer->ip);
    return p != NULL && (p->wanted || p->channels > 0) &&
           (p->state == PERM_ASKED || p->state == PERM_ON);
}

enum bk_err bk_turn_send_in_place(struct bk_turn *turn, const struct bk_addr *peer, void *data,
                                  size_t len, struct bk_datagram *out) {
    if (turn->state != TURN_ON || turn->tcp)
        return BK_ERR_STATE;
    if (len > 65000)
        return BK_ERR_TOO_LONG;
    const struct turn_chan *c = turn_peers_chan(&turn->peers, peer);
    if (c != NULL && c->state == CHAN_BOUND) {
        in_channel(turn, c, data, len, out);
        return BK_OK;
    }
    if (!may_send(turn, peer))
        return BK_ERR_NOT_FOUND;
    in_indication(turn, peer, data, len, out);
    return BK_OK;
}

enum bk_err bk_turn_send(struct bk_turn *turn, const struct bk_addr *peer, const void *data,
                         size_t len, struct bk_datagram *out) {
    uint8_t *room = turn->work + BK_TURN_HEADROOM;
    if (turn->state == TURN_ON && len > turn->data_max)
        return BK_ERR_TOO_LONG;
    if (turn->state == TURN_ON && len > 0)
        memmove(room, data, len); /* it may lie in the workspace, for all we know */
    return bk_turn_send_in_place(turn, peer, room, len, out);
}

uint16_t bk_turn_channel(const struct bk_turn *turn, const struct bk_addr *peer) {
    struct turn_peers view = turn->peers; /* the cache of the last one found is not worth a cast */
    const struct turn_chan *c = turn_peers_chan(&view, peer);
    bool usable = turn->state == TURN_ON && c != NULL && c->state == CHAN_BOUND;
    return usable ? (uint16_t)(CHANNEL_MIN + turn_chan_index(&turn->peers, c)) : 0;
}

/* ---- From the server ---------------------------------------------------------------------- */

/* Section 12: data may come as soon as a channel was asked for; section 12.6 for the rest. */
static enum bk_err take_channel_data(struct bk_turn *t, const uint8_t *bytes, size_t len,
                                     struct bk_turn_data *out) {
    struct channel_data d;
    if (!channel_read(bytes, len, &d))
        return BK_ERR_MALFORMED;
    size_t at = (size_t)(d.number - CHANNEL_MIN);
    const struct turn_chan *c = at < t->peers.max ? &t->peers.chans[at] : NULL;
    if (t->state != TURN_ON || c == NULL || (c->state != CHAN_BOUND && c->state != CHAN_ASKED))
        return BK_ERR_NOT_OURS;
    out->peer = c->peer;
    out->data = d.data;
    out->len = d.len;
    return BK_OK;
}

/* RFC 8656 section 11.6; the attribute's form: RFC 8656 section 18.13. */
static enum bk_err take_icmp(struct bk_turn *t, const struct bk_addr *peer, uint64_t icmp) {
    t->icmp.peer = *peer;
    t->icmp.type = (uint8_t)(icmp >> 41 & 0x7f);
    t->icmp.code = (uint8_t)(icmp >> 32); /* nine bits; no code needs the ninth */
    t->icmp.data = (uint32_t)icmp;
    t->news |= NEWS_ICMP;
    return BK_OK;
}

/* RFC 8656 section 11.4. Indications are not authenticated: what comes from the server's address
 * for a peer of ours is believed, as the data itself is. */
static enum bk_err take_indication(struct bk_turn *t, const struct stun_msg *m,
                                   struct bk_turn_data *out) {
    struct bk_addr peer;
    struct wire_span data;
    uint64_t icmp;
    struct stun_types unknown;
    stun_unknown_required(m, STUN_USE_BASE | STUN_USE_TURN, &unknown);
    if (m->method == TURN_CONNECTION_ATTEMPT && unknown.count == 0)
        return turn_take_attempt(t, m);
    if (m->method != TURN_DATA || t->state != TURN_ON)
        return BK_ERR_NOT_OURS;
    if (unknown.count > 0 || stun_get_addr(m, TURN_XOR_PEER_ADDRESS, &peer) != BK_OK)
        return BK_ERR_MALFORMED;
    if (!may_send(t, &peer))
        return BK_ERR_NOT_OURS;
    if (stun_get_u64(m, TURN_ICMP, &icmp) == BK_OK)
        return take_icmp(t, &peer, icmp);
    if (stun_get_bytes(m, TURN_DATA_ATTR, &data) != BK_OK)
        return BK_ERR_MALFORMED;
    out->peer = peer;
    out->data = data.data;
    out->len = data.len;
    return BK_OK;
}

static enum bk_err take(struct bk_turn *t, const uint8_t *bytes, size_t len,
                        struct bk_turn_data *out) {
    struct stun_msg m;
    if (channel_is_data(bytes, len))
        return take_channel_data(t, bytes, len, out);
    enum bk_err err = stun_parse(&m, bytes, len);
    if (err == BK_OK && m.cls == STUN_INDICATION)
        return take_indication(t, &m, out);
    if (err == BK_OK)
        err = turn_take_response(t, &m);
    turn_pump(t);
    return err;
}

enum bk_err bk_turn_recv(struct bk_turn *turn, const struct bk_datagram *in, struct bk_time now,
                         struct bk_turn_data *out) {
    memset(out, 0, sizeof *out);
    turn->now = bk_later(turn->now, now);
    if (!bk_addr_equal(&in->remote, &turn->server))
        return BK_ERR_NOT_OURS;
    return take(turn, in->data, in->len, out);
}

/* Takes messages off the stream until one is data. */
static enum bk_err pull(struct bk_turn *t) {
    const uint8_t *bytes;
    size_t len;
    enum bk_err err = BK_OK;
    while (t->waiting.data == NULL && err == BK_OK) {
        err = turn_stream_next(&t->in, &bytes, &len);
        if (err == BK_OK) /* a bad message inside good framing is dropped, as a datagram would be */
            (void)take(t, bytes, len, &t->waiting);
    }
    return err;
}

enum bk_err bk_turn_stream_recv(struct bk_turn *turn, const void *data, size_t len,
                                struct bk_time now) {
    struct bk_turn_data lost;
    if (!turn->stream)
        return BK_ERR_STATE;
    turn->now = bk_later(turn->now, now);
    while (bk_turn_next_data(turn, &lost))
        ; /* whoever did not fetch it has lost it */
    if (turn->in.trouble != BK_OK)
        return turn->in.trouble;
    turn_stream_push(&turn->in, data, len);
    if (pull(turn) != BK_ERR_MALFORMED)
        return BK_OK;
    turn_fail(turn, BK_ERR_MALFORMED, 0);
    return BK_ERR_MALFORMED;
}

bool bk_turn_next_data(struct bk_turn *turn, struct bk_turn_data *out) {
    if (!turn->stream)
        return false;
    if (turn->waiting.data == NULL && pull(turn) == BK_ERR_MALFORMED && turn->state != TURN_DONE)
        turn_fail(turn, BK_ERR_MALFORMED, 0);
    if (turn->waiting.data == NULL)
        return false;
    *out = turn->waiting;
    memset(&turn->waiting, 0, sizeof turn->waiting);
    return true;
}
