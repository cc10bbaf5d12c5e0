/* SPDX-License-Identifier: MIT
 * The topology file: what it takes, and the exact words with which it refuses. */
#include "../test.h"

#include "topology/topology.h"
#include <stdio.h>

static const char home[] = "[nat r]\n"
                           "preset = home\n"
                           "public = 203.0.113.1\n"
                           "inside = 192.168.1.1/24, 2001:db8:a::1/64\n"
                           "[host a]\n"
                           "behind = r\n"
                           "address = 192.168.1.10, 2001:db8:a::10\n"
                           "delay = 20ms / 1.5s ; comment\n"
                           "loss = 0.5%\n"
                           "rate = 100mbit\n"
                           "[host s]\n"
                           "address = 198.51.100.10 # comment\n";

static enum bk_err parse(const char *text, struct topology *out, struct topology_error *error) {
    return topology_parse(text, strlen(text), out, error);
}

static void reads_every_field(void **state) {
    struct topology t;
    struct topology_error error;
    (void)state;
    assert_int_equal(parse(home, &t, &error), BK_OK);
    assert_int_equal(t.node_count, 3);
    const struct topology_node *r = &t.nodes[0], *a = &t.nodes[1], *s = &t.nodes[2];
    assert_int_equal(r->kind, TOPOLOGY_NAT);
    assert_int_equal(r->nat.external_count, 1);
    assert_int_equal(r->nat.mapping, NAT_EI);
    assert_int_equal(r->nat.filtering, NAT_APD);
    assert_int_equal(a->parent, 0);
    assert_int_equal(a->address[0].bits, 24);
    assert_int_equal(a->address[1].bits, 64);
    assert_int_equal(a->link[TOPOLOGY_UP].delay_us, 20000);
    assert_int_equal(a->link[TOPOLOGY_DOWN].delay_us, 1500000);
    assert_int_equal(a->link[TOPOLOGY_DOWN].loss_ppm, 5000);
    assert_int_equal(a->link[TOPOLOGY_UP].rate_bps, 100000000);
    assert_int_equal(s->parent, TOPOLOGY_NOWHERE);
    assert_int_equal(s->address[0].bits, 32);
    assert_int_equal(s->mtu, 1500);
    topology_fini(&t);
}

static void reads_every_step(void **state) {
    char text[4096];
    struct topology t;
    struct topology_error error;
    (void)state;
    snprintf(text, sizeof text, "%s%s", home,
             "[run]\n"
             "start s: serve --port 1 # not a comment\n"
             "start a as listener: listen\n"
             "wait s timeout=5s: home: {home}\n"
             "a exit=3 timeout=2m: connect \"$home\"\n"
             "at 1s: cut a s udp\n"
             "set r delay=5ms/6ms loss=1%\n"
             "reboot r\n"
             "restore\n"
             "sleep 100ms\n"
             "stop s\n"
             "join listener exit=any\n");
    assert_int_equal(parse(text, &t, &error), BK_OK);
    assert_int_equal(t.step_count, 11);
    assert_int_equal(t.steps[0].kind, TOPOLOGY_START);
    assert_string_equal(t.steps[0].text, "serve --port 1 # not a comment");
    assert_string_equal(t.steps[1].name, "listener");
    assert_int_equal(t.steps[2].timeout_us, 5000000);
    assert_string_equal(t.steps[2].text, "home: {home}");
    assert_int_equal(t.steps[3].exit, 3);
    assert_int_equal(t.steps[4].at_us, 1000000);
    assert_int_equal(t.steps[4].change.node, 1);
    assert_int_equal(t.steps[4].change.other, 2);
    assert_int_equal(t.steps[4].change.protocols, TOPOLOGY_UDP);
    assert_true(t.steps[5].change.set_delay && t.steps[5].change.set_loss);
    assert_false(t.steps[5].change.set_rate);
    assert_int_equal(t.steps[5].change.link[TOPOLOGY_DOWN].delay_us, 6000);
    assert_int_equal(t.steps[6].change.kind, TOPOLOGY_REBOOT);
    assert_int_equal(t.steps[7].change.node, TOPOLOGY_NOWHERE);
    assert_int_equal(t.steps[8].timeout_us, 100000);
    assert_int_equal(t.steps[10].exit, -1);
    topology_fini(&t);
}

