/* SPDX-License-Identifier: MIT
 * Why it is as it is, from facts: how many checks were answered, what became of each kind of
 * server, and what follows from that. */
#include "agent/agent.h"

/* ---- Facts -------------------------------------------------------------------------------- */

enum way { WAY_STUN, WAY_STUN_TCP, WAY_TURN_UDP, WAY_TURN_TCP, WAY_TURN_TLS, WAY_TURN_DTLS, WAYS };
enum fate { FATE_NONE, FATE_UNKNOWN_NAME, FATE_SILENT, FATE_REFUSED, FATE_WORKS };

static const char *const way_text[WAYS] = {"STUN",          "STUN over TCP", "TURN over UDP",
                                           "TURN over TCP", "TURN over TLS", "TURN over DTLS"};

struct facts {
    size_t pairs, answered; /* pairs that were checked, and that were answered */
    bool was_connected;
    enum fate fate[WAYS]; /* the best of that kind */
    uint16_t code[WAYS];
};

static enum way way_of(const struct server_uri *uri) {
    if (!uri->turn)
        return uri->protocol == BK_UDP ? WAY_STUN : WAY_STUN_TCP;
    if (uri->protocol == BK_UDP)
        return uri->secure ? WAY_TURN_DTLS : WAY_TURN_UDP;
    return uri->secure ? WAY_TURN_TLS : WAY_TURN_TCP;
}

static enum fate fate_of(const struct agent_fact *f, bool turn) {
    if (f->unresolved)
        return FATE_UNKNOWN_NAME;
    if (!f->asked)
        return FATE_NONE;
    if (turn ? f->relayed : f->answered)
        return FATE_WORKS;
    return f->refused ? FATE_REFUSED : FATE_SILENT;
}

static void count_servers(const struct bk_ice *ice, struct facts *out) {
    for (size_t i = 0; i < ice->config.server_count; i++) {
        struct server_uri uri;
        if (uri_read(ice->config.servers[i].uri, &uri) != BK_OK)
            continue;
        enum way w = way_of(&uri);
        enum fate f = fate_of(&ice->facts[i], uri.turn);
        if (f <= out->fate[w])
            continue;
        out->fate[w] = f;
        out->code[w] = ice->facts[i].code;
    }
}

static void count_pairs(const struct bk_ice *ice, struct facts *out) {
    struct bk_ice_pair_info p = {.size = sizeof p};
    for (size_t i = 0; bk_checker_pair_at(ice->checker, i, &p) == BK_OK; i++) {
        out->pairs += p.checks_sent > 0;
        out->answered += p.answers_received > 0;
    }
}

/* ---- Sentences ---------------------------------------------------------------------------- */

static void say_checks(const struct bk_ice *ice, const struct facts *f, struct text *t) {
    if (!ice->remote_set) {
        text_str(t, "the peer's description has not come");
    } else if (f->pairs == 0) {
        text_str(t, "none of our candidates fits one of the peer's");
    } else {
        text_u64(t, f->answered);
        text_str(t, " of ");
        text_u64(t, f->pairs);
        text_str(t, " checks were answered");
    }
}

static void say_server(const struct facts *f, enum way w, struct text *t) {
    if (f->fate[w] == FATE_NONE)
        return;
    text_str(t, ", ");
    text_str(t, way_text[w]);
    switch (f->fate[w]) {
    case FATE_NONE:
        break;
    case FATE_UNKNOWN_NAME:
        text_str(t, "'s name is not known");
        break;
    case FATE_SILENT:
        text_str(t, " is silent");
        break;
    case FATE_REFUSED:
        text_str(t, " refused (");
        text_u64(t, f->code[w]);
        text_char(t, ')');
        break;
    case FATE_WORKS:
        text_str(t, " works");
        break;
    }
}

static bool any(const struct facts *f, enum fate fate) {
    for (size_t w = 0; w < WAYS; w++)
        if (f->fate[w] == fate)
            return true;
    return false;
}

