/* SPDX-License-Identifier: MIT
 * `bodkin nat`: finds the servers, lets a bk_natcheck run against them, shows what came out. */
#define _GNU_SOURCE
#include "cli/command.h"
#include "cli/nat_card.h"
#include "cli/nat_json.h"
#include "cli/nat_live.h"
#include "cli/nat_pair.h"
#include "cli/nat_server.h"
#include "cli/nat_text.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/settings.h"
#include "net/alloc.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "node/nat_driver.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { SERVERS_MAX = 2, SIGNALS = 3, ALIVE_PATIENCE_US = 3000000 };

static const char help[] =
    "Says what the NAT in front of this machine does, and what that means for\n"
    "connecting directly.\n"
    "\n"
    "  bodkin nat                          asks the home server, about two seconds\n"
    "  bodkin nat --server stun.example    asks any STUN server (best: RFC 5780)\n"
    "  bodkin nat --card me.card           here; then with that file elsewhere:\n"
    "  bodkin nat --with me.card           will the two of us be direct or relayed?\n"
    "\n"
    "      --home URL       the home server (or $BODKIN_HOME)\n"
    "      --server HOST[:PORT]  a STUN server instead; a second one, of somebody\n"
    "                       else, helps where the first has only one address\n"
    "  -4, -6               asks over this IP version only\n"
    "      --deep           measures how long mappings live, too: takes minutes\n"
    "      --evidence       shows every question and its answer\n"
    "      --card FILE      writes this machine's peer card\n"
    "      --with PEERCARD  a peer's card, or a typical peer such as preset:home\n"
    "      --json           one JSON object, see docs/nat-json.md\n"
    "      --help           this text\n"
    "\n"
    "Ends with 0 when the NAT could be looked at; blocked UDP is a result, too.\n";

struct nat_options {
    struct option_list homes, servers;
    bool deep, json, evidence, only4, only6;
    const char *card, *with;
};

struct nat_run {
    struct report report;
    struct nat_options options;
    struct nat_server servers[SERVERS_MAX];
    size_t server_count, resolved;
    struct nat_card theirs;
    struct net_loop *loop;
    struct net_resolve *resolve;
    struct bk_natcheck_config config;
    struct nat_driver *driver;
    struct nat_live live;
    struct net_signal *signals[SIGNALS];
    struct net_stream *alive; /* is the server there at all, when UDP brought nothing? */
    enum exit_code code;      /* of a failure, or of a signal */
    bool measured;            /* there is a record to show */
};

static void finish(struct nat_run *n) {
    net_loop_stop(n->loop);
}

static void fail(struct nat_run *n, enum exit_code code) {
    n->code = code;
    finish(n);
}

/* --- after the check: blocked UDP is a result, a server that is dead is none --- */

static bool heard_anything(const struct bk_nat_record *r) {
    for (size_t i = 0; i < r->observation_count; i++) {
        enum bk_nat_test test = r->observations[i].test;
        bool router =
            test == BK_NAT_TEST_PCP || test == BK_NAT_TEST_PMP || test == BK_NAT_TEST_UPNP;
        if (!router && r->observations[i].answered_us >= 0)
            return true;
    }
    return false;
}

static void measured(struct nat_run *n) {
    n->measured = true;
    finish(n);
}

static void on_alive(void *ctx) {
    measured(ctx);
}

static void on_alive_bytes(void *ctx, const uint8_t *data, size_t len) {
    (void)ctx;
    (void)data;
    (void)len;
}

static void on_dead(void *ctx, enum bk_err err, const char *reason) {
    struct nat_run *n = ctx;
    char text[NAT_SERVER_TEXT_MAX];
    (void)err;
    n->alive = NULL;
    report_error(&n->report, "the server %s does not answer, neither over UDP nor over TCP: %s",
                 nat_server_text(&n->servers[0], text), reason);
    fail(n, EXIT_HOME_DEAD);
}

