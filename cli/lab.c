/* SPDX-License-Identifier: MIT
 * bodkin lab: real programs in a network with NATs, on one machine. */
#define _GNU_SOURCE /* NOLINT: O_CLOEXEC and friends with the system headers of lab/ */
#include "cli/command.h"
#include "cli/lab_show.h"
#include "cli/topology_file.h"
#include "lab/control.h"
#include "lab/netns.h"
#include "lab/run.h"
#include "lab/scratch.h"
#include "topology/topology.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beside those in command.h: what test harnesses and shells expect. */
enum { EXIT_UNSUPPORTED = 77, EXIT_NOT_FOUND = 127 };

static const char help[] =
    "Example:\n"
    "  bodkin lab run home.lab         build the network, run its commands, remove it\n"
    "\n"
    "Usage: bodkin lab COMMAND ...\n"
    "  run [OPTIONS] FILE [HOST COMMAND...]  run the file's [run] part, or this\n"
    "      --keep       stay up when the commands are done, until Ctrl-C\n"
    "      --json, --quiet  events as JSON lines; only what the commands print\n"
    "      --capture DIR  all links' packets, to DIR/NAME.pcapng for Wireshark\n"
    "      --events FILE  mappings, drops and the rest as JSON lines; - shows them\n"
    "      --name NAME  instead of the file's name\n"
    "      --set NAME:FIELD=VALUE  over the file: bob-router:preset=symmetric\n"
    "      --no-offload packets of one MTU, as on slow hardware\n"
    "  check FILE, list, stop      say what is wrong with a file; show, end labs\n"
    "  events [--json]             what happens in a running lab, as it happens\n"
    "  shell HOST, exec HOST COMMAND...  inside a host: a shell, or one command\n"
    "  cut A [B] [udp|tcp|icmp]    drop what passes A (and B); end: restore\n"
    "  set A FIELD=VALUE...        delay, jitter, loss, rate, queue; UP/DOWN\n"
    "  reboot, evict, exhaust, limit, readdress NAT; flap A    see docs/topology.md\n"
    "  --lab NAME                  behind the command word: which lab, if several run\n"
    "\n"
    "Exit status of run: 0, or that of the command that failed; 124 timeout; 130\n"
    "Ctrl-C; 2 wrong use or a bad file; 77 this machine cannot run labs.\n"
    "bodkin lab help file explains the file's format.\n";

static const char help_file[] =
    "[lab]                        # optional\n"
    "seed = 1                     # of loss, jitter and random ports\n"
    "timeout = 60s                # what a step waits for\n"
    "[nat alice-router]\n"
    "preset = home                # full-cone, restricted, port-restricted, symmetric, ...\n"
    "filtering = ADF              # or mapping, ports, hairpin, unsolicited, udp, ipv6, ...\n"
    "public = 203.0.113.1\n"
    "inside = 192.168.1.1/24, 2001:db8:a::1/64\n"
    "behind = isp                 # another NAT; default: the internet\n"
    "delay = 20ms                 # of its link outwards\n"
    "[host alice]\n"
    "behind = alice-router\n"
    "address = 192.168.1.10, 2001:db8:a::10\n"
    "delay = 2ms / 8ms            # up / down; also jitter, loss = 1%, rate = 100mbit, queue, mtu\n"
    "[host server]\n"
    "address = 198.51.100.10\n"
    "\n"
    "[run]                        # one step per line, in order; commands go to /bin/sh -c\n"
    "start server: COMMAND        # in the background, until the end; start bob as NAME: COMMAND\n"
    "wait server: home: {home}    # until it prints this; {home} is a word, {x...} the rest\n"
    "alice: COMMAND \"$home\"       # waits for its end; alice exit=3 timeout=5s: COMMAND\n"
    "join bob                     # waits for the end of a started command; stop bob ends it\n"
    "sleep 2s\n"
    "cut alice bob udp            # drops silently what passes both; restore alice bob\n"
    "set alice loss=1%            # also delay, jitter, rate, queue; reboot alice-router\n"
    "evict alice-router 3         # also exhaust, limit, readdress, flap\n"
    "at 5s: cut alice bob udp     # changes can have a time of their own\n"
    "serve server                 # these three run in bodkin sim, too\n"
    "meet alice bob\n"
    "expect direct within 2s      # or relayed, data\n";

enum { SET_MAX = 32 };

struct run_options {
    bool keep, json, quiet, no_offload;
    const char *name, *file, *capture, *events;
    char **command; /* HOST COMMAND..., or NULL */
    int command_count;
    const char *set[SET_MAX]; /* NAME:FIELD=VALUE, over the file */
    size_t set_count;
};

