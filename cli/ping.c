/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/agent.h"
#include "cli/options.h"
#include "cli/target.h"
#include "peer/ticket.h"
#include <base/wipe.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Measures the way to a peer, one line per reply with the path it took. Stops when\n"
    "the path is direct. A ticket is not used up by it.\n"
    "\n"
    "  bodkin ping TICKET\n"
    "  bodkin ping KEY --home https://home.example#PIN   (a peer that allows our key)\n"
    "\n"
    "  -c, --count N      stop after N replies (10); 0: until interrupted\n"
    "  -i, --interval MS  between two pings (500)\n"
    "      --on           go on when the path is direct\n"
    "      --explain      each step that was tried to get through, with times\n"
    "      --home URL     the home server, when a key is given (or $BODKIN_HOME)\n"
    "      --proxy URL    http:// or socks5:// proxy to it, or none (else\n"
    "                     $HTTPS_PROXY, or `proxy = URL`)\n"
    "      --relay-only   measure the relay\n"
    "      --private      own addresses are told only to a peer on the same local\n"
    "                     network, found without the server (or `private = yes`)\n"
    "      --no-beacons   do not look for the peer on the local network\n"
    "      --no-portmap   ask no router for a port\n"
    "      --json         one JSON object per event on standard error\n"
    "      --help         this text\n"
    "\n"
    "Ends with 0 when there was a reply, relayed or direct.\n";

struct ping {
    struct agent agent;
    struct agent_options options;
    uint32_t count, interval_ms;
    bool on, explain;
    struct session_offer offer;
    struct ticket ticket;
    struct session *session;
    struct net_timer timer;
    uint32_t sent, received;
    int64_t min_us, max_us, sum_us;
    struct bk_time direct_at;
};

enum { PING_LEN = 12 /* u32 number, u64 time in microseconds; comes back as it went */ };

static void send_ping(void *ctx, struct bk_time now) {
    struct ping *p = ctx;
    uint8_t message[PING_LEN];
    if (p->session == NULL || p->agent.finishing)
        return;
    memcpy(message, &p->sent, 4);
    memcpy(message + 4, &now.us, 8);
    if (quic_datagram_send(session_quic(p->session), message, sizeof message) == BK_OK)
        p->sent++;
    node_touch(p->agent.node);
    net_timer_set(&p->timer, bk_after(now, (int64_t)p->interval_ms * BK_US_PER_MS));
}

static void print_reply(struct ping *p, int64_t rtt_us) {
    struct session_path path;
    char local[BK_ADDR_TEXT_MAX], remote[BK_ADDR_TEXT_MAX];
    session_path(p->session, &path);
    double ms = (double)rtt_us / 1000;
    cJSON *event = report_event(&p->agent.report, "pong", net_now(p->agent.loop));
    cJSON_AddNumberToObject(event, "rtt_ms", (double)(rtt_us / 100) / 10);
    cJSON_AddStringToObject(event, "kind", path.direct ? "direct" : "relayed");
    report_send(&p->agent.report, event);
    report_end(&p->agent.report);
    if (path.direct)
        printf("%.1f ms  direct %s \342\206\224 %s\n", ms, bk_addr_format(&path.local, local),
               bk_addr_format(&path.remote, remote));
    else
        printf("%.1f ms  relayed, because: %s\n", ms, why_text(path.why));
    fflush(stdout);
}

/* How the home was reached, when that was not the plainest way. */
static void print_home(struct ping *p) {
    char way[REACH_TEXT_MAX];
    if (node_home_way(p->agent.node, way)[0] != '\0')
        printf("the home server was reached %s, %.1f ms\n", way,
               (double)node_home_rtt_us(p->agent.node) / 1000);
}

/* The last word: how the path was found, or what stands in the way. */
static void tell_story(const struct ping *p) {
    struct story story;
    char text[STORY_MAX];
    session_story(p->session, &story);
    if (p->explain)
        agent_explain(p->session, stdout);
    else
        printf("%s\n", story_tell(&story, text));
}