/* A connection by TCP proves that the server is there, so that it is UDP that does not pass. */
static void ask_whether_alive(struct nat_run *n) {
    static const struct net_stream_events events = {
        .on_open = on_alive, .on_bytes = on_alive_bytes, .on_close = on_dead};
    const struct nat_server *s = &n->servers[0];
    struct net_stream_config config = net_stream_config_default;
    struct bk_addr to = n->config.server.port != 0 ? n->config.server : n->config.server6;
    config.open_timeout_us = ALIVE_PATIENCE_US;
    to.port = s->tcp_port;
    enum bk_err err = net_stream_connect_addr(n->loop, &to, &config, &events, n, &n->alive);
    if (err != BK_OK)
        on_dead(n, err, bk_err_text(err));
}

static void on_done(void *ctx) {
    struct nat_run *n = ctx;
    if (heard_anything(nat_driver_record(n->driver)) || n->code != EXIT_FINE)
        measured(n);
    else
        ask_whether_alive(n);
}

static void on_found(void *ctx, enum bk_nat_attr attr) {
    struct nat_run *n = ctx;
    (void)attr;
    nat_live_show(&n->live, nat_driver_record(n->driver));
}

static void on_signal(void *ctx, int number) {
    struct nat_run *n = ctx;
    bool again = n->code != EXIT_FINE;
    n->code = (enum exit_code)(EXIT_SIGNAL + number);
    if (n->driver == NULL || again || n->alive != NULL)
        finish(n);
    else
        nat_driver_stop(n->driver); /* what is known by now is shown */
}

/* --- before it: names to addresses --- */

static void start_check(struct nat_run *n) {
    const struct nat_driver_events events = {on_found, on_done, n};
    n->config.deep = n->options.deep;
    nat_driver_look_around(&n->config);
    enum bk_err err = nat_driver_new(n->loop, &n->config, &events, &n->driver);
    if (err == BK_OK) {
        nat_live_show(&n->live, nat_driver_record(n->driver));
        return;
    }
    const char *field = err == BK_ERR_ARGUMENT ? bk_natcheck_config_check(&n->config) : NULL;
    report_error(&n->report, "the check cannot start: %s%s%s", bk_err_text(err),
                 field != NULL ? ": " : "", field != NULL ? field : "");
    fail(n, EXIT_OTHER);
}

/* The first server gives the addresses to ask; the second one a second opinion, or the family that
 * the first one lacks. */
static bool take_address(struct nat_run *n, const struct bk_addr *addr) {
    bool v4 = addr->ip.family == BK_IPV4;
    if (v4 ? n->options.only6 : n->options.only4)
        return false;
    struct bk_addr *into = v4 ? &n->config.server : &n->config.server6;
    if (n->resolved == 1 && v4 && into->ip.family != BK_FAMILY_NONE)
        into = &n->config.second;
    if (into->ip.family == BK_FAMILY_NONE)
        *into = *addr;
    return n->resolved == 0 || bk_addr_equal(into, addr);
}

static void resolve_next(struct nat_run *n);

static void unresolved(struct nat_run *n, const char *why) {
    char text[NAT_SERVER_TEXT_MAX];
    n->resolve = NULL;
    report_error(&n->report, "the server %s cannot be asked: %s",
                 nat_server_text(&n->servers[n->resolved], text), why);
    fail(n, EXIT_HOME_DEAD);
}

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t count) {
    struct nat_run *n = ctx;
    bool any = false;
    n->resolve = NULL;
    if (err != BK_OK) {
        unresolved(n, err == BK_ERR_NOT_FOUND ? "there is no such host name"
                                              : "the host name could not be looked up");
        return;
    }
    for (size_t i = 0; i < count; i++)
        any = take_address(n, &addrs[i]) || any;
    if (!any) {
        unresolved(n, n->options.only6   ? "it has no IPv6 address"
                      : n->options.only4 ? "it has no IPv4 address"
                                         : "a second one needs an IPv4 address");
        return;
    }
    n->resolved++;
    resolve_next(n);
}

static void resolve_next(struct nat_run *n) {
    if (n->resolved == n->server_count) {
        start_check(n);
        return;
    }
    const struct nat_server *s = &n->servers[n->resolved];
    enum bk_err err = net_resolve(n->loop, s->host, s->port, on_resolved, n, &n->resolve);
    if (err != BK_OK)
        unresolved(n, bk_err_text(err));
}

