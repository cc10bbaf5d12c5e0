/* SPDX-License-Identifier: MIT */
#include "sim/actor_natserver.h"

#include <string.h>

static void send_from(const struct sim_natserver *s, struct world *w,
                      const struct bk_datagram *reply) {
    for (size_t i = 0; i < s->socket_count; i++)
        if (bk_addr_equal(&s->sockets[i].local, &reply->local))
            world_udp_send(w, s->sockets[i].id, reply);
}

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct sim_natserver *s = ctx;
    struct bk_datagram reply;
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    (void)socket;
    if (stun_service_answered(stun_service_answer(&s->service, in, world_now(w), buf, &reply)))
        send_from(s, w, &reply);
}

static struct sim_natserver_stream *find(struct sim_natserver *s, stream_id id) {
    for (size_t i = 0; i < SIM_NATSERVER_STREAMS; i++)
        if (s->streams[i].used && s->streams[i].id == id)
            return &s->streams[i];
    return NULL;
}

static void accept_stream(struct sim_natserver *s, struct world *w, stream_id id) {
    for (size_t i = 0; i < SIM_NATSERVER_STREAMS; i++) {
        struct sim_natserver_stream *c = &s->streams[i];
        if (c->used)
            continue;
        c->used = true;
        c->id = id;
        stun_stream_init(&c->frames, c->buf, sizeof c->buf, false);
        return;
    }
    world_stream_close(w, id);
}

static void drop(struct world *w, struct sim_natserver_stream *c) {
    c->used = false;
    world_stream_close(w, c->id);
}

static void answer(struct sim_natserver *s, struct world *w, stream_id id,
                   const struct stun_frame *frame) {
    struct bk_datagram reply;
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    const struct bk_datagram in = {.local = world_stream_local(w, id),
                                   .remote = world_stream_remote(w, id),
                                   .data = frame->data,
                                   .len = frame->len};
    if (stun_service_answered(
            stun_service_answer_stream(&s->service, &in, world_now(w), buf, &reply)))
        (void)world_stream_write(w, id, reply.data, reply.len);
}

static void take_bytes(struct sim_natserver *s, struct world *w, struct sim_natserver_stream *c,
                       const uint8_t *data, size_t len) {
    struct stun_frame frame;
    enum bk_err err = BK_ERR_SHORT;
    while (len > 0 && err == BK_ERR_SHORT) {
        size_t taken = stun_stream_push(&c->frames, data, len);
        data += taken;
        len -= taken;
        while ((err = stun_stream_next(&c->frames, &frame)) == BK_OK)
            answer(s, w, c->id, &frame);
    }
    if (err != BK_ERR_SHORT)
        drop(w, c);
}

static void on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len) {
    struct sim_natserver *s = ctx;
    struct sim_natserver_stream *c = find(s, stream);
    if (event == WORLD_STREAM_ACCEPTED)
        accept_stream(s, w, stream);
    if (c == NULL)
        return;
    if (event == WORLD_STREAM_BYTES)
        take_bytes(s, w, c, data, len);
    if (event == WORLD_STREAM_END || event == WORLD_STREAM_BROKEN)
        drop(w, c);
}

static enum bk_err bind_all(struct sim_natserver *s, struct world *w, node_id host,
                            const uint16_t ports[2]) {
    struct bk_ip ip;
    for (size_t i = 0; i < SIM_NATSERVER_ADDRESSES && world_address(w, host, i, &ip); i++) {
        for (size_t k = 0; k < 2 && ports[k] != 0; k++) {
            struct sim_natserver_socket *socket = &s->sockets[s->socket_count];
            socket->local = bk_addr(ip, ports[k]);
            enum bk_err err = world_udp_bind(w, s->actor, socket->local, &socket->id);
            if (err != BK_OK)
                return err;
            s->socket_count++;
        }
    }
    for (size_t k = 0; k < 2 && ports[k] != 0; k++) {
        enum bk_err err = world_stream_listen(w, s->actor, ports[k]);
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

static void configure(struct sim_natserver *s, const struct world *w, node_id host,
                      const uint16_t ports[2]) {
    struct stun_discovery_config *config = &s->config;
    struct bk_ip ip;
    size_t count[2] = {0, 0};
    *config = stun_discovery_config_default;
    config->askers_max = 4096;
    config->sources_max = 1024;
    config->ports[0] = ports[0];
    config->ports[1] = ports[1];
    for (size_t i = 0; i < SIM_NATSERVER_ADDRESSES && world_address(w, host, i, &ip); i++) {
        size_t family = ip.family == BK_IPV6;
        if (count[family] < 2)
            config->ips[family][count[family]++] = ip;
    }
}

enum bk_err sim_natserver_init(struct sim_natserver *s, struct world *w, node_id host,
                               const uint16_t ports[2], const struct bk_alloc *alloc) {
    memset(s, 0, sizeof *s);
    struct world_actor calls = {.ctx = s, .on_datagram = on_datagram, .on_stream = on_stream};
    s->rng = world_rng(w, "natserver");
    configure(s, w, host, ports);
    enum bk_err err = sim_natserver_restart(s, alloc);
    if (err != BK_OK)
        return err;
    s->actor = world_add_actor(w, host, &calls);
    return bind_all(s, w, host, ports);
}

enum bk_err sim_natserver_restart(struct sim_natserver *s, const struct bk_alloc *alloc) {
    stun_discovery_free(s->discovery);
    s->discovery = NULL;
    enum bk_err err = stun_discovery_new(&s->config, &s->rng, alloc, &s->discovery);
    s->service.discovery = s->discovery;
    return err;
}

void sim_natserver_fini(struct sim_natserver *s) {
    stun_discovery_free(s->discovery);
    memset(s, 0, sizeof *s);
}