static int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what is wrong with the user's words; the exit status for it. */
static int complain(const char *format, ...) {
    va_list args;
    fputs("bodkin lab: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("\n", stderr);
    return EXIT_USAGE;
}

/* 0, or the exit status after a complaint. */
static int load(const char *path, struct topology *out) {
    return topology_file_load("lab", path, out) ? 0 : EXIT_USAGE;
}

static int lab_check(int argc, char **argv) {
    struct topology topology;
    if (argc != 1)
        return complain("%s", "check takes one file");
    int status = load(argv[0], &topology);
    if (status != 0)
        return status;
    size_t hosts = 0;
    for (size_t i = 0; i < topology.node_count; i++)
        hosts += topology.nodes[i].kind == TOPOLOGY_HOST;
    printf("%s: %zu hosts, %zu NATs, %zu steps\n", argv[0], hosts, topology.node_count - hosts,
           topology.step_count);
    topology_fini(&topology);
    return 0;
}

/* Puts the arguments into one shell command; each is quoted, so that it stays one word. A single
 * argument is taken as it is: it may be a pipeline. */
static char *shell_command(int argc, char **argv) {
    size_t room = 1;
    for (int i = 0; i < argc; i++)
        room += 4 * strlen(argv[i]) + 3;
    char *out = malloc(room), *at = out;
    if (out == NULL || argc == 1)
        return out == NULL ? NULL : memcpy(out, argv[0], strlen(argv[0]) + 1);
    for (int i = 0; i < argc; i++) {
        *at++ = '\'';
        for (const char *c = argv[i]; *c != '\0'; c++) {
            size_t put = *c == '\'' ? 4 : 1;
            memcpy(at, *c == '\'' ? "'\\''" : c, put);
            at += put;
        }
        *at++ = '\'';
        *at++ = ' ';
    }
    at[-1] = '\0';
    return out;
}

/* "examples/home.lab" is the lab "home". */
static void name_of_file(const char *path, char *out, size_t cap) {
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t len = 0;
    while (base[len] != '\0' && base[len] != '.' && len + 1 < cap) {
        bool plain = strchr("/ \t\n", base[len]) == NULL;
        out[len] = (char)(plain ? base[len] : '_');
        len++;
    }
    out[len] = '\0';
}

/* Commands in the lab find the program they belong to, even from a build directory. */
static void put_ourselves_on_path(void) {
    char self[PATH_MAX], path[2 * PATH_MAX];
    const char *old = getenv("PATH");
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return;
    self[len] = '\0';
    int put =
        snprintf(path, sizeof path, "%s:%s", dirname(self), old != NULL ? old : "/usr/bin:/bin");
    if (put > 0 && (size_t)put < sizeof path)
        setenv("PATH", path, 1);
}

static int run_topology(const struct run_options *o, struct topology *topology) {
    char name[TOPOLOGY_NAME_MAX], why[TOPOLOGY_ERROR_MAX] = "";
    struct lab_view view;
    lab_view_init(&view, topology, o->file);
    view.json = o->json;
    view.quiet = o->quiet;
    name_of_file(o->name != NULL ? o->name : o->file, name, sizeof name);
    struct lab_config config = {.name = name[0] != '\0' ? name : "lab",
                                .stay = o->keep,
                                .no_offload = o->no_offload,
                                .follow = o->events != NULL && strcmp(o->events, "-") == 0,
                                .capture_directory = o->capture,
                                .events_path = o->events,
                                .event = lab_show,
                                .ctx = &view};
    struct lab *lab = NULL;
    if (config.follow)
        config.events_path = NULL;
    put_ourselves_on_path();
    signal(SIGPIPE, SIG_IGN); /* `bodkin lab run ... | head` must still clean up */
    enum bk_err err = lab_new(topology, &config, &lab, why);
    if (err != BK_OK) {
        fprintf(stderr, "bodkin lab: %s\n", why);
        return err == BK_ERR_PERMISSION || err == BK_ERR_UNSUPPORTED ? EXIT_UNSUPPORTED
                                                                     : EXIT_OTHER;
    }
    int status = lab_run(lab);
    lab_free(lab);
    return status;
}

/* Options with a value: takes it from argv[*i + 1]. */
static bool parse_run_value(char **argv, int *i, struct run_options *o) {
    const struct {
        const char *option;
        const char **to;
    } values[] = {{"--name", &o->name}, {"--capture", &o->capture}, {"--events", &o->events}};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        if (strcmp(argv[*i], values[v].option) == 0) {
            *values[v].to = argv[++*i];
            return true;
        }
    }
    if (strcmp(argv[*i], "--set") != 0 || o->set_count == SET_MAX)
        return false;
    o->set[o->set_count++] = argv[++*i];
    return true;
}

