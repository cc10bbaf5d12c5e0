/* SPDX-License-Identifier: MIT
 * A peer that answers, and one that asks, in one program:
 *
 *     there$ ./echo https://home.example#PIN       prints a ticket, then echoes every stream
 *     here$  ./echo TICKET hello                   prints the path and what came back */
#include <bodkin/peer.h>

#include <stdio.h>
#include <string.h>

struct app {
    struct bk_peer *peer;
    const char *say; /* what to send; NULL: echo */
    int64_t stream;
    int done; /* 1: well, 2: failed */
};

static void on_home(void *ctx, bool up, enum bk_err err, const char *reason) {
    struct app *app = ctx;
    char ticket[BK_TICKET_TEXT_MAX];
    (void)err;
    if (!up) {
        fprintf(stderr, "home: %s\n", reason);
    } else if (app->say == NULL && bk_peer_ticket(app->peer, ticket) == BK_OK) {
        puts(ticket);
        fflush(stdout);
    }
}

static void on_open(void *ctx, struct bk_session *session) {
    struct app *app = ctx;
    if (app->say == NULL || bk_stream_open(app->peer, session, &app->stream) != BK_OK)
        return;
    bk_stream_write(app->peer, session, app->stream, app->say, strlen(app->say));
    if (bk_stream_finish(app->peer, session, app->stream) != BK_OK)
        app->done = 2;
}

static void on_path(void *ctx, struct bk_session *session) {
    struct bk_path path;
    (void)ctx;
    bk_session_path(session, &path);
    fprintf(stderr, "%s%s%s\n", path.direct ? "direct" : "relayed",
            path.direct ? "" : ", because: ", path.why);
}

/* Reads what there is; the echoing side writes it back, the asking side prints it. */
static void on_stream(void *ctx, struct bk_session *session, int64_t stream,
                      enum bk_stream_event what) {
    struct app *app = ctx;
    const uint8_t *data;
    size_t len;
    if (what == BK_STREAM_CLOSED && app->say != NULL)
        app->done = 1;
    while (bk_stream_peek(session, stream, &data, &len) && len > 0) {
        if (app->say != NULL)
            fwrite(data, 1, len, stdout);
        else
            len = bk_stream_write(app->peer, session, stream, data, len);
        if (len == 0)
            return; /* no room: BK_STREAM_WRITABLE brings us back */
        bk_stream_consume(app->peer, session, stream, len);
    }
    if (app->say == NULL && bk_stream_peek(session, stream, &data, &len) &&
        bk_stream_finish(app->peer, session, stream) != BK_OK)
        bk_stream_reset(app->peer, session, stream, 1);
}

static void on_end(void *ctx, struct bk_session *session, enum bk_session_end end, uint64_t code,
                   const char *reason) {
    struct app *app = ctx;
    (void)session, (void)code;
    if (app->say != NULL && app->done == 0) {
        fprintf(stderr, "ended (%d): %s\n", (int)end, reason);
        app->done = 2;
    }
}

int main(int argc, char **argv) {
    static const struct bk_peer_events events = {.on_home = on_home,
                                                 .on_open = on_open,
                                                 .on_path = on_path,
                                                 .on_stream = on_stream,
                                                 .on_end = on_end};
    struct bk_peer_config config = bk_peer_config_default;
    struct app app = {.say = argc > 2 ? argv[2] : NULL};
    struct bk_session *session = NULL;
    char reason[BK_REASON_MAX];
    if (argc < 2)
        return 2;
    if (app.say == NULL)
        config.home = argv[1];
    enum bk_err err = bk_peer_new(&config, &events, &app, &app.peer, reason);
    if (err == BK_OK && app.say != NULL)
        err = bk_peer_connect(app.peer, argv[1], &session);
    if (err != BK_OK) {
        fprintf(stderr, "%s: %s\n", bk_err_text(err), reason);
        return 1;
    }
    while (app.done == 0)
        bk_peer_turn(app.peer, 1000);
    if (app.done == 1)
        bk_session_close(app.peer, session, 0, NULL);
    bk_peer_turn(app.peer, 0); /* the goodbye leaves */
    bk_peer_free(app.peer);
    return app.done == 1 ? 0 : 1;
}