static void reads_changes(void **state) {
    char text[4096];
    struct topology t;
    struct topology_error error;
    (void)state;
    snprintf(text, sizeof text, "%s%s", home,
             "[run]\n"
             "evict r 3 random\n"
             "evict r all\n"
             "exhaust r\n"
             "exhaust r off\n"
             "limit r 20\n"
             "at 2s: readdress r 203.0.113.9\n"
             "flap a 300ms every 2s times 5\n"
             "set a duplicate=1%\n");
    assert_int_equal(parse(text, &t, &error), BK_OK);
    assert_int_equal(t.step_count, 8);
    assert_int_equal(t.steps[0].change.count, 3);
    assert_true(t.steps[0].change.any);
    assert_true(t.steps[1].change.count == UINT32_MAX && !t.steps[1].change.any);
    assert_false(t.steps[2].change.off);
    assert_true(t.steps[3].change.off);
    assert_int_equal(t.steps[4].change.kind, TOPOLOGY_LIMIT);
    assert_int_equal(t.steps[4].change.count, 20);
    assert_int_equal(t.steps[5].change.ip.bytes[3], 9);
    assert_string_equal(t.steps[5].text, "readdress r 203.0.113.9");
    assert_int_equal(t.steps[7].change.link[TOPOLOGY_DOWN].duplicate_ppm, 10000);
    const struct topology_change *flap = &t.steps[6].change;
    static const struct {
        int64_t ms;
        bool down;
    } at[] = {{-1, false},   {0, true},    {299, true},   {300, false},  {2000, true},
              {2300, false}, {8299, true}, {9999, false}, {10000, false}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        assert_int_equal(topology_flap_is_down(flap, 0, at[i].ms * 1000), at[i].down);
    topology_fini(&t);
}

static const char meeting[] = "[host s]\naddress = 198.51.100.1\n"
                              "[host a]\naddress = 198.51.100.2\n"
                              "[host b]\naddress = 198.51.100.3\n"
                              "[run]\n"
                              "serve s\n"
                              "meet a b\n"
                              "meet b a port=4000\n"
                              "expect relayed because symmetric within 2s for 1s\n"
                              "expect a b direct\n"
                              "expect data within 1500ms\n";

static void reads_meetings(void **state) {
    struct topology t;
    struct topology_error error;
    (void)state;
    assert_int_equal(parse(meeting, &t, &error), BK_OK);
    assert_int_equal(t.steps[0].kind, TOPOLOGY_SERVE);
    assert_true(t.steps[1].host == 1 && t.steps[1].other == 2 && t.steps[1].port == 0);
    assert_int_equal(t.steps[2].port, 4000);
    assert_int_equal(t.steps[3].expect, TOPOLOGY_RELAYED);
    assert_string_equal(t.steps[3].reason, "symmetric");
    assert_int_equal(t.steps[3].timeout_us, 2000000);
    assert_int_equal(t.steps[3].hold_us, 1000000);
    assert_int_equal(t.steps[3].host, TOPOLOGY_NOWHERE);
    assert_true(t.steps[4].host == 1 && t.steps[4].expect == TOPOLOGY_DIRECT);
    assert_int_equal(t.steps[5].expect, TOPOLOGY_DATA);
    topology_fini(&t);
}

/* What the lab runs: commands, and each expectation knows which one to ask. */
static void spells_meetings_out(void **state) {
    static const struct {
        enum topology_step_kind kind;
        const char *name;
    } expected[] = {{TOPOLOGY_START, "serve"},        {TOPOLOGY_WAIT, "serve"},
                    {TOPOLOGY_START, "meet1-listen"}, {TOPOLOGY_WAIT, "meet1-listen"},
                    {TOPOLOGY_START, "meet1"},        {TOPOLOGY_START, "meet2-listen"},
                    {TOPOLOGY_WAIT, "meet2-listen"},  {TOPOLOGY_START, "meet2"},
                    {TOPOLOGY_EXPECT, "meet2"},       {TOPOLOGY_EXPECT, "meet1"},
                    {TOPOLOGY_EXPECT, "meet2-listen"}};
    struct topology t;
    struct topology_error error;
    (void)state;
    assert_int_equal(parse(meeting, &t, &error), BK_OK);
    assert_int_equal(topology_spell_out(&t), BK_OK);
    assert_int_equal(t.step_count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < t.step_count; i++) {
        assert_int_equal(t.steps[i].kind, expected[i].kind);
        assert_string_equal(t.steps[i].name, expected[i].name);
    }
    assert_int_equal(t.steps[2].host, 2); /* bob listens */
    assert_int_equal(t.steps[4].host, 1);
    assert_string_equal(t.steps[10].text, "tick");
    topology_fini(&t);
}

#define HOST "[host a]\naddress = 198.51.100.10\n"
#define NAT "[nat r]\npublic = 203.0.113.1\ninside = 192.168.1.1/24\n"

#define TWO HOST "[host b]\naddress = 198.51.100.11\n"
#define MET TWO "[run]\nserve a\nmeet a b\n"

static const struct {
    const char *text;
    unsigned line;
    const char *error;
} refused[] = {
    {"", 0, "there is no host; write for example [host alice]"},
    {"seed = 1\n", 1, "\"seed\" stands before the first section"},
    {"[hots a]\n", 1, "unknown section \"hots\"; known: lab, nat NAME, host NAME, run"},
    {"[host a\n", 1, "the section \"[host a\" has no closing bracket"},
    {"[host]\n", 1, "\"\" is not a name: letters, digits, -_. and at most 31"},
    {"[host a b]\n", 1, "a section has one name"},
    {"[host start]\n", 1, "\"start\" means something else here and cannot be a name"},
    {"[run x]\n", 1, "the section \"run\" has no name"},
    {HOST "[nat a]\n", 3, "the name \"a\" is taken in line 1"},
    {HOST "adress = 1.2.3.4\n", 3,
     "unknown setting \"adress\" of a host; known: address, behind, delay, jitter, loss, rate, "
     "queue, duplicate, mtu"},
    {HOST "delay 20\n", 3, "\"delay 20\" is not NAME = VALUE"},
    {HOST "delay =\n", 3, "delay has no value"},
    {HOST "delay = 20\n", 3, "delay: \"20\" is not a duration like 20ms, 1.5s or 2m"},
    {HOST "delay = 1ms / x\n", 3, "delay: \"x\" is not a duration like 20ms, 1.5s or 2m"},
    {HOST "loss = 101%\n", 3, "loss: \"101%\" is not a share like 0.5%, at most 100%"},
    {HOST "rate = 10\n", 3, "rate: \"10\" is not a rate like 512kbit, 100mbit or unlimited"},
    {HOST "queue = 0B\n", 3, "queue: \"0B\" is not a size like 64KB or 1MiB"},
    {HOST "mtu = 576\n", 3, "mtu: at least 1280, RFC 8200 section 5"},
    {HOST "mtu = 1.5\n", 3, "mtu: \"1.5\" is not a number up to 65535"},
    {"[host a]\naddress = 1.2.3\n", 2, "address: \"1.2.3\" is not an IP address"},
    {"[host a]\naddress = 1.2.3.4/33\n", 2, "address: \"33\" is not a number up to 32"},
    {"[host a]\naddress = 127.0.0.1\n", 2,
     "address: 127.0.0.1 is not an address a host can have here"},
    {"[host a]\n", 1, "a has no address; for example: address = 198.51.100.10"},
    {HOST "behind = r\n", 1, "a: there is no NAT \"r\" to be behind"},
    {HOST "behind = a\n", 1, "a: a is a host, not a NAT"},
    {HOST "[host b]\naddress = 198.51.100.10\n", 3, "b: 198.51.100.10 is taken by a"},
    {NAT HOST "behind = r\n", 4, "a: 198.51.100.10 is not in a network of r"},
    {NAT "[host a]\nbehind = r\naddress = 192.168.1.1\n", 4,
     "a: 192.168.1.1 is the address of r itself"},
    {"[nat r]\npreset = portrestricted\n", 2, NULL}, /* see the test of presets below */
    {"[nat r]\nmapping = cone\n", 2,
     "unknown mapping \"cone\"; known: eim, adm, apdm, connection, time, hash"},
    {"[nat r]\nmapping = ADM\npreset = home\n", 3,
     "preset must come before the settings it would undo"},
    {"[nat r]\ninside = 192.168.1.1\n", 2, "inside needs a prefix length, like 192.168.1.1/24"},
    {"[nat r]\npublic = 203.0.113.1\n" HOST, 1,
     "r has no inside network; for example: inside = 192.168.1.1/24"},
    {"[nat r]\ninside = 192.168.1.1/24\n" HOST, 1,
     "r has no public address; for example: public = 203.0.113.1"},
    {"[nat x]\nbehind = y\npublic = 10.0.0.2\ninside = 10.1.0.1/24\n"
     "[nat y]\nbehind = x\npublic = 10.1.0.2\ninside = 10.0.0.1/24\n" HOST,
     1, "x: more than 8 NATs behind each other, or a circle"},
    {"[lab]\nspeed = 1\n", 2, "unknown setting \"speed\"; known: seed, timeout"},
    {HOST "[run]\nb: true\n", 4, "there is no host \"b\" above"},
    {NAT HOST "[run]\nr: true\n", 7, "r is a NAT: commands run in hosts"},
    {HOST "[run]\na true\n", 4, "\"true\" does not belong here; known: timeout=5s, exit=0"},
    {HOST "[run]\na:\n", 4, "\"a\" needs a colon and a command"},
    {HOST "[run]\na exit=256: true\n", 4, "exit: \"256\" is not a number up to 255"},
    {HOST "[run]\nwait a: x\n", 4, "wait: no command \"a\" was started above"},
    {HOST "[run]\nstart a: x\nstart a: y\n", 5,
     "a command \"a\" was started above; write: start a as NAME: ..."},
    {HOST "[run]\nstart a: x\nwait a exit=1: y\n", 5,
     "\"exit=1\" does not belong here; known: timeout=5s"},
    {HOST "[run]\nstart a: x\njoin a: y\n", 5, "\"join\" takes no colon"},
    {HOST "[run]\nsleep\n", 4, "sleep needs one duration, for example \"sleep 2s\""},
    {HOST "[run]\ncut\n", 4, "cut: whom? For example \"cut alice bob udp\""},
    {HOST "[run]\ncut a b\n", 4, "cut: \"b\" is neither a host, a NAT, nor udp, tcp or icmp"},
    {HOST "[run]\ncut a a\n", 4, "cut: the two names must differ"},
    {HOST "[run]\nset a\n", 4, "set: what? For example \"set alice delay=20ms\""},
    {HOST "[run]\nset a mtu=1400\n", 4,
     "set: unknown field \"mtu\"; known: delay, jitter, loss, rate, queue, duplicate"},
    {HOST "[run]\nreboot a\n", 4, "reboot: a is not a NAT"},
    {HOST "[run]\nat 5s cut a\n", 4, "at: write for example \"at 5s: cut alice bob udp\""},
    {HOST "[run]\nat 5s: a: true\n", 4,
     "at: only changes such as cut, set and reboot can wait for a time"},
    {NAT HOST "[run]\nevict r\n", 7,
     "evict: how many? For example \"evict alice-router 1\" or \"all\""},
    {NAT HOST "[run]\nevict r 2 newest\n", 7, "evict: \"newest\" is neither oldest nor random"},
    {NAT HOST "[run]\nevict a 2\n", 7, "evict: a is not a NAT"},
    {NAT HOST "[run]\nexhaust r on\n", 7, "exhaust: \"on\" is not off"},
    {NAT HOST "[run]\nlimit r\n", 7,
     "limit: how many new mappings a second? For example \"limit alice-router 20\", or \"off\""},
    {NAT HOST "[run]\nlimit r 0\n", 7, "limit: \"0\" would let nothing through: write exhaust"},
    {NAT HOST "[run]\nreaddress r\n", 7,
     "readdress: to what? For example \"readdress alice-router 203.0.113.9\""},
    {NAT HOST "[run]\nreaddress r 2001:db8::1\n", 7,
     "readdress: r has no public address of that kind"},
    {NAT HOST "[run]\nreboot r a\n", 7, "reboot takes one name; \"a\" is one too many"},
    {HOST "[run]\nflap a\n", 4, "flap: for how long? For example \"flap alice 300ms\""},
    {HOST "[run]\nflap a 1s every 1s times 2\n", 4, "flap: every \"1s\" is not longer than \"1s\""},
    {HOST "[run]\nflap a 1s times 2\n", 4, "flap: \"times\" is not \"every 2s times 5\""},
    {HOST "[run]\nserve b\n", 4, "there is no host \"b\" above"},
    {HOST "[run]\nserve a\nserve a\n", 5, "serve: there is a home server since line 4"},
    {HOST "[run]\nmeet a a\n", 4, "meet: the two names must differ"},
    {TWO "[run]\nmeet a b\n", 6, "meet: there is no home server; write \"serve HOST\" above"},
    {TWO "[run]\nserve a\nmeet a b\nmeet a b\n", 8, "meet: these two have met above"},
    {TWO "[run]\nserve a\nmeet a b fast\n", 7,
     "meet: \"fast\" does not belong here; known: port=4000"},
    {TWO "[run]\nexpect direct\n", 6,
     "expect: nobody has met above; write for example \"meet alice bob\""},
    {MET "expect fast\n", 8, "expect: \"fast\" is neither direct, relayed nor data"},
    {MET "expect direct in 2s\n", 8,
     "expect: \"in\" does not belong here; known: within 2s, for 5s"},
    {MET "expect direct within\n", 8, "expect: \"within\" needs a value"},
    {MET "expect b a direct\n", 8,
     "expect: nobody has met above; write for example \"meet alice bob\""},
};

static void refuses_with_line_and_word(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct topology t;
        struct topology_error error;
        assert_int_equal(parse(refused[i].text, &t, &error), BK_ERR_MALFORMED);
        if (refused[i].error != NULL)
            assert_string_equal(error.text, refused[i].error);
        assert_int_equal(error.line, refused[i].line);
    }
}

