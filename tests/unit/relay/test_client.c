/* SPDX-License-Identifier: MIT
 * The client against servers that are wrong, foreign or silent. */
#include "fixture.h"

struct lone {
    struct rng_seeded seeded;
    struct bk_rng rng;
    struct relay_client *client;
    struct relay_client_event last;
};

static struct relay_client_config config_for(struct lone *l) {
    struct relay_client_config c = relay_client_config_default;
    uint8_t key[32];
    rng_seed(&l->seeded, 3);
    l->rng = rng_from_seeded(&l->seeded);
    l->client = NULL;
    box_keypair(&l->rng, key, c.secret);
    c.host = "relay.example";
    return c;
}

static void start(struct lone *l, const struct relay_client_config *c) {
    assert_int_equal(relay_client_new(c, &l->rng, &test_alloc, test_at_ms(0), &l->client), BK_OK);
}

static void feed(struct lone *l, const void *data, size_t len) {
    const uint8_t *at = data;
    while (len > 0) {
        size_t n = relay_client_recv(l->client, at, len, test_at_ms(1));
        at += n;
        len -= n;
        while (relay_client_next_event(l->client, &l->last))
            ;
    }
}

/* Takes everything the client wants to send. */
static size_t flush(struct lone *l, char *out, size_t cap) {
    struct relay_piece p;
    size_t at = 0;
    while (relay_client_next_bytes(l->client, &p)) {
        assert_true(at + p.len < cap);
        memcpy(out + at, p.data, p.len);
        at += p.len;
        relay_client_sent(l->client, p.len);
    }
    out[at] = '\0';
    return at;
}

static void bad_configurations_are_refused(void **state) {
    (void)state;
    struct lone l;
    for (int i = 0; i < 6; i++) {
        struct relay_client_config c = config_for(&l);
        if (i == 0)
            c.host = NULL;
        if (i == 1)
            c.host = "a\r\nX-Evil: 1";
        if (i == 2)
            c.start = RELAY_START_FAST; /* without a server key */
        if (i == 3)
            c.send_max = 1000;
        if (i == 4)
            memset(c.secret, 0, sizeof c.secret);
        if (i == 5)
            c.handshake_us = 0;
        assert_int_equal(relay_client_new(&c, &l.rng, &test_alloc, test_at_ms(0), &l.client),
                         BK_ERR_ARGUMENT);
    }
}

static void a_fast_start_sends_all_in_one_flight(void **state) {
    (void)state;
    struct lone l;
    static char out[4096];
    uint8_t secret[32], data[3] = {0x40, 2, 3};
    const uint8_t dst[32] = {1};
    struct relay_piece piece = {data, sizeof data};
    struct relay_client_config c = config_for(&l);
    box_keypair(&l.rng, c.server_key, secret);
    c.server_key_known = true;
    c.start = RELAY_START_FAST;
    start(&l, &c);
    assert_int_equal(relay_client_send(l.client, dst, &piece, 1), BK_OK);
    size_t len = flush(&l, out, sizeof out);
    char *frames = strstr(out, "\r\n\r\n");
    assert_non_null(frames);
    assert_non_null(strstr(out, "Derp-Fast-Start: 1\r\n"));
    size_t at = (size_t)(frames + 4 - out), used = 0;
    struct derp_frame f;
    assert_int_equal(derp_parse((uint8_t *)out + at, len - at, &f, &used), BK_OK);
    assert_int_equal(f.type, DERP_CLIENT_INFO);
    uint8_t plain[256];
    assert_int_equal(box_open(f.key, secret, f.data, f.len, plain), BK_OK);
    at += used;
    assert_int_equal(derp_parse((uint8_t *)out + at, len - at, &f, &used), BK_OK);
    assert_int_equal(f.type, DERP_SEND_PACKET);
    relay_client_free(l.client);
}

