/* SPDX-License-Identifier: MIT
 * Reasons, and what must never be in them. */
#include "net.h"

static char all_text[1 << 20];
static size_t all_len;

static void keep(void *ctx, const char *text) {
    (void)ctx;
    size_t n = strlen(text);
    assert_true(all_len + n + 2 < sizeof all_text);
    memcpy(all_text + all_len, text, n);
    all_len += n;
    all_text[all_len++] = '\n';
    all_text[all_len] = '\0';
}

static bool udp_blocked(const struct bk_addr *from, const struct bk_addr *to) {
    (void)from;
    (void)to;
    return true;
}

static void run_blocked(struct net *n, const char *const *uris, const char *password) {
    net_init(n, 1);
    n->blocked = udp_blocked;
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(n, i);
        c.patience_us = 1000000;
        for (size_t k = 0; i == 0 && uris[k] != NULL; k++) {
            net_server(&c, uris[k]);
            c.servers[k].password = password;
        }
        net_agent(n, i, c);
        net_base(n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    /* the peer's relay-less candidates cannot be reached from a relay either */
    n->side[1].dead[0] = true;
    net_start(n);
    net_run(n, 60000);
}

static void failures_say_why(void **state) {
    (void)state;
    static const struct {
        const char *uris[4];
        const char *password;
        const char *text;
    } cases[] = {
        {{NULL},
         "secret-of-turn",
         "0 of 1 checks were answered: no direct way through what is in between, and there is no "
         "relay"},
        {{"stun:192.0.2.9"},
         "secret-of-turn",
         "0 of 1 checks were answered, STUN is silent: the network is down, or blocks everything"},
        {{"stun:192.0.2.9", "turns:192.0.2.10"},
         "secret-of-turn",
         "0 of 2 checks were answered, STUN is silent, TURN over TLS works: UDP is blocked"},
        {{"turn:192.0.2.10?transport=tcp"},
         "a-mistyped-word",
         "0 of 1 checks were answered, TURN over TCP refused (401): the TURN user or password is "
         "wrong"},
        {{"stun:nowhere.example"},
         "secret-of-turn",
         "0 of 1 checks were answered, STUN's name is not known: no direct way through what is in "
         "between, and there is no relay"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static struct net n;
        run_blocked(&n, cases[i].uris, cases[i].password);
        const struct bk_ice_event *e = net_event(&n, 0, BK_ICE_ON_FAILED, 0);
        assert_non_null(e);
        assert_string_equal(e->text, cases[i].text);
        net_fini(&n);
    }
}

static void a_path_is_explained_too(void **state) {
    (void)state;
    static struct net n;
    char text[256], small[8];
    net_init(&n, 2);
    for (int i = 0; i < 2; i++) {
        net_agent(&n, i, net_config(&n, i));
        net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    assert_string_equal(bk_ice_explain(n.side[0].ice, text, sizeof text),
                        "the peer's description has not come");
    net_start(&n);
    net_run(&n, 1000);
    assert_string_equal(bk_ice_explain(n.side[0].ice, text, sizeof text),
                        "direct, host to host, round trip 40.0 ms");
    assert_string_equal(bk_ice_explain(n.side[0].ice, small, sizeof small), "direct,");
    net_fini(&n);
}

/* Nothing that is secret is in a trace, an event or an explanation. */
static void secrets_are_not_told(void **state) {
    (void)state;
    static struct net n;
    net_init(&n, 3);
    all_len = 0;
    for (int i = 0; i < 2; i++) {
        struct bk_ice_config c = net_config(&n, i);
        c.trace.line = keep;
        net_server(&c, "turn:192.0.2.10");
        assert_int_equal(bk_ice_new(&c, &test_alloc, &n.side[i].ice), BK_OK);
        net_base(&n, i, i == 0 ? "198.51.100.7:5000" : "203.0.113.7:6000");
    }
    net_start(&n);
    net_run(&n, 2000);
    assert_true(all_len > 500);
    for (int i = 0; i < 2; i++) {
        char text[256];
        keep(NULL, bk_ice_explain(n.side[i].ice, text, sizeof text));
        for (size_t k = 0; k < n.side[i].event_count; k++)
            keep(NULL, n.side[i].texts[k]);
    }
    for (int i = 0; i < 2; i++)
        assert_null(strstr(all_text, bk_ice_pwd(n.side[i].ice)));
    assert_null(strstr(all_text, "secret-of-turn"));
    net_fini(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_say_why),
        cmocka_unit_test(a_path_is_explained_too),
        cmocka_unit_test(secrets_are_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