static void names_the_known_presets(void **state) {
    static const char start[] = "unknown NAT type \"portrestricted\"; known: home, ";
    struct topology t;
    struct topology_error error;
    (void)state;
    assert_int_equal(parse("[nat r]\npreset = portrestricted\n", &t, &error), BK_ERR_MALFORMED);
    assert_memory_equal(error.text, start, sizeof start - 1);
}

static void refuses_nul_bytes_and_long_lines(void **state) {
    struct topology t;
    struct topology_error error;
    static char text[8192];
    (void)state;
    assert_int_equal(topology_parse("[lab]\n\0", 7, &t, &error), BK_ERR_MALFORMED);
    assert_string_equal(error.text, "there is a NUL byte in this line");
    memset(text, 'x', sizeof text);
    assert_int_equal(topology_parse(text, sizeof text, &t, &error), BK_ERR_MALFORMED);
    assert_string_equal(error.text, "the line is longer than 4095 bytes");
    assert_int_equal(error.line, 1);
}

static void parses_every_prefix_of_a_file(void **state) {
    (void)state;
    for (size_t len = 0; len < sizeof home; len++) {
        struct topology t;
        struct topology_error error;
        if (topology_parse(home, len, &t, &error) == BK_OK)
            topology_fini(&t);
        else
            assert_true(error.text[0] != '\0');
    }
}

