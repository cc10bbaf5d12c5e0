/* SPDX-License-Identifier: MIT
 * The card of `bodkin nat`: a dozen kinds of NAT in words. */
#include "../test.h"
#include "cli/nat_meaning.h"
#include "cli/nat_text.h"
#include "nat_records.h"

static char card[NAT_TEXT_MAX];

static const char *card_of(const struct bk_nat_record *r) {
    struct text t = text_in(card, sizeof card);
    nat_text_card(r, &nat_test_server, &t);
    assert_false(t.cut);
    return card;
}

static void assert_says(const char *text, const char *words) {
    if (strstr(flat(text), words) == NULL)
        fail_msg("does not say \"%s\":\n%s", words, text);
}

static void assert_never(const char *text, const char *words) {
    if (strstr(text, words) != NULL)
        fail_msg("says \"%s\":\n%s", words, text);
}

static void a_home_router_on_one_card(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    assert_string_equal(
        card_of(&r),
        "Your NAT: endpoint-independent mapping, address- and port-dependent filtering\n"
        "(port-restricted cone)\n"
        "\n"
        "- Direct with most peers: with all whose NAT is a cone, or whose filter ignores\n"
        "  ports. Relayed with symmetric peers, unless their port is predicted or\n"
        "  guessed.\n"
        "\n"
        "  public address    203.0.113.7\n"
        "  mapping           endpoint-independent: one outside port for all destinations\n"
        "  filtering         address- and port-dependent: only what was sent to gets in\n"
        "  ports             preserved: the same outside as inside, while it is free\n"
        "  hairpin           no: hosts inside cannot meet at the public address\n"
        "  unsolicited       dropped silently\n"
        "  early packets     harmless\n"
        "  TCP mapping       as for UDP\n"
        "  second NAT        no sign of one\n"
        "  port mapping      none (PCP, NAT-PMP, UPnP)\n"
        "\n"
        "Asked 198.51.100.10:3478 and 198.51.100.11:3479: 34 packets, 1.2 s; round trip\n"
        "40.3 ms.\n");
}

