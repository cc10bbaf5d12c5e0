/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/agent.h"
#include "cli/forward.h"
#include "cli/options.h"
#include "cli/qr.h"
#include "cli/talk.h"
#include "peer/ticket.h"

#include "base/rng.h"
#include "base/wipe.h"
#include "box/box.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Waits for a peer. Prints a ticket on standard error: one line to give to the\n"
    "other side, good for one peer. Then joins standard input and output to it.\n"
    "\n"
    "  bodkin listen --home https://home.example#PIN | tar x\n"
    "  bodkin listen --allow-forward localhost:22     (there: bodkin connect -L ...)\n"
    "\n"
    "      --home URL      the home server (or $BODKIN_HOME, or `home = URL` in\n"
    "                      ~/.config/bodkin/config); `bodkin serve` prints its URL\n"
    "      --proxy URL     http:// or socks5:// proxy to it, or none (else\n"
    "                      $HTTPS_PROXY, or `proxy = URL`)\n"
    "      --allow-forward HOST:PORT   what the peer may reach from here; repeatable.\n"
    "                      Serves until interrupted; nothing else is reachable\n"
    "      --allow KEY     admit this peer without a ticket (bodkin id prints KEY)\n"
    "      --qr            show the ticket as a QR code, too\n"
    "      --relay-only    stay on the relay: the peer does not learn our addresses\n"
    "      --private       own addresses are told only to a peer on the same local\n"
    "                      network, found without the server (or `private = yes`)\n"
    "      --no-beacons    do not look for the peer on the local network\n"
    "      --no-portmap    ask no router for a port\n"
    "      --json          one JSON object per event on standard error\n"
    "      --help          this text\n";

struct listen {
    struct agent agent;
    struct agent_options options;
    struct option_list allow_forwards, allow_peers;
    bool qr;
    struct talk talk;
    struct forward_server server;
};

static bool is_forwarding(const struct listen *l) {
    return l->allow_forwards.count > 0;
}

static void print_ticket(struct listen *l, const char *text) {
    struct report *r = &l->agent.report;
    report_end(r);
    cJSON *event = report_event(r, "ticket", net_now(l->agent.loop));
    cJSON_AddStringToObject(event, "ticket", text);
    report_send(r, event);
    if (!r->json)
        fprintf(stderr, "ticket: %s\n", text);
    if (l->qr && !r->json)
        qr_print(text);
    report_status(r, "waiting for the peer");
}

static void on_ready(struct agent *a) {
    struct listen *l = a->ctx;
    struct ticket ticket = {.key = a->mine.identity.key, .home = a->home};
    struct bk_rng rng = box_rng();
    char text[TICKET_TEXT_MAX];
    rng_fill(&rng, ticket.secret, sizeof ticket.secret);
    enum bk_err err = endpoint_add_secret(node_endpoint(a->node), ticket.secret);
    if (err != BK_OK) {
        agent_finish(a, EXIT_OTHER, QUIC_CODE_FAILED);
        return;
    }
    ticket_format(&ticket, text);
    print_ticket(l, text);
    ticket_fini(&ticket);
    wipe(text, sizeof text);
}

static void on_incoming(struct agent *a, struct session *s) {
    struct listen *l = a->ctx;
    char key[PEER_KEY_TEXT_MAX];
    cJSON *event = report_event(&a->report, "incoming", net_now(a->loop));
    cJSON_AddStringToObject(event, "peer", peer_key_format(session_peer(s), key));
    cJSON_AddStringToObject(event, "purpose",
                            session_purpose(s) == SIGNAL_PURPOSE_PING ? "ping" : "session");
    report_send(&a->report, event);
    if (session_purpose(s) == SIGNAL_PURPOSE_PING)
        return;
    if (is_forwarding(l))
        forward_server_begin(&l->server, s);
    else if (l->talk.session == NULL)
        talk_begin(&l->talk, s);
    else
        session_close(s, QUIC_CODE_MODE, "the peer is talking to somebody else", net_now(a->loop));
}

static void on_secured(struct agent *a, struct session *s) {
    struct listen *l = a->ctx;
    if (is_forwarding(l) && session_purpose(s) != SIGNAL_PURPOSE_PING)
        forward_server_secured(&l->server, s);
}

static void on_path(struct agent *a, struct session *s) {
    agent_show_path(a, s, NULL);
}

static void on_tick(struct agent *a) {
    struct listen *l = a->ctx;
    if (l->talk.session != NULL)
        talk_show(&l->talk);
}

