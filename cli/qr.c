/* SPDX-License-Identifier: MIT */
#include "cli/qr.h"

#include <ctype.h>
#include <qrencode.h>
#include <stdio.h>
#include <string.h>

enum { QUIET = 2, TEXT_MAX = 1024 };

static int is_dark(const QRcode *code, int x, int y) {
    if (x < 0 || y < 0 || x >= code->width || y >= code->width)
        return 0;
    return code->data[y * code->width + x] & 1;
}

/* Dark modules are drawn as gaps in white, so that the code is right on dark terminals and, with
 * the colours set, on bright ones, too. */
static void draw(const QRcode *code) {
    static const char *const cells[] = {"\342\226\210", "\342\226\200", "\342\226\204", " "};
    for (int y = -QUIET; y < code->width + QUIET; y += 2) {
        fputs("\033[37;40m", stderr);
        for (int x = -QUIET; x < code->width + QUIET; x++)
            fputs(cells[is_dark(code, x, y) * 2 + is_dark(code, x, y + 1)], stderr);
        fputs("\033[0m\n", stderr);
    }
}

void qr_print(const char *text) {
    char upper[TEXT_MAX];
    size_t len = strlen(text);
    if (len >= sizeof upper)
        return;
    for (size_t i = 0; i <= len; i++)
        upper[i] = (char)toupper((unsigned char)text[i]);
    QRcode *code = QRcode_encodeString(upper, 0, QR_ECLEVEL_L, QR_MODE_8, 1);
    if (code == NULL)
        return;
    draw(code);
    QRcode_free(code);
}