/* The first sentence of the meaning, and the old name, by type. */
static void every_type_has_its_meaning(void **state) {
    (void)state;
    static const struct {
        enum bk_nat_dep mapping, filtering;
        enum bk_nat_ports ports;
        const char *cone, *meaning;
    } types[] = {
        {BK_NAT_EI, BK_NAT_EI, BK_NAT_PORTS_PRESERVE, "(full cone)",
         "Direct with every peer that has UDP"},
        {BK_NAT_EI, BK_NAT_AD, BK_NAT_PORTS_PRESERVE, "(restricted cone)", "symmetric ones too"},
        {BK_NAT_EI, BK_NAT_APD, BK_NAT_PORTS_RANDOM, "(port-restricted cone)",
         "Direct with most peers"},
        {BK_NAT_EI, BK_NAT_DEP_UNKNOWN, BK_NAT_PORTS_PRESERVE, "unknown filtering",
         "Direct with most peers"},
        {BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_RANDOM, "(symmetric)",
         "some hundred ports are tried; relayed with symmetric ones"},
        {BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_SEQUENTIAL, "(symmetric)",
         "the next port is predicted"},
        {BK_NAT_APD, BK_NAT_AD, BK_NAT_PORTS_RANDOM, "(symmetric)", "one hit is enough"},
        {BK_NAT_APD, BK_NAT_EI, BK_NAT_PORTS_RANDOM, "(symmetric)",
         "Direct with every peer all the same"},
        {BK_NAT_AD, BK_NAT_APD, BK_NAT_PORTS_TIME, "(symmetric)", "the next port is predicted"},
        {BK_NAT_DEP_UNKNOWN, BK_NAT_APD, BK_NAT_PORTS_UNKNOWN, "unknown mapping",
         "depends on the mapping"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct bk_nat_record r;
        make_nat(&r, types[i].mapping, types[i].filtering, types[i].ports);
        const char *sentences[NAT_MEANINGS_MAX];
        assert_int_equal(nat_meaning(&r, sentences), 1);
        assert_says(sentences[0], types[i].meaning);
        assert_says(card_of(&r), types[i].cone);
    }
}

static void without_a_nat_it_says_so(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_open(&r);
    assert_says(card_of(&r), "No NAT: the outside sees this machine's own address; nothing is "
                             "filtered (open)");
    assert_says(card, "everybody reaches this machine");
    assert_never(card, "  mapping ");
    r.traits.filtering = BK_NAT_APD;
    assert_says(card_of(&r), "(symmetric firewall)");
}

static void blocked_udp_is_a_result(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_blocked(&r);
    assert_says(card_of(&r), "UDP is blocked: nothing more can be seen of the NAT. ");
    assert_says(card, "Relayed with everybody");
    assert_says(card, "9 packets, 2.0 s. ");
    assert_never(card, "  mapping ");
    assert_never(card, "round trip");
}

/* What cannot be known is said, with its reason; what makes no sense here is not. */
static void the_unknown_is_honest(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_nat(&r, BK_NAT_DEP_UNKNOWN, BK_NAT_DEP_UNKNOWN, BK_NAT_PORTS_PRESERVE);
    cannot_tell(&r, BK_NAT_MAPPING, BK_NAT_REASON_ONE_ADDRESS);
    cannot_tell(&r, BK_NAT_FILTERING, BK_NAT_REASON_NO_SUPPORT);
    cannot_tell(&r, BK_NAT_HAIRPIN, BK_NAT_REASON_NOT_APPLICABLE);
    assert_says(card_of(&r), "Your NAT: unknown mapping, unknown filtering ");
    assert_says(card,
                " mapping cannot tell whether address-dependent: the server has one address ");
    assert_says(card, " filtering cannot tell: ");
    assert_never(card, "  hairpin");
}

static void a_run_over_ipv6_alone(void **state) {
    (void)state;
    struct bk_nat_record r;
    memset(&r, 0, sizeof r);
    finds(&r, BK_NAT_IPV6, BK_YES);
    finds(&r, BK_NAT_IPV6_FILTERING, BK_NAT_APD);
    r.traits6 =
        (struct bk_nat_traits){.translated = BK_NO, .mapping = BK_NAT_EI, .filtering = BK_NAT_APD};
    assert_says(card_of(&r), "IPv6 without NAT: address- and port-dependent filtering "
                             "(symmetric firewall) - IPv6 works");
    r.traits6.translated = BK_YES;
    assert_says(card_of(&r), "Your NAT for IPv6: endpoint-independent mapping, ");
    finds(&r, BK_NAT_IPV6, BK_NO);
    assert_says(card_of(&r), "IPv6: the server cannot be reached by it.");
}

static void doubts_are_shown(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    r.findings[BK_NAT_FILTERING].permille = 850;
    assert_says(card_of(&r), "gets in (85 % sure) ");
}

static void ports_show_their_pattern(void **state) {
    (void)state;
    struct bk_nat_record r;
    char words[NAT_SENTENCE_MAX];
    make_nat(&r, BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_SEQUENTIAL);
    r.traits.step = -2;
    assert_string_equal(nat_text_finding(&r, BK_NAT_PORTS, words),
                        "sequential: each is the last one given minus 2");
    make_nat(&r, BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_RANDOM);
    r.traits.port_min = 20480;
    r.traits.port_max = 21503;
    assert_string_equal(nat_text_finding(&r, BK_NAT_PORTS, words), "random, within 20480-21503");
    r.traits.port_count = 240;
    assert_string_equal(nat_text_finding(&r, BK_NAT_PORTS, words),
                        "random, within 20480-21503 (240 ports)");
    make_nat(&r, BK_NAT_APD, BK_NAT_APD, BK_NAT_PORTS_TIME);
    r.traits.ports_per_s = 12.7;
    assert_string_equal(nat_text_finding(&r, BK_NAT_PORTS, words),
                        "growing with time, about 12 a second");
}

static void lifetimes_are_shown_when_measured(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    assert_never(card_of(&r), "life,");
    finds(&r, BK_NAT_LIFE_FIRST, 29600000);
    finds(&r, BK_NAT_LIFE_REPLIED, 120 * BK_US_PER_S);
    finds(&r, BK_NAT_REFRESH_IN, BK_YES);
    r.life_error_us = 6 * BK_US_PER_S;
    assert_says(card_of(&r), " life, unanswered 30 s ");
    assert_says(card, " life, answered 120 s, give or take 6 s ");
    assert_says(card, " kept by incoming yes ");
    r.findings[BK_NAT_LIFE_REPLIED].at_least = true;
    assert_says(card_of(&r), " life, answered at least 120 s ");
}

static void a_carrier_nat_with_port_mapping(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    finds(&r, BK_NAT_DOUBLE, BK_NAT_DOUBLE_CARRIER);
    finds(&r, BK_NAT_PCP, BK_YES);
    finds(&r, BK_NAT_UPNP, BK_YES);
    r.traits.two_nats = r.traits.port_mapping = BK_YES;
    r.portmap_external = bk_ipv4(100, 64, 1, 2);
    assert_says(card_of(&r), " second NAT yes: the outer one is the provider's (CGN) ");
    assert_says(card, " router's address 100.64.1.2 ");
    assert_says(card, " port mapping PCP, UPnP ");
    assert_says(card, "a second NAT stands behind");
}

static void warnings_stand_with_the_meaning(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    r.traits.inbound_first = r.traits.ipv6 = BK_YES;
    r.traits.paired = BK_NO;
    finds(&r, BK_NAT_POOLING, BK_NO);
    finds(&r, BK_NAT_ALG, BK_YES);
    finds(&r, BK_NAT_PORT_SPECIFIC, BK_YES);
    r.externals[r.external_count++] = bk_ipv4(203, 0, 113, 8);
    assert_says(card_of(&r), "- Beware: a peer's packet that arrives before the first one");
    assert_says(card, "- IPv6 works: direct with every peer that has it, too. ");
    assert_says(card, "- Beware: STUN's port");
    assert_says(card, "- The public address changes from mapping to mapping");
    assert_says(card, " public address 203.0.113.7, 203.0.113.8 ");
    assert_says(card, " address pooling arbitrary");
}

static void evidence_names_question_answer_and_witness(void **state) {
    (void)state;
    struct bk_nat_record r;
    make_home(&r);
    struct text t = text_in(card, sizeof card);
    nat_text_evidence(&r, &t);
    assert_says(card, " 0.0 ");
    assert_says(card, " from port 45001 to 198.51.100.10:3478: answered by"
                      " 198.51.100.10:3478 after 40.3 ms, seen as 203.0.113.7:45001 [UDP,"
                      " mapping] ");
    assert_says(card, " 41.0 ");
    assert_says(card, ", sent 3 times: no answer ");
}

/* Whatever the record says, no line is too long and nothing overflows. */
static void any_record_fits_eighty_columns(void **state) {
    (void)state;
    for (unsigned value = 0; value < 8; value++) {
        struct bk_nat_record r;
        make_home(&r);
        for (unsigned i = 0; i < BK_NAT_ATTRS; i++) {
            finds(&r, (enum bk_nat_attr)i, value);
            r.findings[i].permille = 123;
        }
        r.traits.ports_per_s = 1e9;
        r.external_count = 8;
        for (size_t i = 0; i < 8; i++)
            r.externals[i] = bk_ipv4(255, 255, 255, 255);
        for (r.observation_count = 0; r.observation_count < BK_NATCHECK_OBSERVATIONS_MAX;)
            sees(&r, UINT32_MAX, 65535, 65535, INT64_C(3600) * 1000000, -1);
        struct text t = text_in(card, sizeof card);
        nat_text_card(&r, &nat_test_server, &t);
        for (const char *line = card; *line != '\0';) {
            size_t len = strcspn(line, "\n");
            assert_true(len <= NAT_TEXT_COLUMNS);
            line += len + 1;
        }
        nat_text_evidence(&r, &t);
    }
}

static void words_are_wrapped(void **state) {
    (void)state;
    char out[256];
    struct text t = text_in(out, sizeof out);
    text_str(&t, "ab");
    nat_text_wrap(&t, 2, 4, "one two");
    assert_string_equal(out, "ab  one two\n");
    t = text_in(out, sizeof out);
    nat_text_wrap(&t, 70, 2, "0123456789 next");
    assert_string_equal(out, "0123456789\n  next\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_home_router_on_one_card),
        cmocka_unit_test(every_type_has_its_meaning),
        cmocka_unit_test(without_a_nat_it_says_so),
        cmocka_unit_test(blocked_udp_is_a_result),
        cmocka_unit_test(the_unknown_is_honest),
        cmocka_unit_test(a_run_over_ipv6_alone),
        cmocka_unit_test(doubts_are_shown),
        cmocka_unit_test(ports_show_their_pattern),
        cmocka_unit_test(lifetimes_are_shown_when_measured),
        cmocka_unit_test(a_carrier_nat_with_port_mapping),
        cmocka_unit_test(warnings_stand_with_the_meaning),
        cmocka_unit_test(evidence_names_question_answer_and_witness),
        cmocka_unit_test(any_record_fits_eighty_columns),
        cmocka_unit_test(words_are_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
