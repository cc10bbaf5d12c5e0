/* SPDX-License-Identifier: MIT
 * The checker knows addresses alone. Here they become sockets, relays and connections. */
#include "agent/agent.h"

#include "wire/stun.h"

/* Permissions are asked for when a pair is formed, ahead of its checks; here only what a full table
 * or a refusal left without one. */
static enum bk_err wrap(struct bk_ice *ice, struct agent_relay *r, const struct bk_datagram *in,
                        struct bk_datagram *out) {
    enum bk_err err = bk_turn_send(r->turn, &in->remote, in->data, in->len, out);
    if (err != BK_ERR_NOT_FOUND)
        return err;
    err = bk_turn_permit(r->turn, &in->remote, false, ice->now);
    return err == BK_OK ? bk_turn_send(r->turn, &in->remote, in->data, in->len, out) : err;
}

enum bk_err agent_relay_send(struct bk_ice *ice, uint16_t relay, const struct bk_datagram *in,
                             struct bk_datagram *out) {
    struct agent_relay *r = &ice->relays[relay];
    struct bk_datagram wrapped;
    enum bk_err err = wrap(ice, r, in, &wrapped);
    if (err == BK_OK && r->conn != 0) {
        err = agent_conn_write(ice, r->conn, wrapped.data, wrapped.len);
        wrapped = (struct bk_datagram){.local = wrapped.local, .remote = wrapped.remote};
    }
    if (err == BK_OK)
        *out = wrapped;
    return err;
}

bool agent_route(struct bk_ice *ice, const struct bk_datagram *in, struct bk_datagram *out) {
    if (in->protocol == BK_TCP) {
        if (agent_conn_send(ice, in) != BK_OK)
            return false; /* lost, as packets are; the check times out */
        return false;
    }
    uint16_t relay = agent_relay_of(ice, &in->local);
    if (relay == AGENT_NONE) {
        *out = *in;
        return true;
    }
    return agent_relay_send(ice, relay, in, out) == BK_OK && out->len > 0;
}

enum bk_err agent_take(struct bk_ice *ice, const struct bk_datagram *in, struct bk_ice_data *out) {
    if (!stun_is_message(in->data, in->len))
        return agent_take_data(ice, in, out);
    return bk_checker_recv(ice->checker, in, ice->now);
}

/* The peer sees one of our two relayed addresses: the one of its own family. */
enum bk_err agent_take_relayed(struct bk_ice *ice, uint16_t relay, const struct bk_turn_data *data,
                               struct bk_ice_data *out) {
    const struct agent_relay *r = &ice->relays[relay];
    bool six = r->relayed6.ip.family == data->peer.ip.family;
    struct bk_datagram in = {.local = six ? r->relayed6 : r->relayed,
                             .remote = data->peer,
                             .data = data->data,
                             .len = data->len};
    return agent_take(ice, &in, out);
}
