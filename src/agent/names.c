/* SPDX-License-Identifier: MIT
 * What is asked of the world: connections, names. Nothing is queued: a request is a mark on the
 * object that wants it. */
#include "agent/agent.h"

#include <string.h>

static void copy_name(struct bk_ice_request *out, const char *name) {
    size_t n = strlen(name);
    n = n < sizeof out->name ? n : sizeof out->name - 1;
    memcpy(out->name, name, n);
    out->name[n] = '\0';
}

/* From the TCP base's own port: RFC 6544 section 5.2. */
static void fill_stun(const struct bk_ice *ice, const struct agent_conn *c,
                      struct bk_ice_request *out) {
    uint16_t server = agent_gather_server_of(ice, c->id);
    struct server_uri uri;
    out->reuse = true;
    if (server == AGENT_NONE || uri_read(ice->config.servers[server].uri, &uri) != BK_OK)
        return;
    out->security = uri.secure ? BK_ICE_TLS : BK_ICE_PLAIN;
    copy_name(out, uri.host);
}

static void fill_dial(const struct bk_ice *ice, const struct agent_conn *c,
                      struct bk_ice_request *out) {
    out->kind = BK_ICE_DIAL;
    out->id = c->id;
    out->protocol = BK_TCP;
    out->remote = c->remote;
    out->local = c->base;
    if (c->query) {
        fill_stun(ice, c, out);
        return;
    }
    if (c->relay == AGENT_NONE) {
        out->reuse = agent_base_find(ice, &c->base, BK_TCP) != AGENT_NONE; /* simultaneous open */
        if (!out->reuse)
            out->local.port = 0; /* active: base port 9 means any, RFC 6544 section 5.2 */
        return;
    }
    const struct agent_relay *r = &ice->relays[c->relay];
    struct server_uri uri;
    out->protocol = (enum bk_protocol)r->protocol;
    if (r->secure)
        out->security = r->protocol == BK_UDP ? BK_ICE_DTLS : BK_ICE_TLS;
    if (uri_read(ice->config.servers[r->server].uri, &uri) == BK_OK)
        copy_name(out, uri.host);
}

static bool next_connection(struct bk_ice *ice, struct bk_ice_request *out) {
    for (uint16_t i = 0; i < ice->conn_count; i++) {
        struct agent_conn *c = &ice->conns[i];
        if (c->state == CONN_ENDING) {
            out->kind = BK_ICE_HANG_UP;
            out->id = c->id;
            *c = (struct agent_conn){.state = CONN_FREE};
            return true;
        }
        if (c->state == CONN_DIALLING && !c->told) {
            c->told = true;
            fill_dial(ice, c, out);
            return true;
        }
    }
    return false;
}

static bool next_server(struct bk_ice *ice, struct bk_ice_request *out) {
    for (size_t i = 0; ice->gather != NULL && i < ice->config.server_count; i++) {
        struct agent_server *s = &ice->gather->servers[i];
        if (s->state != SERVER_LOOKING || s->looked_up)
            continue;
        s->looked_up = true;
        out->kind = BK_ICE_RESOLVE;
        out->id = s->lookup;
        copy_name(out, s->uri.host);
        return true;
    }
    return false;
}

static bool next_remote(struct bk_ice *ice, struct bk_ice_request *out) {
    for (uint16_t i = 0; i < ice->name_count; i++) {
        struct agent_name *n = ice->names[i];
        if (n->told)
            continue;
        n->told = true;
        out->kind = BK_ICE_RESOLVE;
        out->id = n->id;
        out->mdns = true;
        copy_name(out, n->candidate.name);
        return true;
    }
    return false;
}

static bool next_publish(struct bk_ice *ice, struct bk_ice_request *out) {
    for (uint16_t i = 0; i < ice->base_count; i++) {
        struct agent_base *b = &ice->bases[i];
        if (!b->used || b->publish != AGENT_PUBLISH_WANTED)
            continue;
        b->publish = AGENT_PUBLISH_TOLD;
        out->kind = BK_ICE_PUBLISH;
        out->id = ++ice->last_id;
        out->local = b->addr;
        agent_base_name(b, out->name);
        return true;
    }
    return false;
}

bool bk_ice_next_request(struct bk_ice *ice, struct bk_ice_request *out) {
    memset(out, 0, sizeof *out);
    return next_connection(ice, out) || next_server(ice, out) || next_remote(ice, out) ||
           next_publish(ice, out);
}

void bk_ice_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count,
                     struct bk_time now) {
    (void)agent_see(ice, now);
    count = count < AGENT_IPS_MAX ? count : AGENT_IPS_MAX;
    if (!agent_server_resolved(ice, id, ips, count))
        agent_remote_resolved(ice, id, ips, count);
    agent_turn(ice, now);
}
