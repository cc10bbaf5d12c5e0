/* SPDX-License-Identifier: MIT
 * Who answers for the home server on plain HTTP. */
#include "../test.h"
#include "tunnel/portal.h"
#include <stdio.h>

static void fill(void *ctx, void *out, size_t len) {
    memset(out, *(const uint8_t *)ctx, len);
}

static const struct {
    const char *answer; /* "%" stands for the challenge */
    enum bk_err err;
    enum portal_verdict verdict;
    const char *url;
} cases[] = {
    {"HTTP/1.1 204 No Content\r\nX-Tailscale-Response: response %\r\n\r\n", BK_OK, PORTAL_NONE, ""},
    {"HTTP/1.1 204 No Content\r\nX-Tailscale-Response: response 00\r\n\r\n", BK_OK, PORTAL_UNKNOWN,
     ""},
    {"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/a?session=1\r\n\r\n", BK_OK,
     PORTAL_THERE, "http://login.hotel.example/a"},
    {"HTTP/1.0 307 X\r\nLocation: https://10.0.0.1:8080/\"<b>\r\n\r\n", BK_OK, PORTAL_THERE,
     "https://10.0.0.1:8080/"},
    {"HTTP/1.1 302 Found\r\nLocation: https://home.example/generate_204\r\n\r\n", BK_OK,
     PORTAL_UNKNOWN, ""},
    {"HTTP/1.1 302 Found\r\nLocation: https://home.example:8443/\r\n\r\n", BK_OK, PORTAL_UNKNOWN,
     ""},
    {"HTTP/1.1 302 Found\r\nLocation: https://home.example.hotel/\r\n\r\n", BK_OK, PORTAL_THERE,
     "https://home.example.hotel/"},
    {"HTTP/1.1 302 Found\r\nLocation: javascript:alert(1)\r\n\r\n", BK_OK, PORTAL_UNKNOWN, ""},
    {"HTTP/1.1 302 Found\r\n\r\n", BK_OK, PORTAL_UNKNOWN, ""},
    {"HTTP/1.1 511 Network Authentication Required\r\n\r\n", BK_OK, PORTAL_THERE,
     "http://home.example/"},
    {"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", BK_OK, PORTAL_THERE,
     "http://home.example/"},
    {"HTTP/1.1 404 Not Found\r\n\r\n", BK_OK, PORTAL_UNKNOWN, ""},
    {"HTTP/1.1 200 OK\r\n", BK_ERR_SHORT, PORTAL_UNKNOWN, ""},
    {"220 smtp.example ESMTP\r\n", BK_ERR_MALFORMED, PORTAL_UNKNOWN, ""},
};

static void every_answer_has_its_verdict(void **state) {
    uint8_t seven = 7;
    const struct bk_rng rng = {fill, &seven};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct portal p;
        char request[PORTAL_REQUEST_MAX], text[512] = "", challenge[80];
        enum portal_verdict verdict = PORTAL_UNKNOWN;
        print_message("%s\n", cases[i].answer);
        size_t len = portal_init(&p, "home.example", &rng, request);
        assert_int_equal(len, strlen(request));
        assert_non_null(strstr(request, "GET /generate_204 HTTP/1.1\r\nHost: home.example\r\n"));
        assert_int_equal(sscanf(strstr(request, "X-Tailscale-Challenge: "),
                                "X-Tailscale-Challenge: %79s", challenge),
                         1);
        assert_int_equal(strlen(challenge), PORTAL_CHALLENGE_LEN);
        size_t before = strcspn(cases[i].answer, "%");
        memcpy(text, cases[i].answer, before);
        if (cases[i].answer[before] == '%') {
            strcat(text, challenge);
            strcat(text, cases[i].answer + before + 1);
        }
        enum bk_err err = BK_ERR_SHORT; /* byte by byte */
        for (size_t k = 0; err == BK_ERR_SHORT && k < strlen(text); k++)
            err = portal_recv(&p, (const uint8_t *)text + k, 1, &verdict);
        assert_int_equal(err, cases[i].err);
        assert_int_equal(verdict, cases[i].verdict);
        assert_string_equal(p.url, cases[i].url);
    }
}

static void addresses_and_long_urls(void **state) {
    uint8_t seven = 7;
    const struct bk_rng rng = {fill, &seven};
    struct portal p;
    char request[PORTAL_REQUEST_MAX],
        text[600] = "HTTP/1.1 302 X\r\nLocation: http://portal.example/";
    enum portal_verdict verdict;
    (void)state;
    portal_init(&p, "2001:db8::1", &rng, request);
    assert_non_null(strstr(request, "Host: [2001:db8::1]\r\n"));
    memset(text + strlen(text), 'a', 300);
    strcat(text, "\r\n\r\n");
    assert_int_equal(portal_recv(&p, (const uint8_t *)text, strlen(text), &verdict), BK_OK);
    assert_int_equal(verdict, PORTAL_THERE);
    assert_string_equal(p.url, "http://portal.example");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_has_its_verdict),
        cmocka_unit_test(addresses_and_long_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
