/* SPDX-License-Identifier: MIT */
#include "cli/command.h"
#include "cli/options.h"
#include "cli/settings.h"

#include "net/loop.h"

#include <cjson/cJSON.h>
#include <stdio.h>

static const char help[] =
    "Prints this machine's public key, the name by which peers know it. The first\n"
    "call makes the key, in ~/.config/bodkin/key.\n"
    "\n"
    "  bodkin id\n"
    "\n"
    "Give it to a friend who runs `bodkin listen --allow KEY`, or let them\n"
    "`bodkin ping KEY` while you listen.\n"
    "\n"
    "  --json    print {\"id\":\"...\",\"relay\":\"...\"}; relay is the address at the relay\n"
    "  --help    this text\n";

static void print_json(const struct identity *id, const char *text) {
    char hex[2 * PEER_KEY_LEN + 1];
    for (size_t i = 0; i < PEER_KEY_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02x", id->relay_key[i]);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", text);
    cJSON_AddStringToObject(o, "relay", hex);
    char *line = cJSON_PrintUnformatted(o);
    if (line != NULL)
        puts(line);
    cJSON_free(line);
    cJSON_Delete(o);
}

int cmd_id(int argc, char **argv) {
    bool json = false;
    const struct option_row rows[] = {{"json", '\0', OPTION_FLAG, &json},
                                      {NULL, 0, OPTION_FLAG, NULL}};
    struct option_words words = {.max = 0};
    enum options_verdict verdict = options_read(argc, argv, rows, help, &words);
    if (verdict != OPTIONS_GO)
        return verdict == OPTIONS_HELP ? EXIT_FINE : EXIT_USAGE;
    struct report report;
    struct settings_identity mine;
    char text[PEER_KEY_TEXT_MAX];
    report_init(&report, "id", false, net_clock());
    enum exit_code code = settings_identity(&report, true, &mine);
    if (code != EXIT_FINE)
        return (int)code;
    peer_key_format(&mine.identity.key, text);
    if (json)
        print_json(&mine.identity, text);
    else
        puts(text);
    settings_identity_fini(&mine);
    return EXIT_FINE;
}
