/* SPDX-License-Identifier: MIT
 * The traffic of an agent in the simulated world, and what an observer on its host sees. */
#include "sim/agent_state.h"
#include "wire/reader.h"
#include "wire/stun.h"
#include "wire/writer.h"

#include <string.h>

/* ---- data ---- */

/* Looks like RTP, so that it is told from STUN and from channels: RFC 7983 section 7. */
enum { DATA_FIRST = 0x80, DATA_LEN = 64 };

static void send_on(struct sim_agent *a, uint16_t stream, uint16_t component) {
    struct sim_agent_path *p = sim_agent_path(a, stream, component);
    uint8_t buf[DATA_LEN] = {0};
    struct wire_writer m = wire_writer(buf, sizeof buf);
    struct bk_datagram out;
    wire_put_u8(&m, DATA_FIRST);
    wire_put_u16(&m, stream);
    wire_put_u16(&m, component);
    wire_put_u64(&m, a->tag);
    wire_put_u32(&m, a->seq++);
    if (bk_ice_send(a->ice, stream, component, buf, sizeof buf, &out) != BK_OK) {
        p->refused++;
        return;
    }
    p->sent++;
    if (out.len > 0)
        agent_io_send(a, &out);
    else
        (void)agent_io_drain(a, world_now(a->world)); /* it is in a connection */
}

void agent_data_send(struct sim_agent *a, struct bk_time now) {
    if (a->config.data_us == 0 || !bk_due(a->data_at, now))
        return;
    a->data_at = bk_after(now, a->config.data_us);
    for (uint16_t s = 0; s < a->config.ice.streams; s++) {
        for (uint16_t c = 1; c <= a->config.ice.components; c++) {
            if (!bk_is_never(sim_agent_path(a, s, c)->connected_at))
                send_on(a, s, c);
        }
    }
}

void agent_data_take(struct sim_agent *a, const struct bk_ice_data *in, struct bk_time now) {
    struct wire_reader m = wire_reader(in->data, in->len);
    bool right = wire_u8(&m) == DATA_FIRST;
    right = wire_u16(&m) == in->stream && right;
    right = wire_u16(&m) == in->component && right;
    uint64_t tag = wire_u64(&m);
    if (m.failed || !right || a->peer_tag == NULL || tag != *a->peer_tag) {
        a->seen.foreign_data++;
        return;
    }
    struct sim_agent_path *p = sim_agent_path(a, in->stream, in->component);
    if (!bk_is_never(p->heard_at) && bk_elapsed_us(p->heard_at, now) > p->longest_gap_us)
        p->longest_gap_us = bk_elapsed_us(p->heard_at, now);
    p->heard++;
    p->heard_at = now;
}

/* ---- what goes out ---- */

static bool is_server(const struct sim_agent *a, const struct bk_addr *addr) {
    for (size_t i = 0; i < a->config.servers; i++) {
        if (bk_addr_equal(&a->config.server[i], addr))
            return true;
    }
    return false;
}

/* A Binding request, RFC 8489 section 5: type 0x0001 and the cookie. */
static bool is_request(const struct bk_datagram *d) {
    static const uint8_t cookie[] = {0x21, 0x12, 0xa4, 0x42};
    return d->len >= 20 && d->data[0] == 0 && d->data[1] == 1 &&
           memcmp(d->data + 4, cookie, sizeof cookie) == 0;
}

/* How many of the last ones left within a second. */
static void count_request(struct sim_agent *a, struct bk_time now) {
    uint32_t within = 1;
    for (uint32_t i = 1; i < SIM_AGENT_WINDOW && i <= a->window_at; i++, within++) {
        struct bk_time at = a->window[(a->window_at - i) % SIM_AGENT_WINDOW];
        if (bk_elapsed_us(at, now) >= BK_US_PER_S)
            break;
    }
    a->window[a->window_at++ % SIM_AGENT_WINDOW] = now;
    if (within > a->seen.requests_per_s)
        a->seen.requests_per_s = within;
}

void agent_data_watch(struct sim_agent *a, const struct bk_datagram *out, struct bk_time now) {
    if (is_server(a, &out->remote)) {
        a->seen.to_servers++;
        return;
    }
    a->seen.direct++;
    if (!is_request(out))
        return;
    a->seen.early_requests += a->remote_known ? 0 : 1;
    count_request(a, now);
}
