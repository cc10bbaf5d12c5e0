/* SPDX-License-Identifier: MIT */
#include "server/config.h"

#include "base/wipe.h"
#include "net/alloc.h"
#include <ini.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

/* What the INI library's two callbacks share: one hands it lines, the other gets what is in them.
 */
struct parse {
    const char *at, *end;
    unsigned line;
    struct server_options *options;
    const struct config_reader *reader;
    unsigned mistakes;
    bool told; /* of this line */
};

static void wrong(struct parse *p, const char *sentence) {
    p->mistakes++;
    p->told = true;
    p->reader->wrong(p->reader->ctx, p->line, sentence);
}

/* The library's fgets(). A line that is longer than its buffer would be read as two. */
static char *next_line(char *out, int size, void *ctx) {
    struct parse *p = ctx;
    if (p->at == p->end)
        return NULL;
    const char *newline = memchr(p->at, '\n', (size_t)(p->end - p->at));
    const char *next = newline == NULL ? p->end : newline + 1;
    size_t len = (size_t)(next - p->at);
    p->line++;
    p->told = false;
    if (len >= (size_t)size || memchr(p->at, '\0', len) != NULL) {
        wrong(p, "the line is too long, or no text");
        len = 0;
    }
    memcpy(out, p->at, len);
    out[len] = '\0';
    p->at = next;
    return out;
}

static int on_entry(void *ctx, const char *section, const char *name, const char *value) {
    struct parse *p = ctx;
    char reason[SERVER_TEXT_MAX];
    const struct server_option *row = server_option_find(name);
    (void)section;
    if (row == NULL && strchr(name, ' ') != NULL) {
        wrong(p, "that is not OPTION = VALUE");
    } else if (row == NULL) {
        snprintf(reason, sizeof reason, "there is no option \"%.100s\"", name);
        wrong(p, reason);
    } else if (server_option_set(p->options, row, value, reason) != BK_OK) {
        wrong(p, reason);
    }
    return 1;
}

/* The library only says which line was the first that it did not understand; so each is its own
 * text, but for the library's idea of a value that goes on in the next line. */
enum bk_err config_parse(const char *text, size_t len, struct server_options *options,
                         const struct config_reader *reader) {
    struct parse p = {.at = text, .end = text + len, .options = options, .reader = reader};
    int first = ini_parse_stream(next_line, &p, on_entry, &p);
    if (first > 0 && p.mistakes == 0) {
        p.line = (unsigned)first;
        wrong(&p, "not `name = value`");
    } else if (first < 0) {
        p.line = 0;
        wrong(&p, "cannot read the file");
    }
    return p.mistakes == 0 ? BK_OK : BK_ERR_MALFORMED;
}

enum bk_err config_read(const char *path, struct server_options *options,
                        const struct config_reader *reader) {
    const struct bk_alloc *alloc = net_alloc();
    enum bk_err err = BK_ERR_NOT_FOUND;
    FILE *file = fopen(path, "re");
    char *text = file == NULL ? NULL : alloc->get(alloc->ctx, FILE_MAX);
    size_t len = text == NULL ? 0 : fread(text, 1, FILE_MAX, file);
    if (text == NULL || ferror(file) != 0)
        reader->wrong(reader->ctx, 0, "cannot read the file");
    else if (len == FILE_MAX)
        reader->wrong(reader->ctx, 0, "is too long for a configuration");
    else
        err = config_parse(text, len, options, reader);
    if (text != NULL)
        wipe(text, len);
    alloc->put(alloc->ctx, text);
    if (file != NULL)
        fclose(file);
    return err;
}
