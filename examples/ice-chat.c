/* SPDX-License-Identifier: MIT
 * A chat between any two machines, over descriptions that people copy and paste: bodkin/ice.h, with
 * the sockets and the thread of bodkin/run.h.
 *
 *     here$  ./ice-chat offer stun:stun.example.org
 *     there$ ./ice-chat answer stun:stun.example.org
 *
 * Each prints a description; paste it, with the empty line behind it, into the other one. Then say
 * something. */
#include <bodkin/run.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct app {
    struct bk_run *run;
    struct bk_ice *ice;
};

/* What the keyboard's thread hands to the driver's. */
struct typed {
    struct app *app;
    int is_description;
    size_t len;
    char text[16384];
};

static void describe(struct bk_ice *ice) {
    char text[16384];
    size_t len;
    if (bk_ice_describe(ice, text, sizeof text, &len) == BK_OK)
        printf("%s\n", text);
    fflush(stdout);
}

static void on_event(void *ctx, struct bk_ice *ice, const struct bk_ice_event *e) {
    char to[BK_ADDR_TEXT_MAX];
    (void)ctx;
    switch (e->kind) {
    case BK_ICE_ON_GATHERED: /* without trickle: once, and complete */
        describe(ice);
        break;
    case BK_ICE_ON_CONNECTED:
    case BK_ICE_ON_RECONNECTED:
        fprintf(stderr, "* connected to %s (%s)\n", bk_addr_format(&e->remote.addr, to),
                bk_ice_kind_text(e->remote.kind));
        break;
    case BK_ICE_ON_DISCONNECTED:
    case BK_ICE_ON_FAILED:
        fprintf(stderr, "* %s\n", e->text);
        break;
    case BK_ICE_ON_RESTART:
        fprintf(stderr, "* the network changed; start again on both sides\n");
        break;
    case BK_ICE_ON_CLOSED:
        bk_run_stop(((struct app *)ctx)->run);
        break;
    case BK_ICE_ON_CANDIDATE: /* with trickle it would be sent now */
    case BK_ICE_ON_SELECTED:
        break;
    }
}

static void on_data(void *ctx, struct bk_ice *ice, const struct bk_ice_data *data) {
    (void)ctx, (void)ice;
    printf("> %.*s", (int)data->len, (const char *)data->data);
    fflush(stdout);
}

/* In the driver's thread: here the agent may be called. */
static void on_typed(void *ctx) {
    struct typed *t = ctx;
    struct app *app = t->app;
    enum bk_err err;
    if (t->len == 0) {
        bk_ice_close(app->ice, bk_run_now(app->run));
        err = BK_OK;
    } else if (t->is_description) {
        err = bk_ice_set_remote(app->ice, t->text, t->len, bk_run_now(app->run));
    } else {
        err = bk_run_send(app->run, app->ice, 0, 1, t->text, t->len);
    }
    if (err != BK_OK)
        fprintf(stderr, "* %s\n", bk_err_text(err));
    bk_run_poke(app->run, app->ice);
    free(t);
}

/* In the main thread: a description up to its empty line, then line by line. NULL: no memory. */
static struct typed *read_typed(struct app *app, int is_description) {
    struct typed *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->app = app;
    t->is_description = is_description;
    do {
        char *line = t->text + t->len;
        if (fgets(line, (int)(sizeof t->text - t->len), stdin) == NULL)
            break;
        t->len += strlen(line);
        if (!is_description || line[0] == '\n' || line[0] == '\r')
            break;
    } while (t->len < sizeof t->text - 1);
    return t;
}

int main(int argc, char **argv) {
    struct bk_run_config run_config = bk_run_config_default;
    struct bk_ice_config config = bk_ice_config_default;
    const struct bk_run_handlers on = {.event = on_event, .data = on_data};
    struct app app;
    if (argc < 2) {
        fprintf(stderr, "usage: ice-chat offer|answer [stun:SERVER]\n");
        return 2;
    }
    run_config.loopback = getenv("ICE_CHAT_LOOPBACK") != NULL; /* both on one machine */
    config.role = strcmp(argv[1], "offer") == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
    config.trickle = BK_ICE_NO_TRICKLE;
    config.rng = bk_run_rng();
    config.servers[0].uri = argc > 2 ? argv[2] : NULL;
    config.server_count = argc > 2 ? 1 : 0;
    if (bk_run_new(&run_config, &app.run) != BK_OK ||
        bk_ice_new(&config, bk_run_alloc(), &app.ice) != BK_OK ||
        bk_run_add(app.run, app.ice, &on, &app) != BK_OK)
        return 1;
    bk_ice_gather(app.ice, bk_run_now(app.run));
    bk_run_poke(app.run, app.ice);
    if (bk_run_thread(app.run) != BK_OK)
        return 1;
    for (int n = 0;; n++) {
        struct typed *t = read_typed(&app, n == 0);
        int end = t == NULL || t->len == 0;
        if (t != NULL && bk_run_call(app.run, on_typed, t) != BK_OK)
            free(t);
        if (end)
            break;
    }
    bk_run_free(app.run); /* after the calls that wait */
    bk_ice_free(app.ice);
    return 0;
}
