/* SPDX-License-Identifier: MIT
 * libnice behind the line protocol of README.md: one stream, one component, GLib's main loop. Built
 * by build.sh with pkg-config's `nice`.
 *
 *     peer_nice [--aggressive] [--tcp] [--no-consent] [--address IP]...
 *
 * libnice's agent is made at "gather"; all before it only fills the configuration. */
#include <agent.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SERVERS_MAX = 4, ADDRESSES_MAX = 8 };

struct server {
    bool turn, tcp, tls;
    char host[64];
    guint port;
    char user[128], password[128];
};

struct peer {
    gint64 start;
    GMainLoop *loop;
    NiceAgent *agent;
    guint stream;
    NiceAgentOption options;
    bool controlling, relay_only, tcp, connected;
    bool has_remote; /* the next remote credentials are a restart */
    bool restarting; /* ours is done, theirs is awaited */
    struct server servers[SERVERS_MAX];
    size_t server_count;
    const char *addresses[ADDRESSES_MAX];
    size_t address_count;
};

static struct peer peer;

/* One line out, in one write: "MICROSECONDS WORD ...". */
static void say(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void say(const char *format, ...) {
    char line[2048];
    int at = snprintf(line, sizeof line, "%" PRId64 " ", g_get_monotonic_time() - peer.start);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + at, sizeof line - (size_t)at - 1, format, args);
    va_end(args);
    at += MIN(more, (int)sizeof line - at - 2);
    line[at++] = '\n';
    if (write(STDOUT_FILENO, line, (size_t)at) < 0)
        g_main_loop_quit(peer.loop);
}

/* ---- what libnice tells ------------------------------------------------------------------- */

static void say_candidate(NiceCandidate *c) {
    gchar *line = nice_agent_generate_local_candidate_sdp(peer.agent, c);
    say("candidate %s", g_str_has_prefix(line, "a=") ? line + 2 : line);
    g_free(line);
}

static void say_credentials(void) {
    gchar *ufrag = NULL, *pwd = NULL;
    if (nice_agent_get_local_credentials(peer.agent, peer.stream, &ufrag, &pwd))
        say("credentials %s %s", ufrag, pwd);
    g_free(ufrag);
    g_free(pwd);
}

/* After a restart libnice keeps its candidates and does not announce them again. */
static void say_candidates_again(void) {
    GSList *all = nice_agent_get_local_candidates(peer.agent, peer.stream, 1);
    for (GSList *i = all; i != NULL; i = i->next)
        say_candidate(i->data);
    g_slist_free_full(all, (GDestroyNotify)nice_candidate_free);
    say("gathered");
}

static void on_candidate(NiceAgent *agent, NiceCandidate *c, gpointer data) {
    (void)agent;
    (void)data;
    say_candidate(c);
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer data) {
    (void)agent;
    (void)stream;
    (void)data;
    say("gathered");
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer data) {
    (void)agent;
    (void)stream;
    (void)component;
    (void)data;
    say("state %s", nice_component_state_to_string(state));
    if ((state == NICE_COMPONENT_STATE_CONNECTED || state == NICE_COMPONENT_STATE_READY) &&
        !peer.connected) {
        peer.connected = true;
        say("connected");
    }
    if (state == NICE_COMPONENT_STATE_FAILED)
        say("failed libnice says so");
}

static const char *type_text(NiceCandidateType type) {
    switch (type) {
    case NICE_CANDIDATE_TYPE_HOST:
        return "host";
    case NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE:
        return "srflx";
    case NICE_CANDIDATE_TYPE_PEER_REFLEXIVE:
        return "prflx";
    case NICE_CANDIDATE_TYPE_RELAYED:
        return "relay";
    }
    return "?";
}

static void end_text(const NiceCandidate *c, char *out, size_t cap) {
    char ip[NICE_ADDRESS_STRING_LEN];
    nice_address_to_string(&c->addr, ip);
    snprintf(out, cap, "%s/%s/%s/%u", type_text(c->type),
             c->transport == NICE_CANDIDATE_TRANSPORT_UDP ? "udp" : "tcp", ip,
             nice_address_get_port(&c->addr));
}

static void on_selected(NiceAgent *agent, guint stream, guint component, NiceCandidate *local,
                        NiceCandidate *remote, gpointer data) {
    char here[128], there[128];
    (void)agent;
    (void)stream;
    (void)component;
    (void)data;
    end_text(local, here, sizeof here);
    end_text(remote, there, sizeof there);
    say("selected %s %s", here, there);
}

