/* SPDX-License-Identifier: MIT
 * links: server
 * The configuration file and the import of coturn's. Whatever the import writes, our own parser
 * must take. */
#define _POSIX_C_SOURCE 200809L
#include "base/assert.h"
#include "fuzz/fuzz.h"
#include "server/config.h"
#include "server/import.h"

#include <stdint.h>
#include <stdlib.h>

static void forgive(void *ctx, unsigned line, const char *sentence) {
    (void)ctx;
    (void)line;
    bk_assert(sentence[0] != '\0');
}

static void complain(void *ctx, unsigned line, const char *sentence) {
    (void)ctx;
    fprintf(stderr, "line %u: %s\n", line, sentence);
    bk_assert(false);
}

static void import(const char *text, size_t size) {
    static struct server_options options;
    const struct config_reader reader = {complain, NULL};
    char *ours = NULL, *notes = NULL;
    size_t ours_len = 0, notes_len = 0;
    unsigned left;
    FILE *out = open_memstream(&ours, &ours_len), *told = open_memstream(&notes, &notes_len);
    bk_assert(out != NULL && told != NULL);
    bk_assert(import_coturn(text, size, out, told, &left) == BK_OK);
    fclose(out);
    fclose(told);
    options = server_options_default;
    bk_assert(config_parse(ours, ours_len, &options, &reader) == BK_OK);
    free(ours);
    free(notes);
}

/* "@FILE" would read files. */
static bool names_a_file(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (data[i] == '@')
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct server_options options;
    const struct config_reader reader = {forgive, NULL};
    options = server_options_default;
    if (names_a_file(data, size))
        return 0;
    if (config_parse((const char *)data, size, &options, &reader) != BK_OK)
        bk_assert(size > 0);
    import((const char *)data, size);
    return 0;
}
