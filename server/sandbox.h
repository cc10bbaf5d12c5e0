/* SPDX-License-Identifier: MIT
 * What the server takes from itself once everything is open and the threads have not begun: files
 * (landlock) and system calls (seccomp). Whoever takes it over gets a process that can answer
 * packets, and little else: no other program, no other file, no debugger, no namespaces. */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>

/* What this kernel had. */
struct sandbox_outcome {
    bool files, calls;
};

/* Irrevocable; needs privileges_drop() to have been called. `folders` are the folders and files
 * that stay readable, NULL entries are skipped; `write` may be written, too. A kernel without one
 * of the two is no failure. */
void sandbox_enter(const char *const *folders, size_t count, const char *write,
                   struct sandbox_outcome *out);

#endif
