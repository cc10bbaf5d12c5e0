/* SPDX-License-Identifier: MIT
 * bodkin ice: an ICE agent on the command line. */
#define _GNU_SOURCE
#include "cli/ice.h"
#include "cli/options.h"

#include "base/wipe.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Example:  here$  bodkin ice --server stun:stun.example\n"
    "          there$ bodkin ice --server stun:stun.example --controlled\n"
    "Makes an offer, takes the answer (paste it, then an empty line), finds a path\n"
    "through NATs and firewalls, and joins standard input and output as datagrams.\n"
    "  --server URI      stun:HOST, turn:HOST, turns:HOST?transport=tcp; repeatable\n"
    "  --user U, --password P  for TURN; @FILE reads P, so does $BODKIN_ICE_PASSWORD\n"
    "  --controlling, --controlled  make the offer (default), or answer one\n"
    "  --offer-file F, --answer-file F  exchanged through files, not the terminal\n"
    "  --protocol, --fd IN,OUT  a line protocol for programs, see bodkin-ice(1)\n"
    "  --policy P        all; public: no private addresses; relay: nothing direct\n"
    "  --lite            only answers checks; for hosts on public addresses\n"
    "  --tcp, --mdns     TCP candidates as well; names in place of addresses\n"
    "  -4, -6            this IP version only\n"
    "  --interface NAMES only these, separated by commas\n"
    "  --port N          UDP and TCP port; any unless given\n"
    "  --loopback        loopback addresses as well\n"
    "  --ca-file F       trust these for TLS; --insecure: do not verify\n"
    "  --restart-after S restarts ICE S seconds after it connected\n"
    "  --linger S        ends S seconds after the end of the input\n"
    "  --json, --trace   events as JSON lines; every decision of the agent\n"
    "  --help            this text\n";

struct ice_options {
    struct option_list servers;
    const char *user, *password, *policy, *fd;
    bool controlling, controlled, protocol, only4, only6;
    uint32_t port, linger;
};

static bool mistake(struct ice_cli *i, const char *text) {
    report_error(&i->report, "%s; see bodkin ice --help", text);
    return false;
}

/* ---- the password ------------------------------------------------------------------------- */

static bool read_password(struct ice_cli *i, const char *path, char *out) {
    FILE *file = fopen(path, "r");
    bool ok = file != NULL && fgets(out, ICE_SECRET_MAX, file) != NULL;
    if (ok)
        out[strcspn(out, "\r\n")] = '\0';
    else
        report_error(&i->report, "the password file %s cannot be read: %s", path,
                     file == NULL ? strerror(errno) : "it is empty");
    if (file != NULL)
        (void)fclose(file);
    return ok;
}

/* Command lines can be read by other users of the machine, so the words that hold the password are
 * overwritten at once. */
static void hide_password(char **argv) {
    for (char **word = argv; *word != NULL; word++) {
        char *secret = NULL;
        if (strcmp(*word, "--password") == 0)
            secret = word[1];
        else if (strncmp(*word, "--password=", 11) == 0)
            secret = *word + 11;
        if (secret != NULL && secret[0] != '@')
            memset(secret, '*', strlen(secret));
    }
}

/* Option, else environment, which children do not need. `out` has room for ICE_SECRET_MAX. */
static bool take_password(struct ice_cli *i, const char *option, char *out) {
    const char *text = option != NULL ? option : getenv("BODKIN_ICE_PASSWORD");
    out[0] = '\0';
    if (text == NULL)
        return true;
    if (option != NULL && option[0] == '@')
        return read_password(i, option + 1, out);
    if (strlen(text) >= ICE_SECRET_MAX)
        return mistake(i, "the password is too long");
    memcpy(out, text, strlen(text) + 1);
    return true;
}

/* ---- options ------------------------------------------------------------------------------ */

static bool take_servers(struct ice_cli *i, const struct ice_options *o, const char *password) {
    for (size_t n = 0; n < o->servers.count; n++) {
        const char *wrong = ice_add_server(i, o->servers.items[n], o->user, password);
        if (wrong == NULL)
            continue;
        report_error(&i->report, "--server %s: %s%s", o->servers.items[n], wrong,
                     strstr(wrong, "password") != NULL ? ": --user and --password" : "");
        return false;
    }
    return true;
}

static bool take_policy(struct ice_cli *i, const char *word) {
    if (word == NULL || strcmp(word, "all") == 0)
        i->config.policy = BK_ICE_ALL;
    else if (strcmp(word, "public") == 0)
        i->config.policy = BK_ICE_PUBLIC;
    else if (strcmp(word, "relay") == 0)
        i->config.policy = BK_ICE_RELAYED_ONLY;
    else
        return mistake(i, "--policy is all, public or relay");
    return true;
}

/* "3,4" */
static bool take_pair(const char *text, int *first, int *second) {
    char *end;
    long a = strtol(text, &end, 10);
    if (end == text || *end != ',')
        return false;
    const char *rest = end + 1;
    long b = strtol(rest, &end, 10);
    if (end == rest || *end != '\0' || a < 0 || b < 0 || a > INT_MAX || b > INT_MAX)
        return false;
    *first = (int)a;
    *second = (int)b;
    return true;
}