static void summarize(struct ping *p) {
    struct session_path path;
    struct report *r = &p->agent.report;
    if (p->received == 0 || p->session == NULL)
        return;
    session_path(p->session, &path);
    cJSON *event = report_event(r, "done", net_now(p->agent.loop));
    cJSON_AddNumberToObject(event, "sent", p->sent);
    cJSON_AddNumberToObject(event, "received", p->received);
    cJSON_AddNumberToObject(event, "min_ms", (double)p->min_us / 1000);
    cJSON_AddNumberToObject(event, "avg_ms", (double)p->sum_us / p->received / 1000);
    cJSON_AddNumberToObject(event, "max_ms", (double)p->max_us / 1000);
    cJSON_AddStringToObject(event, "kind", path.direct ? "direct" : "relayed");
    report_send(r, event);
    printf("%u of %u replies, %.1f/%.1f/%.1f ms (least/mean/most); ", p->received, p->sent,
           (double)p->min_us / 1000, (double)p->sum_us / p->received / 1000,
           (double)p->max_us / 1000);
    if (path.direct && !bk_is_never(p->direct_at))
        printf("direct after %.2f s\n", (double)bk_elapsed_us(r->start, p->direct_at) / 1e6);
    else
        printf("still relayed after %.1f s, because: %s\n",
               (double)bk_elapsed_us(r->start, net_now(p->agent.loop)) / 1e6, why_text(path.why));
    print_home(p);
    tell_story(p);
}

static void finish(struct ping *p, enum exit_code code) {
    if (p->agent.finishing)
        return;
    summarize(p);
    agent_finish(&p->agent, code, QUIC_CODE_DONE);
}

static void on_pong(struct ping *p, const uint8_t *data, size_t len) {
    struct bk_time sent;
    if (len != PING_LEN)
        return;
    memcpy(&sent.us, data + 4, 8);
    int64_t rtt = bk_elapsed_us(sent, net_now(p->agent.loop));
    if (p->received++ == 0 || rtt < p->min_us)
        p->min_us = rtt;
    if (rtt > p->max_us)
        p->max_us = rtt;
    p->sum_us += rtt;
    print_reply(p, rtt);
    struct session_path path;
    session_path(p->session, &path);
    if (path.direct && bk_is_never(p->direct_at))
        p->direct_at = net_now(p->agent.loop); /* the reply was faster than the event */
    if ((path.direct && !p->on) || (p->count > 0 && p->received >= p->count))
        finish(p, EXIT_FINE);
}

static void on_ready(struct agent *a) {
    struct ping *p = a->ctx;
    agent_start_clock(a);
    enum bk_err err =
        endpoint_connect(node_endpoint(a->node), &p->offer, net_now(a->loop), &p->session);
    if (err == BK_OK)
        return;
    report_error(&a->report, "%s",
                 err == BK_ERR_ARGUMENT ? "that is this machine's own key" : bk_err_text(err));
    agent_finish(a, EXIT_USAGE, QUIC_CODE_DONE);
}

static void on_secured(struct agent *a, struct session *s) {
    struct ping *p = a->ctx;
    (void)s;
    send_ping(p, net_now(a->loop));
}

static void on_path(struct agent *a, struct session *s) {
    struct ping *p = a->ctx;
    struct session_path path;
    session_path(s, &path);
    if (path.direct && bk_is_never(p->direct_at)) {
        p->direct_at = net_now(a->loop);
        if (!p->on)
            send_ping(p, p->direct_at); /* the reply that ends this should come at once */
    }
}

static void on_quic(struct agent *a, struct session *s, const struct quic_event *e) {
    struct ping *p = a->ctx;
    const uint8_t *data;
    size_t len;
    if (e->type != QUIC_DATAGRAM)
        return;
    while (!a->finishing && quic_datagram_peek(session_quic(s), &data, &len)) {
        uint8_t copy[PING_LEN];
        size_t n = len < sizeof copy ? len : sizeof copy;
        memcpy(copy, data, n);
        quic_datagram_drop(session_quic(s));
        on_pong(p, copy, len == sizeof copy ? len : 0);
    }
}

