/* SPDX-License-Identifier: MIT
 * A TURN client and nothing else: one UDP socket, one allocation, one peer. bodkin/turn.h does the
 * protocol; this program has the socket and the loop.
 *
 *     ./turn-client SERVER:PORT USER PASSWORD PEER:PORT hello
 *
 * prints the relayed address, sends "hello" to the peer from there, prints what the peer answers,
 * and gives the allocation back. */
#define _DEFAULT_SOURCE /* NOLINT: getrandom() needs it */
#include "env.h"

#include <bodkin/turn.h>

#include <poll.h>

struct app {
    int fd;
    struct bk_turn *turn;
    struct bk_addr local, peer;
    const char *say;
    int heard, over; /* over: 1 well, 2 badly */
};

static void on_event(struct app *app, const struct bk_turn_event *e) {
    char text[BK_ADDR_TEXT_MAX];
    struct bk_datagram out;
    switch (e->kind) {
    case BK_TURN_ALLOCATED:
        printf("relayed %s\n", bk_addr_format(&e->relayed, text));
        break;
    case BK_TURN_PERMITTED: /* from now on data pass, both ways */
        if (bk_turn_send(app->turn, &app->peer, app->say, strlen(app->say), &out) == BK_OK)
            env_send(app->fd, &out);
        break;
    case BK_TURN_REFUSED:
        fprintf(stderr, "the server does not permit this peer: %u\n", e->code);
        app->over = 2;
        break;
    case BK_TURN_FAILED:
        fprintf(stderr, "no allocation: %s (%u)\n", bk_err_text(e->err), e->code);
        app->over = 2;
        break;
    case BK_TURN_CLOSED:
        app->over = 1;
        break;
    case BK_TURN_REDIRECT: /* e->alternate would be the server to try */
    case BK_TURN_ICMP:
    case BK_TURN_MOVED:
    case BK_TURN_CONNECTION:
    case BK_TURN_NO_CONNECTION:
    case BK_TURN_LOST: /* a new allocation is under way by itself */
        break;
    }
}

/* After every call into the client: what it wants to send, then what it has to tell. */
static void drain(struct app *app) {
    struct bk_datagram out;
    struct bk_turn_event event;
    while (bk_turn_next_event(app->turn, &event))
        on_event(app, &event);
    while (bk_turn_next_datagram(app->turn, &out))
        env_send(app->fd, &out);
}

static void receive(struct app *app) {
    uint8_t buf[2048];
    struct bk_datagram in;
    struct bk_turn_data data;
    while (env_recv(app->fd, &app->local, buf, sizeof buf, &in)) {
        if (bk_turn_recv(app->turn, &in, env_now(), &data) != BK_OK || data.data == NULL)
            continue; /* not the server's, or a control message */
        printf("%.*s\n", (int)data.len, (const char *)data.data);
        app->heard = 1;
        bk_turn_close(app->turn, env_now());
    }
}

int main(int argc, char **argv) {
    struct app app = {.local = bk_addr(bk_ipv4(0, 0, 0, 0), 0)};
    struct bk_turn_config config = bk_turn_config_default;
    if (argc != 6 || bk_addr_parse(argv[1], &config.server) != BK_OK ||
        bk_addr_parse(argv[4], &app.peer) != BK_OK) {
        fprintf(stderr, "usage: turn-client SERVER:PORT USER PASSWORD PEER:PORT TEXT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* for whoever reads it through a pipe */
    app.fd = env_bind(&app.local);
    app.say = argv[5];
    config.local = app.local;
    config.user = argv[2];
    config.password = argv[3];
    if (bk_turn_new(&config, &env_alloc, &env_rng, env_now(), &app.turn) != BK_OK ||
        bk_turn_permit(app.turn, &app.peer, true, env_now()) != BK_OK)
        return 1;
    drain(&app);
    struct bk_time patience = bk_after(env_now(), 10 * BK_US_PER_S);
    while (!app.over && bk_before(env_now(), patience)) {
        struct pollfd wait = {.fd = app.fd, .events = POLLIN};
        poll(&wait, 1, env_wait_ms(bk_earlier(bk_turn_deadline(app.turn), patience)));
        receive(&app);
        bk_turn_advance(app.turn, env_now());
        drain(&app);
    }
    bk_turn_free(app.turn);
    return app.heard && app.over == 1 ? 0 : 1;
}
