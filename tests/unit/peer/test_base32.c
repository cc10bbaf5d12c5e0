/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include <peer/base32.h>

/* RFC 4648 section 10, lower case and without padding. */
static const struct {
    const char *bytes, *text;
} vectors[] = {{"", ""},
               {"f", "my"},
               {"fo", "mzxq"},
               {"foo", "mzxw6"},
               {"foob", "mzxw6yq"},
               {"fooba", "mzxw6ytb"},
               {"foobar", "mzxw6ytboi"}};

static void vectors_hold_both_ways(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[16];
        uint8_t bytes[8];
        size_t len = strlen(vectors[i].bytes), got = 99;
        assert_int_equal(base32_encode((const uint8_t *)vectors[i].bytes, len, text),
                         BASE32_TEXT_LEN(len));
        assert_string_equal(text, vectors[i].text);
        assert_int_equal(base32_decode(text, strlen(text), bytes, sizeof bytes, &got), BK_OK);
        assert_int_equal(got, len);
        assert_memory_equal(bytes, vectors[i].bytes, len);
    }
}

static void every_byte_string_has_one_text(void **state) {
    (void)state;
    uint8_t bytes[8];
    size_t n = 0;
    assert_int_equal(base32_decode("MY", 2, bytes, sizeof bytes, &n), BK_OK);
    assert_int_equal(base32_decode("mz", 2, bytes, sizeof bytes, &n), BK_ERR_MALFORMED);
    assert_int_equal(base32_decode("m", 1, bytes, sizeof bytes, &n), BK_ERR_MALFORMED);
    assert_int_equal(base32_decode("mya", 3, bytes, sizeof bytes, &n), BK_ERR_MALFORMED);
    assert_int_equal(base32_decode("m1", 2, bytes, sizeof bytes, &n), BK_ERR_NOT_OURS);
    assert_int_equal(base32_decode("my======", 8, bytes, sizeof bytes, &n), BK_ERR_NOT_OURS);
    assert_int_equal(base32_decode("mzxw6", 5, bytes, 2, &n), BK_ERR_TOO_LONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_hold_both_ways),
        cmocka_unit_test(every_byte_string_has_one_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
