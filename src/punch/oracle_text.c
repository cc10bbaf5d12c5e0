/* SPDX-License-Identifier: MIT
 * The oracle's words. */
#include "punch/oracle_pair.h"

#include <stddef.h>

static const struct {
    const char *name, *text, *why;
} methods[BK_ORACLE_METHODS] = {
    [BK_ORACLE_DIRECT] = {"direct", "sending to the open side",
                          "One NAT lets everybody in at the port that STUN "
                          "showed, and the answer "
                          "leaves through the same session."},
    [BK_ORACLE_PUNCH] = {"punch", "hole punching",
                         "Both NATs keep one port for all destinations, so "
                         "each side knows where "
                         "to send and opens its own door by sending there."},
    [BK_ORACLE_PRFLX] = {"prflx", "hole punching, the other port is learned on arrival",
                         "One port is known and its filter looks at addresses "
                         "only, so the other "
                         "side may come from any port."},
    [BK_ORACLE_INNER] = {"inner", "addresses on the inside of the shared NAT",
                         "Both are behind the same NAT and can meet on its inside."},
    [BK_ORACLE_HAIRPIN] = {"hairpin", "hairpin through the shared NAT",
                           "Both are behind the same NAT, which sends packets to its own outside "
                           "address back in."},
    [BK_ORACLE_IPV6] = {"ipv6", "IPv6", "Over IPv6 no port changes; firewalls open to answers."},
    [BK_ORACLE_PORT_MAPPING] = {"port-mapping", "a port mapped on request",
                                "One NAT opens a port for everybody when it is asked to."},
    [BK_ORACLE_PREDICT] = {"predict", "port prediction on one side",
                           "One side's next port can be predicted, and no other port has to be "
                           "right."},
    [BK_ORACLE_FAN] = {"fan", "port prediction on both sides",
                       "Both sides' next ports can be predicted: one opens several mappings "
                       "towards one port, the other sends from several to each of them."},
    [BK_ORACLE_BLOCK] = {"block", "searching a known block of ports",
                         "A port has to be guessed, but all of a host's ports lie in a small "
                         "block that some STUN answers reveal."},
    [BK_ORACLE_BIRTHDAY_ONE] = {"birthday-one", "birthday paradox on one side",
                                "One port has to be guessed: many open ports on one side against "
                                "many probes of the other soon make a hit."},
    [BK_ORACLE_TCP] = {"tcp", "TCP simultaneous open",
                       "UDP is blocked; two TCP connects that cross each other "
                       "open both NATs."},
    [BK_ORACLE_BIRTHDAY_MIXED] = {"birthday-mixed", "prediction against guessing",
                                  "One port can be predicted, but both filters ask for the port "
                                  "and the other one is random."},
    [BK_ORACLE_BIRTHDAY_TWO] = {"birthday-two", "guessing on both sides",
                                "Both ports are random and both filters ask for the port: two "
                                "guesses must be right at once."},
    [BK_ORACLE_RELAY] = {"relay", "relay", "No method can reach the other side."},
};

const char *bk_oracle_method_name(enum bk_oracle_method method) {
    return (unsigned)method < BK_ORACLE_METHODS ? methods[method].name : "unknown";
}

const char *bk_oracle_method_text(enum bk_oracle_method method) {
    return (unsigned)method < BK_ORACLE_METHODS ? methods[method].text : "unknown";
}

const char *bk_oracle_role_text(enum bk_oracle_role role) {
    switch (role) {
    case BK_ORACLE_ROLE_NONE:
        break;
    case BK_ORACLE_ROLE_SEND:
        return "sends to one known port";
    case BK_ORACLE_ROLE_ANSWER:
        return "keeps its mapping open and answers";
    case BK_ORACLE_ROLE_OPEN:
        return "opens fresh mappings";
    case BK_ORACLE_ROLE_PROBE:
        return "tries one port after the other";
    case BK_ORACLE_ROLE_GUESS:
        return "opens fresh mappings and tries ports";
    case BK_ORACLE_ROLE_MAP:
        return "asks its NAT for a port";
    case BK_ORACLE_ROLE_CONNECT:
        return "connects over TCP";
    }
    return "does nothing";
}

const char *oracle_why(const struct oracle_pair *p, const struct oracle_offer *o) {
    if (o->method != BK_ORACLE_RELAY)
        return methods[o->method].why;
    if (p->same)
        return "Both are behind the same NAT, which does not send packets back in, "
               "and neither "
               "knows an address of the other on its inside.";
    if (!p->view[0].udp || !p->view[1].udp)
        return "UDP is blocked, and TCP cannot meet: a port that depends on the "
               "destination, or "
               "no simultaneous open.";
    return methods[o->method].why;
}
