/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/agent.h"
#include "cli/forward.h"
#include "cli/options.h"
#include "cli/talk.h"
#include "cli/target.h"
#include "peer/ticket.h"
#include <base/wipe.h>

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Connects to the peer that made the ticket, and joins standard input and output\n"
    "to it. Data flows over the home server at once, directly as soon as possible.\n"
    "\n"
    "  tar c . | bodkin connect TICKET          (there: bodkin listen | tar x)\n"
    "  bodkin connect -L 2222:localhost:22 TICKET   then: ssh -p 2222 localhost\n"
    "\n"
    "  TICKET          or @FILE, which holds it: other users see command lines\n"
    "  -L [ADDR:]PORT:HOST:PORT  take TCP connections on PORT here; the peer, which\n"
    "                  must allow it, opens each to HOST:PORT. Repeatable. Goes on\n"
    "                  until interrupted: a lost session is made again\n"
    "      --udp       forward UDP datagrams instead\n"
    "      --home URL  another home server than the ticket's\n"
    "      --proxy URL http:// or socks5:// proxy to it, or none (else\n"
    "                  $HTTPS_PROXY, or `proxy = URL`)\n"
    "      --relay-only  stay on the relay: the peer does not learn our addresses\n"
    "      --private     own addresses are told only to a peer on the same local\n"
    "                    network, found without the server (or `private = yes`)\n"
    "      --no-beacons  do not look for the peer on the local network\n"
    "      --no-portmap  ask no router for a port\n"
    "      --json      one JSON object per event on standard error\n"
    "      --help      this text\n"
    "\n"
    "Ends with 0 when both sides have ended and everything has arrived. Other exit\n"
    "statuses: man bodkin.\n";

struct connect {
    struct agent agent;
    struct agent_options options;
    struct option_list forwards;
    bool udp;
    struct ticket ticket;
    struct talk talk;
    struct forwarder forwarder;
    struct net_timer again; /* forwarding: makes a lost session anew */
};

static bool is_forwarding(const struct connect *c) {
    return c->forwards.count > 0;
}

static void start_session(struct connect *c) {
    struct agent *a = &c->agent;
    struct session *s;
    const struct session_offer offer = {
        .peer = c->ticket.key, .purpose = SIGNAL_PURPOSE_SESSION, .secret = c->ticket.secret};
    enum bk_err err = endpoint_connect(node_endpoint(a->node), &offer, net_now(a->loop), &s);
    if (err != BK_OK) {
        report_error(&a->report, "%s",
                     err == BK_ERR_ARGUMENT ? "that ticket is this machine's own"
                                            : bk_err_text(err));
        agent_finish(a, EXIT_USAGE, QUIC_CODE_DONE);
        return;
    }
    if (is_forwarding(c))
        forwarder_begin(&c->forwarder, s);
    else
        talk_begin(&c->talk, s);
}

static void on_ready(struct agent *a) {
    start_session(a->ctx);
}

static void on_again(void *ctx, struct bk_time now) {
    struct connect *c = ctx;
    (void)now;
    if (!c->agent.finishing)
        start_session(c);
}

static void on_secured(struct agent *a, struct session *s) {
    struct connect *c = a->ctx;
    (void)s;
    if (is_forwarding(c))
        forwarder_secured(&c->forwarder);
}

static void on_path(struct agent *a, struct session *s) {
    agent_show_path(a, s, NULL);
}

static void on_tick(struct agent *a) {
    struct connect *c = a->ctx;
    if (is_forwarding(c))
        forwarder_show(&c->forwarder);
    else
        talk_show(&c->talk);
}

static void on_quic(struct agent *a, struct session *s, const struct quic_event *e) {
    struct connect *c = a->ctx;
    (void)s;
    if (is_forwarding(c))
        forwarder_quic(&c->forwarder, e);
    else
        talk_quic(&c->talk, e);
}

static void on_progress(struct agent *a) {
    struct connect *c = a->ctx;
    if (is_forwarding(c))
        forwarder_progress(&c->forwarder);
    else
        talk_progress(&c->talk);
}

