/* SPDX-License-Identifier: MIT
 * Peer cards: what is written is read back; what strangers write is not believed. */
#define _GNU_SOURCE
#include "../test.h"
#include "cli/nat_card.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <unistd.h>

static const struct bk_nat_traits everything = {
    .translated = BK_YES,
    .udp_blocked = BK_NO,
    .mapping = BK_NAT_APD,
    .filtering = BK_NAT_AD,
    .ports = BK_NAT_PORTS_SEQUENTIAL,
    .step = -2,
    .ports_per_s = 0.5,
    .foreign_per_s = 12.25,
    .port_min = 1024,
    .port_max = 2047,
    .port_count = 240,
    .paired = BK_NO,
    .hairpin = BK_NAT_HAIRPIN_INTERNAL,
    .unsolicited = BK_NAT_UNSOLICITED_REJECT,
    .inbound_first = BK_YES,
    .mappings_max = 4000000000u,
    .udp_lifetime_us = 35 * BK_US_PER_S,
    .external = {.family = BK_IPV4, .bytes = {203, 0, 113, 1}},
    .inner = {.family = BK_IPV4, .bytes = {100, 64, 1, 2}},
    .two_nats = BK_YES,
    .port_mapping = BK_NO,
    .tcp_punch = BK_YES,
    .ipv6 = BK_NO,
};

static struct nat_card read_back(const struct nat_card *card) {
    struct nat_card out;
    char reason[NAT_CARD_REASON_MAX] = "";
    cJSON *object = nat_card_json(card);
    char *text = cJSON_PrintUnformatted(object);
    assert_non_null(text);
    assert_int_equal(nat_card_parse(text, strlen(text), &out, reason), BK_OK);
    cJSON_free(text);
    cJSON_Delete(object);
    return out;
}

static void every_trait_survives(void **state) {
    (void)state;
    struct nat_card card;
    memset(&card, 0, sizeof card); /* padding is compared, too */
    memcpy(&card.ipv4, &everything, sizeof everything);
    card.ipv6.translated = BK_NO;
    card.ipv6.filtering = BK_NAT_APD;
    struct nat_card back = read_back(&card);
    cJSON *one = nat_card_json(&card), *two = nat_card_json(&back);
    assert_true(cJSON_Compare(one, two, true));
    cJSON *ipv4 = cJSON_GetObjectItem(one, "ipv4");
    assert_int_equal(cJSON_GetArraySize(ipv4), 23); /* one member per trait, and none forgotten */
    cJSON_Delete(one);
    cJSON_Delete(two);
    assert_int_equal(back.ipv4.step, -2);
    assert_int_equal(back.ipv4.mappings_max, 4000000000u);
    assert_true(back.ipv4.foreign_per_s == 12.25);
    assert_int_equal(back.ipv4.udp_lifetime_us, 35 * BK_US_PER_S);
    assert_true(bk_ip_equal(&back.ipv4.inner, &everything.inner));
    assert_int_equal(back.ipv6.filtering, BK_NAT_APD);
}

static void the_unknown_is_left_out(void **state) {
    (void)state;
    const struct nat_card card = {.ipv4 = {.udp_blocked = BK_YES}};
    cJSON *object = nat_card_json(&card);
    char *text = cJSON_PrintUnformatted(object);
    assert_string_equal(text, "{\"bodkin_nat_card\":1,\"ipv4\":{\"udp_blocked\":true}}");
    cJSON_free(text);
    cJSON_Delete(object);
}

static void other_members_and_null_are_skipped(void **state) {
    (void)state;
    static const char text[] =
        "{\"schema\":1,\"findings\":[1,[2]],\"card\":{\"bodkin_nat_card\":1,\"later\":{},"
        "\"ipv4\":{\"translated\":true,\"mapping\":null,\"colour\":\"red\"}}}\n";
    struct nat_card card;
    char reason[NAT_CARD_REASON_MAX];
    assert_int_equal(nat_card_parse(text, strlen(text), &card, reason), BK_OK);
    assert_int_equal(card.ipv4.translated, BK_YES);
    assert_int_equal(card.ipv4.mapping, BK_NAT_DEP_UNKNOWN);
    assert_int_equal(card.ipv6.translated, BK_UNKNOWN);
}

#define CARD(traits) "{\"bodkin_nat_card\":1,\"ipv4\":{\"translated\":true," traits "}}"

