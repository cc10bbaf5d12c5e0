/* SPDX-License-Identifier: MIT */
#ifndef CLI_FORWARD_RULE_H
#define CLI_FORWARD_RULE_H

#include "cli/call.h"

#include <bodkin/addr.h>

/* Reads "[addr:]port:host:port": where to listen, 127.0.0.1 if no address is given, and the
 * "host:port" to ask the peer for. IPv6 addresses stand in brackets; "localhost" and "*" (all of
 * IPv4) are the only names for here. false: not of that form, and nothing was written. */
bool forward_rule_read(const char *text, struct bk_addr *bind, char target[CALL_TARGET_MAX + 1]);

#endif
