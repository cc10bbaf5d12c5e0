/* SPDX-License-Identifier: MIT
 * TCP candidates, RFC 6544: who listens, who connects, and strangers at the door. */
/* libuv needs POSIX threads, sockets are POSIX's. */
#define _GNU_SOURCE
#include "duo.h"
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static struct duo duo;

static struct bk_ice_config tcp_config(void) {
    struct bk_ice_config config = bk_ice_config_default;
    config.tcp = true;
    config.ipv6 = false;
    return config;
}

enum { MESSAGES = 200, MESSAGE_LEN = 1200 };

static void data_travel_framed(void **state) {
    static uint8_t message[MESSAGE_LEN];
    struct bk_ice_config config = tcp_config();
    (void)state;
    duo_init(&duo, &bk_run_config_default, &config);
    duo.only = "tcptype";
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    assert_int_not_equal(duo.sides[0].local.transport, BK_ICE_UDP);
    duo_say(&duo.sides[0], "ping");
    duo_say(&duo.sides[1], "pong");
    duo_run_until(&duo, duo_has_talked);
    assert_string_equal(duo.sides[0].heard, "pong");
    assert_string_equal(duo.sides[1].heard, "ping");
    struct duo_side *s = &duo.sides[0];
    size_t full = 0;
    for (int i = 0; i < MESSAGES; i++) {
        enum bk_err err = bk_run_send(s->run, s->ice, 0, 1, message, sizeof message);
        assert_true(err == BK_OK || err == BK_ERR_FULL);
        full += err == BK_ERR_FULL;
    }
    assert_true(full < MESSAGES);
    duo_say(&duo.sides[1], "after");
    duo.sides[0].messages = 0;
    duo.sides[1].messages = 0;
    duo_run_until(&duo, duo_has_talked);
    duo_fini(&duo);
}

/* --- strangers --- */

enum { STRANGERS = 80 };

static char passive_line[256];

static void note_passive(struct duo_side *s, const struct bk_ice_event *event) {
    (void)s;
    if (event->kind == BK_ICE_ON_CANDIDATE && strstr(event->text, "passive") != NULL)
        strncpy(passive_line, event->text, sizeof passive_line - 1);
}

static bool first_has_gathered(const struct duo *d) {
    (void)d;
    return passive_line[0] != '\0';
}

/* A socket connected to side 0's listener. */
static int visit(void) {
    const char *at = strstr(passive_line, "127.0.0.1 ");
    assert_non_null(at);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtol(at + 10, NULL, 10))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int visitor;

