/* SPDX-License-Identifier: MIT
 * bodkin's relay client against a server that is not ours: sends packets of many sizes to a client
 * there that sends them back, and measures a ping.
 *
 *   probe PORT ECHO-KEY            plain HTTP on 127.0.0.1
 *   probe PORT ECHO-KEY PIN        TLS, the server's key pinned; ordinary upgrade
 *   probe PORT ECHO-KEY PIN fast   TLS with the fast start
 *
 * Prints one line beginning with "ok" and ends with 0, or says what went wrong. */
#include "base/rng.h"
#include "box/box.h"
#include "net/alloc.h"
#include "net/loop.h"
#include "net/metacert.h"
#include "net/stream.h"
#include "relay/client.h"
#include "relay/upgrade.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CERTS_MAX = 8 };

static const size_t sizes[] = {1, 31, 1200, 1400, 2043, 2048, 4096, 16384, 65535, 65536};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

struct probe {
    struct net_loop *loop;
    struct net_stream *stream;
    struct relay_client *client;
    struct net_timer timer;
    struct bk_time started, connected;
    struct bk_rng rng;
    uint8_t echo[32], data[RELAY_MESSAGE_MAX];
    size_t next; /* index into sizes */
    int64_t rtt_us;
    bool fast;
};

static void fail(struct probe *p, const char *what, const char *why) {
    printf("FAILED %s: %s\n", what, why);
    fflush(stdout);
    (void)p;
    exit(1);
}

static void send_next(struct probe *p) {
    struct relay_piece pieces[2] = {{p->data, 1}, {p->data + 1, sizes[p->next] - 1}};
    rng_fill(&p->rng, p->data, sizes[p->next]);
    enum bk_err err = relay_client_send(p->client, p->echo, pieces, 2);
    if (err != BK_OK)
        fail(p, "send", bk_err_text(err));
}

static void on_packet(struct probe *p, const struct relay_client_event *ev) {
    if (memcmp(ev->key, p->echo, 32) != 0 || ev->len != sizes[p->next] ||
        memcmp(ev->data, p->data, ev->len) != 0)
        fail(p, "echo", "other bytes than were sent");
    p->next++;
    if (p->next < SIZES)
        send_next(p);
    else if (relay_client_ping(p->client, net_now(p->loop)) != BK_OK)
        fail(p, "ping", "no room");
}

static void on_event(struct probe *p, const struct relay_client_event *ev) {
    switch (ev->type) {
    case RELAY_CLIENT_CONNECTED:
        p->connected = net_now(p->loop);
        break;
    case RELAY_CLIENT_PACKET:
        on_packet(p, ev);
        break;
    case RELAY_CLIENT_PONG:
        p->rtt_us = ev->rtt_us;
        net_loop_stop(p->loop);
        break;
    case RELAY_CLIENT_CLOSED:
        fail(p, "relay", bk_err_text(ev->why));
        break;
    case RELAY_CLIENT_PEER_GONE:
        fail(p, "echo", "is gone");
        break;
    case RELAY_CLIENT_ROOM:
    case RELAY_CLIENT_HEALTH:
    case RELAY_CLIENT_RESTARTING:
    case RELAY_CLIENT_PRESENT:
        break;
    }
}

static void drain(struct probe *p) {
    struct relay_client_event ev;
    struct relay_piece out;
    while (relay_client_next_event(p->client, &ev))
        on_event(p, &ev);
    while (relay_client_next_bytes(p->client, &out)) {
        size_t room = net_stream_room(p->stream);
        size_t len = out.len < room ? out.len : room;
        if (len == 0 || net_stream_write(p->stream, out.data, len) != BK_OK)
            break;
        relay_client_sent(p->client, len);
    }
    net_timer_set(&p->timer, relay_client_deadline(p->client));
}