static bool parse_run_options(int argc, char **argv, struct run_options *o) {
    const struct {
        const char *option;
        bool *to;
    } flags[] = {{"--keep", &o->keep},
                 {"--json", &o->json},
                 {"--quiet", &o->quiet},
                 {"--no-offload", &o->no_offload}};
    const size_t flag_count = sizeof flags / sizeof *flags;
    int i = 0;
    for (; i < argc && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        size_t f = 0;
        while (f < flag_count && strcmp(argv[i], flags[f].option) != 0)
            f++;
        if (f < flag_count)
            *flags[f].to = true;
        else if (i + 1 == argc || !parse_run_value(argv, &i, o)) {
            complain("run does not know %s, or it needs a value; see bodkin lab --help", argv[i]);
            return false;
        }
    }
    if (i == argc) {
        complain("%s", "run needs a file; see bodkin lab --help");
        return false;
    }
    o->file = argv[i++];
    if (argc - i == 1) {
        complain("what shall run in %s? A command is missing", argv[i]);
        return false;
    }
    o->command = argv + i;
    o->command_count = argc - i;
    return true;
}

static int lab_run_file(int argc, char **argv) {
    struct run_options o = {0};
    struct topology topology;
    if (!parse_run_options(argc, argv, &o))
        return EXIT_USAGE;
    int status = load(o.file, &topology);
    if (status != 0)
        return status;
    for (size_t i = 0; status == 0 && i < o.set_count; i++) {
        struct topology_error error;
        if (topology_override(&topology, o.set[i], &error) != BK_OK)
            status = complain("--set %s: %s", o.set[i], error.text);
    }
    if (status == 0 && o.command_count > 0) {
        char *command = shell_command(o.command_count - 1, o.command + 1);
        enum bk_err err = command == NULL ? BK_ERR_NO_MEMORY
                                          : topology_run_only(&topology, o.command[0], command);
        free(command);
        if (err != BK_OK)
            status = complain("there is no host \"%s\" in this lab", o.command[0]);
    }
    if (status == 0 && topology_spell_out(&topology) != BK_OK)
        status = complain("%s: more than %d steps", o.file, TOPOLOGY_STEPS_MAX);
    if (status == 0)
        status = run_topology(&o, &topology);
    topology_fini(&topology);
    return status;
}

/* The lab a command is for. */
struct choice {
    const char *want; /* NULL: the only one */
    char path[2 * CONTROL_PATH_MAX];
    size_t count;
};

static void choose(void *ctx, const char *name, const char *path) {
    struct choice *c = ctx;
    if (c->want != NULL && strcmp(c->want, name) != 0)
        return;
    c->count++;
    snprintf(c->path, sizeof c->path, "%s", path);
}

/* Inside a lab its own socket is meant. 0, or the exit status after a complaint. */
static int find_lab(struct choice *c) {
    const char *here = getenv("BODKIN_LAB");
    if (c->want == NULL && here != NULL && here[0] != '\0') {
        snprintf(c->path, sizeof c->path, "%s", here);
        return 0;
    }
    control_list(choose, c);
    if (c->count == 1)
        return 0;
    if (c->count == 0 && c->want != NULL)
        complain("no lab \"%s\" is running", c->want);
    else if (c->count == 0)
        complain("%s", "no lab is running");
    else
        complain("%s", "several labs are running: name one with --lab; bodkin lab list shows them");
    return EXIT_OTHER;
}

/* Takes "--lab NAME" off the front of the arguments. */
static void take_lab_option(int *argc, char ***argv, struct choice *c) {
    if (*argc < 2 || strcmp((*argv)[0], "--lab") != 0)
        return;
    c->want = (*argv)[1];
    *argc -= 2;
    *argv += 2;
}

/* 0, or the exit status after a complaint. */
static int ask(const struct choice *c, const char *request, struct control_message *answer) {
    enum bk_err err = control_ask(c->path, request, answer);
    if (err == BK_OK)
        return 0;
    if (err == BK_ERR_REFUSED)
        return complain("%s", answer->text);
    complain("the lab does not answer: %s", bk_err_text(err));
    return EXIT_OTHER;
}

static int lab_change_words(const char *verb, int argc, char **argv) {
    struct choice c = {0};
    struct control_message answer;
    char request[CONTROL_TEXT_MAX];
    take_lab_option(&argc, &argv, &c);
    int len = snprintf(request, sizeof request, "change %s", verb);
    for (int i = 0; i < argc && len > 0 && (size_t)len < sizeof request; i++)
        len += snprintf(request + len, sizeof request - (size_t)len, " %s", argv[i]);
    if (len < 0 || (size_t)len >= sizeof request)
        return complain("%s: too many words", verb);
    int status = find_lab(&c);
    return status != 0 ? status : ask(&c, request, &answer);
}

