/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "../test.h"
#include "server/config.h"
#include "server/import.h"
#include "server/import_range.h"
#include <stdio.h>
#include <stdlib.h>

struct result {
    char *out, *notes;
    unsigned left;
};

static struct result convert(const char *text) {
    struct result r = {NULL, NULL, 0};
    size_t out_len, notes_len;
    FILE *out = open_memstream(&r.out, &out_len), *notes = open_memstream(&r.notes, &notes_len);
    assert_int_equal(import_coturn(text, strlen(text), out, notes, &r.left), BK_OK);
    fclose(out);
    fclose(notes);
    return r;
}

static void drop(struct result *r) {
    free(r->out);
    free(r->notes);
}

/* What comes out for what goes in; NULL: a note that has `theirs`' name. */
static const struct {
    const char *theirs, *ours;
} lines[] = {
    {"listening-port=3479", "stun = 3479\n"},
    {"tls-listening-port=5350", "turns = 5350\n"},
    {"listening-ip=172.17.19.101", "listen = 172.17.19.101\n"},
    {"relay-ip=172.17.19.105", "relay-address = 172.17.19.105\n"},
    {"external-ip=60.70.80.91/172.17.19.101", "relay-address = 172.17.19.101=60.70.80.91\n"},
    {"relay-ip=172.17.19.101\nexternal-ip=60.70.80.91\nrelay-ip=2607:f0d0::5",
     "relay-address = 172.17.19.101=60.70.80.91\nrelay-address = 2607:f0d0::5\n"},
    {"external-ip=60.70.80.91", NULL},
    {"min-port=50000", "relay-ports = 50000-65535\n"},
    {"min-port=50000\nmax-port=51000", "relay-ports = 50000-51000\n"},
    {"max-port=40000", NULL},
    {"verbose", "log-level = debug\n"},
    {"user=ninefingers:0xbc807ee29df3c9ffa736523fb2c4e8ee",
     "turn-user = ninefingers:0xbc807ee29df3c9ffa736523fb2c4e8ee\n"},
    {"user = ninefingers:youhavetoberealistic\r", "turn-user = ninefingers:youhavetoberealistic\n"},
    {"user=nobody", NULL},
    {"static-auth-secret=north", "turn-secret = north\n"},
    {"static-auth-secret=\"no;rth\"", NULL},
    {"realm=\"mycompany.org\"", "realm = mycompany.org\n"},
    {"realm=a-realm-of-twenty-nine-bytes.", NULL},
    {"user-quota=12", "user-allocations-max = 12\n"},
    {"user-quota=0", "user-allocations-max = 0\n"},
    {"total-quota=0", ""},
    {"max-bps=64000", "bandwidth = 512000\n"},
    {"max-bps=lots", NULL},
    {"no-tls\nno-dtls", "turns = 0\n"},
    {"no-tls", NULL},
    {"no-tcp-relay", "no-tcp-relay = yes\n"},
    {"cert=/etc/c.pem\npkey=/etc/k.pem", "cert = /etc/c.pem\nkey = /etc/k.pem\n"},
    {"alternate-server=1.2.3.4:5678", "alternate-server = 1.2.3.4:5678\n"},
    {"allowed-peer-ip=83.166.68.45", "allow-peer = 83.166.68.45/32\n"},
    {"denied-peer-ip=83.166.64.0-83.166.95.255", "deny-peer = 83.166.64.0/19\n"},
    {"denied-peer-ip=8.8.8.1-8.8.8.4",
     "deny-peer = 8.8.8.1/32\ndeny-peer = 8.8.8.2/31\ndeny-peer = 8.8.8.4/32\n"},
    {"denied-peer-ip=10.0.0.0-10.255.255.255", ""}, /* refused anyway */
    {"denied-peer-ip=0.0.0.0-255.255.255.255", "deny-peer = 0.0.0.0/0\n"},
    {"denied-peer-ip=8.8.8.4-8.8.8.1", NULL},
    {"denied-peer-ip=::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "deny-peer = ::/0\n"},
    {"denied-peer-ip=fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
    {"denied-peer-ip=0.0.0.1-255.255.255.254", "deny-peer = 16.0.0.0/4\n"},
    {"allow-loopback-peers", "allow-peer = 127.0.0.0/8\nallow-peer = ::1\n"},
    {"proc-user=turnserver", "user = turnserver\n"},
    {"fingerprint\nlt-cred-mech\nno-cli\nmobility\nsyslog", ""},
    {"rest-api-separator=:", ""},
    {"rest-api-separator=-", NULL},
    {"# user=a:b\n\n  \t\n", ""},
    {"psql-userdb=\"host=h dbname=d\"", NULL},
    {"no-auth", NULL},
    {"frobnicate=7", NULL},
};

static void each_option_becomes_ours_or_a_note(void **state) {
    static const char head[] = "# bodkin serve --config FILE; made from a coturn configuration\n";
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct result r = convert(lines[i].theirs);
        char name[32];
        assert_memory_equal(r.out, head, sizeof head - 1);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(lines[i].theirs, "= "), lines[i].theirs);
        if (lines[i].ours == NULL && (r.left != 1 || strstr(r.notes, name) == NULL))
            fail_msg("%s: %u, %s", lines[i].theirs, r.left, r.notes);
        if (lines[i].ours != NULL && r.left != 0)
            fail_msg("%s: %s", lines[i].theirs, r.notes);
        if (lines[i].ours != NULL && strstr(r.out + sizeof head - 1, lines[i].ours) == NULL)
            fail_msg("%s: %s", lines[i].theirs, r.out);
        if (lines[i].ours != NULL && lines[i].ours[0] == '\0')
            assert_string_equal(r.out, head);
        drop(&r);
    }
}

static void fail_on_mistake(void *ctx, unsigned line, const char *sentence) {
    (void)ctx;
    fail_msg("line %u: %s", line, sentence);
}

static void what_comes_out_is_a_configuration(void **state) {
    const struct config_reader reader = {fail_on_mistake, NULL};
    static struct server_options o;
    char all[8192] = "";
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        strcat(all, lines[i].theirs);
        strcat(all, "\n");
    }
    struct result r = convert(all);
    o = server_options_default;
    assert_int_equal(config_parse(r.out, strlen(r.out), &o, &reader), BK_OK);
    assert_string_equal(o.turn.secrets.list[0], "north");
    drop(&r);
}

static void notes_have_the_line_and_no_secret(void **state) {
    struct result r = convert("verbose\n\ncli-password=sesame\nuser=sesame\n");
    (void)state;
    assert_non_null(strstr(r.notes, "line 3: cli-password"));
    assert_non_null(strstr(r.notes, "line 4: user"));
    assert_null(strstr(r.notes, "sesame"));
    assert_int_equal(r.left, 2);
    drop(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_option_becomes_ours_or_a_note),
        cmocka_unit_test(what_comes_out_is_a_configuration),
        cmocka_unit_test(notes_have_the_line_and_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