/* The relay key out of the certificates, if this is TLS 1.3 and there is one. */
static bool find_key(struct probe *p, uint8_t key[32]) {
    gnutls_datum_t certs[CERTS_MAX];
    size_t count = 0;
    while (count < CERTS_MAX) {
        const uint8_t *der;
        size_t len;
        if (net_stream_peer_cert(p->stream, count, &der, &len) != BK_OK)
            break;
        uint8_t *copy = malloc(len);
        if (copy == NULL)
            break;
        memcpy(copy, der, len);
        certs[count++] = (gnutls_datum_t){copy, (unsigned)len};
    }
    bool found =
        net_stream_tls_version(p->stream) == 13 && net_metacert_find(certs, count, key) == BK_OK;
    for (size_t i = 0; i < count; i++)
        free(certs[i].data);
    return found;
}

static void on_open(void *ctx) {
    struct probe *p = ctx;
    struct relay_client_config c = relay_client_config_default;
    uint8_t key[32];
    c.host = "localhost";
    box_keypair(&p->rng, key, c.secret);
    if (p->fast) {
        if (!find_key(p, c.server_key))
            fail(p, "fast start", "no metacert in the certificate list");
        c.server_key_known = true;
        c.start = RELAY_START_FAST;
    }
    if (relay_client_new(&c, &p->rng, net_alloc(), net_now(p->loop), &p->client) != BK_OK)
        fail(p, "client", "no memory");
    send_next(p); /* before the handshake: it leaves right behind it */
    drain(p);
}

static void on_bytes(void *ctx, const uint8_t *data, size_t len) {
    struct probe *p = ctx;
    while (len > 0) {
        size_t n = relay_client_recv(p->client, data, len, net_now(p->loop));
        data += n;
        len -= n;
        drain(p);
    }
}

static void on_room(void *ctx) {
    drain(ctx);
}

static void on_close(void *ctx, enum bk_err err, const char *reason) {
    (void)err;
    fail(ctx, "stream", reason);
}

static void on_due(void *ctx, struct bk_time now) {
    struct probe *p = ctx;
    relay_client_advance(p->client, now);
    drain(p);
}

static struct net_tls *tls_for(const char *pin_text) {
    struct net_tls_client_config c = net_tls_client_config_default;
    struct net_tls *tls = NULL;
    uint8_t pin[NET_PIN_LEN];
    char reason[NET_REASON_MAX];
    if (net_pin_parse(pin_text, strlen(pin_text), pin) != BK_OK)
        fail(NULL, "pin", "not a pin");
    c.verify_name = false;
    c.pin = pin;
    if (net_tls_client_new(&c, &tls, reason) != BK_OK)
        fail(NULL, "TLS", "no context");
    return tls;
}

int main(int argc, char **argv) {
    static struct probe p;
    struct bk_addr to = bk_addr(bk_ipv4(127, 0, 0, 1), 0);
    struct net_stream_config config = net_stream_config_default;
    const struct net_stream_events events = {
        .on_open = on_open, .on_bytes = on_bytes, .on_room = on_room, .on_close = on_close};
    if (argc < 3 || relay_key_parse(argv[2], strlen(argv[2]), p.echo) != BK_OK)
        fail(&p, "usage", "probe PORT ECHO-KEY [PIN [fast]]");
    to.port = (uint16_t)strtoul(argv[1], NULL, 10);
    p.rng = box_rng();
    p.fast = argc > 4 && strcmp(argv[4], "fast") == 0;
    if (argc > 3)
        config.tls = tls_for(argv[3]);
    config.server_name = "localhost";
    if (net_loop_new(net_alloc(), &p.loop) != BK_OK)
        fail(&p, "loop", "not made");
    net_timer_init(&p.timer, p.loop, on_due, &p);
    p.started = net_clock();
    if (net_stream_connect_addr(p.loop, &to, &config, &events, &p, &p.stream) != BK_OK)
        fail(&p, "stream", "not made");
    net_loop_run(p.loop);
    printf("ok %s%s, connected in %.1f ms, %d packets there and back, ping %.2f ms\n",
           argc > 3 ? "TLS" : "plain", p.fast ? " fast start" : "",
           (double)bk_elapsed_us(p.started, p.connected) / 1000, (int)SIZES,
           (double)p.rtt_us / 1000);
    relay_client_free(p.client);
    net_stream_close(p.stream);
    net_loop_free(p.loop);
    net_tls_unref(config.tls);
    return 0;
}
