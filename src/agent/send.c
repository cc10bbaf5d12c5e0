/* SPDX-License-Identifier: MIT
 * Data, both ways. */
#include "agent/agent.h"

#include "wire/stun.h"

#include <string.h>

enum { DATAGRAM_MAX = 65507 /* IPv4; RFC 768 */ };

enum bk_err bk_ice_send(struct bk_ice *ice, uint16_t stream, uint16_t component, const void *data,
                        size_t len, struct bk_datagram *out) {
    const struct agent_component *c = agent_component(ice, stream, component);
    if (c == NULL || c->pair == 0)
        return BK_ERR_STATE;
    if (len > DATAGRAM_MAX)
        return BK_ERR_TOO_LONG;
    *out = (struct bk_datagram){.local = c->local, .remote = c->remote, .data = data, .len = len};
    return BK_OK;
}

/* RFC 8445 section 12.2 wants us ready for data once a check passed, either way: a peer whose check
 * we answered may send before our own was answered. Anything else is a stranger's. */
static bool has_passed(const struct bk_ice_pair_info *p) {
    return p->state == BK_ICE_PAIR_SUCCEEDED || p->checks_received > 0;
}

static enum bk_err take_data(struct bk_ice *ice, const struct bk_datagram *in,
                             struct bk_ice_data *out) {
    struct bk_ice_pair_info p = {.size = sizeof p};
    if (bk_checker_find_pair(ice->checker, &in->local, &in->remote, &p) != BK_OK || !has_passed(&p))
        return BK_ERR_NOT_OURS;
    struct agent_component *c = agent_component(ice, p.stream, p.component);
    if (c == NULL)
        return BK_ERR_NOT_OURS;
    c->heard = ice->now;
    *out = (struct bk_ice_data){
        .stream = c->stream, .component = c->component, .data = in->data, .len = in->len};
    return BK_OK;
}

enum bk_err bk_ice_recv(struct bk_ice *ice, const struct bk_datagram *in, struct bk_time now,
                        struct bk_ice_data *out) {
    memset(out, 0, sizeof *out);
    (void)agent_see(ice, now);
    if (!stun_is_message(in->data, in->len))
        return take_data(ice, in, out);
    enum bk_err err = agent_gather_recv(ice, in);
    if (err == BK_ERR_NOT_OURS)
        err = bk_checker_recv(ice->checker, in, now);
    if (err != BK_ERR_NOT_OURS)
        agent_turn(ice, now);
    return err;
}

bool bk_ice_peek_ufrag(const void *data, size_t len, const char **ufrag, size_t *ufrag_len) {
    struct stun_msg m;
    struct wire_span user;
    if (stun_parse(&m, data, len) != BK_OK || m.cls != STUN_REQUEST || m.method != STUN_BINDING ||
        stun_get_bytes(&m, STUN_USERNAME, &user) != BK_OK)
        return false;
    const uint8_t *colon = user.len == 0 ? NULL : memchr(user.data, ':', user.len);
    if (colon == NULL)
        return false;
    *ufrag = (const char *)user.data;
    *ufrag_len = (size_t)(colon - user.data);
    return true;
}
