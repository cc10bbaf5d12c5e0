/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "wire/derp.h"

static const uint8_t key_a[32] = {0xa, 0xa, 0xa, [31] = 1};
static const uint8_t key_b[32] = {0xb, 0xb, 0xb, [31] = 2};
static const uint8_t eight[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static const uint8_t box[40] = {9, 9, 9};

static void put(struct wire_writer *w, enum derp_type type) {
    struct bk_addr addr = bk_addr(bk_ipv4(192, 0, 2, 5), 41641);
    switch (type) {
    case DERP_SERVER_KEY:
        derp_put_server_key(w, key_a);
        break;
    case DERP_CLIENT_INFO:
        derp_put_client_info(w, key_a, box, sizeof box);
        break;
    case DERP_SERVER_INFO:
        derp_put_server_info(w, box, sizeof box);
        break;
    case DERP_SEND_PACKET:
        derp_put_send_packet(w, key_a, eight, 8);
        break;
    case DERP_RECV_PACKET:
        derp_put_recv_packet(w, key_a, eight, 8);
        break;
    case DERP_KEEP_ALIVE:
        derp_put_keep_alive(w);
        break;
    case DERP_NOTE_PREFERRED:
        derp_put_note_preferred(w, true);
        break;
    case DERP_PEER_GONE:
        derp_put_peer_gone(w, key_a, DERP_GONE_NOT_HERE);
        break;
    case DERP_PEER_PRESENT:
        derp_put_peer_present(w, key_a, &addr, DERP_PRESENT_REGULAR);
        break;
    case DERP_FORWARD_PACKET:
        derp_put_forward_packet(w, key_a, key_b, eight, 8);
        break;
    case DERP_WATCH_CONNS:
        derp_put_watch_conns(w);
        break;
    case DERP_CLOSE_PEER:
        derp_put_close_peer(w, key_a);
        break;
    case DERP_PING:
        derp_put_ping(w, eight);
        break;
    case DERP_PONG:
        derp_put_pong(w, eight);
        break;
    case DERP_HEALTH:
        derp_put_health(w, "disk", 4);
        break;
    case DERP_RESTARTING:
        derp_put_restarting(w, 1500, 60000);
        break;
    case DERP_UNKNOWN:
        break;
    }
}

/* `least`: the shortest payload that is still this frame. */
static const struct {
    const char *name;
    enum derp_type type;
    size_t len, least;
} frames[] = {
    {"ServerKey", DERP_SERVER_KEY, 40, 40},
    {"ClientInfo", DERP_CLIENT_INFO, 72, 72},
    {"ServerInfo", DERP_SERVER_INFO, 40, 40},
    {"SendPacket", DERP_SEND_PACKET, 40, 32},
    {"RecvPacket", DERP_RECV_PACKET, 40, 32},
    {"KeepAlive", DERP_KEEP_ALIVE, 0, 0},
    {"NotePreferred", DERP_NOTE_PREFERRED, 1, 1},
    {"PeerGone", DERP_PEER_GONE, 33, 32}, /* old servers omit the reason */
    {"PeerPresent", DERP_PEER_PRESENT, 51, 32},
    {"ForwardPacket", DERP_FORWARD_PACKET, 72, 64},
    {"WatchConns", DERP_WATCH_CONNS, 0, 0},
    {"ClosePeer", DERP_CLOSE_PEER, 32, 32},
    {"Ping", DERP_PING, 8, 8},
    {"Pong", DERP_PONG, 8, 8},
    {"Health", DERP_HEALTH, 4, 0},
    {"Restarting", DERP_RESTARTING, 8, 8},
};

enum { FRAMES = sizeof frames / sizeof frames[0] };

static void every_frame_reads_as_written(void **state) {
    (void)state;
    for (size_t i = 0; i < FRAMES; i++) {
        uint8_t buf[128];
        struct wire_writer w = wire_writer(buf, sizeof buf);
        struct derp_frame f;
        size_t used = 0;
        put(&w, frames[i].type);
        assert_false(w.failed);
        assert_int_equal(w.len, DERP_HEADER_LEN + frames[i].len);
        if (derp_parse(buf, w.len, &f, &used) != BK_OK || f.type != frames[i].type)
            fail_msg("%s does not parse", frames[i].name);
        assert_int_equal(used, w.len);
        if (f.key != NULL)
            assert_memory_equal(f.key, key_a, 32);
        if (f.key2 != NULL)
            assert_memory_equal(f.key2, key_b, 32);
        if (f.len == 8)
            assert_memory_equal(f.data, eight, 8);
    }
}

static void fields_are_where_they_belong(void **state) {
    (void)state;
    uint8_t buf[128];
    struct derp_frame f;
    size_t used = 0;
    struct wire_writer w = wire_writer(buf, sizeof buf);
    put(&w, DERP_PEER_PRESENT);
    assert_int_equal(derp_parse(buf, w.len, &f, &used), BK_OK);
    struct bk_addr addr = bk_addr(bk_ipv4(192, 0, 2, 5), 41641);
    assert_true(bk_addr_equal(&f.addr, &addr));
    assert_int_equal(f.flag, DERP_PRESENT_REGULAR);
    w = wire_writer(buf, sizeof buf);
    derp_put_quiet_ping(&w, eight, 300);
    assert_int_equal(w.len, DERP_HEADER_LEN + DERP_QUIET_LEN);
    assert_int_equal(derp_parse(buf, w.len, &f, &used), BK_OK);
    assert_int_equal(f.type, DERP_PING);
    assert_memory_equal(f.data, eight, 8);
    assert_int_equal(f.len, 8);
    assert_int_equal(f.quiet_s, 300);
    buf[DERP_HEADER_LEN + 8] ^= 1; /* somebody else's long ping */
    assert_int_equal(derp_parse(buf, w.len, &f, &used), BK_OK);
    assert_int_equal(f.quiet_s, 0);
    w = wire_writer(buf, sizeof buf);
    derp_put_quiet_pong(&w, eight, UINT32_MAX);
    assert_int_equal(derp_parse(buf, w.len, &f, &used), BK_OK);
    assert_int_equal(f.type, DERP_PONG);
    assert_int_equal(f.quiet_s, DERP_QUIET_MAX_S);
    w = wire_writer(buf, sizeof buf);
    put(&w, DERP_RESTARTING);
    assert_int_equal(derp_parse(buf, w.len, &f, &used), BK_OK);
    assert_int_equal(f.reconnect_ms, 1500);
    assert_int_equal(f.try_ms, 60000);
    w = wire_writer(buf, sizeof buf);
    put(&w, DERP_PEER_GONE);
    assert_int_equal(derp_parse(buf, w.len, &f, &used), BK_OK);
    assert_int_equal(f.flag, DERP_GONE_NOT_HERE);
    buf[4] = 32; /* without its reason */
    assert_int_equal(derp_parse(buf, w.len - 1, &f, &used), BK_OK);
    assert_int_equal(f.flag, DERP_GONE_DISCONNECTED);
}

/* The bytes are copied to a block of their exact size, so that ASan sees a read past the end. */
static enum bk_err parse_exact(const uint8_t *data, size_t len, size_t *used) {
    uint8_t *copy = malloc(len + (len == 0));
    struct derp_frame f;
    assert_non_null(copy);
    memcpy(copy, data, len);
    enum bk_err err = derp_parse(copy, len, &f, used);
    free(copy);
    return err;
}

static void cut_anywhere_it_is_short(void **state) {
    (void)state;
    for (size_t i = 0; i < FRAMES; i++) {
        uint8_t buf[128];
        struct wire_writer w = wire_writer(buf, sizeof buf);
        put(&w, frames[i].type);
        for (size_t len = 0; len < w.len; len++) {
            size_t used = 99;
            assert_int_equal(parse_exact(buf, len, &used), BK_ERR_SHORT);
            assert_int_equal(used, 99);
        }
    }
}

static void a_payload_shorter_than_its_type_is_malformed(void **state) {
    (void)state;
    for (size_t i = 0; i < FRAMES; i++) {
        uint8_t buf[128];
        struct wire_writer w = wire_writer(buf, sizeof buf);
        put(&w, frames[i].type);
        for (size_t len = 0; len < frames[i].len; len++) {
            size_t used = 0;
            buf[4] = (uint8_t)len;
            enum bk_err want = len < frames[i].least ? BK_ERR_MALFORMED : BK_OK;
            if (parse_exact(buf, DERP_HEADER_LEN + len, &used) != want)
                fail_msg("%s with %zu bytes", frames[i].name, len);
        }
    }
}

static void broken_frames_are_refused(void **state) {
    static const struct {
        const char *name;
        uint8_t bytes[8];
        size_t len;
        enum bk_err err;
    } cases[] = {
        {"unknown type is a frame", {0x7f, 0, 0, 0, 2, 1, 2}, 7, BK_OK},
        {"type 0 is unknown too", {0, 0, 0, 0, 0}, 5, BK_OK},
        {"longer than a frame may be", {0x7f, 0, 0x10, 0, 1}, 5, BK_ERR_TOO_LONG},
        {"preferred neither 0 nor 1", {DERP_NOTE_PREFERRED, 0, 0, 0, 1, 2}, 6, BK_ERR_MALFORMED},
        {"watch with a payload", {DERP_WATCH_CONNS, 0, 0, 0, 1, 0}, 6, BK_ERR_MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t used = 0;
        if (parse_exact(cases[i].bytes, cases[i].len, &used) != cases[i].err)
            fail_msg("%s", cases[i].name);
    }
    uint8_t buf[128];
    struct wire_writer w = wire_writer(buf, sizeof buf);
    size_t used = 0;
    derp_put_server_key(&w, key_a);
    buf[DERP_HEADER_LEN + 7] ^= 1; /* the magic's last byte */
    assert_int_equal(parse_exact(buf, w.len, &used), BK_ERR_MALFORMED);
}

static void a_packet_is_at_most_65536_bytes(void **state) {
    (void)state;
    static uint8_t body[32 + DERP_PACKET_MAX + 1];
    struct derp_frame f;
    assert_int_equal(derp_body_parse(DERP_SEND_PACKET, body, sizeof body - 1, &f), BK_OK);
    assert_int_equal(f.len, DERP_PACKET_MAX);
    assert_int_equal(derp_body_parse(DERP_SEND_PACKET, body, sizeof body, &f), BK_ERR_TOO_LONG);
}

static void urgent_packets_are_known_by_their_first_bytes(void **state) {
    static const uint8_t disco[7] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac, 1};
    static const uint8_t signal[1] = {DERP_SIGNAL_BYTE};
    static const uint8_t quic[2] = {0x40, 1};
    (void)state;
    assert_true(derp_is_disco(disco, 6));
    assert_false(derp_is_disco(disco, 5));
    assert_true(derp_is_urgent(disco, 7));
    assert_true(derp_is_urgent(signal, 1));
    assert_false(derp_is_urgent(signal, 0));
    assert_false(derp_is_urgent(quic, 2));
}

static void a_writer_without_room_fails(void **state) {
    (void)state;
    for (size_t i = 0; i < FRAMES; i++) {
        uint8_t buf[128];
        struct wire_writer w = wire_writer(buf, DERP_HEADER_LEN + frames[i].len - 1);
        put(&w, frames[i].type);
        assert_true(w.failed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_reads_as_written),
        cmocka_unit_test(fields_are_where_they_belong),
        cmocka_unit_test(cut_anywhere_it_is_short),
        cmocka_unit_test(a_payload_shorter_than_its_type_is_malformed),
        cmocka_unit_test(broken_frames_are_refused),
        cmocka_unit_test(a_packet_is_at_most_65536_bytes),
        cmocka_unit_test(urgent_packets_are_known_by_their_first_bytes),
        cmocka_unit_test(a_writer_without_room_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
