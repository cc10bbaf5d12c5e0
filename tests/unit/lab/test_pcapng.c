/* SPDX-License-Identifier: MIT
 * The capture file, byte by byte, as draft-ietf-opsawg-pcapng describes it. */
#include "../test.h"

#include "lab/pcapng.h"

enum { BUFFER = PCAPNG_BUFFER_MIN, FILE_ROOM = 512 * 1024 };

struct bench {
    struct pcapng pcapng;
    uint8_t buffer[BUFFER];
    uint8_t file[FILE_ROOM];
    size_t len, puts;
    bool full;
};

static enum bk_err put(void *ctx, const uint8_t *bytes, size_t len) {
    struct bench *b = ctx;
    if (b->full)
        return BK_ERR_IO;
    assert_true(b->len + len <= FILE_ROOM);
    memcpy(b->file + b->len, bytes, len);
    b->len += len;
    b->puts++;
    return BK_OK;
}

static void open_bench(struct bench *b) {
    memset(b, 0, sizeof *b);
    pcapng_init(&b->pcapng, b->buffer, BUFFER, put, b, "test");
}

static uint32_t get(const struct bench *b, size_t at, size_t len) {
    uint32_t value = 0;
    assert_true(at + len <= b->len);
    for (size_t i = 0; i < len; i++)
        value |= (uint32_t)b->file[at + i] << (8 * i);
    return value;
}

/* A block of the file, and where its options begin. */
struct block {
    uint32_t type, len;
    size_t at, options, end;
};

/* The index-th block; every block's two lengths must agree. */
static struct block block(const struct bench *b, size_t index) {
    struct block k = {0};
    size_t at = 0;
    for (size_t i = 0; i <= index; i++, at += k.len) {
        k.at = at;
        k.type = get(b, at, 4);
        k.len = get(b, at + 4, 4);
        assert_true(k.len >= 12 && k.len % 4 == 0);
        assert_int_equal(get(b, at + k.len - 4, 4), k.len);
    }
    k.end = k.at + k.len - 4;
    k.options = k.at + (k.type == 6   ? 28 + (get(b, k.at + 20, 4) + 3) / 4 * 4
                        : k.type == 1 ? 16
                                      : 24);
    return k;
}

/* Where the value of the n-th option of this code is; *len is its length. 0: there is none. */
static size_t option(const struct bench *b, const struct block *k, uint32_t code, size_t n,
                     size_t *len) {
    size_t at = k->options;
    while (get(b, at, 2) != 0) {
        *len = get(b, at + 2, 2);
        if (get(b, at, 2) == code && n-- == 0)
            return at + 4;
        at += 4 + (*len + 3) / 4 * 4;
        assert_true(at < k->end);
    }
    assert_int_equal(at + 4, k->end); /* the end of options is the end of the block */
    return 0;
}

static void assert_text(const struct bench *b, const struct block *k, uint32_t code, size_t n,
                        const char *text) {
    size_t len = 0, at = option(b, k, code, n, &len);
    assert_true(at > 0);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(b->file + at, text, len);
}

static void the_section_and_its_interfaces_come_first(void **state) {
    static struct bench b;
    size_t len = 0;
    (void)state;
    open_bench(&b);
    assert_int_equal(pcapng_interface(&b.pcapng, "alice", "host alice"), BK_OK);
    assert_int_equal(pcapng_interface(&b.pcapng, "bob", "host bob"), BK_OK);
    assert_int_equal(pcapng_flush(&b.pcapng), BK_OK);
    struct block k = block(&b, 0);
    assert_int_equal(k.type, 0x0a0d0d0a);
    assert_int_equal(get(&b, 8, 4), 0x1a2b3c4d);  /* byte order */
    assert_int_equal(get(&b, 12, 4), 1);          /* version 1.0 */
    assert_int_equal(get(&b, 16, 4), UINT32_MAX); /* length unknown */
    assert_int_equal(get(&b, 20, 4), UINT32_MAX);
    assert_text(&b, &k, 4, 0, "test");
    for (size_t i = 0; i < 2; i++) {
        k = block(&b, 1 + i);
        assert_int_equal(k.type, 1);
        assert_int_equal(get(&b, k.at + 8, 2), 101); /* LINKTYPE_RAW */
        assert_text(&b, &k, 2, 0, i == 0 ? "alice" : "bob");
        assert_text(&b, &k, 3, 0, i == 0 ? "host alice" : "host bob");
        size_t at = option(&b, &k, 9, 0, &len);
        assert_int_equal(len, 1);
        assert_int_equal(b.file[at], 9); /* nanoseconds */
    }
    assert_int_equal(b.len, block(&b, 2).at + block(&b, 2).len);
}

