/* SPDX-License-Identifier: MIT
 * What `bodkin nat --json` prints: a record as one JSON object. docs/nat-json.md is its schema. */
#ifndef CLI_NAT_JSON_H
#define CLI_NAT_JSON_H

#include <bodkin/natcheck.h>

struct cJSON;

enum { NAT_JSON_VERSION = 1 };

/* The object without "card" and "pair", which the caller adds. NULL: no memory. The caller's. */
struct cJSON *nat_json_record(const struct bk_nat_record *record, const struct bk_addr *server);

#endif