static void on_data(NiceAgent *agent, guint stream, guint component, guint len, gchar *bytes,
                    gpointer data) {
    (void)agent;
    (void)stream;
    (void)component;
    (void)data;
    say("data %.*s", (int)MIN(len, 1500u), bytes);
}

/* ---- what is asked of it ------------------------------------------------------------------ */

static void on_role(const char *args) {
    peer.controlling = strcmp(args, "controlling") == 0;
}

/* "turn:HOST:PORT?transport=tcp USER PASSWORD"; an IPv4 address for HOST is all the tests use. */
static void on_server(const char *args) {
    char uri[256] = "";
    struct server *s = &peer.servers[peer.server_count];
    if (peer.server_count == SERVERS_MAX)
        return;
    *s = (struct server){.port = 3478};
    sscanf(args, "%255s %127s %127s", uri, s->user, s->password);
    s->turn = g_str_has_prefix(uri, "turn");
    s->tls = g_str_has_prefix(uri, "turns:");
    s->tcp = strstr(uri, "transport=tcp") != NULL || s->tls;
    const char *host = strchr(uri, ':');
    if (host == NULL || sscanf(host + 1, "%63[^:?]:%u", s->host, &s->port) < 1) {
        say("error no server: %s", uri);
        return;
    }
    peer.server_count++;
}

static void on_policy(const char *args) {
    peer.relay_only = strcmp(args, "relay") == 0;
}

static void use_servers(void) {
    for (size_t i = 0; i < peer.server_count; i++) {
        const struct server *s = &peer.servers[i];
        NiceRelayType type = s->tls   ? NICE_RELAY_TYPE_TURN_TLS
                             : s->tcp ? NICE_RELAY_TYPE_TURN_TCP
                                      : NICE_RELAY_TYPE_TURN_UDP;
        if (s->turn)
            nice_agent_set_relay_info(peer.agent, peer.stream, 1, s->host, s->port, s->user,
                                      s->password, type);
        else
            g_object_set(peer.agent, "stun-server", s->host, "stun-server-port", s->port, NULL);
    }
}

static void use_addresses(void) {
    for (size_t i = 0; i < peer.address_count; i++) {
        NiceAddress a;
        nice_address_init(&a);
        if (nice_address_set_from_string(&a, peer.addresses[i]))
            nice_agent_add_local_address(peer.agent, &a);
    }
}

static void on_gather(const char *args) {
    (void)args;
    if (peer.agent != NULL)
        return;
    say("state creating");
    peer.agent = nice_agent_new_full(g_main_loop_get_context(peer.loop), NICE_COMPATIBILITY_RFC5245,
                                     peer.options);
    g_object_set(peer.agent, "controlling-mode", peer.controlling, "upnp", FALSE, "ice-tcp",
                 peer.tcp, "ice-udp", TRUE, "force-relay", peer.relay_only, NULL);
    g_signal_connect(peer.agent, "new-candidate-full", G_CALLBACK(on_candidate), NULL);
    g_signal_connect(peer.agent, "candidate-gathering-done", G_CALLBACK(on_gathered), NULL);
    g_signal_connect(peer.agent, "component-state-changed", G_CALLBACK(on_state), NULL);
    g_signal_connect(peer.agent, "new-selected-pair-full", G_CALLBACK(on_selected), NULL);
    use_addresses();
    peer.stream = nice_agent_add_stream(peer.agent, 1);
    use_servers();
    say_credentials();
    nice_agent_attach_recv(peer.agent, peer.stream, 1, g_main_loop_get_context(peer.loop), on_data,
                           NULL);
    if (!nice_agent_gather_candidates(peer.agent, peer.stream))
        say("failed nothing to gather");
}

static void restart(void) {
    peer.connected = false;
    peer.restarting = true;
    if (!nice_agent_restart_stream(peer.agent, peer.stream)) {
        say("error no restart");
        return;
    }
    say_credentials();
    say_candidates_again();
}

/* Credentials in place of others are the other side's restart, which ours follows. */
static void on_remote_credentials(const char *args) {
    char ufrag[257], pwd[257];
    if (sscanf(args, "%256s %256s", ufrag, pwd) != 2)
        return;
    if (peer.has_remote && !peer.restarting)
        restart();
    peer.has_remote = true;
    peer.restarting = false;
    if (!nice_agent_set_remote_credentials(peer.agent, peer.stream, ufrag, pwd))
        say("error credentials refused");
}