static void a_packet_has_its_time_direction_and_comments(void **state) {
    static struct bench b;
    size_t len = 0;
    (void)state;
    for (size_t size = 1; size < 9; size++) { /* every kind of padding */
        uint8_t bytes[9] = {0x45, 1, 2, 3, 4, 5, 6, 7, 8};
        struct pcapng_packet p = {.interface = 1,
                                  .direction = PCAPNG_OUTBOUND,
                                  .at_ns = 0x0123456789abcdef,
                                  .bytes = bytes,
                                  .len = size,
                                  .comment = "first"};
        open_bench(&b);
        assert_int_equal(pcapng_interface(&b.pcapng, "a", ""), BK_OK);
        assert_int_equal(pcapng_interface(&b.pcapng, "b", ""), BK_OK);
        assert_int_equal(pcapng_write(&b.pcapng, &p), BK_OK);
        assert_true(pcapng_remark(&b.pcapng, "second"));
        p.direction = PCAPNG_INBOUND;
        p.comment = NULL;
        assert_int_equal(pcapng_write(&b.pcapng, &p), BK_OK);
        assert_int_equal(pcapng_flush(&b.pcapng), BK_OK);
        struct block k = block(&b, 3);
        assert_int_equal(k.type, 6);
        assert_int_equal(get(&b, k.at + 8, 4), 1);
        assert_int_equal(get(&b, k.at + 12, 4), 0x01234567);
        assert_int_equal(get(&b, k.at + 16, 4), 0x89abcdef);
        assert_int_equal(get(&b, k.at + 20, 4), size);
        assert_int_equal(get(&b, k.at + 24, 4), size);
        assert_memory_equal(b.file + k.at + 28, bytes, size);
        assert_int_equal(get(&b, option(&b, &k, 2, 0, &len), 4), 2);
        assert_text(&b, &k, 1, 0, "first");
        assert_text(&b, &k, 1, 1, "second");
        k = block(&b, 4);
        assert_int_equal(get(&b, option(&b, &k, 2, 0, &len), 4), 1);
        assert_int_equal(option(&b, &k, 1, 0, &len), 0);
    }
}

static void memory_is_bounded_and_blocks_stay_whole(void **state) {
    static struct bench b;
    static uint8_t bytes[65575];
    (void)state;
    open_bench(&b);
    assert_int_equal(pcapng_interface(&b.pcapng, "a", ""), BK_OK);
    struct pcapng_packet p = {.bytes = bytes};
    size_t packets = 0;
    for (size_t len = 1; len <= sizeof bytes; len = len * 2 + 1, packets++) {
        p.len = len;
        assert_int_equal(pcapng_write(&b.pcapng, &p), BK_OK);
        assert_true(b.pcapng.len <= BUFFER);
    }
    p.len = sizeof bytes;
    assert_int_equal(pcapng_write(&b.pcapng, &p), BK_OK);
    assert_int_equal(pcapng_flush(&b.pcapng), BK_OK);
    assert_true(b.puts > 1);
    struct block k = block(&b, packets + 2); /* walks over all of them */
    assert_int_equal(get(&b, k.at + 20, 4), sizeof bytes);
    assert_int_equal(k.at + k.len, b.len);
    assert_false(pcapng_remark(&b.pcapng, "too late"));
}

static void long_texts_are_cut(void **state) {
    static struct bench b;
    char text[1000];
    size_t len = 0;
    uint8_t byte = 0x45;
    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    open_bench(&b);
    assert_int_equal(pcapng_interface(&b.pcapng, text, text), BK_OK);
    struct pcapng_packet p = {.bytes = &byte, .len = 1, .comment = text};
    assert_int_equal(pcapng_write(&b.pcapng, &p), BK_OK);
    assert_int_equal(pcapng_flush(&b.pcapng), BK_OK);
    struct block k = block(&b, 2);
    assert_true(option(&b, &k, 1, 0, &len) > 0);
    assert_int_equal(len, PCAPNG_TEXT_MAX);
}

static void a_full_disk_is_an_error(void **state) {
    static struct bench b;
    uint8_t byte = 0x45;
    (void)state;
    open_bench(&b);
    assert_int_equal(pcapng_interface(&b.pcapng, "a", ""), BK_OK);
    struct pcapng_packet p = {.bytes = &byte, .len = 1};
    b.full = true;
    assert_int_equal(pcapng_write(&b.pcapng, &p), BK_OK); /* in the buffer */
    assert_int_equal(pcapng_flush(&b.pcapng), BK_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_section_and_its_interfaces_come_first),
        cmocka_unit_test(a_packet_has_its_time_direction_and_comments),
        cmocka_unit_test(memory_is_bounded_and_blocks_stay_whole),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
