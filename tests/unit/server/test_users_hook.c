/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "server/users_hook.h"

static void a_url_names_a_host(void **state) {
    static const struct {
        const char *text;
        enum bk_err err;
        const char *host, *path;
        uint16_t port;
        bool tls, is_name;
    } rows[] = {
        {"http://127.0.0.1:8080/turn", BK_OK, "127.0.0.1", "/turn", 8080, false, false},
        {"http://127.0.0.1", BK_OK, "127.0.0.1", "/", 80, false, false},
        {"http://[::1]:81/a?b=c", BK_OK, "::1", "/a?b=c", 81, false, false},
        {"https://127.0.0.1/", BK_OK, "127.0.0.1", "/", 443, true, false},
        {"https://users.example.org/x", BK_OK, "users.example.org", "/x", 443, true, true},
        {"http://localhost:8080", BK_OK, "localhost", "/", 8080, false, true},
        {"https://[::1]", BK_OK, "::1", "/", 443, true, false},
        {"http://::1/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://[127.0.0.1]/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://[::1/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://[::1]x/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://[host]/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://a b/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://user@host/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://host:/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://host:1x/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://host:65536/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://127.0.0.1:0/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://127.0.0.1/a b", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http://127.0.0.1/a\r\nHost: x", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"ftp://host/", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"http:///", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
        {"", BK_ERR_MALFORMED, NULL, NULL, 0, false, false},
    };
    struct users_url url;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (users_url_parse(rows[i].text, &url) != rows[i].err)
            fail_msg("%s", rows[i].text);
        if (rows[i].err != BK_OK)
            continue;
        assert_string_equal(url.host, rows[i].host);
        assert_string_equal(url.path, rows[i].path);
        assert_int_equal(url.port, rows[i].port);
        assert_int_equal(url.tls, rows[i].tls);
        assert_int_equal(url.is_name, rows[i].is_name);
    }
}

static void an_answer_has_a_password_or_keys(void **state) {
    static const struct {
        const char *json;
        bool good, md5, sha256;
        int64_t ttl_s;
        uint32_t allocations;
    } rows[] = {
        {"{\"password\":\"x\"}", true, true, true, 60, 0},
        {"{\"password\":\"x\",\"ttl\":5,\"allocations\":7}", true, true, true, 5, 7},
        {"{\"password\":\"x\",\"ttl\":1e30,\"allocations\":-7}", true, true, true, 3600, 0},
        {"{\"md5\":\"7da2270ccfa49786e0115366d3a3d14d\"}", true, true, false, 60, 0},
        {"{\"md5\":\"7da2270ccfa49786e0115366d3a3d14g\"}", false, false, false, 0, 0},
        {"{\"md5\":\"7da2\"}", false, false, false, 0, 0},
        {"{\"sha256\":\"7da2270ccfa49786e0115366d3a3d14d7da2270ccfa49786e0115366d3a3d14d\"}", true,
         false, true, 60, 0},
        {"{\"password\":7}", false, false, false, 0, 0},
        {"{\"password\":\"\"}", false, false, false, 0, 0},
        {"{}", false, false, false, 0, 0},
        {"[]", false, false, false, 0, 0},
        {"", false, false, false, 0, 0},
        {"<html>", false, false, false, 0, 0},
    };
    struct users_entry e;
    int64_t ttl_s = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum bk_err err =
            users_hook_read(rows[i].json, strlen(rows[i].json), "alice", "bodkin", &e, &ttl_s);
        if ((err == BK_OK) != rows[i].good)
            fail_msg("%s", rows[i].json);
        if (err != BK_OK)
            continue;
        assert_int_equal(e.has_md5, rows[i].md5);
        assert_int_equal(e.has_sha256, rows[i].sha256);
        assert_int_equal(ttl_s, rows[i].ttl_s);
        assert_int_equal(e.allocations_max, rows[i].allocations);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_names_a_host),
        cmocka_unit_test(an_answer_has_a_password_or_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
