/* SPDX-License-Identifier: MIT */
#include "cli/command.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"serve", cmd_serve, "run a home server: STUN, TURN and the relay"},
    {"listen", cmd_listen, "wait for a peer; prints a ticket to give away"},
    {"connect", cmd_connect, "connect to the peer that gave you a ticket"},
    {"ping", cmd_ping, "measure the way to a peer, and say which it is"},
    {"nat", cmd_nat, "say what the NAT here does, and what that means"},
    {"map", cmd_map, "ask the router for a port, and keep it"},
    {"ice", cmd_ice, "an ICE agent: offer, answer, candidates, a pipe"},
    {"turn", cmd_turn, "a TURN client: what a relay gives, and what it bears"},
    {"id", cmd_id, "print this machine's public key"},
    {"user", cmd_user, "keep the users of a TURN server"},
    {"lab", cmd_lab, "run real programs behind modelled NATs"},
    {"sim", cmd_sim, "play networks with NATs in virtual time"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out) {
    fputs("Connects two machines, whatever NATs and firewalls stand between them.\n"
          "\n"
          "  on a server     bodkin serve                  (prints: home: https://...)\n"
          "  on one machine  bodkin listen --home https://...   (prints a ticket)\n"
          "  on the other    bodkin connect TICKET\n"
          "\n"
          "Commands:\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`bodkin COMMAND --help` tells more; so does `man bodkin`.\n", out);
}

/* A descriptor we open must not land on the number of a standard one that was closed by whoever
 * started us. What takes the place fails as a closed one would. */
static void hold_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY); /* the lowest free number */
}

int main(int argc, char **argv) {
    hold_standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of write(), told in words */
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return EXIT_FINE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("bodkin " BODKIN_VERSION);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "bodkin: there is no command \"%s\"; see bodkin --help\n", argv[1]);
    return EXIT_USAGE;
}
