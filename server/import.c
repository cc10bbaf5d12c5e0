/* SPDX-License-Identifier: MIT
 * Reads line by line; what belongs together (ports, addresses, TLS and DTLS) is collected and
 * written at the end. Whatever is written has been tried on our own options first. */
#include "server/import.h"

#include "base/text.h"
#include "base/wipe.h"
#include "server/import_int.h"
#include "server/import_range.h"
#include "server/options.h"
#include <stdlib.h>
#include <string.h>

enum { LINE_LEN = 512, WORD_LEN = 190, INI_LINE = 190, RELAYS = 8 };

struct import {
    FILE *out, *notes;
    unsigned line, left;
    struct server_options tried;
    char min_port[WORD_LEN], max_port[WORD_LEN], turns[WORD_LEN];
    char relays[RELAYS][WORD_LEN];
    char outside[RELAYS][WORD_LEN]; /* external-ip without an inside */
    size_t relay_count, outside_count;
    bool no_tls, no_dtls, credentials;
};

static void note(struct import *i, const char *name, const char *why) {
    i->left++;
    fprintf(i->notes, "line %u: %.100s: not converted: %s\n", i->line, name, why);
}

/* One line of ours, if our own parser takes it. */
static void put(struct import *i, const char *from, const char *ours, const char *value) {
    char reason[SERVER_TEXT_MAX];
    const struct server_option *row = server_option_find(ours);
    if (value != NULL && (strlen(ours) + strlen(value) + 4 > INI_LINE || strchr(value, ';') ||
                          value[0] == '#' || value[0] == '@' || value[0] == '\0')) {
        note(i, from, "its value is too long or has characters that mean something in our file");
        return;
    }
    if (server_option_set(&i->tried, row, value, reason) != BK_OK) {
        note(i, from, reason);
        return;
    }
    i->credentials = i->credentials || turn_options_on(&i->tried.turn);
    fprintf(i->out, "%s = %s\n", ours, value == NULL ? "yes" : value);
}

static void put_range(struct import *i, const char *name, const struct import_row *row,
                      const char *value) {
    struct import_ranges ranges;
    char text[IMPORT_RANGE_TEXT_MAX];
    if (!import_ranges_read(value, &ranges)) {
        note(i, name, "not an address or a range of at most 64 prefixes");
        return;
    }
    for (size_t k = 0; k < ranges.count; k++)
        if (row->kind != IMPORT_DENY || !import_range_is_closed(&ranges.list[k]))
            put(i, name, row->ours, import_range_text(&ranges.list[k], text));
}

/* "OUTSIDE/INSIDE", or OUTSIDE alone, which is for every relay address of its family. */
static void take_external(struct import *i, const char *name, const char *value) {
    char ours[2 * WORD_LEN];
    const char *slash = strchr(value, '/');
    if (slash == NULL) {
        if (i->outside_count < RELAYS)
            memcpy(i->outside[i->outside_count++], value, strlen(value) + 1);
        else
            note(i, name, "too many of them");
        return;
    }
    snprintf(ours, sizeof ours, "%s=%.*s", slash + 1, (int)(slash - value), value);
    put(i, name, "relay-address", ours);
}

static void take_relay(struct import *i, const char *name, const char *value) {
    if (i->relay_count < RELAYS)
        memcpy(i->relays[i->relay_count++], value, strlen(value) + 1);
    else
        note(i, name, "one relay address per family");
}

static void keep(char to[WORD_LEN], const char *value) {
    memcpy(to, value, strlen(value) + 1);
}

static void put_bytes(struct import *i, const char *name, const char *ours, const char *value) {
    char bits[32], *end;
    long long bytes = strtoll(value, &end, 10);
    if (*value == '\0' || *end != '\0' || bytes < 0 || bytes > 100000000000) {
        note(i, name, "not a number of bytes per second");
        return;
    }
    snprintf(bits, sizeof bits, "%lld", bytes * 8);
    put(i, name, ours, bits);
}

static void convert(struct import *i, const struct import_row *row, const char *value) {
    switch (row->kind) {
    case IMPORT_SAME:
        put(i, row->name, row->ours, value);
        return;
    case IMPORT_COUNT:
        if (strcmp(value, "0") != 0)
            put(i, row->name, row->ours, value);
        return;
    case IMPORT_FLAG:
        put(i, row->name, row->ours, NULL);
        return;
    case IMPORT_BYTES:
        put_bytes(i, row->name, row->ours, value);
        return;
    case IMPORT_TURNS:
        keep(i->turns, value);
        return;
    case IMPORT_NO_TLS:
        i->no_tls = true;
        return;
    case IMPORT_NO_DTLS:
        i->no_dtls = true;
        return;
    case IMPORT_RELAY:
        take_relay(i, row->name, value);
        return;
    case IMPORT_EXTERNAL:
        take_external(i, row->name, value);
        return;
    case IMPORT_MIN_PORT:
        keep(i->min_port, value);
        return;
    case IMPORT_MAX_PORT:
        keep(i->max_port, value);
        return;
    case IMPORT_VERBOSE:
        put(i, row->name, row->ours, "debug");
        return;
    case IMPORT_ALLOW:
    case IMPORT_DENY:
        put_range(i, row->name, row, value);
        return;
    case IMPORT_LOOPBACK:
        put(i, row->name, row->ours, "127.0.0.0/8");
        put(i, row->name, row->ours, "::1");
        return;
    case IMPORT_SEPARATOR:
        if (strcmp(value, ":") != 0)
            note(i, row->name, row->note);
        return;
    case IMPORT_ALWAYS:
        return;
    case IMPORT_NEVER:
        note(i, row->name, row->note);
        return;
    }
}

