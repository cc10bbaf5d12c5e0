/* SPDX-License-Identifier: MIT
 * links: cli
 * Peer cards come from strangers. What is accepted must survive writing and reading again. */
#include "fuzz/fuzz.h"

#include "cli/nat_card.h"

#include <cjson/cJSON.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char reason[NAT_CARD_REASON_MAX];
    struct nat_card card, again;
    if (nat_card_parse((const char *)data, size, &card, reason) != BK_OK)
        return 0;
    cJSON *object = nat_card_json(&card);
    char *text = cJSON_PrintUnformatted(object);
    fuzz_check(text != NULL);
    fuzz_check(nat_card_parse(text, strlen(text), &again, reason) == BK_OK);
    cJSON *written = nat_card_json(&again);
    fuzz_check(cJSON_Compare(object, written, true));
    cJSON_Delete(written);
    cJSON_free(text);
    cJSON_Delete(object);
    return 0;
}