/* The other side closed it, with an end or a reset. */
static bool visitor_is_shown_out(const struct duo *d) {
    char byte;
    (void)d;
    ssize_t got = recv(visitor, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static void send_and_be_shown_out(const void *bytes, size_t len) {
    visitor = visit();
    if (len > 0)
        assert_int_equal(send(visitor, bytes, len, 0), (ssize_t)len);
    duo_run_until(&duo, visitor_is_shown_out);
    close(visitor);
}

static void who_makes_no_sense_is_shown_out(void **state) {
    static uint8_t noise[4000];
    struct bk_ice_config config = tcp_config();
    int idle[STRANGERS];
    (void)state;
    passive_line[0] = '\0';
    duo_init(&duo, &bk_run_config_default, &config);
    duo.only = "nothing at all";
    duo.sides[0].on_event = note_passive;
    duo_begin(&duo);
    duo_run_until(&duo, first_has_gathered);
    send_and_be_shown_out("\377\377 too long", 11);
    send_and_be_shown_out("\0\4abcd", 6);       /* not STUN */
    send_and_be_shown_out("\0\0", 2);           /* nothing */
    send_and_be_shown_out(noise, sizeof noise); /* more than is held */
    /* The silent ones: a newcomer pushes out the oldest. */
    for (int i = 0; i < STRANGERS; i++)
        idle[i] = visit();
    visitor = idle[0];
    duo_run_until(&duo, visitor_is_shown_out);
    for (int i = 0; i < STRANGERS; i++)
        close(idle[i]);
    duo_fini(&duo);
}

/* A whole description at the first byte: the guest waits until its message is whole. */
static void a_message_may_come_in_pieces(void **state) {
    struct bk_ice_config config = tcp_config();
    static const char request[] = "\0\24\0\1\0\0\x21\x12\xa4\x42"
                                  "twelve bytes";
    (void)state;
    passive_line[0] = '\0';
    duo_init(&duo, &bk_run_config_default, &config);
    duo.only = "nothing at all";
    duo.sides[0].on_event = note_passive;
    duo_begin(&duo);
    duo_run_until(&duo, first_has_gathered);
    visitor = visit();
    for (size_t i = 0; i + 1 < sizeof request; i++) {
        assert_false(visitor_is_shown_out(&duo));
        assert_int_equal(send(visitor, &request[i], 1, 0), 1);
        for (int turn = 0; turn < 3; turn++)
            uv_run(&duo.uv, UV_RUN_NOWAIT);
    }
    duo_run_until(&duo, visitor_is_shown_out); /* a request that names nobody */
    close(visitor);
    duo_fini(&duo);
}

/* --- a STUN server over TCP --- */

static int stun_server, asker;
static char srflx_line[256];

static uint16_t listen_on_loopback(void) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stun_server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(stun_server, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(stun_server, 4), 0);
    assert_int_equal(getsockname(stun_server, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static void note_srflx(struct duo_side *s, const struct bk_ice_event *event) {
    if (strstr(event->text, "srflx") == NULL)
        note_passive(s, event);
    else if (event->kind == BK_ICE_ON_CANDIDATE)
        strncpy(srflx_line, event->text, sizeof srflx_line - 1);
}

static bool was_asked(const struct duo *d) {
    (void)d;
    asker = accept(stun_server, NULL, NULL);
    return asker >= 0;
}

static bool request_is_here(const struct duo *d) {
    uint8_t m[20];
    (void)d;
    return recv(asker, m, sizeof m, MSG_PEEK | MSG_DONTWAIT) == sizeof m;
}

static bool has_srflx(const struct duo *d) {
    (void)d;
    return srflx_line[0] != '\0';
}

/* "192.0.2.77:7777", RFC 8489 sections 5 and 14.2. */
static void answer_asker(void) {
    uint8_t m[32] = {0}, attribute[] = {0, 0x20, 0, 8, 0, 1, 0x3f, 0x73, 0xe1, 0x12, 0xa6, 0x0f};
    assert_int_equal(recv(asker, m, 20, MSG_WAITALL), 20);
    m[0] = 1; /* success */
    m[3] = sizeof attribute;
    memcpy(m + 20, attribute, sizeof attribute);
    assert_int_equal(send(asker, m, sizeof m, 0), sizeof m);
}

static void the_stun_server_is_asked_from_the_listeners_port(void **state) {
    char uri[64];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    struct bk_ice_config config = tcp_config();
    (void)state;
    passive_line[0] = srflx_line[0] = '\0';
    snprintf(uri, sizeof uri, "stun:127.0.0.1:%u?transport=tcp", listen_on_loopback());
    config.servers[0].uri = uri;
    config.server_count = 1;
    duo_init(&duo, &bk_run_config_default, &config);
    duo_drop(&duo.sides[1]);
    duo.sides[0].on_event = note_srflx;
    bk_ice_gather(duo.sides[0].ice, bk_run_now(duo.sides[0].run));
    bk_run_poke(duo.sides[0].run, duo.sides[0].ice);
    duo_run_until(&duo, was_asked);
    duo_run_until(&duo, request_is_here);
    answer_asker();
    duo_run_until(&duo, has_srflx);
    assert_int_equal(getpeername(asker, (struct sockaddr *)&from, &len), 0);
    const char *host = strstr(passive_line, "127.0.0.1 ");
    assert_non_null(host);
    assert_int_equal(strtol(host + 10, NULL, 10), ntohs(from.sin_port));
    assert_non_null(strstr(srflx_line, " 192.0.2.77 7777 typ srflx raddr 127.0.0.1 "));
    assert_non_null(strstr(srflx_line, "tcptype passive"));
    close(asker);
    close(stun_server);
    duo_fini(&duo);
}

/* There is one connection from a port to a server: the second agent asks from a port of its own. */
static void each_agent_asks_the_stun_server(void **state) {
    char uri[64];
    struct sockaddr_in from[2];
    struct bk_ice_config config = tcp_config();
    static const struct bk_run_handlers handlers = {NULL, NULL};
    struct bk_ice *second;
    (void)state;
    snprintf(uri, sizeof uri, "stun:127.0.0.1:%u?transport=tcp", listen_on_loopback());
    config.servers[0].uri = uri;
    config.server_count = 1;
    config.rng = bk_run_rng();
    duo_init(&duo, &bk_run_config_default, &config);
    duo_drop(&duo.sides[1]);
    struct bk_run *run = duo.sides[0].run;
    assert_int_equal(bk_ice_new(&config, bk_run_alloc(), &second), BK_OK);
    assert_int_equal(bk_run_add(run, second, &handlers, NULL), BK_OK);
    bk_ice_gather(duo.sides[0].ice, bk_run_now(run));
    bk_ice_gather(second, bk_run_now(run));
    bk_run_poke(run, duo.sides[0].ice);
    bk_run_poke(run, second);
    /* From the passive port and the one for simultaneous open. */
    int askers[4];
    bool shared[4] = {false};
    for (int i = 0; i < 4; i++) {
        socklen_t len = sizeof from[0];
        duo_run_until(&duo, was_asked);
        askers[i] = asker;
        assert_int_equal(getpeername(asker, (struct sockaddr *)&from[0], &len), 0);
        for (int k = 0; k < i; k++) {
            assert_int_equal(getpeername(askers[k], (struct sockaddr *)&from[1], &len), 0);
            shared[i] |= from[0].sin_port == from[1].sin_port;
        }
        assert_false(shared[i]);
    }
    for (int i = 0; i < 4; i++)
        close(askers[i]);
    close(stun_server);
    bk_run_remove(run, second);
    bk_ice_free(second);
    duo_fini(&duo);
}

/* --- simultaneous open --- */

static void simultaneous_open_connects(void **state) {
    struct bk_ice_config config = tcp_config();
    (void)state;
    duo_init(&duo, &bk_run_config_default, &config);
    duo.only = "tcptype so";
    duo_begin(&duo);
    duo_run_until(&duo, duo_is_connected);
    assert_int_equal(duo.sides[0].local.transport, BK_ICE_TCP_SO);
    assert_int_equal(duo.sides[1].remote.transport, BK_ICE_TCP_SO);
    duo_say(&duo.sides[0], "ping");
    duo_say(&duo.sides[1], "pong");
    duo_run_until(&duo, duo_has_talked);
    assert_string_equal(duo.sides[0].heard, "pong");
    assert_string_equal(duo.sides[1].heard, "ping");
    duo_fini(&duo);
}

static int late_peer;

static bool late_peer_was_reached(const struct duo *d) {
    if (d->ticks >= 20) /* 100 ms: by then it was refused once */
        assert_int_equal(listen(late_peer, 1), 0);
    asker = accept4(late_peer, NULL, NULL, SOCK_NONBLOCK);
    return asker >= 0;
}

/* A NAT may refuse what comes before the peer's own request has left. */
static void a_refused_simultaneous_open_is_tried_again(void **state) {
    char text[256];
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    struct bk_ice_config config = tcp_config();
    (void)state;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    late_peer = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(late_peer, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(late_peer, (struct sockaddr *)&at, &len), 0);
    duo_init(&duo, &bk_run_config_default, &config);
    duo_drop(&duo.sides[1]);
    struct duo_side *s = &duo.sides[0];
    bk_ice_gather(s->ice, bk_run_now(s->run));
    int n = snprintf(text, sizeof text,
                     "a=ice-ufrag:them\r\na=ice-pwd:theirpasswordhas24chars\r\n"
                     "a=candidate:1 1 TCP 1019216383 127.0.0.1 %u typ host tcptype so\r\n",
                     ntohs(at.sin_port));
    assert_int_equal(bk_ice_set_remote(s->ice, text, (size_t)n, bk_run_now(s->run)), BK_OK);
    bk_run_poke(s->run, s->ice);
    duo_run_until(&duo, late_peer_was_reached);
    duo_run_until(&duo, request_is_here);
    close(asker);
    close(late_peer);
    duo_fini(&duo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_travel_framed),
        cmocka_unit_test(who_makes_no_sense_is_shown_out),
        cmocka_unit_test(a_message_may_come_in_pieces),
        cmocka_unit_test(the_stun_server_is_asked_from_the_listeners_port),
        cmocka_unit_test(each_agent_asks_the_stun_server),
        cmocka_unit_test(simultaneous_open_connects),
        cmocka_unit_test(a_refused_simultaneous_open_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
