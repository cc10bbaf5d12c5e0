/* SPDX-License-Identifier: MIT
 * TCP framing: however the stream is split, the same frames come out. */
#include "../test.h"

#include "../../vectors/stun.h"
#include "base/rng.h"
#include "wire/channel.h"
#include "wire/stun.h"
#include "wire/stun_stream.h"

static const uint8_t channel[] = {0x40, 0x01, 0x00, 0x05, 'h', 'e', 'l', 'l', 'o', 0, 0, 0};

enum { FRAMES = 4, STREAM_CAP = 512 };

static size_t make_stream(uint8_t *out) {
    struct wire_writer w = wire_writer(out, STREAM_CAP);
    wire_put_bytes(&w, rfc5769_request, sizeof rfc5769_request);
    wire_put_bytes(&w, channel, sizeof channel);
    wire_put_bytes(&w, rfc5769_long_term, sizeof rfc5769_long_term);
    wire_put_bytes(&w, rfc5769_ipv4_response, sizeof rfc5769_ipv4_response);
    assert_false(w.failed);
    return w.len;
}

static void expect_frame(const struct stun_frame *f, size_t index) {
    static const struct {
        const uint8_t *data;
        size_t len;
        enum stun_frame_kind kind;
    } want[FRAMES] = {
        {rfc5769_request, sizeof rfc5769_request, STUN_FRAME_MESSAGE},
        {channel, 9, STUN_FRAME_CHANNEL},
        {rfc5769_long_term, sizeof rfc5769_long_term, STUN_FRAME_MESSAGE},
        {rfc5769_ipv4_response, sizeof rfc5769_ipv4_response, STUN_FRAME_MESSAGE},
    };
    assert_true(index < FRAMES);
    assert_int_equal(f->kind, want[index].kind);
    assert_int_equal(f->len, want[index].len);
    assert_memory_equal(f->data, want[index].data, f->len);
}

static size_t feed(struct stun_stream *s, const uint8_t *data, size_t len, size_t seen) {
    struct stun_frame f;
    while (len > 0) {
        size_t taken = stun_stream_push(s, data, len);
        assert_true(taken > 0);
        data += taken;
        len -= taken;
        enum bk_err err;
        while ((err = stun_stream_next(s, &f)) == BK_OK)
            expect_frame(&f, seen++);
        assert_int_equal(err, BK_ERR_SHORT);
    }
    return seen;
}

static void test_every_split_in_two(void **state) {
    (void)state;
    uint8_t stream[STREAM_CAP], buf[STREAM_CAP];
    size_t len = make_stream(stream);
    for (size_t cut = 0; cut <= len; cut++) {
        struct stun_stream s;
        stun_stream_init(&s, buf, sizeof buf, true);
        size_t seen = feed(&s, stream, cut, 0);
        assert_int_equal(feed(&s, stream + cut, len - cut, seen), FRAMES);
    }
}

/* Also with a buffer that holds the longest message and no byte more. */
static void test_random_splits_in_a_tight_buffer(void **state) {
    (void)state;
    uint8_t stream[STREAM_CAP], buf[sizeof rfc5769_long_term];
    size_t len = make_stream(stream);
    struct rng_seeded seed;
    rng_seed(&seed, 7);
    struct bk_rng rng = rng_from_seeded(&seed);
    for (int round = 0; round < 500; round++) {
        struct stun_stream s;
        size_t seen = 0, at = 0;
        stun_stream_init(&s, buf, sizeof buf, true);
        while (at < len) {
            size_t step = 1 + rng_below(&rng, 40);
            step = step < len - at ? step : len - at;
            seen = feed(&s, stream + at, step, seen);
            at += step;
        }
        assert_int_equal(seen, FRAMES);
    }
}

static void test_a_frame_too_long_ends_the_stream(void **state) {
    (void)state;
    uint8_t buf[sizeof rfc5769_request - 1];
    struct stun_stream s;
    struct stun_frame f;
    stun_stream_init(&s, buf, sizeof buf, false);
    assert_int_equal(stun_stream_push(&s, rfc5769_request, 20), 20);
    assert_int_equal(stun_stream_next(&s, &f), BK_ERR_TOO_LONG); /* its body is not awaited */
    assert_int_equal(stun_stream_next(&s, &f), BK_ERR_TOO_LONG);
    assert_int_equal(stun_stream_push(&s, rfc5769_request, 20), 0);
}

static void test_garbage_is_refused_as_early_as_can_be(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool channels;
        size_t len;
        uint8_t data[20];
    } cases[] = {
        {"TLS", false, 1, {0x80}},
        {"HTTP", true, 1, {'P'}},
        {"channel data where none is welcome", false, 1, {0x40}},
        {"length not of four", false, 4, {0, 1, 0, 3}},
        {"no cookie", false, 20, {0, 1, 0, 0, 1, 2, 3, 4}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t buf[64];
        struct stun_stream s;
        struct stun_frame f;
        stun_stream_init(&s, buf, sizeof buf, cases[i].channels);
        assert_int_equal(stun_stream_push(&s, cases[i].data, cases[i].len), cases[i].len);
        enum bk_err err = stun_stream_next(&s, &f);
        if (err != BK_ERR_NOT_OURS || stun_stream_push(&s, cases[i].data, 1) != 0)
            fail_msg("%s: %s", cases[i].name, bk_err_text(err));
    }
}

/* The same frames without a buffer, and how much is lacking at every length. */
static void test_frames_are_cut_in_place(void **state) {
    (void)state;
    uint8_t stream[STREAM_CAP];
    size_t len = make_stream(stream), at = 0, whole;
    struct stun_frame f;
    for (size_t i = 0; i < FRAMES; i++) {
        assert_int_equal(stun_stream_cut(stream + at, len - at, CHANNEL_MAX, &f, &whole), BK_OK);
        expect_frame(&f, i);
        for (size_t n = 0; n < whole; n++) {
            size_t needed;
            assert_int_equal(stun_stream_cut(stream + at, n, CHANNEL_MAX, &f, &needed),
                             BK_ERR_SHORT);
            assert_true(needed > n && needed <= whole);
        }
        at += whole;
    }
    assert_int_equal(at, len);
    const uint8_t old[] = {0x7f, 0xff, 0, 0}; /* RFC 5766's numbers */
    assert_int_equal(stun_stream_cut(old, sizeof old, CHANNEL_OLD_MAX, &f, &whole), BK_OK);
    assert_int_equal(stun_stream_cut(old, sizeof old, CHANNEL_MAX, &f, &whole), BK_ERR_NOT_OURS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split_in_two),
        cmocka_unit_test(test_random_splits_in_a_tight_buffer),
        cmocka_unit_test(test_a_frame_too_long_ends_the_stream),
        cmocka_unit_test(test_garbage_is_refused_as_early_as_can_be),
        cmocka_unit_test(test_frames_are_cut_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
