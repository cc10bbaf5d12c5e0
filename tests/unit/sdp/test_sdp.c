/* SPDX-License-Identifier: MIT
 * Whole descriptions, line by line. */
#include "../test.h"
#include "sdp/sdp.h"

/* The words for a walk's kinds, so that a wrong walk is readable. */
static const char letters[SDP_KINDS + 1] = ".ceupolxtim";

static enum bk_err walk(const char *text, char *kinds) {
    struct sdp_item item;
    enum bk_err err;
    size_t at = 0, n = 0;
    while (sdp_next(text, strlen(text), &at, &item, &err)) {
        assert_true(item.kind < SDP_KINDS && n < 63);
        assert_true(item.value >= text && item.value + item.len <= text + strlen(text));
        kinds[n] = '?';
        if (item.err == BK_OK)
            kinds[n] = letters[item.kind];
        n++;
    }
    kinds[n] = '\0';
    return err;
}

/* RFC 8839 section 4.6's offer, with what trickle (RFC 8840) and bundles add. */
static const char offer[] = "v=0\r\n"
                            "o=jdoe 2890844526 2890842807 IN IP6 2001:db8::8bad:f00d\r\n"
                            "s=\r\n"
                            "c=IN IP4 192.0.2.3\r\n"
                            "t=0 0\r\n"
                            "a=ice-options:ice2 trickle\r\n"
                            "a=ice-pacing:50\r\n"
                            "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\n"
                            "a=ice-ufrag:8hhY\r\n"
                            "m=audio 45664 RTP/AVP 0\r\n"
                            "b=RS:0\r\n"
                            "a=rtpmap:0 PCMU/8000\r\n"
                            "a=mid:audio\r\n"
                            "a=candidate:1 1 UDP 2130706431 2001:db8::8bad:f00d 8998 typ host\r\n"
                            "a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr "
                            "203.0.113.141 rport 8998\r\n"
                            "a=end-of-candidates\r\n"
                            "m=video 0/2 RTP/AVP 31\r\n"
                            "a=mid:1\r\n"
                            "a=candidate:3 1 SCTP 1 192.0.2.3 45664 typ host\r\n";

static void walks_an_offer(void **state) {
    (void)state;
    char kinds[64];
    assert_int_equal(walk(offer, kinds), BK_OK);
    assert_string_equal(kinds, ".....otpum..iccemi?");
}

static void tells_what_lines_say(void **state) {
    (void)state;
    static const struct {
        enum sdp_kind kind;
        const char *value;
        uint32_t number;
    } want[] = {
        {SDP_OPTIONS, "ice2 trickle", 0},
        {SDP_PACING, "50", 50},
        {SDP_PWD, "asd88fgpdd777uzjYhagZg", 0},
        {SDP_UFRAG, "8hhY", 0},
        {SDP_MEDIA, "audio 45664 RTP/AVP 0", 45664},
        {SDP_MID, "audio", 0},
        {SDP_CANDIDATE, "1 1 UDP 2130706431 2001:db8::8bad:f00d 8998 typ host", 0},
    };
    struct sdp_item item;
    enum bk_err err;
    size_t at = 0, i = 0;
    while (i < sizeof want / sizeof want[0]) {
        assert_true(sdp_next(offer, strlen(offer), &at, &item, &err));
        if (item.kind == SDP_OTHER)
            continue;
        assert_int_equal(item.kind, want[i].kind);
        assert_int_equal(item.len, strlen(want[i].value));
        assert_memory_equal(item.value, want[i].value, item.len);
        assert_int_equal(item.number, want[i].number);
        i++;
    }
    assert_int_equal(item.candidate.at.addr.port, 8998);
}

static void takes_any_line_end(void **state) {
    (void)state;
    static const char *const same[] = {
        "a=ice-ufrag:8hhY\na=ice-lite\na=ice-mismatch\na=end-of-candidates",
        "a=ice-ufrag:8hhY\r\na=ice-lite\r\na=ice-mismatch\r\na=end-of-candidates\r\n",
        "a=ice-ufrag:8hhY\ra=ice-lite\ra=ice-mismatch\ra=end-of-candidates\r",
        "\r\n\nice-ufrag:8hhY \n\n  ice-lite\t\nice-mismatch\n\nend-of-candidates\n\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char kinds[64];
        assert_int_equal(walk(same[i], kinds), BK_OK);
        assert_string_equal(kinds + (kinds[0] == '.'), "ulxe");
    }
}

