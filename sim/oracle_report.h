/* SPDX-License-Identifier: MIT
 * docs/oracle.md, line by line: what the oracle says about all pairs of the 27 types of NAT, and
 * about whole populations. */
#ifndef SIM_ORACLE_REPORT_H
#define SIM_ORACLE_REPORT_H

enum { ORACLE_LINE_MAX = 512 };

/* Calls `line` for each line of the document, without a newline. The same on every machine. */
void oracle_report(void (*line)(void *ctx, const char *text), void *ctx);

#endif
