/* SPDX-License-Identifier: MIT
 * bodkin turn: a TURN client that measures servers. */
#define _GNU_SOURCE
#include "cli/turn.h"
#include "cli/command.h"
#include "cli/turn_flows.h"
#include "cli/turn_load.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Example:  bodkin turn allocate turn.example.org --user joe:secret\n"
    "          bodkin turn flood 192.0.2.1 --user joe:secret --flows 100 --cpu-of 1234\n"
    "Asks a TURN server for relays and measures it. The server: HOST[:PORT], or a URI,\n"
    "turn:HOST?transport=tcp, turns:HOST (TLS), turns:HOST?transport=udp (DTLS).\n"
    "  allocate SERVER   one allocation: addresses, lifetime, times; every transport\n"
    "  echo SERVER       round trips through the relay, to a peer and back\n"
    "  flood SERVER      load: --flows N, --burst N of --size BYTES, --rate PACKETS/S\n"
    "                    (default: all that leave), --up, --down or both, --seconds S\n"
    "  peer ADDRESS:PORT  the other end of echo and flood, on another machine\n"
    "  alloc-rate SERVER  --count N allocations with --window W under way, held for\n"
    "                    --hold S seconds, then given back\n"
    "  binding-rate SERVER  STUN Binding requests from --flows sockets, --seconds S\n"
    "  --user NAME:PASSWORD   @FILE reads it, as does $BODKIN_TURN_USER\n"
    "  --peer ADDRESS:PORT    a `bodkin turn peer`; else one of our own, next to us\n"
    "  --cpu-of PID      CPU seconds per million, and memory, of the server's process\n"
    "  --latency         times one way; both ends must have the same clock\n"
    "  --from ADDRESS    our address; repeatable: flows are dealt out among them\n"
    "  --ipv6, --both, --even-port, --dont-fragment, --lifetime S   what to ask for\n"
    "  --reserve         an even port and the one after it, which a second client takes\n"
    "  --mobility        goes on from another socket, as after a change of networks\n"
    "  --tcp-peer ADDRESS:PORT   allocate over TCP or TLS: has the server connect to this\n"
    "                    peer, sends --size bytes and counts what comes back\n"
    "  --token FILE      an access token (RFC 7635) instead of --user\n"
    "  token NAME        makes one for the server of that name (--name, or its realm), with\n"
    "                    --token-key KID:KEY, the server's --turn-token-key; --lifetime S\n"
    "  --ca-file F, --insecure  TLS: trust these; do not verify\n"
    "  --keep            does not give the allocations back\n"
    "  --json            one JSON object\n"
    "  --help            this text\n";

enum { USER_ROOM = 800 };

static const struct verb {
    const char *name;
    int (*run)(struct turn_cli *t);
    uint32_t flows, burst, rate; /* defaults */
    bool all_transports, user;
} verbs[] = {
    {"allocate", turn_allocate, 1, 1, 0, true, true},
    {"echo", turn_echo, 1, 1, 100, true, true},
    {"flood", turn_flood, 1, 16, 0, false, true},
    {"alloc-rate", turn_alloc_rate, 1, 1, 0, false, true},
    {"binding-rate", turn_binding_rate, 64, 1, 0, false, false},
};

struct turn_words {
    const char *user, *peer, *tcp_peer, *token, *token_key;
    struct option_list from;
    bool up, down, json;
};

static bool mistake(const char *what, const char *why) {
    fprintf(stderr, "bodkin turn: %s%s%s; see bodkin turn --help\n", what, *why ? " " : "", why);
    return false;
}

/* ---- the server --------------------------------------------------------------------------- */