static void http_refusals_are_told_with_their_status(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        enum bk_err why;
        unsigned status;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", BK_ERR_REFUSED, 404},
        {"HTTP/1.1 200 OK\r\nUpgrade: DERP\r\n\r\n", BK_ERR_REFUSED, 200},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", BK_ERR_REFUSED,
         101},
        {"SSH-2.0-OpenSSH_9.2\r\n", BK_ERR_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lone l;
        struct relay_client_config c = config_for(&l);
        start(&l, &c);
        feed(&l, cases[i].answer, strlen(cases[i].answer));
        assert_int_equal(l.last.type, RELAY_CLIENT_CLOSED);
        assert_int_equal(l.last.why, cases[i].why);
        assert_int_equal(l.last.http_status, cases[i].status);
        assert_true(bk_is_never(relay_client_deadline(l.client)));
        struct relay_piece piece = {(const uint8_t *)"x", 1};
        assert_int_equal(relay_client_send(l.client, c.secret, &piece, 1), BK_ERR_CLOSED);
        relay_client_free(l.client);
    }
}

static void another_server_than_the_pinned_is_refused(void **state) {
    (void)state;
    struct lone l;
    uint8_t buf[64], other[32] = {7};
    struct relay_client_config c = config_for(&l);
    struct wire_writer w = wire_writer(buf, sizeof buf);
    c.start = RELAY_START_RAW;
    c.server_key_known = true;
    c.server_key[0] = 9;
    start(&l, &c);
    derp_put_server_key(&w, other);
    feed(&l, buf, w.len);
    assert_int_equal(l.last.type, RELAY_CLIENT_CLOSED);
    assert_int_equal(l.last.why, BK_ERR_AUTH);
    relay_client_free(l.client);
}

static void a_server_info_sealed_by_another_is_refused(void **state) {
    (void)state;
    struct lone l;
    uint8_t buf[128], pub[32], secret[32], box[BOX_OVERHEAD + 2];
    struct relay_client_config c = config_for(&l);
    struct wire_writer w = wire_writer(buf, sizeof buf);
    c.start = RELAY_START_RAW;
    start(&l, &c);
    box_keypair(&l.rng, pub, secret);
    derp_put_server_key(&w, pub);
    box_keypair(&l.rng, pub, secret); /* not the key it showed */
    assert_int_equal(
        box_seal(&l.rng, relay_client_key(l.client), secret, (const uint8_t *)"{}", 2, box), BK_OK);
    derp_put_server_info(&w, box, sizeof box);
    feed(&l, buf, w.len);
    assert_int_equal(l.last.type, RELAY_CLIENT_CLOSED);
    assert_int_equal(l.last.why, BK_ERR_AUTH);
    relay_client_free(l.client);
}

static void unknown_frames_are_skipped_however_long(void **state) {
    (void)state;
    struct lone l;
    static uint8_t big[DERP_HEADER_LEN + 500000] = {0x77, 0, 7, 0xa1, 0x20};
    uint8_t buf[64], pub[32], secret[32];
    struct relay_client_config c = config_for(&l);
    struct wire_writer w = wire_writer(buf, sizeof buf);
    c.start = RELAY_START_RAW;
    start(&l, &c);
    box_keypair(&l.rng, pub, secret);
    derp_put_server_key(&w, pub);
    feed(&l, buf, w.len);
    feed(&l, big, sizeof big);
    w = wire_writer(buf, sizeof buf);
    derp_put_health(&w, "late", 4);
    memset(&l.last, 0, sizeof l.last);
    feed(&l, buf, w.len);
    assert_int_equal(l.last.type, RELAY_CLIENT_HEALTH);
    assert_int_equal(l.last.len, 4);
    relay_client_free(l.client);
}

static void a_handshake_takes_ten_seconds_at_most(void **state) {
    (void)state;
    struct lone l;
    struct relay_client_config c = config_for(&l);
    start(&l, &c);
    relay_client_advance(l.client, test_at_ms(9999));
    assert_false(relay_client_next_event(l.client, &l.last));
    assert_int_equal(relay_client_deadline(l.client).us, 10000000);
    relay_client_advance(l.client, test_at_ms(10000));
    assert_true(relay_client_next_event(l.client, &l.last));
    assert_int_equal(l.last.why, BK_ERR_TIMEOUT);
    assert_false(relay_client_next_event(l.client, &l.last)); /* told once */
    relay_client_free(l.client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(a_fast_start_sends_all_in_one_flight),
        cmocka_unit_test(http_refusals_are_told_with_their_status),
        cmocka_unit_test(another_server_than_the_pinned_is_refused),
        cmocka_unit_test(a_server_info_sealed_by_another_is_refused),
        cmocka_unit_test(unknown_frames_are_skipped_however_long),
        cmocka_unit_test(a_handshake_takes_ten_seconds_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
