/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include <ctype.h>
#include <peer/ticket.h>

static const uint8_t pin[32] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xfb, 0xef};

/* Made by a few lines of Python that share no code with this: struct.pack, zlib.crc32, b32encode.
 */
#define TICKET_LETTERS                                                                             \
    "aeaaacyweewdoqsnlbrw46mer6nklmf3y3i5zz7s7uebghrjgq7uuvk2ljnfuws2ljnfuws2ljnfuws2ag5q3fqqnbxw" \
    "2zjomv4gc3lqnrss433sm5v7lqey"

static struct ticket sample(void) {
    struct ticket t = {0};
    for (int i = 0; i < 32; i++)
        t.key.bytes[i] = (uint8_t)(i * 11);
    memset(t.secret, 0x5a, sizeof t.secret);
    strcpy(t.home.host, "home.example.org");
    t.home.https_port = 443;
    t.home.stun_port = 3478;
    t.home.has_pin = true;
    memcpy(t.home.pin, pin, sizeof pin);
    return t;
}

static void same(const struct ticket *a, const struct ticket *b) {
    assert_true(peer_key_equal(&a->key, &b->key));
    assert_memory_equal(a->secret, b->secret, sizeof a->secret);
    assert_true(home_equal(&a->home, &b->home));
}

static void what_is_written_can_be_read(void **state) {
    (void)state;
    char text[TICKET_TEXT_MAX];
    for (int variant = 0; variant < 4; variant++) {
        struct ticket t = sample(), got;
        t.home.has_pin = (variant & 1) != 0;
        t.home.plain = (variant & 2) != 0;
        if (!t.home.has_pin)
            memset(t.home.pin, 0, sizeof t.home.pin);
        size_t len = ticket_format(&t, text);
        assert_int_equal(len, strlen(text));
        assert_int_equal(ticket_parse(text, len, &got), BK_OK);
        same(&t, &got);
    }
}

static void longest_ticket_fits(void **state) {
    (void)state;
    char text[TICKET_TEXT_MAX];
    struct ticket t = sample(), got;
    memset(t.home.host, 'a', HOME_HOST_MAX - 1);
    t.home.host[HOME_HOST_MAX - 1] = '\0';
    size_t len = ticket_format(&t, text);
    assert_true(len < sizeof text);
    assert_int_equal(ticket_parse(text, len, &got), BK_OK);
    same(&t, &got);
}

/* The format is a promise to tickets in the wild: a change of these letters is a new version. */
static void format_stays(void **state) {
    (void)state;
    char text[TICKET_TEXT_MAX];
    struct ticket t = sample();
    t.home.has_pin = false;
    (void)ticket_format(&t, text);
    assert_string_equal(text, "bodkin1" TICKET_LETTERS);
}

static void case_and_white_space_do_not_matter(void **state) {
    (void)state;
    char text[TICKET_TEXT_MAX], odd[2 * TICKET_TEXT_MAX] = " \r\n\t";
    struct ticket t = sample(), got;
    size_t len = ticket_format(&t, text), n = strlen(odd);
    for (size_t i = 0; i < len; i++) {
        odd[n++] = (char)toupper((unsigned char)text[i]);
        if (i % 40 == 39)
            odd[n++] = '\n';
    }
    assert_int_equal(ticket_parse(odd, n, &got), BK_OK);
    same(&t, &got);
}

static void every_changed_letter_is_noticed(void **state) {
    (void)state;
    char text[TICKET_TEXT_MAX];
    struct ticket t = sample(), got;
    size_t len = ticket_format(&t, text);
    for (size_t i = 7; i < len; i++) {
        char was = text[i];
        text[i] = was == 'a' ? 'b' : 'a';
        assert_int_equal(ticket_parse(text, len, &got), BK_ERR_MALFORMED);
        text[i] = '!';
        assert_int_equal(ticket_parse(text, len, &got), BK_ERR_MALFORMED);
        text[i] = was;
    }
    assert_int_equal(ticket_parse(text, len, &got), BK_OK);
}

static void every_cut_is_noticed(void **state) {
    (void)state;
    char text[TICKET_TEXT_MAX];
    struct ticket t = sample(), got;
    size_t len = ticket_format(&t, text);
    for (size_t i = 0; i < len; i++) {
        enum bk_err e = ticket_parse(text, i, &got);
        if (i < 7)
            assert_int_equal(e, BK_ERR_NOT_OURS);
        else
            assert_true(e == BK_ERR_SHORT || e == BK_ERR_MALFORMED);
    }
}

static void errors_are_distinct(void **state) {
    (void)state;
    struct ticket got;
    static char longest[4000];
    assert_int_equal(ticket_parse("", 0, &got), BK_ERR_NOT_OURS);
    assert_int_equal(ticket_parse("https://home.example", 20, &got), BK_ERR_NOT_OURS);
    assert_int_equal(ticket_parse("bodkinx", 7, &got), BK_ERR_NOT_OURS);
    assert_int_equal(ticket_parse("bodkin2abc", 10, &got), BK_ERR_UNSUPPORTED);
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "bodkin1", 7);
    assert_int_equal(ticket_parse(longest, sizeof longest, &got), BK_ERR_TOO_LONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(longest_ticket_fits),
        cmocka_unit_test(format_stays),
        cmocka_unit_test(case_and_white_space_do_not_matter),
        cmocka_unit_test(every_changed_letter_is_noticed),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(errors_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