static bool take_server(struct turn_cli *t, const char *word) {
    char text[URI_HOST_MAX + 32];
    bool is_uri = strncmp(word, "turn", 4) == 0 && strchr(word, ':') != NULL &&
                  (word[4] == ':' || (word[4] == 's' && word[5] == ':'));
    if (strlen(word) > URI_HOST_MAX)
        return mistake("the server's name", "is too long");
    (void)snprintf(text, sizeof text, "%s%s", is_uri ? "" : "turn:", word);
    if (uri_read(text, &t->uri) != BK_OK)
        return mistake(word, "is not a server: HOST, HOST:PORT or a turn: URI");
    if (t->uri.ip.family != BK_FAMILY_NONE) {
        t->server = bk_addr(t->uri.ip, t->uri.port);
        return true;
    }
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    union net_sockaddr sa;
    int wrong = getaddrinfo(t->uri.host, NULL, &hints, &list);
    if (wrong != 0 || list == NULL || list->ai_addrlen > sizeof sa) {
        fprintf(stderr, "bodkin turn: %s: %s\n", t->uri.host, gai_strerror(wrong));
        return false;
    }
    memset(&sa, 0, sizeof sa);
    memcpy(&sa, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    sockaddr_to(&sa, &t->server);
    t->server.port = t->uri.port;
    return true;
}

/* ---- options ------------------------------------------------------------------------------ */

static bool read_user(const char *path, char *out) {
    FILE *f = fopen(path, "re");
    bool ok = f != NULL && fgets(out, USER_ROOM, f) != NULL;
    if (f != NULL)
        (void)fclose(f);
    if (ok)
        out[strcspn(out, "\r\n")] = '\0';
    return ok;
}

/* Command lines can be read by other users of the machine. */
static void hide(char **argv, const char *secret) {
    for (char **word = argv; *word != NULL; word++)
        if (*word == secret || (strncmp(*word, "--user=", 7) == 0 && *word + 7 == secret))
            memset(strchr(*word, '=') != NULL && **word == '-' ? *word + 7 : *word, '*',
                   strlen(secret));
}

/* NAME:PASSWORD, in place: `out` has room for USER_ROOM. */
static bool take_user(struct turn_cli *t, const char *word, char **argv, char *out) {
    const char *text = word != NULL ? word : getenv("BODKIN_TURN_USER");
    if (text == NULL)
        return mistake("--user NAME:PASSWORD", "is needed");
    if (text[0] == '@') {
        if (!read_user(text + 1, out))
            return mistake(text + 1, "cannot be read");
    } else if (strlen(text) < USER_ROOM) {
        memcpy(out, text, strlen(text) + 1);
        if (word != NULL)
            hide(argv, word);
    } else {
        return mistake("--user", "is too long");
    }
    /* The last colon: names of time-limited credentials have one themselves. */
    char *colon = strrchr(out, ':');
    if (colon == NULL || colon == out || colon[1] == '\0')
        return mistake("--user", "is NAME:PASSWORD");
    *colon = '\0';
    t->user = out;
    t->password = colon + 1;
    return true;
}

static bool take_addresses(struct turn_cli *t, const struct turn_words *w) {
    for (size_t i = 0; i < w->from.count; i++)
        if (bk_ip_parse(w->from.items[i], &t->from[t->from_count++].ip) != BK_OK)
            return mistake(w->from.items[i], "is not an address");
    if (w->peer != NULL && bk_addr_parse(w->peer, &t->peer) != BK_OK)
        return mistake(w->peer, "is not ADDRESS:PORT");
    if (w->tcp_peer != NULL &&
        (bk_addr_parse(w->tcp_peer, &t->tcp_peer) != BK_OK || t->tcp_peer.port == 0))
        return mistake(w->tcp_peer, "is not ADDRESS:PORT");
    return true;
}

static bool in_range(const char *name, uint32_t value, uint32_t min, uint32_t max) {
    char text[64];
    if (value >= min && value <= max)
        return true;
    (void)snprintf(text, sizeof text, "is %u to %u", (unsigned)min, (unsigned)max);
    return mistake(name, text);
}

static bool check_numbers(const struct turn_cli *t) {
    return in_range("--flows", t->flows, 1, TURN_FLOWS_MAX) &&
           in_range("--burst", t->burst, 1, TURN_TRAIN) &&
           in_range("--size", t->size, TURN_LOAD_HEADER, 1400) &&
           in_range("--rate", t->rate, 0, 100000000) && in_range("--seconds", t->seconds, 1, 600) &&
           in_range("--count", t->count, 1, 1000000) && in_range("--window", t->window, 1, 4096) &&
           in_range("--hold", t->hold, 0, 3600);
}

static int run_peer(const char *word) {
    struct bk_addr at;
    if (bk_addr_parse(word, &at) == BK_OK)
        return turn_peer(&at);
    (void)mistake(word, "is not ADDRESS:PORT");
    return EXIT_USAGE;
}

static const struct verb *find_verb(const char *name) {
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static bool take_who(struct turn_cli *t, const struct verb *v, const struct turn_words *w,
                     char **argv, char *user) {
    if (!v->user)
        return true;
    if (w->token == NULL)
        return take_user(t, w->user, argv, user);
    if (v->run == turn_alloc_rate)
        return mistake("alloc-rate", "takes no --token");
    return turn_token_read(t, w->token, user);
}

static int run_verb(struct turn_cli *t, const struct verb *v, struct turn_words *w,
                    const char *server, char **argv) {
    char user[USER_ROOM];
    t->flows = t->flows != 0 ? t->flows : v->flows;
    t->burst = t->burst != 0 ? t->burst : v->burst;
    t->rate = t->rate != 0 ? t->rate : v->rate;
    t->ways = (w->down ? TURN_DOWN : 0U) | (w->up || !w->down ? TURN_UP : 0U);
    bool ok = take_who(t, v, w, argv, user) && take_addresses(t, w) && check_numbers(t) &&
              take_server(t, server);
    if (!ok)
        return EXIT_USAGE;
    if (t->tcp_peer.port != 0 && (v->run != turn_allocate || t->uri.protocol != BK_TCP)) {
        (void)mistake("--tcp-peer", "goes with allocate, over TCP or TLS (?transport=tcp)");
        return EXIT_USAGE;
    }
    if (!v->all_transports && (t->uri.protocol == BK_TCP || t->uri.secure)) {
        (void)mistake(v->name, "goes over UDP only");
        return EXIT_USAGE;
    }
    turn_result_init(&t->result, w->json);
    int code = v->run(t);
    turn_result_print(&t->result);
    memset(user, 0, sizeof user);
    return code;
}

int cmd_turn(int argc, char **argv) {
    static struct turn_cli t;
    struct turn_words w = {.json = false};
    struct option_words words = {.max = 2};
    t = (struct turn_cli){.size = 100, .seconds = 5, .count = 1000, .window = 64};
    const struct option_row rows[] = {
        {"user", 'u', OPTION_TEXT, &w.user},
        {"peer", '\0', OPTION_TEXT, &w.peer},
        {"tcp-peer", '\0', OPTION_TEXT, &w.tcp_peer},
        {"token", '\0', OPTION_TEXT, &w.token},
        {"token-key", '\0', OPTION_TEXT, &w.token_key},
        {"mobility", '\0', OPTION_FLAG, &t.mobility},
        {"reserve", '\0', OPTION_FLAG, &t.reserve},
        {"from", '\0', OPTION_LIST, &w.from},
        {"flows", 'n', OPTION_NUMBER, &t.flows},
        {"burst", '\0', OPTION_NUMBER, &t.burst},
        {"size", '\0', OPTION_NUMBER, &t.size},
        {"rate", '\0', OPTION_NUMBER, &t.rate},
        {"seconds", '\0', OPTION_NUMBER, &t.seconds},
        {"count", '\0', OPTION_NUMBER, &t.count},
        {"window", '\0', OPTION_NUMBER, &t.window},
        {"hold", '\0', OPTION_NUMBER, &t.hold},
        {"lifetime", '\0', OPTION_NUMBER, &t.lifetime},
        {"cpu-of", '\0', OPTION_NUMBER, &t.pid},
        {"up", '\0', OPTION_FLAG, &w.up},
        {"down", '\0', OPTION_FLAG, &w.down},
        {"latency", '\0', OPTION_FLAG, &t.latency},
        {"ipv6", '6', OPTION_FLAG, &t.ipv6},
        {"both", '\0', OPTION_FLAG, &t.both},
        {"even-port", '\0', OPTION_FLAG, &t.even_port},
        {"dont-fragment", '\0', OPTION_FLAG, &t.dont_fragment},
        {"ca-file", '\0', OPTION_TEXT, &t.ca_file},
        {"insecure", '\0', OPTION_FLAG, &t.insecure},
        {"keep", '\0', OPTION_FLAG, &t.keep},
        {"json", '\0', OPTION_FLAG, &w.json},
        {NULL, '\0', OPTION_FLAG, NULL},
    };
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    if (words.count == 2 && strcmp(words.items[0], "peer") == 0)
        return run_peer(words.items[1]);
    if (words.count == 2 && strcmp(words.items[0], "token") == 0)
        return turn_token_make(words.items[1], w.token_key, t.lifetime);
    const struct verb *v = words.count > 0 ? find_verb(words.items[0]) : NULL;
    if (v == NULL || words.count != 2) {
        (void)mistake("what, and which server? bodkin turn allocate SERVER", "");
        return EXIT_USAGE;
    }
    return run_verb(&t, v, &w, words.items[1], argv);
}
