/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include <peer/home_url.h>

#define PIN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static const struct {
    const char *text;
    enum bk_err err;
    const char *host;
    uint16_t https, stun;
    bool plain, pin;
    const char *again; /* what home_url_format makes of it; NULL: `text` */
} cases[] = {
    {"https://home.example", BK_OK, "home.example", 443, 3478, false, false, NULL},
    {"https://home.example/", BK_OK, "home.example", 443, 3478, false, false,
     "https://home.example"},
    {"HTTPS://Home.Example:8443#" PIN, BK_OK, "home.example", 8443, 3478, false, true,
     "https://home.example:8443#" PIN},
    {"https://home.example:8443/?stun=0#" PIN, BK_OK, "home.example", 8443, 0, false, true,
     "https://home.example:8443?stun=0#" PIN},
    {"https://192.0.2.7?stun=5000", BK_OK, "192.0.2.7", 443, 5000, false, false, NULL},
    {"https://[2001:db8::1]:444", BK_OK, "2001:db8::1", 444, 3478, false, false, NULL},
    {"http://127.0.0.1:8080", BK_OK, "127.0.0.1", 8080, 3478, true, false, NULL},
    {"http://localhost", BK_OK, "localhost", 80, 3478, true, false, NULL},
    {"home.example:443", BK_OK, "home.example", 443, 3478, false, false, "https://home.example"},
    {"  home.example#" PIN "\n", BK_OK, "home.example", 443, 3478, false, true,
     "https://home.example#" PIN},
    {"ftp://home.example", BK_ERR_NOT_OURS, NULL, 0, 0, false, false, NULL},
    {"", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://a..b", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://user@home.example", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://home.example/path", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://home.example?turn=1", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://[2001:db8::1", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://[home.example]", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://[192.0.2.1]", BK_ERR_MALFORMED, NULL, 0, 0, false, false, NULL},
    {"https://home.example:0", BK_ERR_ARGUMENT, NULL, 0, 0, false, false, NULL},
    {"https://home.example:65536", BK_ERR_ARGUMENT, NULL, 0, 0, false, false, NULL},
    {"https://home.example:99999999999", BK_ERR_ARGUMENT, NULL, 0, 0, false, false, NULL},
    {"https://home.example:", BK_ERR_ARGUMENT, NULL, 0, 0, false, false, NULL},
    {"https://home.example?stun=", BK_ERR_ARGUMENT, NULL, 0, 0, false, false, NULL},
    {"https://home.example#short", BK_ERR_AUTH, NULL, 0, 0, false, false, NULL},
    {"https://home.example#" PIN "A", BK_ERR_AUTH, NULL, 0, 0, false, false, NULL},
    {"https://home.example#AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", BK_ERR_AUTH, NULL, 0, 0,
     false, false, NULL},
    {"https://home.example#AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdH+8", BK_ERR_AUTH, NULL, 0, 0,
     false, false, NULL},
};

static void urls_are_read_and_written(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct home home;
        char again[HOME_URL_TEXT_MAX];
        enum bk_err e = home_url_parse(cases[i].text, strlen(cases[i].text), &home);
        if (e != cases[i].err)
            fail_msg("%s: %s", cases[i].text, bk_err_text(e));
        if (e != BK_OK)
            continue;
        assert_string_equal(home.host, cases[i].host);
        assert_int_equal(home.https_port, cases[i].https);
        assert_int_equal(home.stun_port, cases[i].stun);
        assert_int_equal(home.plain, cases[i].plain);
        assert_int_equal(home.has_pin, cases[i].pin);
        for (int b = 0; b < 32 && home.has_pin; b++)
            assert_int_equal(home.pin[b], b);
        const char *want = cases[i].again == NULL ? cases[i].text : cases[i].again;
        assert_string_equal(home_url_format(&home, again), want);
        struct home second;
        assert_int_equal(home_url_parse(again, strlen(again), &second), BK_OK);
        assert_true(home_equal(&home, &second));
    }
}

static void host_names_have_a_limit(void **state) {
    (void)state;
    char text[400] = "https://";
    struct home home;
    memset(text + 8, 'a', 300);
    assert_int_equal(home_url_parse(text, 8 + 253, &home), BK_OK);
    assert_int_equal(home_url_parse(text, 8 + 254, &home), BK_ERR_TOO_LONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_read_and_written),
        cmocka_unit_test(host_names_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
