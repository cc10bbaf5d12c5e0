/* SPDX-License-Identifier: MIT
 * Whom a command is to reach, as written on its command line: a ticket or a key itself, or @FILE,
 * whose first line holds it. A ticket is a secret, and other users see command lines. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include <stdbool.h>

enum { TARGET_MAX = 1024 };

/* The word to parse in `buf`, without the white space around it. false: the file cannot be read, or
 * its first line is empty or too long; standard error has said so in the name of `command`. Wipe
 * `buf` after use. */
bool target_read(const char *command, const char *word, char buf[TARGET_MAX]);

#endif
