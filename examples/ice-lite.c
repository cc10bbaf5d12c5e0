/* SPDX-License-Identifier: MIT
 * An ICE-lite server (RFC 8445 section 2.5): one public address, one UDP port, many clients. A lite
 * agent has one candidate and only answers checks, so it needs no servers and next to no time.
 *
 *     ./ice-lite 203.0.113.5:5000
 *
 * reads offers from stdin, each with an empty line behind it, prints an answer to each, and sends
 * back to every client what it says. In place of stdin and stdout would be a web server's requests.
 */
#define _DEFAULT_SOURCE /* NOLINT: getrandom() needs it */
#include "env.h"

#include <bodkin/ice_io.h>

#include <poll.h>
#include <unistd.h>

enum { CLIENTS_MAX = 100 };

struct server {
    int fd;
    struct bk_addr local;
    struct bk_ice *clients[CLIENTS_MAX]; /* NULL: free */
    char offer[16384];
    size_t offer_len;
    int over;
};

/* After every call into an agent. Returns 0 when the agent's client is gone. */
static int drain(const struct server *s, struct bk_ice *ice) {
    struct bk_datagram out;
    struct bk_ice_event e;
    char text[BK_ADDR_TEXT_MAX];
    int alive = 1;
    while (bk_ice_next_datagram(ice, &out))
        env_send(s->fd, &out);
    while (bk_ice_next_event(ice, &e)) {
        if (e.kind == BK_ICE_ON_CONNECTED)
            fprintf(stderr, "client %s\n", bk_addr_format(&e.remote.addr, text));
        else if (e.kind == BK_ICE_ON_FAILED)
            alive = 0;
    }
    return alive;
}

static void drain_or_free(struct server *s, int i) {
    if (drain(s, s->clients[i]))
        return;
    bk_ice_free(s->clients[i]);
    s->clients[i] = NULL;
}

/* Whose datagram is it? The first agent that does not say "not ours" has taken it. With thousands
 * of clients, look the sender's address up first, and bk_ice_peek_ufrag() for new ones. */
static void receive(struct server *s) {
    uint8_t buf[2048];
    struct bk_datagram in, out;
    struct bk_ice_data data;
    while (env_recv(s->fd, &s->local, buf, sizeof buf, &in)) {
        for (int i = 0; i < CLIENTS_MAX; i++) {
            if (s->clients[i] == NULL)
                continue;
            enum bk_err err = bk_ice_recv(s->clients[i], &in, env_now(), &data);
            if (err == BK_ERR_NOT_OURS)
                continue;
            if (err == BK_OK && data.data != NULL &&
                bk_ice_send(s->clients[i], 0, 1, data.data, data.len, &out) == BK_OK)
                env_send(s->fd, &out);
            drain_or_free(s, i);
            break;
        }
    }
}

static enum bk_err new_client(const struct server *s, struct bk_ice **out) {
    struct bk_ice_config config = bk_ice_config_default;
    struct bk_ice_base base = {.size = sizeof base, .addr = s->local};
    config.lite = true;
    config.role = BK_ICE_CONTROLLED; /* RFC 8445 section 6.1.1: the full side controls */
    config.rng = &env_rng;
    enum bk_err err = bk_ice_new(&config, &env_alloc, out);
    if (err != BK_OK)
        return err;
    err = bk_ice_add_base(*out, &base, env_now());
    bk_ice_gather(*out, env_now());
    return err;
}

static void on_offer(struct server *s, size_t len) {
    char answer[4096];
    int i = 0;
    while (i < CLIENTS_MAX && s->clients[i] != NULL)
        i++;
    enum bk_err err = i == CLIENTS_MAX ? BK_ERR_FULL : new_client(s, &s->clients[i]);
    if (err == BK_OK)
        err = bk_ice_set_remote(s->clients[i], s->offer, len, env_now());
    if (err == BK_OK)
        err = bk_ice_describe(s->clients[i], answer, sizeof answer, &len);
    if (err == BK_OK) {
        printf("%s\n", answer);
        fflush(stdout);
        drain_or_free(s, i);
        return;
    }
    fprintf(stderr, "refused an offer: %s\n", bk_err_text(err));
    if (i < CLIENTS_MAX) {
        bk_ice_free(s->clients[i]);
        s->clients[i] = NULL;
    }
}

static void read_offer(struct server *s) {
    ssize_t n = read(0, s->offer + s->offer_len, sizeof s->offer - 1 - s->offer_len);
    if (n <= 0)
        s->over = 1;
    else
        s->offer_len += (size_t)n;
    s->offer[s->offer_len] = '\0';
    char *end = strstr(s->offer, "\n\n");
    if (end == NULL)
        return;
    on_offer(s, (size_t)(end - s->offer));
    s->offer_len = 0;
}

int main(int argc, char **argv) {
    static struct server s;
    if (argc != 2 || bk_addr_parse(argv[1], &s.local) != BK_OK) {
        fprintf(stderr, "usage: ice-lite ADDRESS:PORT < OFFERS > ANSWERS\n");
        return 2;
    }
    s.fd = env_bind(&s.local);
    while (!s.over) {
        struct pollfd wait[2] = {{.fd = s.fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        poll(wait, 2, 1000); /* consent has seconds: no need to ask for each agent's deadline */
        if (wait[0].revents != 0)
            receive(&s);
        if (wait[1].revents != 0)
            read_offer(&s);
        for (int i = 0; i < CLIENTS_MAX; i++) {
            if (s.clients[i] == NULL)
                continue;
            bk_ice_advance(s.clients[i], env_now());
            drain_or_free(&s, i);
        }
    }
    for (int i = 0; i < CLIENTS_MAX; i++)
        bk_ice_free(s.clients[i]);
    return 0;
}
