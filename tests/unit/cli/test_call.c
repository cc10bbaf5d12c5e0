/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "cli/call.h"

static void what_is_written_is_read_back(void **state) {
    (void)state;
    struct call calls[] = {
        {CALL_TCP, "localhost:22"}, {CALL_UDP, "[2001:db8::1]:53"}, {CALL_TCP, ""}};
    memset(calls[2].target, 'x', CALL_TARGET_MAX);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        uint8_t buf[CALL_LEN_MAX + 4];
        struct call got;
        size_t used = 0, len = call_encode(&calls[i], buf);
        assert_true(len <= CALL_LEN_MAX);
        memset(buf + len, 0xee, 4);
        assert_int_equal(call_decode(&got, buf, len + 4, &used), BK_OK);
        assert_int_equal(used, len);
        assert_int_equal(got.kind, calls[i].kind);
        assert_string_equal(got.target, calls[i].target);
        for (size_t cut = 0; cut < len; cut++)
            assert_int_equal(call_decode(&got, buf, cut, &used), BK_ERR_SHORT);
    }
}

static void bad_calls_are_malformed(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint8_t bytes[8];
        size_t len;
    } cases[] = {
        {"no such kind", {'X', 0, 1, 'a'}, 4},
        {"no target", {'T', 0, 0}, 3},
        {"too long, told by the length alone", {'T', 1, 45}, 3},
        {"a NUL inside", {'T', 0, 3, 'a', 0, 'b'}, 6},
        {"an escape sequence", {'T', 0, 3, 0x1b, '[', 'm'}, 6},
        {"a space", {'U', 0, 3, 'a', ' ', 'b'}, 6},
        {"not ASCII", {'U', 0, 2, 0xc3, 0xa4}, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct call got = {.kind = 1};
        size_t used = 77;
        if (call_decode(&got, cases[i].bytes, cases[i].len, &used) != BK_ERR_MALFORMED)
            fail_msg("%s", cases[i].name);
        assert_int_equal(got.kind, 1);
        assert_int_equal(used, 77);
    }
}

static void targets_are_split(void **state) {
    (void)state;
    static const struct {
        const char *text, *host; /* NULL: refused */
        uint16_t port;
    } cases[] = {
        {"localhost:22", "localhost", 22},
        {"192.0.2.1:65535", "192.0.2.1", 65535},
        {"[::1]:53", "::1", 53},
        {"a:1", "a", 1},
        {"a:0", NULL, 0},
        {"a:65536", NULL, 0},
        {"a:100000", NULL, 0},
        {"a:-1", NULL, 0},
        {"a:1x", NULL, 0},
        {"a:", NULL, 0},
        {"a", NULL, 0},
        {":1", NULL, 0},
        {"", NULL, 0},
        {"::1:53", NULL, 0},
        {"[]:1", NULL, 0},
        {"[::1:53", NULL, 0},
        {"[::1]53", NULL, 0},
        {"name-too-long-for-it:1", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char host[16];
        uint16_t port = 0;
        if (call_split(cases[i].text, host, sizeof host, &port) != (cases[i].host != NULL))
            fail_msg("%s", cases[i].text);
        if (cases[i].host == NULL)
            continue;
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(bad_calls_are_malformed),
        cmocka_unit_test(targets_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