/* Pings come back as they went. */
static void echo_pings(struct session *s) {
    const uint8_t *data;
    size_t len;
    while (quic_datagram_peek(session_quic(s), &data, &len)) {
        uint8_t copy[64];
        bool fits = len <= sizeof copy;
        if (fits)
            memcpy(copy, data, len);
        quic_datagram_drop(session_quic(s));
        enum bk_err err = fits ? quic_datagram_send(session_quic(s), copy, len) : BK_ERR_TOO_LONG;
        (void)err; /* a lost ping is the pinger's to count */
    }
}

static void on_quic(struct agent *a, struct session *s, const struct quic_event *e) {
    struct listen *l = a->ctx;
    if (session_purpose(s) == SIGNAL_PURPOSE_PING) {
        if (e->type == QUIC_DATAGRAM)
            echo_pings(s);
        node_touch(a->node);
    } else if (is_forwarding(l)) {
        forward_server_quic(&l->server, s, e);
    } else if (s == l->talk.session) {
        talk_quic(&l->talk, e);
    }
}

static void on_progress(struct agent *a) {
    struct listen *l = a->ctx;
    if (is_forwarding(l))
        forward_server_progress(&l->server);
    else
        talk_progress(&l->talk);
}

static void on_ended(struct agent *a, struct session *s, const struct session_event *e) {
    struct listen *l = a->ctx;
    if (is_forwarding(l))
        forward_server_ended(&l->server, s, e);
    else if (s == l->talk.session)
        talk_ended(&l->talk, e);
    if (!a->finishing && session_purpose(s) == SIGNAL_PURPOSE_PING)
        report_status(&a->report, "waiting for the peer");
}

static enum exit_code admit_peers(struct listen *l) {
    for (size_t i = 0; i < l->allow_peers.count; i++) {
        const char *text = l->allow_peers.items[i];
        struct peer_key key;
        if (peer_key_parse(text, strlen(text), &key) != BK_OK) {
            report_error(&l->agent.report, "\"%s\" is not a peer's key; `bodkin id` prints one",
                         text);
            return EXIT_USAGE;
        }
        if (endpoint_add_peer(node_endpoint(l->agent.node), &key) != BK_OK)
            return EXIT_OTHER;
    }
    return EXIT_FINE;
}

static enum exit_code run(struct listen *l) {
    static const struct agent_events events = {.on_ready = on_ready,
                                               .on_incoming = on_incoming,
                                               .on_secured = on_secured,
                                               .on_path = on_path,
                                               .on_quic = on_quic,
                                               .on_progress = on_progress,
                                               .on_ended = on_ended};
    enum exit_code code = agent_open(&l->agent, "listen", &l->options, NULL, &events, l);
    if (code == EXIT_FINE)
        code = admit_peers(l);
    if (code != EXIT_FINE)
        return code;
    if (l->agent.mine.temporary)
        report_note(&l->agent.report, "another bodkin uses this machine's key; this one has a "
                                      "temporary key");
    talk_init(&l->talk, &l->agent);
    code = forward_server_init(&l->server, &l->agent, &l->allow_forwards);
    agent_set_tick(&l->agent, on_tick);
    if (code == EXIT_FINE)
        code = agent_run(&l->agent);
    talk_fini(&l->talk);
    forward_server_fini(&l->server);
    return code;
}

int cmd_listen(int argc, char **argv) {
    static struct listen l; /* large */
    const struct option_row rows[] = {
        {"home", '\0', OPTION_TEXT, &l.options.home},
        {"proxy", '\0', OPTION_TEXT, &l.options.proxy},
        {"allow-forward", '\0', OPTION_LIST, &l.allow_forwards},
        {"allow", '\0', OPTION_LIST, &l.allow_peers},
        {"qr", '\0', OPTION_FLAG, &l.qr},
        {"relay-only", '\0', OPTION_FLAG, &l.options.relay_only},
        {"private", '\0', OPTION_FLAG, &l.options.private_addresses},
        {"no-beacons", '\0', OPTION_FLAG, &l.options.no_beacons},
        {"no-portmap", '\0', OPTION_FLAG, &l.options.no_portmap},
        {"json", '\0', OPTION_FLAG, &l.options.json},
        {NULL, '\0', OPTION_FLAG, NULL},
    };
    struct option_words words = {.max = 0};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    enum exit_code code = run(&l);
    agent_close(&l.agent);
    return (int)code;
}