static void what_cannot_be_is_refused_in_words(void **state) {
    (void)state;
    static const struct {
        const char *text, *reason;
        enum bk_err err;
    } cases[] = {
        {"", "it is not JSON", BK_ERR_NOT_OURS},
        {"bodkin1abc", "it is not JSON", BK_ERR_NOT_OURS},
        {"[]", "it is not what `bodkin nat --card` writes", BK_ERR_NOT_OURS},
        {"3", "it is not what `bodkin nat --card` writes", BK_ERR_NOT_OURS},
        {"{}", "it is not what `bodkin nat --card` writes", BK_ERR_NOT_OURS},
        {"{\"card\":[]}", "it is not what `bodkin nat --card` writes", BK_ERR_NOT_OURS},
        {"{\"bodkin_nat_card\":\"1\"}", "it is not what `bodkin nat --card` writes",
         BK_ERR_NOT_OURS},
        {"{\"bodkin_nat_card\":2}", "it was written by a newer bodkin", BK_ERR_UNSUPPORTED},
        {"{\"bodkin_nat_card\":1}", "it says nothing about a NAT", BK_ERR_MALFORMED},
        {"{\"bodkin_nat_card\":1,\"ipv4\":7}", "\"ipv4\" is not an object", BK_ERR_MALFORMED},
        {CARD("\"mapping\":\"sideways\""), "\"mapping\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"mapping\":3"), "\"mapping\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"paired\":\"yes\""), "\"paired\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"port_min\":65536"), "\"port_min\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"port_min\":-1"), "\"port_min\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"port_min\":1.5"), "\"port_min\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"step\":-65536"), "\"step\" has no possible value", BK_ERR_MALFORMED},
        {CARD("\"udp_lifetime_ms\":1e300"), "\"udp_lifetime_ms\" has no possible value",
         BK_ERR_MALFORMED},
        {CARD("\"external\":\"home.example\""), "\"external\" has no possible value",
         BK_ERR_MALFORMED},
        {CARD("\"port_min\":2,\"port_max\":1"), "\"port_max\" is less than \"port_min\"",
         BK_ERR_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct nat_card card = {.ipv4 = {.step = 77}};
        char reason[NAT_CARD_REASON_MAX] = "";
        enum bk_err err = nat_card_parse(cases[i].text, strlen(cases[i].text), &card, reason);
        assert_string_equal(reason, cases[i].reason);
        assert_int_equal(err, cases[i].err);
        assert_int_equal(card.ipv4.step, 77); /* untouched */
    }
}

static void size_and_depth_are_bounded(void **state) {
    (void)state;
    static char text[NAT_CARD_MAX + 2];
    struct nat_card card;
    char reason[NAT_CARD_REASON_MAX];
    memset(text, '[', sizeof text);
    assert_int_equal(nat_card_parse(text, NAT_CARD_MAX, &card, reason), BK_ERR_NOT_OURS);
    memset(text, ' ', sizeof text);
    assert_int_equal(nat_card_parse(text, NAT_CARD_MAX + 1, &card, reason), BK_ERR_NOT_OURS);
    assert_string_equal(reason, "it is too long");
}

static void files_are_written_and_read(void **state) {
    (void)state;
    char path[] = "/tmp/bodkin-card-XXXXXX", reason[NAT_CARD_REASON_MAX] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old and much longer than nothing", 32), 32);
    close(fd);
    struct nat_card card = {.ipv4 = {.translated = BK_YES, .mapping = BK_NAT_EI}}, back;
    assert_int_equal(nat_card_write(path, &card, reason), BK_OK);
    assert_int_equal(nat_card_read(path, &back, reason), BK_OK);
    assert_int_equal(back.ipv4.mapping, BK_NAT_EI);
    unlink(path);
    assert_int_equal(nat_card_read(path, &back, reason), BK_ERR_NOT_FOUND);
    assert_string_equal(reason, "No such file or directory");
    assert_int_equal(nat_card_read("/", &back, reason), BK_ERR_IO);
    assert_int_equal(nat_card_write("/", &card, reason), BK_ERR_IO);
    assert_int_equal(nat_card_write("/dev/full", &card, reason), BK_ERR_IO);
    assert_string_equal(reason, "No space left on device");
}

static void presets_of_the_model_are_cards(void **state) {
    (void)state;
    char reason[NAT_CARD_REASON_MAX] = "";
    struct nat_card card;
    assert_int_equal(nat_card_read("preset:symmetric", &card, reason), BK_OK);
    assert_int_equal(card.ipv4.mapping, BK_NAT_APD);
    assert_int_equal(card.ipv4.ports, BK_NAT_PORTS_RANDOM);
    struct nat_card back = read_back(&card);
    assert_int_equal(back.ipv4.filtering, BK_NAT_APD);
    assert_int_equal(nat_card_read("preset:nonsense", &card, reason), BK_ERR_NOT_FOUND);
    assert_non_null(strstr(reason, "no such preset"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trait_survives),
        cmocka_unit_test(the_unknown_is_left_out),
        cmocka_unit_test(other_members_and_null_are_skipped),
        cmocka_unit_test(what_cannot_be_is_refused_in_words),
        cmocka_unit_test(size_and_depth_are_bounded),
        cmocka_unit_test(files_are_written_and_read),
        cmocka_unit_test(presets_of_the_model_are_cards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