static void on_remote_candidate(const char *args) {
    gchar *line = g_strconcat(g_str_has_prefix(args, "a=") ? "" : "a=", args, NULL);
    NiceCandidate *c = nice_agent_parse_remote_candidate_sdp(peer.agent, peer.stream, line);
    g_free(line);
    if (c == NULL) {
        say("error candidate not understood: %s", args);
        return;
    }
    GSList *list = g_slist_append(NULL, c);
    if (nice_agent_set_remote_candidates(peer.agent, peer.stream, 1, list) < 0)
        say("error candidate refused: %s", args);
    g_slist_free_full(list, (GDestroyNotify)nice_candidate_free);
}

static void on_end_of_candidates(const char *args) {
    (void)args;
    nice_agent_peer_candidate_gathering_done(peer.agent, peer.stream);
}

static void on_send(const char *args) {
    if (nice_agent_send(peer.agent, peer.stream, 1, (guint)strlen(args), args) < 0)
        say("error not sent");
}

static void on_restart(const char *args) {
    (void)args;
    restart();
}

static void on_quit(const char *args) {
    (void)args;
    g_main_loop_quit(peer.loop);
}

static const struct command {
    const char *word;
    bool needs_agent;
    void (*run)(const char *args);
} commands[] = {
    {"role", false, on_role},
    {"server", false, on_server},
    {"policy", false, on_policy},
    {"gather", false, on_gather},
    {"remote-credentials", true, on_remote_credentials},
    {"remote-candidate", true, on_remote_candidate},
    {"end-of-candidates", true, on_end_of_candidates},
    {"send", true, on_send},
    {"restart", true, on_restart},
    {"quit", false, on_quit},
};

static void obey(char *line) {
    char *args = strchr(line, ' ');
    if (args != NULL)
        *args++ = '\0';
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].word, line) != 0)
            continue;
        if (commands[i].needs_agent && peer.agent == NULL)
            say("error %s before gather", line);
        else
            commands[i].run(args != NULL ? args : "");
        return;
    }
    say("error unknown word: %s", line);
}

static gboolean on_input(GIOChannel *in, GIOCondition condition, gpointer data) {
    (void)condition;
    (void)data;
    while (true) {
        gchar *line = NULL;
        gsize end = 0;
        GIOStatus status = g_io_channel_read_line(in, &line, NULL, &end, NULL);
        if (status == G_IO_STATUS_AGAIN)
            return TRUE;
        if (status != G_IO_STATUS_NORMAL) {
            g_main_loop_quit(peer.loop);
            return FALSE;
        }
        line[end] = '\0';
        obey(line);
        g_free(line);
    }
}

static bool read_options(int argc, char **argv) {
    peer.options = NICE_AGENT_OPTION_REGULAR_NOMINATION | NICE_AGENT_OPTION_ICE_TRICKLE |
                   NICE_AGENT_OPTION_CONSENT_FRESHNESS;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--aggressive") == 0)
            peer.options &= ~(unsigned)NICE_AGENT_OPTION_REGULAR_NOMINATION;
        else if (strcmp(argv[i], "--no-consent") == 0)
            peer.options &= ~(unsigned)NICE_AGENT_OPTION_CONSENT_FRESHNESS;
        else if (strcmp(argv[i], "--tcp") == 0)
            peer.tcp = true;
        else if (strcmp(argv[i], "--address") == 0 && i + 1 < argc &&
                 peer.address_count < ADDRESSES_MAX)
            peer.addresses[peer.address_count++] = argv[++i];
        else
            return false;
    }
    return true;
}

int main(int argc, char **argv) {
    peer.start = g_get_monotonic_time();
    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: %s [--aggressive] [--tcp] [--no-consent] [--address IP]...\n",
                argv[0]);
        return 2;
    }
    peer.loop = g_main_loop_new(NULL, FALSE);
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
    GIOChannel *in = g_io_channel_unix_new(STDIN_FILENO);
    g_io_channel_set_encoding(in, NULL, NULL);
    g_io_add_watch(in, G_IO_IN | G_IO_HUP, on_input, NULL);
    g_main_loop_run(peer.loop);
    if (peer.agent != NULL) {
        nice_agent_remove_stream(peer.agent, peer.stream);
        g_object_unref(peer.agent);
    }
    g_io_channel_unref(in);
    g_main_loop_unref(peer.loop);
    return 0;
}
