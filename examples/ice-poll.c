/* SPDX-License-Identifier: MIT
 * The ICE agent in a loop of your own: one UDP socket, poll(), and the five verbs of bodkin/ice.h.
 *
 *     here$  ./ice-poll offer 192.0.2.1                 our address; one that the other side
 * reaches there$ ./ice-poll answer 198.51.100.7 stun:203.0.113.9
 *
 * Each prints a description that ends with an empty line: paste it into the other one, empty line
 * included. When they are connected, lines typed here appear there. */
#define _DEFAULT_SOURCE /* NOLINT: getrandom() needs it */
#include "env.h"

#include <bodkin/ice_io.h>

#include <poll.h>
#include <unistd.h>

struct app {
    int fd;
    struct bk_addr local;
    struct bk_ice *ice;
    char typed[16384]; /* the peer's description until it is complete; then what is said */
    size_t typed_len;
    int described, over;
};

static void describe(struct app *app) {
    char text[8192];
    size_t len;
    if (bk_ice_describe(app->ice, text, sizeof text, &len) != BK_OK)
        exit(1);
    printf("%s\n", text);
    fflush(stdout);
}

static void on_event(struct app *app, const struct bk_ice_event *e) {
    char text[BK_ADDR_TEXT_MAX];
    if (e->kind == BK_ICE_ON_GATHERED)
        describe(app); /* without trickle: once, and complete */
    else if (e->kind == BK_ICE_ON_CONNECTED)
        fprintf(stderr, "connected to %s\n", bk_addr_format(&e->remote.addr, text));
    else if (e->kind == BK_ICE_ON_FAILED)
        fprintf(stderr, "failed: %s\n", e->text);
    else if (e->kind == BK_ICE_ON_CLOSED)
        app->over = 1;
}

/* After every call into the agent: what it wants to send, to ask, and to tell. */
static void drain(struct app *app) {
    struct bk_datagram out;
    struct bk_ice_request request;
    struct bk_ice_event event;
    while (bk_ice_next_datagram(app->ice, &out))
        env_send(app->fd, &out);
    while (bk_ice_next_request(app->ice, &request)) {
        /* Here are no connections and no names, only addresses: the agent does without. */
        if (request.kind == BK_ICE_DIAL)
            (void)!bk_ice_dialled(app->ice, request.id, BK_ERR_UNSUPPORTED, NULL, env_now());
        else if (request.kind == BK_ICE_RESOLVE)
            bk_ice_resolved(app->ice, request.id, NULL, 0, env_now());
    }
    while (bk_ice_next_event(app->ice, &event))
        on_event(app, &event);
}

static void receive(struct app *app) {
    uint8_t buf[2048];
    struct bk_datagram in;
    struct bk_ice_data data;
    while (env_recv(app->fd, &app->local, buf, sizeof buf, &in)) {
        if (bk_ice_recv(app->ice, &in, env_now(), &data) == BK_OK && data.data != NULL) {
            fwrite(data.data, 1, data.len, stdout);
            fflush(stdout);
        }
        drain(app);
    }
}

static void say(struct app *app) {
    struct bk_datagram out;
    if (bk_ice_send(app->ice, 0, 1, app->typed, app->typed_len, &out) == BK_OK)
        env_send(app->fd, &out);
    else
        fprintf(stderr, "not connected\n");
    app->typed_len = 0;
}

/* The peer's description ends with an empty line. */
static void take_description(struct app *app) {
    app->typed[app->typed_len] = '\0';
    char *end = strstr(app->typed, "\n\n");
    if (end == NULL)
        end = strstr(app->typed, "\n\r\n");
    if (end == NULL)
        return;
    enum bk_err err =
        bk_ice_set_remote(app->ice, app->typed, (size_t)(end - app->typed), env_now());
    if (err != BK_OK)
        fprintf(stderr, "the description: %s\n", bk_err_text(err));
    app->described = err == BK_OK;
    app->typed_len = 0;
}

static void read_typed(struct app *app) {
    size_t room = sizeof app->typed - 1 - app->typed_len;
    ssize_t n = read(0, app->typed + app->typed_len, app->described ? 1000 : room);
    if (n <= 0) {
        bk_ice_close(app->ice, env_now());
        return;
    }
    app->typed_len += (size_t)n;
    if (app->described)
        say(app);
    else
        take_description(app);
}

int main(int argc, char **argv) {
    static struct app app;
    struct bk_ice_config config = bk_ice_config_default;
    struct bk_ice_base base = {.size = sizeof base};
    if (argc < 3 || bk_ip_parse(argv[2], &app.local.ip) != BK_OK) {
        fprintf(stderr, "usage: ice-poll offer|answer ADDRESS [stun:ADDRESS]\n");
        return 2;
    }
    config.role = strcmp(argv[1], "offer") == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
    config.trickle = BK_ICE_NO_TRICKLE;
    config.rng = &env_rng;
    config.servers[0].uri = argv[3];
    config.server_count = argc > 3 ? 1 : 0;
    app.fd = env_bind(&app.local);
    base.addr = app.local;
    if (bk_ice_new(&config, &env_alloc, &app.ice) != BK_OK ||
        bk_ice_add_base(app.ice, &base, env_now()) != BK_OK)
        return 1;
    bk_ice_gather(app.ice, env_now());
    drain(&app);
    while (!app.over) {
        struct pollfd wait[2] = {{.fd = app.fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
        poll(wait, 2, env_wait_ms(bk_ice_deadline(app.ice)));
        if (wait[0].revents != 0)
            receive(&app);
        if (wait[1].revents != 0)
            read_typed(&app);
        bk_ice_advance(app.ice, env_now());
        drain(&app);
    }
    bk_ice_free(app.ice);
    return 0;
}