static bool take_descriptors(struct ice_cli *i, const struct ice_options *o) {
    i->in_fd = STDIN_FILENO;
    i->out_fd = STDOUT_FILENO;
    i->has_pipe = !o->protocol;
    i->signaller = o->protocol || o->fd != NULL ? &ice_protocol : &ice_exchange;
    if (o->fd == NULL)
        return true;
    if (o->protocol || !take_pair(o->fd, &i->in_fd, &i->out_fd))
        return mistake(i, "--fd wants two descriptors, such as 3,4, and no --protocol");
    return true;
}

static bool take_options(struct ice_cli *i, const struct ice_options *o, const char *password) {
    if (o->controlling && o->controlled)
        return mistake(i, "--controlling and --controlled exclude each other");
    if (o->only4 && o->only6)
        return mistake(i, "-4 and -6 exclude each other; without either both are used");
    if (o->port > UINT16_MAX)
        return mistake(i, "--port is at most 65535");
    i->config.role = o->controlled ? BK_ICE_CONTROLLED : BK_ICE_CONTROLLING;
    i->config.ipv4 = i->config.ipv4 && !o->only6;
    i->config.ipv6 = i->config.ipv6 && !o->only4;
    i->run_config.port = (uint16_t)o->port;
    i->linger_s = o->linger;
    return take_policy(i, o->policy) && take_servers(i, o, password) && take_descriptors(i, o);
}

/* ---- life --------------------------------------------------------------------------------- */

static void on_signal(void *ctx, int number) {
    struct ice_cli *i = ctx;
    if (i->ending)
        bk_run_stop(i->run); /* asked twice */
    ice_end(i, (enum exit_code)(EXIT_SIGNAL + number));
}

static int run(struct ice_cli *i) {
    static const int numbers[ICE_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    enum bk_err err = BK_OK;
    if (!ice_open(i))
        return EXIT_OTHER;
    for (size_t n = 0; n < ICE_SIGNALS && err == BK_OK; n++)
        err = net_signal_new(i->loop, numbers[n], on_signal, i, &i->signals[n]);
    if (err != BK_OK) {
        report_error(&i->report, "%s", bk_err_text(err));
        i->code = EXIT_OTHER;
    } else {
        i->signaller->open(i);
        bk_run_loop(i->run); /* also when that was the end already */
    }
    i->signaller->close(i);
    for (size_t n = 0; n < ICE_SIGNALS; n++)
        net_signal_free(i->signals[n]);
    ice_close(i);
    report_end(&i->report);
    return (int)i->code;
}

int cmd_ice(int argc, char **argv) {
    static struct ice_cli i;
    struct ice_options o = {.linger = UINT32_MAX};
    i = (struct ice_cli){.config = bk_ice_config_default, .run_config = bk_run_config_default};
    const struct option_row rows[] = {
        {"server", '\0', OPTION_LIST, &o.servers},
        {"user", '\0', OPTION_TEXT, &o.user},
        {"password", '\0', OPTION_TEXT, &o.password},
        {"controlling", '\0', OPTION_FLAG, &o.controlling},
        {"controlled", '\0', OPTION_FLAG, &o.controlled},
        {"offer-file", '\0', OPTION_TEXT, &i.offer_file},
        {"answer-file", '\0', OPTION_TEXT, &i.answer_file},
        {"protocol", '\0', OPTION_FLAG, &o.protocol},
        {"fd", '\0', OPTION_TEXT, &o.fd},
        {"policy", '\0', OPTION_TEXT, &o.policy},
        {"lite", '\0', OPTION_FLAG, &i.config.lite},
        {"tcp", '\0', OPTION_FLAG, &i.config.tcp},
        {"mdns", '\0', OPTION_FLAG, &i.config.mdns},
        {"ipv4", '4', OPTION_FLAG, &o.only4},
        {"ipv6", '6', OPTION_FLAG, &o.only6},
        {"interface", '\0', OPTION_TEXT, &i.run_config.interfaces},
        {"port", '\0', OPTION_NUMBER, &o.port},
        {"loopback", '\0', OPTION_FLAG, &i.run_config.loopback},
        {"ca-file", '\0', OPTION_TEXT, &i.run_config.ca_file},
        {"insecure", '\0', OPTION_FLAG, &i.run_config.insecure},
        {"restart-after", '\0', OPTION_NUMBER, &i.restart_after_s},
        {"linger", '\0', OPTION_NUMBER, &o.linger},
        {"json", '\0', OPTION_FLAG, &i.report.json},
        {"trace", '\0', OPTION_FLAG, &i.trace},
        {NULL, '\0', OPTION_FLAG, NULL},
    };
    char password[ICE_SECRET_MAX];
    struct option_words words = {.max = 0};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    report_init(&i.report, "ice", i.report.json, net_clock());
    bool ok = take_password(&i, o.password, password);
    hide_password(argv);
    ok = ok && take_options(&i, &o, password);
    wipe(password, sizeof password);
    int code = ok ? run(&i) : EXIT_USAGE;
    wipe(i.passwords, sizeof i.passwords);
    return code;
}
