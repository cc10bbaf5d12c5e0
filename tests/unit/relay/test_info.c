/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "relay/info.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static const struct {
    const char *name, *json;
    enum bk_err err;
    uint32_t version;
    bool pings, mesh;
} cases[] = {
    {"what Go sends", "{\"version\":2,\"CanAckPings\":true,\"IsProber\":false}", BK_OK, 2, true, 0},
    {"names without case", "{\"VERSION\":2,\"canackpings\":true}", BK_OK, 2, true, false},
    {"spaces", " { \"version\" :\t2 ,\r\n\"CanAckPings\": true } ", BK_OK, 2, true, false},
    {"mesh key", "{\"meshKey\":\"" KEY "\",\"version\":2}", BK_OK, 2, false, true},
    {"empty mesh key", "{\"meshKey\":\"\",\"version\":2}", BK_OK, 2, false, false},
    {"short mesh key", "{\"meshKey\":\"0011\",\"version\":2}", BK_ERR_MALFORMED, 0, 0, 0},
    {"unknown members",
     "{\"a\":{\"b\":[1,\"}]\",{}]},\"c\":[[[]]],\"version\":2,\"d\":\"x\\\"y\",\"e\":-1.5e3}",
     BK_OK, 2, false, false},
    {"null leaves a member alone", "{\"version\":2,\"CanAckPings\":null}", BK_OK, 2, false, false},
    {"empty object", "{}", BK_OK, 0, false, false},
    {"version as text", "{\"version\":\"2\"}", BK_ERR_MALFORMED, 0, 0, 0},
    {"version below zero", "{\"version\":-2}", BK_ERR_MALFORMED, 0, 0, 0},
    {"version too large", "{\"version\":4294967296}", BK_ERR_MALFORMED, 0, 0, 0},
    {"not an object", "[2]", BK_ERR_MALFORMED, 0, 0, 0},
    {"two objects", "{}{}", BK_ERR_MALFORMED, 0, 0, 0},
    {"trailing comma", "{\"version\":2,}", BK_ERR_MALFORMED, 0, 0, 0},
    {"no comma", "{\"version\":2 \"a\":1}", BK_ERR_MALFORMED, 0, 0, 0},
    {"open string", "{\"version", BK_ERR_MALFORMED, 0, 0, 0},
    {"open array", "{\"a\":[[", BK_ERR_MALFORMED, 0, 0, 0},
    {"nothing", "", BK_ERR_MALFORMED, 0, 0, 0},
};

static void texts_are_read_or_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct relay_info info = {0};
        size_t len = strlen(cases[i].json);
        if (relay_info_parse((const uint8_t *)cases[i].json, len, &info) != cases[i].err)
            fail_msg("%s", cases[i].name);
        if (info.version != cases[i].version || info.can_ack_pings != cases[i].pings ||
            info.mesh_key_known != cases[i].mesh)
            fail_msg("%s: other values", cases[i].name);
    }
}

static void cut_anywhere_it_is_malformed(void **state) {
    (void)state;
    const char *json =
        "{\"meshKey\":\"" KEY "\",\"version\":2,\"CanAckPings\":true,\"x\":[1,{\"y\":2}]}";
    for (size_t len = 0; len < strlen(json); len++) {
        struct relay_info info;
        uint8_t *copy = malloc(len + 1); /* of the exact size, for ASan */
        assert_non_null(copy);
        memcpy(copy, json, len);
        assert_int_equal(relay_info_parse(copy, len, &info), BK_ERR_MALFORMED);
        free(copy);
    }
}

static void what_we_write_reads_back(void **state) {
    (void)state;
    char out[256];
    struct relay_info info = {.version = 2, .can_ack_pings = true, .mesh_key_known = true}, got;
    info.mesh_key[31] = 0x5a;
    struct text t = text_in(out, sizeof out);
    relay_info_put_client(&t, &info);
    assert_int_equal(relay_info_parse((const uint8_t *)out, t.len, &got), BK_OK);
    assert_true(got.can_ack_pings && got.mesh_key_known);
    assert_memory_equal(got.mesh_key, info.mesh_key, 32);
    info.rate_bytes_per_s = 1000000;
    info.rate_burst_bytes = 70000;
    t = text_in(out, sizeof out);
    relay_info_put_server(&t, &info);
    assert_int_equal(relay_info_parse((const uint8_t *)out, t.len, &got), BK_OK);
    assert_int_equal(got.rate_bytes_per_s, 1000000);
    assert_int_equal(got.rate_burst_bytes, 70000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_or_refused),
        cmocka_unit_test(cut_anywhere_it_is_malformed),
        cmocka_unit_test(what_we_write_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