static void on_ended(struct agent *a, struct session *s, const struct session_event *e) {
    struct ping *p = a->ctx;
    (void)s;
    if (!a->finishing) {
        enum exit_code code = agent_explain_end(a, e);
        summarize(p);
        agent_finish(a, code == EXIT_FINE ? EXIT_LOST : code, QUIC_CODE_DONE);
    }
    p->session = NULL;
    net_timer_set(&a->linger, net_now(a->loop));
}

static void on_interrupt(struct agent *a, enum exit_code code) {
    finish(a->ctx, code);
}

/* A ticket or a key; EXIT_FINE and whether it was a ticket. */
static enum exit_code parse_target(struct ping *p, const char *word, bool *is_ticket) {
    enum bk_err err = ticket_parse(word, strlen(word), &p->ticket);
    *is_ticket = err != BK_ERR_NOT_OURS;
    if (err == BK_OK) {
        p->offer.peer = p->ticket.key;
        p->offer.secret = p->ticket.secret;
        return EXIT_FINE;
    }
    if (*is_ticket) {
        fprintf(stderr, "bodkin ping: the ticket is damaged: %s\n", bk_err_text(err));
        return EXIT_TICKET;
    }
    if (peer_key_parse(word, strlen(word), &p->offer.peer) == BK_OK)
        return EXIT_FINE;
    fprintf(stderr, "bodkin ping: \"%s\" is neither a ticket nor a peer's key\n", word);
    return EXIT_TICKET;
}

static enum exit_code read_target(struct ping *p, const char *word, bool *is_ticket) {
    char text[TARGET_MAX];
    if (!target_read("ping", word, text))
        return EXIT_TICKET;
    enum exit_code code = parse_target(p, text, is_ticket);
    wipe(text, sizeof text);
    return code;
}

static int run(struct ping *p, const char *target) {
    static const struct agent_events events = {.on_ready = on_ready,
                                               .on_secured = on_secured,
                                               .on_path = on_path,
                                               .on_quic = on_quic,
                                               .on_ended = on_ended,
                                               .on_interrupt = on_interrupt};
    bool is_ticket;
    enum exit_code code = read_target(p, target, &is_ticket);
    if (code != EXIT_FINE)
        return (int)code;
    code =
        agent_open(&p->agent, "ping", &p->options, is_ticket ? &p->ticket.home : NULL, &events, p);
    if (code == EXIT_FINE) {
        net_timer_init(&p->timer, p->agent.loop, send_ping, p);
        code = agent_run(&p->agent);
        net_timer_set(&p->timer, BK_NEVER);
    }
    agent_close(&p->agent);
    ticket_fini(&p->ticket);
    return (int)code;
}

int cmd_ping(int argc, char **argv) {
    struct ping p = {.count = 10, .interval_ms = 500, .direct_at = BK_NEVER};
    const struct option_row rows[] = {
        {"count", 'c', OPTION_NUMBER, &p.count},
        {"interval", 'i', OPTION_NUMBER, &p.interval_ms},
        {"on", '\0', OPTION_FLAG, &p.on},
        {"explain", '\0', OPTION_FLAG, &p.explain},
        {"home", '\0', OPTION_TEXT, &p.options.home},
        {"proxy", '\0', OPTION_TEXT, &p.options.proxy},
        {"relay-only", '\0', OPTION_FLAG, &p.options.relay_only},
        {"private", '\0', OPTION_FLAG, &p.options.private_addresses},
        {"no-beacons", '\0', OPTION_FLAG, &p.options.no_beacons},
        {"no-portmap", '\0', OPTION_FLAG, &p.options.no_portmap},
        {"json", '\0', OPTION_FLAG, &p.options.json},
        {NULL, '\0', OPTION_FLAG, NULL},
    };
    struct option_words words = {.max = 1};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    if (words.count == 0) {
        fprintf(stderr, "bodkin ping: whom? Give a ticket or a peer's key; see --help\n");
        return EXIT_USAGE;
    }
    p.offer.purpose = SIGNAL_PURPOSE_PING;
    if (p.interval_ms < 10)
        p.interval_ms = 10;
    return run(&p, words.items[0]);
}
