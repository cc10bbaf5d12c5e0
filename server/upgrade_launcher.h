/* SPDX-License-Identifier: MIT
 * Who starts the new process. A server that has given up its privileges and closed its system calls
 * can run no program, so a small process is split off before that, with the privileges that whoever
 * started the server gave it. It reads nothing but one byte and one descriptor, and does one thing:
 * it runs the program that is now where ours was, with our arguments, and gives it the descriptor.
 * Whoever takes over the server can do no more with it than start the operator's own program with
 * the operator's own arguments; that program checks what it is told like a stranger's.
 *
 * It ends with the server: when the other end of its socket closes. */
#ifndef SERVER_UPGRADE_LAUNCHER_H
#define SERVER_UPGRADE_LAUNCHER_H

#include <bodkin/err.h>

/* How the new process finds its end of the channel: a number in the environment. */
#define UPGRADE_ENVIRONMENT "BODKIN_UPGRADE_FD"

/* Splits it off; before there are threads. `command`: the program (found as execvp() does) and its
 * arguments, NULL at the end. *out: what to tell it by. BK_ERR_UNSUPPORTED, BK_ERR_IO. */
BK_MUST_USE enum bk_err upgrade_launcher_start(char *const command[], int *out);
/* Has it run the program with `channel`, which stays the caller's. BK_ERR_CLOSED: it is gone. */
BK_MUST_USE enum bk_err upgrade_launcher_run(int launcher, int channel);

#endif