static enum exit_code add_home(struct nat_run *n, const char *url) {
    struct home home;
    enum exit_code code = settings_home(&n->report, url, &home);
    if (code != EXIT_FINE)
        return code;
    if (home.stun_port == 0) {
        report_error(&n->report,
                     "the home server %s has no STUN port; name another server with "
                     "--server HOST",
                     home.host);
        return EXIT_USAGE;
    }
    nat_server_of_home(&home, &n->servers[n->server_count++]);
    return EXIT_FINE;
}

static enum exit_code choose_servers(struct nat_run *n) {
    const struct nat_options *o = &n->options;
    enum exit_code code = EXIT_FINE;
    if (o->homes.count + o->servers.count > SERVERS_MAX) {
        report_error(&n->report, "two servers are enough; see bodkin nat --help");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < o->homes.count && code == EXIT_FINE; i++)
        code = add_home(n, o->homes.items[i]);
    for (size_t i = 0; i < o->servers.count && code == EXIT_FINE; i++) {
        struct nat_server *s = &n->servers[n->server_count++];
        if (nat_server_parse(o->servers.items[i], s) != BK_OK) {
            report_error(&n->report, "\"%s\" is not a server: HOST, HOST:PORT or [IPV6]:PORT",
                         o->servers.items[i]);
            code = EXIT_USAGE;
        }
    }
    if (code == EXIT_FINE && n->server_count == 0)
        code = add_home(n, NULL);
    return code;
}

/* --- the results --- */

static bool has_global_ipv6(const struct bk_natcheck_config *c) {
    for (size_t i = 0; i < c->local_count; i++)
        if (c->locals[i].family == BK_IPV6 && bk_ip_scope(&c->locals[i]) == BK_SCOPE_GLOBAL)
            return true;
    return false;
}

/* A server without IPv6 leaves that open; that there is no address to send from decides it. */
static struct nat_card own_card(const struct nat_run *n, const struct bk_nat_record *r) {
    struct nat_card card = {.ipv4 = r->traits, .ipv6 = r->traits6};
    if (card.ipv4.ipv6 == BK_UNKNOWN && !has_global_ipv6(&n->config))
        card.ipv4.ipv6 = BK_NO;
    return card;
}

static enum exit_code write_card(struct nat_run *n, const struct bk_nat_record *r) {
    char reason[NAT_CARD_REASON_MAX];
    const struct nat_card card = own_card(n, r);
    if (n->options.card == NULL || nat_card_write(n->options.card, &card, reason) == BK_OK)
        return EXIT_FINE;
    report_error(&n->report, "the card cannot be written to %s: %s", n->options.card, reason);
    return EXIT_OTHER;
}

/* Which of a card's two sets of traits counts: IPv4's, unless there is no IPv4. */
static const struct bk_nat_traits *traits_of(const struct nat_card *card) {
    bool v4 = card->ipv4.translated != BK_UNKNOWN || card->ipv4.udp_blocked != BK_UNKNOWN;
    return v4 ? &card->ipv4 : &card->ipv6;
}

static enum exit_code ask_oracle(struct nat_run *n, const struct bk_nat_record *r,
                                 struct bk_oracle_verdict *out) {
    struct bk_oracle_budget budget = bk_oracle_budget_default;
    const struct nat_card mine = own_card(n, r);
    if (r->rtt_us > 0)
        budget.signal_rtt_us = r->rtt_us;
    if (bk_oracle(traits_of(&mine), traits_of(&n->theirs), &budget, out) == BK_OK)
        return EXIT_FINE;
    report_error(&n->report, "the card %s contradicts itself", n->options.with);
    return EXIT_CARD;
}

static void print_json(const struct nat_run *n, const struct bk_nat_record *r,
                       const struct bk_addr *server, const struct bk_oracle_verdict *pair) {
    const struct nat_card card = own_card(n, r);
    cJSON *object = nat_json_record(r, server);
    cJSON_AddItemToObject(object, "card", nat_card_json(&card));
    if (pair != NULL)
        cJSON_AddItemToObject(object, "pair", nat_pair_json(pair));
    char *text = cJSON_PrintUnformatted(object);
    if (text != NULL)
        puts(text);
    cJSON_free(text);
    cJSON_Delete(object);
}