static bool wrong_password(const struct facts *f) {
    for (size_t w = 0; w < WAYS; w++)
        if (f->fate[w] == FATE_REFUSED && (f->code[w] == 401 || f->code[w] == 441))
            return true;
    return false;
}

/* What follows, or NULL. */
static const char *conclusion(const struct facts *f) {
    bool udp_silent = f->fate[WAY_STUN] == FATE_SILENT || f->fate[WAY_TURN_UDP] == FATE_SILENT ||
                      f->fate[WAY_TURN_DTLS] == FATE_SILENT;
    bool udp_works = f->fate[WAY_STUN] == FATE_WORKS || f->fate[WAY_TURN_UDP] == FATE_WORKS ||
                     f->fate[WAY_TURN_DTLS] == FATE_WORKS;
    bool relay_tcp = f->fate[WAY_TURN_TCP] == FATE_WORKS || f->fate[WAY_TURN_TLS] == FATE_WORKS;
    bool tcp_works = relay_tcp || f->fate[WAY_STUN_TCP] == FATE_WORKS;
    bool relay =
        f->fate[WAY_TURN_UDP] == FATE_WORKS || f->fate[WAY_TURN_DTLS] == FATE_WORKS || relay_tcp;
    if (wrong_password(f))
        return "the TURN user or password is wrong";
    if (udp_silent && !udp_works && tcp_works)
        return "UDP is blocked";
    if (udp_silent && !udp_works && !any(f, FATE_WORKS))
        return "the network is down, or blocks everything";
    if (f->was_connected)
        return "the peer, or the way to it, is gone";
    if (f->answered == 0 && f->pairs > 0 && relay)
        return "the peer is gone, or cannot reach our relay";
    if (f->answered == 0 && f->pairs > 0)
        return udp_works ? "no direct way through the NATs or firewalls, and there is no relay"
                         : "no direct way through what is in between, and there is no relay";
    return NULL;
}

static void say_path(const struct bk_ice *ice, const struct agent_component *c, struct text *t) {
    struct bk_ice_pair_info p = {.size = sizeof p};
    if (bk_checker_pair(ice->checker, c->pair, &p) != BK_OK)
        return;
    bool relayed = p.local.kind == BK_ICE_RELAYED || p.remote.kind == BK_ICE_RELAYED;
    text_str(t, relayed ? "relayed" : "direct");
    text_str(t, c->protocol == BK_TCP ? " over TCP, " : ", ");
    text_str(t, bk_ice_kind_text(p.local.kind));
    text_str(t, " to ");
    text_str(t, bk_ice_kind_text(p.remote.kind));
    if (p.rtt_us >= 0) {
        text_str(t, ", round trip ");
        text_ms(t, p.rtt_us);
        text_str(t, " ms");
    }
    if (c->link == AGENT_DISCONNECTED)
        text_str(t, ", silent now");
}

static const struct agent_component *worst_component(const struct bk_ice *ice) {
    const struct agent_component *worst = &ice->components[0];
    for (uint16_t i = 1; i < ice->component_count; i++)
        if (ice->components[i].pair == 0 && worst->pair != 0)
            worst = &ice->components[i];
    return worst;
}

char *bk_ice_explain(const struct bk_ice *ice, char *out, size_t cap) {
    struct text t = text_in(out, cap);
    const struct agent_component *c = worst_component(ice);
    if (c->pair != 0) {
        say_path(ice, c, &t);
        return out;
    }
    struct facts f = {.was_connected = c->was_connected};
    count_servers(ice, &f);
    count_pairs(ice, &f);
    say_checks(ice, &f, &t);
    for (size_t w = 0; w < WAYS; w++)
        say_server(&f, (enum way)w, &t);
    const char *why = conclusion(&f);
    if (why != NULL && ice->remote_set) {
        text_str(&t, ": ");
        text_str(&t, why);
    }
    return out;
}
