/* SPDX-License-Identifier: MIT
 * links: relay
 * The hub under a script of bytes on several connections, slow writers, lost connections, other
 * hubs and time. Some connections begin with a real handshake, so that the script reaches what lies
 * behind it. After every step all invariants are checked. */
#include "base/assert.h"
#include "base/rng.h"
#include "box/box.h"
#include "fuzz/fuzz.h"
#include "relay/hub.h"
#include "wire/derp.h"

#include <stdlib.h>
#include <string.h>

enum { CONNS = 6 };

struct run {
    struct relay_hub *hub;
    struct bk_rng rng;
    struct bk_time now;
    uint32_t conn[CONNS];
    bool open[CONNS];
};

/* Key `i` of a small set, so that connections share keys and name each other. */
static void key_of(unsigned i, uint8_t key[32], uint8_t secret[32]) {
    memset(secret, 0, 32);
    secret[0] = 8;
    secret[1] = (uint8_t)(i % 4);
    secret[31] = 64;
    if (box_public(secret, key) != BK_OK)
        abort();
}

static void open_conn(struct run *r, unsigned i, unsigned who, bool mesh) {
    struct bk_addr from = bk_addr(bk_ipv4(192, 0, 2, 1), 1);
    uint8_t key[32], secret[32], box[256], frame[512];
    char json[] = "{\"version\":2,\"meshKey\":"
                  "\"0000000000000000000000000000000000000000000000000000000000000000\"}";
    if (r->open[i] || relay_hub_accept(r->hub, &from, r->now, &r->conn[i]) != BK_OK)
        return;
    r->open[i] = true;
    if (who % 8 == 7)
        return; /* the script does its own handshake */
    if (!mesh)
        json[45] = '1';
    key_of(who, key, secret);
    if (box_seal(&r->rng, relay_hub_key(r->hub), secret, (const uint8_t *)json, sizeof json - 1,
                 box) != BK_OK)
        abort();
    struct wire_writer w = wire_writer(frame, sizeof frame);
    derp_put_client_info(&w, key, box, sizeof json - 1 + BOX_OVERHEAD);
    relay_hub_recv(r->hub, r->conn[i], frame, w.len, r->now);
}

static void send_packet(struct run *r, unsigned i, unsigned to, size_t len, uint8_t first) {
    static uint8_t frame[DERP_HEADER_LEN + DERP_KEY_LEN + 70000];
    uint8_t key[32], secret[32];
    struct wire_writer w = wire_writer(frame, sizeof frame);
    key_of(to, key, secret);
    derp_put_header(&w, DERP_SEND_PACKET, DERP_KEY_LEN + len);
    wire_put_bytes(&w, key, sizeof key);
    frame[w.len] = first;
    relay_hub_recv(r->hub, r->conn[i], frame, w.len + len, r->now);
}

static void write_out(struct run *r, unsigned i, size_t max) {
    struct relay_piece p[4];
    size_t count = relay_hub_next_bytes(r->hub, r->conn[i], p, 4);
    size_t all = relay_pieces_len(p, count);
    relay_hub_sent(r->hub, r->conn[i], all < max ? all : max, r->now);
}

static void close_conn(struct run *r, unsigned i) {
    relay_hub_close(r->hub, r->conn[i], r->now);
    r->open[i] = false;
}

static void drain(struct run *r) {
    struct relay_ready ready;
    struct relay_hub_event ev;
    while (relay_hub_next_ready(r->hub, &ready))
        for (unsigned i = 0; i < CONNS; i++)
            if (r->open[i] && r->conn[i] == ready.conn && ready.close != RELAY_CLOSE_NOT)
                close_conn(r, i);
    while (relay_hub_next_event(r->hub, &ev))
        bk_assert(ev.type != RELAY_HUB_FORWARD || ev.data != NULL);
}

static void remote_step(struct run *r, uint8_t a, const uint8_t *data, size_t len) {
    uint8_t key[32], other[32], secret[32];
    key_of(a, key, secret);
    key_of(a >> 2, other, secret);
    switch (a >> 4 & 3) {
    case 0:
        if (relay_hub_remote_present(r->hub, a & 1, key) == BK_ERR_FULL)
            relay_hub_remote_down(r->hub, a & 1);
        break;
    case 1:
        relay_hub_remote_gone(r->hub, a & 1, key);
        break;
    case 2:
        relay_hub_remote_packet(r->hub, key, other, data, len, r->now);
        break;
    default:
        relay_hub_remote_pressure(r->hub, other, key, (a & 1) != 0, r->now);
        if (len > 20)
            relay_hub_restarting(r->hub, 1, 2);
        break;
    }
}

static void step(struct run *r, uint8_t code, uint8_t a, const uint8_t *data, size_t len) {
    unsigned i = code % CONNS;
    switch (code >> 5) {
    case 0:
        open_conn(r, i, a, (a & 16) != 0);
        return;
    case 1:
        r->now = bk_after(r->now, (int64_t)a * a * 2000);
        relay_hub_advance(r->hub, r->now);
        return;
    case 2:
        remote_step(r, a, data, len);
        return;
    default:
        break;
    }
    if (!r->open[i])
        return;
    switch (code >> 5) {
    case 3:
        close_conn(r, i);
        return;
    case 4:
        write_out(r, i, (size_t)a * 80);
        return;
    case 5:
        send_packet(r, i, a, (size_t)(1 + len) * 250, a);
        return;
    default:
        relay_hub_recv(r->hub, r->conn[i], data, len, r->now);
        return;
    }
}

static void run_script(struct run *r, const uint8_t *data, size_t len) {
    while (len >= 3) {
        uint8_t code = data[0], a = data[1];
        size_t n = data[2];
        data += 3;
        len -= 3;
        n = n < len ? n : len;
        step(r, code, a, data, n);
        drain(r);
        relay_hub_check(r->hub);
        data += n;
        len -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct rng_seeded seeded;
    struct run r = {.now = {1}};
    struct relay_hub_config config = relay_hub_config_default;
    if (len < 1)
        return 0;
    rng_seed(&seeded, 1);
    r.rng = rng_from_seeded(&seeded);
    config.conns_max = 5;
    config.pairs_max = (data[0] & 1) != 0 ? 3 : 40;
    config.remote_keys_max = 2;
    config.pool_bytes = 1u << 20;
    config.queue_packets = 5;
    config.queue_bytes = 70000;
    config.urgent_packets = 2;
    config.rate_bytes_per_s = (data[0] & 2) != 0 ? 20000 : 0;
    config.mesh_key_set = (data[0] & 4) != 0;
    config.announce = (data[0] & 8) != 0;
    config.secret[0] = 16;
    config.secret[31] = 64;
    if (relay_hub_new(&config, &r.rng, &fuzz_alloc, &r.hub) != BK_OK)
        abort();
    run_script(&r, data + 1, len - 1);
    relay_hub_free(r.hub);
    return 0;
}