/* One line each: what it is, or '!' for refused. */
static void one_line_is_one_thing(void **state) {
    (void)state;
    static const struct {
        const char *line;
        char kind;
    } cases[] = {
        {"a=ice-lite", 'l'},
        {"a=ice-lite:1", '.'},
        {"a=ice-liter", '.'},
        {"a=remote-candidates:1 192.0.2.3 45664", '.'},
        {"a=ice-ufrag:abc", '!'},
        {"a=ice-ufrag:abcd", 'u'},
        {"a=ice-ufrag: abcd ", 'u'},
        {"a=ice-ufrag:ab cd", '!'},
        {"a=ice-ufrag:ab\xff"
         "d",
         '!'},
        {"a=ice-pwd:123456789012345678901", '!'},
        {"a=ice-pwd:1234567890123456789012", 'p'},
        {"a=ice-pwd:123456789012345678901=", '!'},
        {"a=ice-options:trickle", 'o'},
        {"a=ice-options:", '!'},
        {"a=ice-pacing:4294967295", 't'},
        {"a=ice-pacing:4294967296", '!'},
        {"a=ice-pacing:fast", '!'},
        {"a=mid:0", 'i'},
        {"a=mid:", '!'},
        {"a=mid:a b", '!'},
        {"a=mid:123456789012345678901234567890123", '!'},
        {"m=audio 9 UDP/TLS/RTP/SAVPF 111", 'm'},
        {"m=audio 65536 RTP/AVP 0", '!'},
        {"m=audio", '!'},
        {"a=m=audio 9 RTP/AVP 0", '.'},
        {"a=candidate:1 1 UDP", '!'},
        {"a=candidate:1 1 UDP 1 192.0.2.3 45664 typ host", 'c'},
        {"a=candidate:1 1 UDP 1 192.0.2.3 45664 typ other", '?'},
        {"a=candidate:123456789012345678901234567890123 1 UDP 1 192.0.2.3 45664 typ host", '!'},
        {"a=CANDIDATE:1 1 UDP", '.'}, /* attribute names have one case, RFC 4566 section 5.13 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char kinds[64];
        enum bk_err err = walk(cases[i].line, kinds);
        char got = kinds[0];
        if (err != BK_OK)
            got = '!';
        assert_true(err == BK_OK || err == BK_ERR_MALFORMED);
        if (got != cases[i].kind)
            fail_msg("%c, not %c: %s", got, cases[i].kind, cases[i].line);
    }
}

static void refuses_a_text_too_long(void **state) {
    (void)state;
    char *text = malloc(SDP_TEXT_MAX + 1);
    struct sdp_item item;
    enum bk_err err;
    size_t at = 0;
    assert_non_null(text);
    memset(text, 'x', SDP_TEXT_MAX + 1);
    assert_false(sdp_next(text, SDP_TEXT_MAX + 1, &at, &item, &err));
    assert_int_equal(err, BK_ERR_TOO_LONG);
    assert_true(sdp_next(text, SDP_TEXT_MAX, &at, &item, &err));
    assert_false(sdp_next(text, SDP_TEXT_MAX, &at, &item, &err));
    assert_int_equal(err, BK_OK);
    free(text);
}

static void options_are_words(void **state) {
    (void)state;
    static const char value[] = "rtp+ecn  trickle\tice2";
    assert_true(sdp_has_option(value, strlen(value), "trickle"));
    assert_true(sdp_has_option(value, strlen(value), "ice2"));
    assert_true(sdp_has_option(value, strlen(value), "rtp+ecn"));
    assert_false(sdp_has_option(value, strlen(value), "rtp"));
    assert_false(sdp_has_option(value, strlen(value) - 1, "ice2"));
    assert_false(sdp_has_option(value, 0, "ice2"));
}

static void credentials_have_lengths(void **state) {
    (void)state;
    char text[257];
    memset(text, 'a', sizeof text);
    assert_false(sdp_is_ufrag(text, 3));
    assert_true(sdp_is_ufrag(text, 4));
    assert_true(sdp_is_ufrag(text, 256));
    assert_false(sdp_is_ufrag(text, 257));
    assert_false(sdp_is_pwd(text, 21));
    assert_true(sdp_is_pwd(text, 22));
    assert_true(sdp_is_pwd(text, 256));
    assert_false(sdp_is_pwd(text, 257));
    text[10] = '\0';
    assert_false(sdp_is_pwd(text, 22));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_an_offer),           cmocka_unit_test(tells_what_lines_say),
        cmocka_unit_test(takes_any_line_end),       cmocka_unit_test(one_line_is_one_thing),
        cmocka_unit_test(refuses_a_text_too_long),  cmocka_unit_test(options_are_words),
        cmocka_unit_test(credentials_have_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