static bool same_family(const char *a, const char *b) {
    return (strchr(a, ':') == NULL) == (strchr(b, ':') == NULL);
}

/* Each relay address with the outside of its family; then what found none. */
static void put_relays(struct import *i) {
    char ours[2 * WORD_LEN + 2];
    for (size_t r = 0; r < i->relay_count; r++) {
        size_t o = 0;
        while (o < i->outside_count &&
               (i->outside[o][0] == '\0' || !same_family(i->outside[o], i->relays[r])))
            o++;
        bool mapped = o < i->outside_count;
        snprintf(ours, sizeof ours, "%s%s%s", i->relays[r], mapped ? "=" : "",
                 mapped ? i->outside[o] : "");
        put(i, "relay-ip", "relay-address", ours);
        if (mapped)
            i->outside[o][0] = '\0';
    }
    for (size_t o = 0; o < i->outside_count; o++)
        if (i->outside[o][0] != '\0')
            note(i, "external-ip",
                 "say which address of this machine it stands for: "
                 "relay-address = INSIDE=OUTSIDE");
}

static void finish(struct import *i) {
    char ports[2 * WORD_LEN];
    put_relays(i);
    if (i->min_port[0] != '\0' || i->max_port[0] != '\0') {
        snprintf(ports, sizeof ports, "%s-%s", i->min_port[0] == '\0' ? "49152" : i->min_port,
                 i->max_port[0] == '\0' ? "65535" : i->max_port);
        put(i, "min-port, max-port", "relay-ports", ports);
    }
    if (i->no_tls && i->no_dtls)
        put(i, "no-tls", "turns", "0");
    else if (i->no_tls || i->no_dtls)
        note(i, i->no_tls ? "no-tls" : "no-dtls", "TLS and DTLS are served together");
    else if (i->turns[0] != '\0')
        put(i, "tls-listening-port", "turns", i->turns);
    if (!i->credentials)
        fputs("note: nobody can log in yet; turn-user, turn-secret or users switches TURN on\n",
              i->notes);
    fputs("note: peers in private networks are refused unless allow-peer names them\n", i->notes);
}

/* "name=value", "name value" or "name"; quotes around a value go. */
static void read_line(struct import *i, char *line) {
    char *name = line + strspn(line, " \t"), *value;
    size_t len = strcspn(name, " \t=\r");
    if (*name == '\0' || *name == '#' || *name == '\r')
        return;
    value = name + len;
    value += strspn(value, " \t=");
    name[len] = '\0';
    size_t end = strlen(value);
    while (end > 0 && strchr(" \t\r", value[end - 1]) != NULL)
        value[--end] = '\0';
    if (end >= 2 && (value[0] == '"' || value[0] == '\'') && value[end - 1] == value[0]) {
        value[end - 1] = '\0';
        value++;
    }
    const struct import_row *row = import_find(name);
    if (row == NULL)
        note(i, name, "unknown");
    else if (strlen(value) >= WORD_LEN)
        note(i, name, "its value is too long");
    else
        convert(i, row, value);
}

enum bk_err import_coturn(const char *text, size_t len, FILE *out, FILE *notes, unsigned *left) {
    struct import *i = calloc(1, sizeof *i);
    const char *end = text + len;
    char line[LINE_LEN];
    if (i == NULL)
        return BK_ERR_NO_MEMORY;
    i->out = out;
    i->notes = notes;
    fputs("# bodkin serve --config FILE; made from a coturn configuration\n", out);
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t n = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at);
        i->line++;
        if (n >= sizeof line || memchr(at, '\0', n) != NULL) {
            note(i, "(this line)", "it is too long, or no text");
        } else {
            memcpy(line, at, n);
            line[n] = '\0';
            read_line(i, line);
        }
        at += n + 1;
    }
    finish(i);
    *left = i->left;
    wipe(line, sizeof line);
    wipe(i, sizeof *i);
    free(i);
    return ferror(out) == 0 ? BK_OK : BK_ERR_IO;
}