static void on_ended(struct agent *a, struct session *s, const struct session_event *e) {
    struct connect *c = a->ctx;
    (void)s;
    if (!is_forwarding(c)) {
        talk_ended(&c->talk, e);
        return;
    }
    int64_t pause_us = forwarder_ended(&c->forwarder, e);
    if (pause_us > 0)
        net_timer_set(&c->again, bk_after(net_now(a->loop), pause_us));
}

static enum exit_code use_agent(struct connect *c) {
    talk_init(&c->talk, &c->agent);
    enum exit_code code = forwarder_init(&c->forwarder, &c->agent, &c->forwards, c->udp);
    agent_set_tick(&c->agent, on_tick);
    net_timer_init(&c->again, c->agent.loop, on_again, c);
    if (code == EXIT_FINE)
        code = agent_run(&c->agent);
    net_timer_set(&c->again, BK_NEVER);
    talk_fini(&c->talk);
    forwarder_fini(&c->forwarder);
    return code;
}

static enum exit_code run(struct connect *c) {
    static const struct agent_events events = {.on_ready = on_ready,
                                               .on_secured = on_secured,
                                               .on_path = on_path,
                                               .on_quic = on_quic,
                                               .on_progress = on_progress,
                                               .on_ended = on_ended};
    struct home home = c->ticket.home;
    struct report report;
    report_init(&report, "connect", c->options.json, net_clock());
    enum exit_code code = EXIT_FINE;
    if (c->options.home != NULL)
        code = settings_home(&report, c->options.home, &home);
    if (code != EXIT_FINE)
        return code;
    code = agent_open(&c->agent, "connect", &c->options, &home, &events, c);
    if (code == EXIT_FINE)
        code = use_agent(c);
    agent_close(&c->agent);
    return code;
}

static enum exit_code read_ticket(struct connect *c, const char *word) {
    char text[TARGET_MAX];
    if (!target_read("connect", word, text))
        return EXIT_TICKET;
    enum bk_err err = ticket_parse(text, strlen(text), &c->ticket);
    wipe(text, sizeof text);
    if (err == BK_OK)
        return EXIT_FINE;
    if (err == BK_ERR_NOT_OURS)
        fprintf(stderr, "bodkin connect: that is not a ticket (one starts with bodkin1); "
                        "`bodkin listen` on the other machine prints one\n");
    else if (err == BK_ERR_UNSUPPORTED)
        fprintf(stderr, "bodkin connect: the ticket is of a newer bodkin; update this one\n");
    else
        fprintf(stderr, "bodkin connect: the ticket is damaged; copy it again, whole\n");
    return EXIT_TICKET;
}

int cmd_connect(int argc, char **argv) {
    static struct connect c; /* large */
    const struct option_row rows[] = {
        {"forward", 'L', OPTION_LIST, &c.forwards},
        {"udp", '\0', OPTION_FLAG, &c.udp},
        {"home", '\0', OPTION_TEXT, &c.options.home},
        {"proxy", '\0', OPTION_TEXT, &c.options.proxy},
        {"relay-only", '\0', OPTION_FLAG, &c.options.relay_only},
        {"private", '\0', OPTION_FLAG, &c.options.private_addresses},
        {"no-beacons", '\0', OPTION_FLAG, &c.options.no_beacons},
        {"no-portmap", '\0', OPTION_FLAG, &c.options.no_portmap},
        {"json", '\0', OPTION_FLAG, &c.options.json},
        {NULL, '\0', OPTION_FLAG, NULL},
    };
    struct option_words words = {.max = 1};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    if (words.count == 0) {
        fprintf(stderr, "bodkin connect: give the ticket that `bodkin listen` printed; "
                        "see bodkin connect --help\n");
        return EXIT_USAGE;
    }
    if (c.udp && c.forwards.count == 0) {
        fprintf(stderr, "bodkin connect: --udp needs -L [addr:]port:host:port\n");
        return EXIT_USAGE;
    }
    enum exit_code code = read_ticket(&c, words.items[0]);
    if (code == EXIT_FINE)
        code = run(&c);
    ticket_fini(&c.ticket);
    return (int)code;
}