struct capture {
    char text[256];
};

static void note(void *ctx, const char *name, const char *value, size_t len) {
    struct capture *c = ctx;
    size_t at = strlen(c->text);
    snprintf(c->text + at, sizeof c->text - at, "%s=%.*s;", name, (int)len, value);
}

static void matches_patterns(void **state) {
    static const struct {
        const char *pattern, *line;
        bool matches;
        const char *captured;
    } cases[] = {
        {"ready", "server is ready now", true, ""},
        {"ready", "read", false, ""},
        {"home: {home}", "home: https://x#1 rest", true, "home=https://x#1;"},
        {"home: {home...}", "home: https://x rest", true, "home=https://x rest;"},
        {"{a} to {b}", "1 to 2", true, "a=1;b=2;"},
        {"{a} to {b}", "1 at 2", false, ""},
        {"port {p}", "port ", false, ""},
        {"{}", "a {} b", true, ""},
        {"", "anything", true, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct capture c = {""};
        assert_int_equal(topology_match(cases[i].pattern, cases[i].line, note, &c),
                         cases[i].matches);
        assert_string_equal(c.text, cases[i].captured);
    }
}

static void overrides_one_setting(void **state) {
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"r:preset=symmetric", NULL},
        {"r:delay=5ms", NULL},
        {"a:loss=5%/0", NULL},
        {"r preset=symmetric", "\"r preset=symmetric\" is not NAME:FIELD=VALUE"},
        {"q:delay=5ms", "there is no host or NAT \"q\""},
        {"r:public=1.2.3.4", "public can only be set in the file"},
        {"r:mapping=cone",
         "unknown mapping \"cone\"; known: eim, adm, apdm, connection, time, hash"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct topology t;
        struct topology_error error = {0};
        assert_int_equal(parse(home, &t, &error), BK_OK);
        enum bk_err err = topology_override(&t, cases[i].text, &error);
        assert_int_equal(err, cases[i].error == NULL ? BK_OK : BK_ERR_MALFORMED);
        assert_string_equal(error.text, cases[i].error == NULL ? "" : cases[i].error);
        if (i == 0) {
            assert_int_equal(t.nodes[0].nat.mapping, NAT_APD);
            assert_int_equal(t.nodes[0].nat.external_count, 1);
        }
        topology_fini(&t);
    }
}

static void one_command_replaces_the_steps(void **state) {
    struct topology t;
    struct topology_error error;
    (void)state;
    assert_int_equal(parse(HOST "[run]\na: one\na: two\n", &t, &error), BK_OK);
    assert_int_equal(topology_run_only(&t, "nobody", "x"), BK_ERR_NOT_FOUND);
    assert_int_equal(t.step_count, 2);
    assert_int_equal(topology_run_only(&t, "a", "three"), BK_OK);
    assert_int_equal(t.step_count, 1);
    assert_string_equal(t.steps[0].text, "three");
    topology_fini(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_field),
        cmocka_unit_test(reads_every_step),
        cmocka_unit_test(reads_changes),
        cmocka_unit_test(reads_meetings),
        cmocka_unit_test(spells_meetings_out),
        cmocka_unit_test(refuses_with_line_and_word),
        cmocka_unit_test(names_the_known_presets),
        cmocka_unit_test(refuses_nul_bytes_and_long_lines),
        cmocka_unit_test(parses_every_prefix_of_a_file),
        cmocka_unit_test(matches_patterns),
        cmocka_unit_test(overrides_one_setting),
        cmocka_unit_test(one_command_replaces_the_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
