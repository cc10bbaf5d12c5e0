/* SPDX-License-Identifier: MIT
 * Table keys: packed bytes, because structs have padding. */
#include "sim/state.h"

#include <string.h>

void key_node_ip(uint8_t key[KEY_NODE_IP], node_id node, const struct bk_ip *ip) {
    memcpy(key, &node, 4);
    key[4] = ip->family;
    memcpy(key + 5, ip->bytes, 16);
}

void key_node_addr(uint8_t key[KEY_NODE_ADDR], node_id node, const struct bk_addr *addr) {
    key_node_ip(key, node, &addr->ip);
    memcpy(key + KEY_NODE_IP, &addr->port, 2);
}

void key_node_port(uint8_t key[KEY_NODE_PORT], node_id node, uint16_t port) {
    memcpy(key, &node, 4);
    memcpy(key + 4, &port, 2);
}

void key_nodes(uint8_t key[KEY_NODES], node_id a, node_id b) {
    node_id low = a < b ? a : b, high = a < b ? b : a;
    memcpy(key, &low, 4);
    memcpy(key + 4, &high, 4);
}