static void print_text(const struct nat_run *n, const struct bk_nat_record *r,
                       const struct bk_addr *server, const struct bk_oracle_verdict *pair) {
    static char text[NAT_TEXT_MAX];
    struct text t = text_in(text, sizeof text);
    nat_text_card(r, server, &t);
    if (pair != NULL)
        nat_pair_text(pair, n->options.with, &t);
    if (n->options.evidence)
        nat_text_evidence(r, &t);
    fputs(text, stdout);
}

static enum exit_code show(struct nat_run *n) {
    const struct bk_nat_record *r = nat_driver_record(n->driver);
    const struct bk_addr *server =
        n->config.server.port != 0 ? &n->config.server : &n->config.server6;
    struct bk_oracle_verdict verdict;
    const struct bk_oracle_verdict *pair = NULL;
    enum exit_code code = EXIT_FINE;
    if (n->options.with != NULL) {
        code = ask_oracle(n, r, &verdict);
        pair = code == EXIT_FINE ? &verdict : NULL;
    }
    if (n->options.json)
        print_json(n, r, server, pair);
    else if (n->options.card == NULL || strcmp(n->options.card, "-") != 0)
        print_text(n, r, server, pair);
    enum exit_code written = write_card(n, r);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) { /* a long text failed before the flush */
        report_error(&n->report, "standard output takes no more");
        return EXIT_OTHER;
    }
    return code == EXIT_FINE ? written : code;
}

/* --- life --- */

static enum exit_code open_all(struct nat_run *n) {
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    enum bk_err err = net_loop_new(net_alloc(), &n->loop);
    for (size_t i = 0; i < SIGNALS && err == BK_OK; i++)
        err = net_signal_new(n->loop, numbers[i], on_signal, n, &n->signals[i]);
    if (err == BK_OK)
        return EXIT_FINE;
    report_error(&n->report, "%s", bk_err_text(err));
    return EXIT_OTHER;
}

static void close_all(struct nat_run *n) {
    nat_driver_free(n->driver);
    net_stream_close(n->alive);
    net_resolve_cancel(n->resolve);
    for (size_t i = 0; i < SIGNALS; i++)
        net_signal_free(n->signals[i]);
    net_loop_free(n->loop);
}

static int run(struct nat_run *n) {
    char reason[NAT_CARD_REASON_MAX];
    enum exit_code code = choose_servers(n);
    if (code != EXIT_FINE)
        return (int)code;
    if (n->options.with != NULL && nat_card_read(n->options.with, &n->theirs, reason) != BK_OK) {
        report_error(&n->report, "the peer card %s cannot be used: %s", n->options.with, reason);
        return EXIT_CARD;
    }
    n->code = open_all(n);
    if (n->code == EXIT_FINE) {
        nat_live_init(&n->live, !n->options.json);
        resolve_next(n);
        net_loop_run(n->loop);
        nat_live_end(&n->live);
        if (n->measured)
            code = show(n);
    }
    close_all(n);
    return (int)(n->code != EXIT_FINE ? n->code : code);
}

int cmd_nat(int argc, char **argv) {
    static struct nat_run n;
    struct nat_options *o = &n.options;
    const struct option_row rows[] = {
        {"home", '\0', OPTION_LIST, &o->homes},        {"server", '\0', OPTION_LIST, &o->servers},
        {"deep", '\0', OPTION_FLAG, &o->deep},         {"json", '\0', OPTION_FLAG, &o->json},
        {"evidence", '\0', OPTION_FLAG, &o->evidence}, {"ipv4", '4', OPTION_FLAG, &o->only4},
        {"ipv6", '6', OPTION_FLAG, &o->only6},         {"card", '\0', OPTION_TEXT, &o->card},
        {"with", '\0', OPTION_TEXT, &o->with},         {NULL, '\0', OPTION_FLAG, NULL},
    };
    struct option_words words = {.max = 0};
    n = (struct nat_run){.config = bk_natcheck_config_default};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    report_init(&n.report, "nat", o->json, net_clock());
    if (o->only4 && o->only6) {
        report_error(&n.report, "-4 and -6 exclude each other; without either both are asked");
        return EXIT_USAGE;
    }
    return run(&n);
}
