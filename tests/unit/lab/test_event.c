/* SPDX-License-Identifier: MIT
 * Events as text, and the log that does not drown its reader. */
#include "../test.h"

#include "lab/event.h"
#include "lab/journal.h"
#include "lab/transit.h"

#include <stdio.h>

static struct bk_addr at(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static void an_event_is_one_json_object(void **state) {
    struct lab_flow flow = {
        .proto = "udp", .from = at("192.168.1.10:5000"), .outside = at("203.0.113.1:5000")};
    struct lab_event mapped = {.kind = LAB_MAPPED,
                               .at_us = 1234567,
                               .host = "alice-router",
                               .program = "",
                               .text = "",
                               .reason = "",
                               .flow = &flow};
    char out[EVENT_LINE_MAX];
    (void)state;
    assert_string_equal(event_json(&mapped, out, sizeof out),
                        "{\"event\":\"mapped\",\"at_ms\":1234.567,\"host\":\"alice-router\","
                        "\"proto\":\"udp\",\"from\":\"192.168.1.10:5000\","
                        "\"outside\":\"203.0.113.1:5000\"}");
    assert_string_equal(event_line(&mapped, out, sizeof out),
                        "1.234s alice-router: udp 192.168.1.10:5000 is now 203.0.113.1:5000 "
                        "outside");
    struct lab_flow away = {
        .proto = "tcp", .from = at("[2001:db8::1]:80"), .to = at("[2001:db8::2]:8080")};
    struct lab_event dropped = {.kind = LAB_DROPPED,
                                .host = "alice-router",
                                .program = "",
                                .text = "filtered by alice-router",
                                .reason = "filtered",
                                .flow = &away,
                                .count = 7};
    assert_string_equal(event_json(&dropped, out, sizeof out),
                        "{\"event\":\"dropped\",\"at_ms\":0.000,\"host\":\"alice-router\","
                        "\"text\":\"filtered by alice-router\",\"reason\":\"filtered\","
                        "\"proto\":\"tcp\",\"from\":\"[2001:db8::1]:80\","
                        "\"to\":\"[2001:db8::2]:8080\",\"count\":7}");
    assert_string_equal(event_line(&dropped, out, sizeof out),
                        "0.000s alice-router: dropped 7 more of tcp [2001:db8::1]:80 -> "
                        "[2001:db8::2]:8080: filtered by alice-router");
}

static void whatever_a_program_prints_is_a_json_string(void **state) {
    static const struct {
        const char *text, *json;
    } cases[] = {
        {"plain", "plain"},
        {"\"\\\t\x1f", "\\\"\\\\\\u0009\\u001f"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xff|\xc3", "\\ufffd|\\ufffd"},
        {"\xc0\x80", "\\ufffd\\ufffd"},            /* overlong */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"\xe2\x82", "\\ufffd\\ufffd"}, /* cut short */
    };
    char out[EVENT_LINE_MAX], want[EVENT_LINE_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lab_event e = {.kind = LAB_NOTE, .host = "", .program = "", .text = cases[i].text};
        snprintf(want, sizeof want, "{\"event\":\"note\",\"at_ms\":0.000,\"text\":\"%s\"}",
                 cases[i].json);
        assert_string_equal(event_json(&e, out, sizeof out), want);
    }
}

static void a_long_text_is_cut_and_the_object_stays_whole(void **state) {
    char text[3000], out[2000];
    struct lab_event e = {
        .kind = LAB_FAILED, .host = "", .program = "", .text = text, .status = 3, .line = 4};
    (void)state;
    memset(text, '"', sizeof text);
    text[sizeof text - 1] = '\0';
    event_json(&e, out, sizeof out);
    const char *tail = "\\\"\",\"status\":3,\"line\":4}";
    assert_true(strlen(out) < sizeof out);
    assert_string_equal(out + strlen(out) - strlen(tail), tail);
}

/* The log. */

static const char world[] = "[nat home]\npublic = 203.0.113.1\ninside = 192.168.1.1/24\n"
                            "[host alice]\nbehind = home\naddress = 192.168.1.10\n";

struct bench {
    struct topology topology;
    struct journal journal;
    size_t told[LAB_EVENT_KINDS];
    uint64_t counted; /* sum of `count` of drops told and skipped */
    uint64_t last_count;
};

static void count(void *ctx, const struct lab_event *event) {
    struct bench *b = ctx;
    b->told[event->kind]++;
    b->counted += event->count;
    b->last_count = event->count;
}

static void open_bench(struct bench *b) {
    struct topology_error error;
    memset(b, 0, sizeof *b);
    assert_int_equal(topology_parse(world, sizeof world - 1, &b->topology, &error), BK_OK);
    journal_init(&b->journal, &b->topology, count, b);
}

/* A filtered UDP packet from this port. */
static void drop(struct bench *b, uint16_t port, struct bk_time now) {
    uint8_t bytes[64] = {0};
    struct transit t = {.bytes = bytes, .len = sizeof bytes, .parsed = true};
    t.packet.header.flow.src = at("198.51.100.1:1");
    t.packet.header.flow.src.port = port;
    t.packet.header.flow.dst = at("203.0.113.1:5000");
    struct fabric_sight sight = {
        .packet = &t, .drop = LAB_DROP_NAT, .nat = NAT_DROP_FILTERED, .link = 0, .by = 0};
    journal_sight(&b->journal, &sight, now);
}

static void a_flood_is_one_line_a_second(void **state) {
    static struct bench b;
    (void)state;
    open_bench(&b);
    for (int64_t ms = 0; ms < 3000; ms++) {
        drop(&b, 7, test_at_ms(ms));
        journal_advance(&b.journal, test_at_ms(ms));
    }
    assert_int_equal(b.told[LAB_DROPPED], 3); /* at 0, 1 and 2 s */
    assert_true(b.counted < 3000);
    journal_finish(&b.journal, test_at_ms(3000));
    assert_int_equal(b.counted, 3000); /* none is forgotten */
    topology_fini(&b.topology);
}

static void many_flows_are_counted_together(void **state) {
    static struct bench b;
    (void)state;
    open_bench(&b);
    for (int i = 0; i < 60000; i++)
        drop(&b, (uint16_t)(i + 1), test_at_ms(0));
    assert_int_equal(b.told[LAB_DROPPED], JOURNAL_FLOWS_MAX);
    assert_int_equal(journal_deadline(&b.journal).us, 1000000);
    journal_advance(&b.journal, test_at_ms(1000));
    assert_int_equal(b.told[LAB_DROPPED], JOURNAL_FLOWS_MAX);
    assert_int_equal(b.told[LAB_SKIPPED], 1);
    assert_int_equal(b.counted, 60000);
    assert_true(bk_is_never(journal_deadline(&b.journal))); /* quiet again */
    drop(&b, 1, test_at_ms(1001));
    assert_int_equal(b.last_count, 1); /* new again */
    topology_fini(&b.topology);
}

static void mappings_are_told_until_there_are_too_many(void **state) {
    static struct bench b;
    struct nat_mapping_view view = {
        .proto = NAT_UDP, .internal = at("192.168.1.10:5000"), .external = at("203.0.113.1:5000")};
    (void)state;
    open_bench(&b);
    for (int i = 0; i < JOURNAL_MAPPINGS_MAX + 500; i++)
        journal_mapping(&b.journal, 0, &view, i % 2 == 0, test_at_ms(0));
    assert_int_equal(b.told[LAB_MAPPED] + b.told[LAB_UNMAPPED], JOURNAL_MAPPINGS_MAX);
    journal_advance(&b.journal, test_at_ms(1000));
    assert_int_equal(b.told[LAB_SKIPPED], 1);
    assert_int_equal(b.last_count, 500);
    journal_mapping(&b.journal, 0, &view, true, test_at_ms(1001));
    assert_int_equal(b.told[LAB_MAPPED] + b.told[LAB_UNMAPPED], JOURNAL_MAPPINGS_MAX + 1);
    topology_fini(&b.topology);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_one_json_object),
        cmocka_unit_test(whatever_a_program_prints_is_a_json_string),
        cmocka_unit_test(a_long_text_is_cut_and_the_object_stays_whole),
        cmocka_unit_test(a_flood_is_one_line_a_second),
        cmocka_unit_test(many_flows_are_counted_together),
        cmocka_unit_test(mappings_are_told_until_there_are_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