static int lab_enter(int argc, char **argv, bool shell) {
    struct choice c = {0};
    struct control_message answer;
    char request[CONTROL_TEXT_MAX];
    take_lab_option(&argc, &argv, &c);
    if (argc < 1 || (shell && argc != 1) || (!shell && argc < 2))
        return complain("%s", shell ? "shell needs one host" : "exec needs a host and a command");
    int len = snprintf(request, sizeof request, "enter %s", argv[0]);
    if (len < 0 || (size_t)len >= sizeof request)
        return complain("%s is not a host", "that");
    int status = find_lab(&c);
    status = status != 0 ? status : ask(&c, request, &answer);
    if (status != 0)
        return status;
    if (answer.fd_count < 2 || netns_enter(answer.fd_count > 2 ? answer.fds[2] : -1, answer.fds[0],
                                           answer.fds[1]) != BK_OK) {
        complain("cannot enter the host: %s", strerror(errno));
        return EXIT_OTHER;
    }
    if (scratch_environment(c.path, argv[0]) != BK_OK)
        return complain("%s", "the path of the lab is too long");
    put_ourselves_on_path();
    const char *program = getenv("SHELL");
    char *shell_argv[] = {NULL, NULL};
    if (program == NULL || program[0] == '\0')
        program = "/bin/sh";
    shell_argv[0] = argv[0]; /* shows as the shell's name */
    if (shell)
        execvp(program, shell_argv);
    else
        execvp(argv[1], argv + 1);
    fprintf(stderr, "bodkin lab: cannot run %s: %s\n", shell ? program : argv[1], strerror(errno));
    return EXIT_NOT_FOUND;
}

static bool print_event(void *ctx, const char *text) {
    (void)ctx;
    return puts(text) != EOF && fflush(stdout) == 0;
}

static int lab_events(int argc, char **argv) {
    struct choice c = {0};
    take_lab_option(&argc, &argv, &c);
    bool json = argc > 0 && strcmp(argv[0], "--json") == 0;
    if (argc > json)
        return complain("events does not know %s", argv[json ? 1 : 0]);
    int status = find_lab(&c);
    if (status != 0)
        return status;
    signal(SIGPIPE, SIG_IGN);
    enum bk_err err =
        control_follow(c.path, json ? "events json" : "events text", print_event, NULL);
    if (err == BK_OK)
        return 0;
    complain("the lab does not answer: %s", bk_err_text(err));
    return EXIT_OTHER;
}

static void show_lab(void *ctx, const char *name, const char *path) {
    struct control_message answer;
    unsigned hosts = 0, nats = 0;
    long long seconds = 0;
    int at = 0;
    (void)ctx;
    if (control_ask(path, "info", &answer) != BK_OK)
        return;
    if (sscanf(answer.text, "ok %u %u %lld%n", &hosts, &nats, &seconds, &at) < 3) /* NOLINT */
        return;
    printf("%-16s %u hosts, %u NATs, up %llds:%s\n", name, hosts, nats, seconds, answer.text + at);
}

static int lab_list(void) {
    if (control_list(show_lab, NULL) == 0)
        fprintf(stderr, "no lab is running\n");
    return 0;
}

static int lab_stop_running(int argc, char **argv) {
    struct choice c = {0};
    struct control_message answer;
    take_lab_option(&argc, &argv, &c);
    int status = argc > 0 ? complain("stop does not know %s", argv[0]) : find_lab(&c);
    return status != 0 ? status : ask(&c, "stop", &answer);
}

int cmd_lab(int argc, char **argv) {
    const char *verb = argc > 1 ? argv[1] : "";
    int count = argc > 2 ? argc - 2 : 0;
    char **rest = argv + (argc > 2 ? 2 : argc);
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
        bool file = count == 1 && strcmp(rest[0], "file") == 0;
        fputs(file ? help_file : help, stdout);
        return 0;
    }
    if (strcmp(verb, "run") == 0)
        return lab_run_file(count, rest);
    if (strcmp(verb, "check") == 0)
        return lab_check(count, rest);
    if (strcmp(verb, "list") == 0)
        return lab_list();
    if (strcmp(verb, "shell") == 0 || strcmp(verb, "exec") == 0)
        return lab_enter(count, rest, strcmp(verb, "shell") == 0);
    if (topology_is_change(verb))
        return lab_change_words(verb, count, rest);
    if (strcmp(verb, "events") == 0)
        return lab_events(count, rest);
    if (strcmp(verb, "stop") == 0)
        return lab_stop_running(count, rest);
    if (verb[0] == '\0')
        fputs(help, stderr);
    else
        complain("unknown command \"%s\"; see bodkin lab --help", verb);
    return EXIT_USAGE;
}
