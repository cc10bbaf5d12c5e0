/* SPDX-License-Identifier: MIT
 * Data, both ways. */
#include "agent/agent.h"

#include "wire/stun.h"

#include <string.h>

enum { DATAGRAM_MAX = 65507 /* IPv4, RFC 768 */, FRAME_MAX = 65535 /* RFC 4571 section 2 */ };

static enum bk_err send_in_connection(struct bk_ice *ice, struct bk_datagram *d) {
    enum bk_err err = agent_conn_send(ice, d);
    d->data = NULL;
    d->len = 0;
    return err;
}

/* RFC 8445 section 12.1.1: a lite agent sends nothing before every component of the stream has a
 * valid pair. */
static bool may_send(const struct bk_ice *ice, const struct agent_component *c) {
    if (c == NULL || c->pair == 0)
        return false;
    for (uint16_t i = 0; ice->config.lite && i < ice->component_count; i++)
        if (ice->components[i].stream == c->stream && ice->components[i].pair == 0)
            return false;
    return true;
}

/* RFC 8445 section 12.1: on the selected pair alone, once there is one; a component without a pair
 * sends nothing. Until it is selected, on the best valid one: a check of ours was answered on it,
 * which is the peer's consent (RFC 7675 section 5.1). */
enum bk_err bk_ice_send(struct bk_ice *ice, uint16_t stream, uint16_t component, const void *data,
                        size_t len, struct bk_datagram *out) {
    struct agent_component *c = agent_component(ice, stream, component);
    if (!may_send(ice, c))
        return BK_ERR_STATE;
    if (len > (c->protocol == BK_TCP ? FRAME_MAX : DATAGRAM_MAX))
        return BK_ERR_TOO_LONG;
    struct bk_datagram d = {
        .local = c->local, .remote = c->remote, .data = data, .len = len, .protocol = c->protocol};
    enum bk_err err = BK_OK;
    if (c->relay != AGENT_NONE)
        err = agent_relay_send(ice, c->relay, &d, &d);
    else if (c->protocol == BK_TCP)
        err = send_in_connection(ice, &d);
    if (err != BK_OK)
        return err;
    c->bytes_sent += len;
    c->messages_sent++;
    *out = d;
    return BK_OK;
}

/* RFC 8445 section 12.2 wants us ready for data once a check passed, either way: a peer whose check
 * we answered may send before our own was answered. Anything else is a stranger's. */
static bool has_passed(const struct bk_ice_pair_info *p) {
    return p->state == BK_ICE_PAIR_SUCCEEDED || p->checks_received > 0;
}

/* Most data comes on the path that ours takes. */
static struct agent_component *component_on(const struct bk_ice *ice,
                                            const struct bk_datagram *in) {
    for (uint16_t i = 0; i < ice->component_count; i++) {
        struct agent_component *c = &ice->components[i];
        if (c->pair != 0 && c->protocol == in->protocol && bk_addr_equal(&c->remote, &in->remote) &&
            bk_addr_equal(&c->local, &in->local))
            return c;
    }
    struct bk_ice_pair_info p = {.size = sizeof p};
    if (bk_checker_find_pair(ice->checker, &in->local, &in->remote, &p) != BK_OK || !has_passed(&p))
        return NULL;
    return agent_component(ice, p.stream, p.component);
}

enum bk_err agent_take_data(struct bk_ice *ice, const struct bk_datagram *in,
                            struct bk_ice_data *out) {
    struct agent_component *c = component_on(ice, in);
    if (c == NULL)
        return BK_ERR_NOT_OURS;
    agent_heard(ice, c, in);
    c->bytes_received += in->len;
    c->messages_received++;
    *out = (struct bk_ice_data){
        .stream = c->stream, .component = c->component, .data = in->data, .len = in->len};
    return BK_OK;
}

/* From a server over datagrams: an answer, or what a relay has for us. */
static enum bk_err recv_from_server(struct bk_ice *ice, const struct bk_datagram *in,
                                    struct bk_ice_data *out) {
    struct bk_turn_data data = {.data = NULL};
    uint16_t relay;
    enum bk_err err = agent_gather_recv(ice, in);
    if (err != BK_ERR_NOT_OURS)
        return err;
    err = agent_relays_recv(ice, in, &data, &relay);
    if (err != BK_OK || data.data == NULL)
        return err;
    err = agent_take_relayed(ice, relay, &data, out);
    return err == BK_ERR_NOT_OURS ? BK_ERR_NOT_FOUND : err; /* ours it was, for nobody */
}

enum bk_err bk_ice_recv(struct bk_ice *ice, const struct bk_datagram *in, struct bk_time now,
                        struct bk_ice_data *out) {
    memset(out, 0, sizeof *out);
    (void)agent_see(ice, now);
    enum bk_err err = BK_ERR_NOT_OURS;
    if (in->protocol == BK_UDP)
        err = recv_from_server(ice, in, out);
    if (err == BK_ERR_NOT_OURS)
        err = agent_take(ice, in, out);
    if (err != BK_ERR_NOT_OURS && out->data == NULL)
        agent_turn(ice, now);
    return err;
}

bool bk_ice_peek_ufrag(const void *data, size_t len, const char **ufrag, size_t *ufrag_len) {
    struct stun_msg m;
    struct wire_span user;
    if (!stun_is_message(data, len) || stun_parse(&m, data, len) != BK_OK ||
        m.cls != STUN_REQUEST || m.method != STUN_BINDING ||
        stun_get_bytes(&m, STUN_USERNAME, &user) != BK_OK)
        return false;
    const uint8_t *colon = user.len == 0 ? NULL : memchr(user.data, ':', user.len);
    if (colon == NULL)
        return false;
    *ufrag = (const char *)user.data;
    *ufrag_len = (size_t)(colon - user.data);
    return true;
}
