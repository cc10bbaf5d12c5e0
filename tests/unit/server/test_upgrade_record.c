/* SPDX-License-Identifier: MIT
 * The bytes between two processes of a server: what is written is read again, and nothing else is.
 */
#include "../test.h"

#include "server/upgrade_record.h"
#include "wire/reader.h"
#include "wire/writer.h"

static const struct bk_addr v4 = {{.family = BK_IPV4, .bytes = {9, 8, 7, 6}}, 80};
static const struct bk_addr v4b = {{.family = BK_IPV4, .bytes = {1, 2, 3, 4}}, 3478};
static const struct bk_addr v6 = {{.family = BK_IPV6, .bytes = {0xfe, 0x80, [15] = 1}, .zone = 3},
                                  65535};

static struct upgrade_record hello(void) {
    struct upgrade_record r = {.kind = UPGRADE_HELLO,
                               .hello = {.workers = 2,
                                         .https_port = 443,
                                         .stun_port = 3478,
                                         .turns_port = 5349,
                                         .turn = true,
                                         .has_previous = true,
                                         .nonce_clock_us = -5}};
    memset(r.hello.secret, 7, sizeof r.hello.secret);
    memset(r.hello.previous, 9, sizeof r.hello.previous);
    return r;
}

/* One of each. */
static size_t all(struct upgrade_record out[UPGRADE_KINDS]) {
    static const uint8_t bytes[] = "some bytes";
    size_t n = 0;
    out[n++] = hello();
    for (int kind = UPGRADE_DOOR; kind < UPGRADE_KINDS; kind++) {
        struct upgrade_record r = {.kind = (enum upgrade_kind)kind, .worker = 255};
        r.fds = kind == UPGRADE_DOOR ? 1 : kind == UPGRADE_ALLOC ? 2 : 0;
        if (kind == UPGRADE_DOOR)
            r.door = UPGRADE_DOOR_UDP;
        if (kind == UPGRADE_ALLOC || kind == UPGRADE_STAY || kind == UPGRADE_PASS ||
            kind == UPGRADE_DATAGRAM || kind == UPGRADE_STAY_END)
            r.remote = v4, r.local = v4b;
        if (kind == UPGRADE_ELSEWHERE)
            r.local = v6;
        if (kind == UPGRADE_PASS)
            r.to = 3;
        if (kind == UPGRADE_ALLOC || kind == UPGRADE_DATAGRAM || kind == UPGRADE_REFUSED)
            r.data = bytes, r.len = sizeof bytes;
        out[n++] = r;
    }
    return n;
}

static void assert_same(const struct upgrade_record *a, const struct upgrade_record *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->fds, b->fds);
    assert_int_equal(a->worker, b->worker);
    assert_int_equal(a->door, b->door);
    assert_int_equal(a->to, b->to);
    assert_true(bk_addr_equal(&a->remote, &b->remote));
    assert_true(bk_addr_equal(&a->local, &b->local));
    assert_int_equal(a->len, b->len);
    if (a->len > 0)
        assert_memory_equal(a->data, b->data, a->len);
    assert_int_equal(a->hello.workers, b->hello.workers);
    assert_int_equal(a->hello.stun_port, b->hello.stun_port);
    assert_int_equal(a->hello.turns_port, b->hello.turns_port);
    assert_int_equal(a->hello.has_previous, b->hello.has_previous);
    assert_true(a->hello.nonce_clock_us == b->hello.nonce_clock_us);
    assert_memory_equal(a->hello.secret, b->hello.secret, sizeof a->hello.secret);
    assert_memory_equal(a->hello.previous, b->hello.previous, sizeof a->hello.previous);
}

static void what_is_written_is_read(void **state) {
    struct upgrade_record records[UPGRADE_KINDS], got;
    uint8_t bytes[4096];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    size_t count = all(records);
    (void)state;
    assert_int_equal(count, UPGRADE_KINDS - 1);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(upgrade_put(&w, &records[i]), BK_OK);
    struct wire_reader r = wire_reader(bytes, w.len);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(upgrade_get(&r, &got), BK_OK);
        assert_same(&got, &records[i]);
    }
    assert_int_equal(wire_left(&r), 0);
}

