/* SPDX-License-Identifier: MIT
 * Is there a UPnP Internet Gateway Device? One SSDP search to the group, then one to the router
 * itself (UPnP Device Architecture 1.1 section 1.3.2), which reaches routers whose switch drops
 * multicast. */
#include "natcheck/state.h"

#include "base/text.h"

#include <string.h>

struct bk_addr upnp_group(void) {
    return bk_addr(bk_ipv4(239, 255, 255, 250), 1900);
}

size_t upnp_build(uint8_t *buf, size_t cap) {
    struct text t = text_in((char *)buf, cap);
    text_str(&t, "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"
                 "MAN: \"ssdp:discover\"\r\nMX: 1\r\n"
                 "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n");
    return t.len;
}

static bool contains(const uint8_t *data, size_t len, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++) {
        if (memcmp(data + i, word, n) == 0)
            return true;
    }
    return false;
}

bool upnp_read(const uint8_t *data, size_t len) {
    static const char status[] = "HTTP/1.1 200";
    bool ok = len > sizeof status && memcmp(data, status, sizeof status - 1) == 0;
    return ok && contains(data, len, "InternetGatewayDevice");
}
