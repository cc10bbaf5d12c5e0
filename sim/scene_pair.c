/* SPDX-License-Identifier: MIT
 * Peers of a scene: who is at home, who has a session with whom, and the bytes they exchange. */
#include "sim/scene_state.h"

#include "base/rng.h"
#include "base/text.h"
#include "peer/why.h"

#include <string.h>

enum { PACE_US = 20 * 1000, CHUNK = 100 };

/* The byte at position `i` of every stream: cheap, and different everywhere nearby. */
static uint8_t pattern(uint64_t i) {
    return (uint8_t)((i * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static const char *name_of(const struct scene_side *side) {
    return side->peer->scene->topology->nodes[side->peer->node].name;
}

static struct scene_side *other_side(struct scene_pair *pair, const struct scene_side *side) {
    return &pair->side[side == &pair->side[0] ? 1 : 0];
}

/* The side of this peer that has the session; *pair is its pair. NULL: none. */
static struct scene_side *find_side(struct scene_peer *peer, const struct session *session,
                                    struct scene_pair **pair) {
    struct scene *s = peer->scene;
    for (size_t i = 0; i < s->pair_count; i++)
        for (size_t k = 0; k < 2; k++)
            if (s->pairs[i].side[k].peer == peer && s->pairs[i].side[k].session == session) {
                *pair = &s->pairs[i];
                return &s->pairs[i].side[k];
            }
    return NULL;
}

/* --- events --- */

static void on_incoming(struct scene_peer *peer, struct session *session) {
    struct scene *s = peer->scene;
    const struct peer_key *from = session_peer(session);
    for (size_t i = 0; i < s->pair_count; i++) {
        struct scene_pair *p = &s->pairs[i];
        bool fits = p->side[1].peer == peer && p->side[1].session == NULL &&
                    memcmp(&p->side[0].peer->peer.identity.key, from, sizeof *from) == 0;
        if (fits)
            p->side[1].session = session;
    }
}

static void tell_path(struct scene_pair *pair, struct scene_side *side) {
    struct session_path path;
    session_path(side->session, &path);
    scene_tell(side->peer->scene, (struct scene_event){.kind = SCENE_PATH,
                                                       .host = name_of(side),
                                                       .other = name_of(other_side(pair, side)),
                                                       .direct = path.direct,
                                                       .reason = why_word(path.why)});
}

static const char *end_text(enum session_end end) {
    static const char *const text[] = {[SESSION_END_CLOSED] = "closed",
                                       [SESSION_END_REFUSED_TICKET] = "refused-ticket",
                                       [SESSION_END_REFUSED_PEER] = "refused-peer",
                                       [SESSION_END_REFUSED_BUSY] = "refused-busy",
                                       [SESSION_END_NOT_HOME] = "not-home",
                                       [SESSION_END_NO_ANSWER] = "no-answer",
                                       [SESSION_END_IMPOSTOR] = "impostor",
                                       [SESSION_END_LOST] = "lost",
                                       [SESSION_END_FAILED] = "failed"};
    return text[end];
}

static void on_session_event(struct scene_pair *pair, struct scene_side *side,
                             const struct session_event *e) {
    switch (e->type) {
    case SESSION_PATH:
        tell_path(pair, side);
        return;
    case SESSION_QUIC:
        if (e->quic.type == QUIC_STREAM_OPENED && !side->has_stream) {
            side->has_stream = true;
            side->stream = e->quic.stream;
        }
        return;
    case SESSION_ENDED:
        side->ended = true;
        side->end = e->end;
        side->session = NULL;
        scene_tell(side->peer->scene, (struct scene_event){.kind = SCENE_ENDED,
                                                           .host = name_of(side),
                                                           .other = name_of(other_side(pair, side)),
                                                           .reason = end_text(e->end)});
        return;
    case SESSION_SECURED:
    case SESSION_EXCHANGED:
        return;
    }
}

static void on_event(void *ctx, struct world *w, const struct endpoint_event *event) {
    struct scene_peer *peer = ctx;
    struct scene_pair *pair = NULL;
    (void)w;
    if (event->type == ENDPOINT_INCOMING)
        on_incoming(peer, event->session);
    if (event->type != ENDPOINT_SESSION)
        return;
    struct scene_side *side = find_side(peer, event->session, &pair);
    if (side != NULL)
        on_session_event(pair, side, &event->event);
}

/* --- bytes --- */

static void receive(struct scene_side *side) {
    const uint8_t *data;
    size_t len;
    struct quic *quic = session_quic(side->session);
    while (side->has_stream && quic_stream_peek(quic, side->stream, &data, &len) && len > 0) {
        for (size_t i = 0; i < len; i++)
            side->corrupt = side->corrupt || data[i] != pattern(side->received + i);
        side->received += len;
        quic_stream_consume(quic, side->stream, len);
    }
}

static void on_turn(void *ctx, struct world *w) {
    struct scene_peer *peer = ctx;
    struct scene *s = peer->scene;
    (void)w;
    for (size_t i = 0; i < s->pair_count; i++)
        for (size_t k = 0; k < 2; k++) {
            struct scene_side *side = &s->pairs[i].side[k];
            if (side->peer == peer && side->session != NULL)
                receive(side);
        }
}

/* Who connects opens the stream; the other one learns of it by its first bytes. */
static void send_some(struct scene_side *side, bool opens) {
    uint8_t chunk[CHUNK];
    if (side->session == NULL || session_get_state(side->session) != SESSION_OPEN)
        return;
    struct quic *quic = session_quic(side->session);
    if (opens && !side->has_stream)
        side->has_stream = quic_stream_open(quic, &side->stream) == BK_OK;
    if (!side->has_stream || quic_stream_room(quic, side->stream) < CHUNK)
        return;
    for (size_t i = 0; i < CHUNK; i++)
        chunk[i] = pattern(side->sent + i);
    side->sent += quic_stream_write(quic, side->stream, chunk, CHUNK);
    sim_peer_touch(&side->peer->peer);
}

static void pacer_on_timer(void *ctx, struct world *w, struct bk_time now) {
    struct scene *s = ctx;
    (void)w;
    if (!bk_due(s->pace, now))
        return;
    s->pace = bk_after(now, PACE_US);
    for (size_t i = 0; i < s->pair_count; i++)
        for (size_t k = 0; k < 2; k++)
            send_some(&s->pairs[i].side[k], k == 0);
}

static struct bk_time pacer_deadline(void *ctx) {
    const struct scene *s = ctx;
    return s->pace;
}

/* --- meeting --- */

static void connect_pair(struct scene_pair *pair) {
    struct scene_side *a = &pair->side[0], *b = &pair->side[1];
    if (pair->asked || !a->peer->home || !b->peer->home)
        return;
    struct session_offer offer = {.peer = b->peer->peer.identity.key,
                                  .purpose = SIGNAL_PURPOSE_SESSION,
                                  .secret = pair->secret};
    struct bk_time now = world_now(a->peer->scene->world);
    pair->asked =
        endpoint_connect(sim_peer_endpoint(&a->peer->peer), &offer, now, &a->session) == BK_OK;
    sim_peer_touch(&a->peer->peer);
}

static void on_home(void *ctx, struct world *w) {
    struct scene_peer *peer = ctx;
    (void)w;
    if (peer->home)
        return;
    peer->home = true;
    world_post(peer->scene->world, peer->scene->pacer, 0, NULL, 0); /* gives it a turn, later */
}

/* Offers wait for this turn, so that no endpoint is entered from within another one's events. */
static void pacer_on_turn(void *ctx, struct world *w, struct bk_time now) {
    struct scene *s = ctx;
    (void)w;
    (void)now;
    for (size_t i = 0; i < s->pair_count; i++)
        connect_pair(&s->pairs[i]);
}

static bool address_of(const struct scene *s, int node, uint8_t family, struct bk_ip *out) {
    struct bk_ip ip;
    for (size_t i = 0; world_address(s->world, s->nodes[node], i, &ip); i++)
        if (ip.family == family) {
            *out = ip;
            return true;
        }
    return false;
}

/* Its addresses and the server's, of each family that both have. */
static void fill_config(const struct scene *s, int node, struct sim_peer_config *config) {
    static const uint8_t families[] = {BK_IPV4, BK_IPV6};
    size_t bases = 0, stuns = 0;
    for (size_t i = 0; i < 2; i++) {
        struct bk_ip own, server;
        if (!address_of(s, node, families[i], &own))
            continue;
        config->bases[bases++].ip = own;
        if (!address_of(s, s->server, families[i], &server))
            continue;
        config->stun[stuns++] = bk_addr(server, STUN_PORT);
        config->stun[stuns++] = bk_addr(server, STUN_PORT + 1);
        if (config->home.port == 0)
            config->home = bk_addr(server, SCENE_HOME_PORT);
    }
}

static enum bk_err find_or_make_peer(struct scene *s, int node, uint16_t port,
                                     struct scene_peer **out) {
    for (size_t i = 0; i < s->peer_count; i++)
        if (s->peers[i].node == node) {
            *out = &s->peers[i];
            return BK_OK;
        }
    if (s->peer_count == SCENE_PEERS_MAX)
        return BK_ERR_FULL;
    struct scene_peer *peer = &s->peers[s->peer_count++];
    *peer = (struct scene_peer){.scene = s, .node = node};
    struct sim_peer_config config = {.name = s->topology->nodes[node].name,
                                     .port = port,
                                     .on_event = on_event,
                                     .on_home = on_home,
                                     .on_turn = on_turn,
                                     .ctx = peer};
    fill_config(s, node, &config);
    *out = peer;
    enum bk_err err = sim_peer_init(&peer->peer, s->world, s->nodes[node], &config, &s->alloc);
    if (err != BK_OK)
        s->peer_count--;
    return err;
}

enum bk_err scene_serve(struct scene *s, const struct topology_step *step) {
    static const uint16_t ports[] = {STUN_PORT, STUN_PORT + 1};
    s->server = step->host;
    struct world_actor pacer = {
        .ctx = s, .on_timer = pacer_on_timer, .on_turn = pacer_on_turn, .deadline = pacer_deadline};
    s->pacer = world_add_actor(s->world, s->nodes[step->host], &pacer);
    s->pace = world_now(s->world);
    s->secrets = world_rng(s->world, "secrets");
    world_wake(s->world, s->pacer);
    enum bk_err err = sim_stun_init(&s->stun, s->world, s->nodes[step->host], ports, 2);
    if (err == BK_OK)
        err = sim_relay_init(&s->relay, s->world, s->nodes[step->host], SCENE_HOME_PORT, &s->alloc);
    s->served = err == BK_OK;
    return err;
}

enum bk_err scene_meet(struct scene *s, const struct topology_step *step) {
    struct scene_pair *pair = &s->pairs[s->pair_count];
    *pair = (struct scene_pair){.asked = false};
    enum bk_err err = find_or_make_peer(s, step->host, step->port, &pair->side[0].peer);
    if (err == BK_OK)
        err = find_or_make_peer(s, step->other, step->port, &pair->side[1].peer);
    if (err != BK_OK)
        return err;
    rng_fill(&s->secrets, pair->secret, sizeof pair->secret);
    err = endpoint_add_secret(sim_peer_endpoint(&pair->side[1].peer->peer), pair->secret);
    if (err == BK_OK)
        s->pair_count++;
    world_wake(s->world, s->pacer);
    return err;
}

/* --- what became of it --- */

struct scene_pair *scene_pair_of(struct scene *s, const struct topology_step *step) {
    struct scene_pair *found = &s->pairs[s->pair_count - 1];
    for (size_t i = 0; i < s->pair_count; i++)
        if (s->pairs[i].side[0].peer->node == step->host &&
            s->pairs[i].side[1].peer->node == step->other)
            found = &s->pairs[i];
    return found;
}

void scene_pair_mark(struct scene_pair *pair) {
    for (size_t k = 0; k < 2; k++)
        pair->side[k].mark = pair->side[1 - k].sent;
}

static bool is_direct(const struct scene_side *side) {
    struct session_path path;
    session_path(side->session, &path);
    return path.direct;
}

static bool is_open(const struct scene_side *side) {
    return side->session != NULL && session_get_state(side->session) == SESSION_OPEN;
}

/* "symmetric" stands for symmetric-here, symmetric-there and symmetric-both. */
static bool reason_is(const struct scene_side *side, const char *want) {
    struct session_path path;
    session_path(side->session, &path);
    const char *word = why_word(path.why);
    size_t len = strlen(want);
    return strncmp(word, want, len) == 0 && (len == 0 || word[len] == '\0' || word[len] == '-');
}

bool scene_pair_is(const struct scene_pair *pair, const struct topology_step *step) {
    const struct scene_side *a = &pair->side[0], *b = &pair->side[1];
    if (!is_open(a) || !is_open(b) || a->corrupt || b->corrupt)
        return false;
    switch (step->expect) {
    case TOPOLOGY_DIRECT:
        return is_direct(a) && is_direct(b);
    case TOPOLOGY_RELAYED:
        return !is_direct(a) && !is_direct(b) && reason_is(a, step->reason);
    case TOPOLOGY_DATA:
        return a->received > a->mark && b->received > b->mark;
    }
    return false;
}

static void say_side(const struct scene_side *side, struct text *t) {
    struct session_path path;
    text_str(t, name_of(side));
    if (side->ended) {
        text_str(t, ": session ended, ");
        text_str(t, end_text(side->end));
        return;
    }
    if (!is_open(side)) {
        text_str(t, side->session != NULL ? ": not connected yet"
                    : side->peer->home    ? ": no session"
                                          : ": not at home");
        return;
    }
    session_path(side->session, &path);
    text_str(t, path.direct ? ": direct" : ": relayed, ");
    text_str(t, path.direct ? "" : why_word(path.why));
    text_str(t, side->corrupt ? ", wrong bytes" : "");
    text_str(t, side->received > side->mark ? "" : ", hears nothing new");
}

void scene_pair_say(const struct scene_pair *pair, char *out, size_t cap) {
    struct text t = text_in(out, cap);
    say_side(&pair->side[0], &t);
    text_str(&t, "; ");
    say_side(&pair->side[1], &t);
}

void scene_pairs_fini(struct scene *s) {
    for (size_t i = 0; i < s->peer_count; i++)
        sim_peer_fini(&s->peers[i].peer);
    if (s->served)
        sim_relay_fini(&s->relay);
}