/* On its own each, so that every end is an end of memory, too. */
static void what_is_cut_is_refused(void **state) {
    struct upgrade_record records[UPGRADE_KINDS], got;
    uint8_t bytes[1024];
    size_t count = all(records);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct wire_writer w = wire_writer(bytes, sizeof bytes);
        assert_int_equal(upgrade_put(&w, &records[i]), BK_OK);
        for (size_t len = 0; len < w.len; len++) {
            uint8_t *copy = malloc(len == 0 ? 1 : len);
            assert_non_null(copy);
            memcpy(copy, bytes, len);
            struct wire_reader r = wire_reader(copy, len);
            assert_int_equal(upgrade_get(&r, &got), BK_ERR_MALFORMED);
            free(copy);
        }
        /* a byte more in it than there should be */
        if (records[i].len > 0)
            continue;
        bytes[7]++;
        bytes[w.len] = 0;
        struct wire_reader r = wire_reader(bytes, w.len + 1);
        assert_int_equal(upgrade_get(&r, &got), BK_ERR_MALFORMED);
    }
}

static enum bk_err read_changed(const struct upgrade_record *record, size_t at, uint8_t value) {
    uint8_t bytes[1024];
    struct upgrade_record got;
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    assert_int_equal(upgrade_put(&w, record), BK_OK);
    assert_true(at < w.len);
    bytes[at] = value;
    struct wire_reader r = wire_reader(bytes, w.len);
    return upgrade_get(&r, &got);
}

static void what_makes_no_sense_is_refused(void **state) {
    const struct upgrade_record first = hello(),
                                stay = {.kind = UPGRADE_STAY, .remote = v4, .local = v4b},
                                mixed = {.kind = UPGRADE_STAY, .remote = v4, .local = v6},
                                none = {.kind = UPGRADE_ELSEWHERE},
                                door = {.kind = UPGRADE_DOOR, .fds = 2},
                                commit = {.kind = UPGRADE_COMMIT, .fds = 1},
                                alloc = {
                                    .kind = UPGRADE_ALLOC, .fds = 3, .remote = v4, .local = v4b};
    const size_t body = UPGRADE_HEAD_LEN;
    (void)state;
    assert_int_equal(read_changed(&stay, 0, UPGRADE_STAY), BK_OK);
    assert_int_equal(read_changed(&stay, 0, 0), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&stay, 0, UPGRADE_KINDS), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&stay, 2, 1), BK_ERR_MALFORMED); /* worker 256 */
    assert_int_equal(read_changed(&stay, body, 7), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&mixed, 0, UPGRADE_STAY), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&none, 0, UPGRADE_ELSEWHERE), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&door, 0, UPGRADE_DOOR), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&commit, 0, UPGRADE_COMMIT), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&alloc, 0, UPGRADE_ALLOC), BK_ERR_MALFORMED);
    assert_int_equal(read_changed(&first, body, 0), BK_ERR_MALFORMED); /* the magic number */
    assert_int_equal(read_changed(&first, body + 5, UPGRADE_VERSION + 1), BK_ERR_UNSUPPORTED);
    assert_int_equal(read_changed(&first, body + 7, 0), BK_ERR_MALFORMED);  /* no workers */
    assert_int_equal(read_changed(&first, body + 6, 2), BK_ERR_MALFORMED);  /* too many */
    assert_int_equal(read_changed(&first, body + 16, 2), BK_ERR_MALFORMED); /* a flag */
}

static void what_does_not_fit_leaves_the_rest(void **state) {
    uint8_t bytes[100];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    const struct upgrade_record small = {.kind = UPGRADE_COMMIT}, large = hello();
    (void)state;
    assert_int_equal(upgrade_put(&w, &small), BK_OK);
    size_t len = w.len;
    assert_int_equal(upgrade_put(&w, &large), BK_ERR_TOO_LONG);
    assert_int_equal(w.len, len);
    assert_int_equal(upgrade_put(&w, &small), BK_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_cut_is_refused),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(what_does_not_fit_leaves_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
