#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin nat` as a user runs it: in the lab behind NATs of many kinds, against servers with two
addresses, one and none; on loopback; with wrong words. Reports are held against docs/nat-json.md.
"""
import itertools
import json
import os
import pty
import re
import select
import subprocess
import sys
import tempfile

from serve import BODKIN, Server, run

SOURCE = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(__file__), "../.."))
EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"

WORK = tempfile.TemporaryDirectory(prefix="bodkin-nat-")
ENV = {**os.environ, "HOME": WORK.name, "XDG_CONFIG_HOME": WORK.name, "XDG_RUNTIME_DIR": WORK.name,
       "WORK": WORK.name, "BODKIN": BODKIN}
ENV.pop("BODKIN_HOME", None)


def path(name):
    return os.path.join(WORK.name, name)


def nat(*words, **more):
    return subprocess.run([BODKIN, "nat", *words], env=ENV, text=True, capture_output=True,
                          timeout=60, **more)


# ---- the schema of docs/nat-json.md -------------------------------------------------------------
NULL = type(None)
NUMBER = (int, float)
REPORT = {
    "bodkin_nat": int, "server": str, "other": (str, NULL), "cone": (str, NULL), "meaning": list,
    "external": list, "external6": (str, NULL), "router_external": (str, NULL), "attributes": dict,
    "observations": list, "rtt_ms": (*NUMBER, NULL), "took_ms": NUMBER, "packets": int,
    "tcp_connections": int, "deep_took_ms": NUMBER, "deep_packets": int, "card": dict,
}
DEPENDENCE = {EI, AD, APD}
ATTRIBUTES = {
    "udp": {"open", "some-ports", "blocked"}, "translated": bool, "mapping": DEPENDENCE,
    "filtering": DEPENDENCE, "ports": {"preserving", "sequential", "random", "time"},
    "parity": bool, "pooling": bool, "hairpin": {"none", "external", "internal"},
    "unsolicited": {"drop", "reject"}, "inbound-first": bool, "alg": bool, "port-specific": bool,
    "tcp-mapping": DEPENDENCE, "double-nat": {"no-sign", "yes", "carrier"}, "pcp": bool,
    "nat-pmp": bool, "upnp": bool, "ipv6": bool, "ipv6-translated": bool,
    "ipv6-prefix": bool,
    "ipv6-mapping": DEPENDENCE, "ipv6-filtering": DEPENDENCE, "lifetime-unanswered": NUMBER,
    "lifetime-answered": NUMBER, "refresh-outbound": bool, "refresh-inbound": bool,
}
OBSERVATION = {
    "test": str, "local": (str, NULL), "remote": (str, NULL), "from": (str, NULL),
    "seen": (str, NULL), "sends": int, "sent_ms": NUMBER, "answered_ms": (*NUMBER, NULL),
}
CARD = {
    "translated": bool, "udp_blocked": bool, "mapping": DEPENDENCE, "filtering": DEPENDENCE,
    "ports": ATTRIBUTES["ports"], "step": int, "ports_per_s": NUMBER, "foreign_per_s": NUMBER,
    "port_min": int, "port_max": int, "port_count": int, "paired": bool,
    "hairpin": ATTRIBUTES["hairpin"], "unsolicited": ATTRIBUTES["unsolicited"],
    "inbound_first": bool, "mappings_max": int, "udp_lifetime_ms": NUMBER, "external": str,
    "inner": str, "two_nats": bool, "port_mapping": bool, "tcp_punch": bool, "ipv6": bool,
}
SIDE = {"role": str, "sockets": int, "ports": int, "packets_mean": NUMBER, "packets_p95": NUMBER}
METHODS = {"direct", "punch", "prflx", "inner", "hairpin", "ipv6", "port-mapping", "predict", "fan",
           "block", "birthday-one", "tcp", "birthday-mixed", "birthday-two", "relay"}
PAIR = {
    "kind": {"direct", "relayed"}, "method": METHODS, "method_best": METHODS, "probability": NUMBER,
    "probability_best": NUMBER, "certain": bool, "why": str, "time_mean_ms": NUMBER,
    "time_p95_ms": NUMBER, "here": dict, "there": dict, "needs": list,
}


def check_type(name, value, kind):
    if isinstance(kind, set):
        assert value in kind, f"{name}: {value!r} is not one of {kind}"
    else:
        assert isinstance(value, kind), f"{name}: {value!r} is no {kind}"
        assert isinstance(value, bool) <= (kind is bool), f"{name}: {value!r} is a boolean"


def check_members(name, value, kinds, optional=False):
    for member, kind in kinds.items():
        if member in value or not optional:
            check_type(f"{name}.{member}", value[member], kind)
    assert set(value) <= set(kinds), f"{name}: unknown members {set(value) - set(kinds)}"


def check_attribute(name, a, kind, observations):
    members = {"status", "value", "confidence", "evidence"}
    assert a["status"] in ("known", "unclear", "not-asked"), (name, a)
    if a["status"] == "unclear":
        members.add("reason")
        check_type(name, a["reason"], str)
    if a["status"] == "known" and name.startswith("lifetime-"):
        members.add("at_least")
    assert set(a) == members, (name, a)
    if a["status"] == "known":
        check_type(name, a["value"], kind)
        assert 0 <= a["confidence"] <= 1, (name, a)
    else:
        assert a["value"] is None and a["confidence"] is None, (name, a)
    assert all(0 <= i < observations for i in a["evidence"]), (name, a)


def check_card(card):
    assert card["bodkin_nat_card"] == 1
    assert set(card) <= {"bodkin_nat_card", "ipv4", "ipv6"}
    for family in set(card) - {"bodkin_nat_card"}:
        check_members(family, card[family], CARD, optional=True)


def check_schema(report):
    pair = report.pop("pair", None)
    check_members("report", report, REPORT)
    assert report["bodkin_nat"] == 1
    assert set(report["attributes"]) == set(ATTRIBUTES)
    for name, kind in ATTRIBUTES.items():
        check_attribute(name, report["attributes"][name], kind, len(report["observations"]))
    for o in report["observations"]:
        kinds = {**OBSERVATION, "idle_ms": NUMBER} if o["test"] == "lifetime" else OBSERVATION
        check_members("observation", o, kinds)
    check_card(report["card"])
    if pair is not None:
        check_members("pair", pair, PAIR)
        check_members("here", pair["here"], SIDE)
        check_members("there", pair["there"], SIDE)
        report["pair"] = pair
    return report


def the_page_describes_every_member():
    with open(os.path.join(SOURCE, "docs/nat-json.md")) as page:
        words = set(re.findall(r"`([^`]+)`", page.read()))
    words |= {word for text in words for word in re.findall(r"[\w-]+", text)}
    for names in (REPORT, ATTRIBUTES, OBSERVATION, CARD, SIDE, PAIR):
        for name, kind in names.items():
            assert name in words, f"docs/nat-json.md says nothing about `{name}`"
            for word in kind if isinstance(kind, set) else ():
                assert word in words, f"docs/nat-json.md says nothing about `{word}`"


# ---- the lab ------------------------------------------------------------------------------------
# Host, the preset of its NAT (None: it has none), what the report must say, the card's words.
PLACES = [
    ("home", "home", {"mapping": EI, "filtering": APD, "ports": "preserving", "hairpin": "none",
                      "translated": True, "tcp-mapping": EI, "inbound-first": False},
     "(port-restricted cone)"),
    ("cone", "full-cone", {"mapping": EI, "filtering": EI, "hairpin": "external"}, "(full cone)"),
    ("restricted", "restricted", {"mapping": EI, "filtering": AD}, "(restricted cone)"),
    ("random", "symmetric", {"mapping": APD, "filtering": APD, "ports": "random",
                             "tcp-mapping": APD}, "(symmetric)"),
    ("counted", "symmetric-seq", {"mapping": APD, "filtering": APD, "ports": "sequential"},
     "(symmetric)"),
    ("cgn", "cgn", {"mapping": EI, "filtering": EI, "ports": "random"}, "(full cone)"),
    ("early", "linux-accept", {"mapping": EI, "filtering": APD, "inbound-first": True},
     "spoils the mapping"),
    ("blocked", "udp-blocked", {"udp": "blocked"}, "UDP is blocked"),
    ("walled", "firewall", {"translated": False, "filtering": APD}, "(symmetric firewall)"),
    ("bare", None, {"translated": False, "filtering": EI}, "(open)"),
]


def topology():
    lines = ["[lab]", "timeout = 30s", "[host server]",
             "address = 198.51.100.10, 198.51.100.11, 2001:db8:5::10, 2001:db8:5::11",
             "[host small]", "address = 198.51.100.20", "[host dead]", "address = 198.51.100.30"]
    for i, (host, preset, _, _) in enumerate(PLACES):
        inside = f"192.168.{i}.1/24" + (", 2001:db8:a::1/64" if host == "home" else "")
        address = f"192.168.{i}.10" + (", 2001:db8:a::10" if host == "home" else "")
        if preset is not None:
            lines += [f"[nat {host}-box]", f"preset = {preset}", f"public = 203.0.113.{i + 1}",
                      f"inside = {inside}", "delay = 5ms", f"[host {host}]",
                      f"behind = {host}-box", f"address = {address}"]
        else:
            lines += [f"[host {host}]", f"address = 203.0.113.{i + 1}"]
    return lines


NUMBER = itertools.count()


def together(runs, at_once=4):
    """Steps for [(host, words, "exit=N" or nothing)], a few at a time: they mostly wait."""
    lines = []
    for first in range(0, len(runs), at_once):
        joins = []
        for host, words, *status in runs[first:first + at_once]:
            name = f"run-{next(NUMBER)}"
            lines.append(f'start {host} as {name}: "$BODKIN" nat {words}')
            joins.append(" ".join(["join", name, *status]))
        lines += joins
    return lines


def steps():
    serve = 'exec "$BODKIN" serve --state "$BODKIN_LAB_DIR" --log-level warn --workers 1'
    both = " ".join(f"--stun-address {a}" for a in
                    ("198.51.100.10", "198.51.100.11", "2001:db8:5::10", "2001:db8:5::11"))
    lines = ["[run]", f"start server: {serve} {both}", "wait server: home: {home}",
             f"start small: {serve}", "wait small: home: {small}"]
    lines += together([(host, f'--home "$home" --json --card "$WORK/{host}.card" '
                        f'>"$WORK/{host}.json"') for host, _, _, _ in PLACES])
    words = {"home": '--with "$WORK/counted.card"', "random": "--with preset:symmetric"}
    lines += together([(host, f'--home "$home" {words.get(host, "")} >"$WORK/{host}.text" '
                        f'2>"$WORK/{host}.errors"')
                       for host in ("home", "random", "blocked", "early", "bare", "walled")])
    six, two = "--server [2001:db8:5::10]", "--server 198.51.100.10"
    lines += together([("home", f'--home "$home" --with "$WORK/random.json" --json '
                        '>"$WORK/pair.json"'),
                       ("restricted", '--home "$small" --json >"$WORK/small.json"'),
                       ("cone", '--home "$small" --evidence >"$WORK/small.text"')])
    lines += together([("home", f'-6 {six} --json >"$WORK/v6.json"'),
                       ("cgn", '--server 198.51.100.30 2>"$WORK/dead.errors"', "exit=5")])
    lines += together([("home", f'{two} {six} --json >"$WORK/dual.json"')])
    lines += together([("home", f'-6 {six} >"$WORK/v6.text"'),
                       ("cone", f'{two} --deep >"$WORK/stopped.text" & sleep 2; '
                        'kill -INT $!; wait $!', "exit=130")])
    return lines


def run_lab():
    with open(path("places.lab"), "w") as file:
        file.write("\n".join(topology() + steps()) + "\n")
    done = subprocess.run([BODKIN, "lab", "run", path("places.lab")], env=ENV, text=True,
                          capture_output=True, timeout=180)
    if done.returncode == 77:
        return done.stderr.strip().splitlines()[-1]
    assert done.returncode == 0, done.stdout + done.stderr
    return None


def read(name):
    with open(path(name)) as file:
        return file.read()


def report_of(name):
    text = read(name)
    assert text.count("\n") == 1 and text.endswith("\n"), "not one line"
    return check_schema(json.loads(text))


def every_nat_is_named_in_the_report():
    for host, _, expected, _ in PLACES:
        report = report_of(f"{host}.json")
        for name, value in expected.items():
            a = report["attributes"][name]
            assert a["status"] == "known" and a["value"] == value, f"{host}: {name} is {a}"
            assert a["evidence"], f"{host}: nothing shows that {name} is {value}"
        if host not in ("blocked", "bare", "walled"):
            i = [place[0] for place in PLACES].index(host)
            assert report["external"] == [f"203.0.113.{i + 1}"], report["external"]


def every_card_is_what_the_report_holds():
    for host, _, _, _ in PLACES:
        card = json.loads(read(f"{host}.card"))
        check_card(card)
        assert card == json.loads(read(f"{host}.json"))["card"], host


def the_card_for_people_says_the_same():
    for host, _, _, words in PLACES:
        if os.path.exists(path(f"{host}.text")):
            text = read(f"{host}.text")
            assert words in " ".join(text.split()), f"{host}: {text}"
            assert max(map(len, text.splitlines())) <= 80, text
            assert "\x1b" not in text + read(f"{host}.errors"), "escapes without a terminal"
            assert read(f"{host}.errors") == "", read(f"{host}.errors")


def a_pair_is_predicted():
    pair = report_of("pair.json")["pair"]  # port-restricted and random: one port is guessed
    assert pair["kind"] == "direct" and pair["method"] == "birthday-one", pair
    assert 0.9 < pair["probability"] < 1, pair
    home = " ".join(read("home.text").split())
    assert re.search(r"With \S+/counted.card: direct with a probability of", home), home
    assert "prediction" in home.split("With ")[1], home
    assert "With preset:symmetric: relayed" in read("random.text"), read("random.text")


def one_address_is_honestly_too_few():
    a = report_of("small.json")["attributes"]["mapping"]
    assert a["status"] == "unclear" and "one server address" in a["reason"], a
    text = " ".join(read("small.text").split())
    assert "cannot tell whether address-dependent: the server has one address" in text, text
    assert "Evidence" in text and "[UDP," in text, text


def a_dead_server_is_an_error():
    errors = read("dead.errors")
    assert errors.count("\n") == 1, errors
    assert "198.51.100.30:3478 does not answer, neither over UDP nor over TCP" in errors, errors


def an_interrupted_run_shows_what_it_knows():
    text = " ".join(read("stopped.text").split())
    assert "(full cone)" in text and "stopped before it was known" in text, text


def ipv6_has_a_firewall_and_no_nat():
    for name in ("dual.json", "v6.json"):
        a = report_of(name)["attributes"]
        assert a["ipv6"]["value"] is True, (name, a["ipv6"])
        assert a["ipv6-translated"]["value"] is False, (name, a["ipv6-translated"])
        assert a["ipv6-filtering"]["value"] == APD, (name, a["ipv6-filtering"])
    assert report_of("dual.json")["attributes"]["mapping"]["value"] == EI
    text = " ".join(read("v6.text").split())
    assert text.startswith("IPv6 without NAT: address- and port-dependent filtering"), text


# ---- on loopback --------------------------------------------------------------------------------
def without_a_server_one_sentence_says_how_to_get_one():
    done = nat()
    assert done.returncode == 3 and done.stdout == "", done
    assert done.stderr.count("\n") == 1 and "bodkin serve" in done.stderr, done.stderr


def wrong_words_are_told():
    with open(path("broken.card"), "w") as file:
        file.write('{"bodkin_nat_card":1,"ipv4":{"mapping":"\x1b[31msideways"}}')
    cases = [
        (["--depe"], 2, "--depe is not an option"),
        (["here"], 2, "one word too many"),
        (["-4", "-6"], 2, "exclude each other"),
        (["--server", "a b"], 2, "is not a server"),
        (["--home", "ftp://x"], 2, "is not a home server's address"),
        (["--home", "https://127.0.0.1?stun=0"], 2, "has no STUN port"),
        (["--server", "a", "--server", "b", "--server", "c"], 2, "two servers are enough"),
        (["--server", "127.0.0.1", "--with", "preset:nonsense"], 13, "no such preset"),
        (["--server", "127.0.0.1", "--with", path("none")], 13, "No such file"),
        (["--server", "127.0.0.1", "--with", path("broken.card")], 13,
         '"mapping" has no possible value'),
        (["--server", "127.0.0.1", "-6"], 5, "it has no IPv6 address"),
        (["--server", "127.0.0.1:9", "--json"], 5, '"event":"error"'),
    ]
    for words, status, sentence in cases:
        done = nat(*words)
        assert done.returncode == status, (words, done)
        assert sentence in done.stderr and done.stderr.count("\n") == 1, (words, done.stderr)
        assert "\x1b" not in done.stderr and done.stdout == "", (words, done)


def help_fits_a_screen_and_starts_with_examples():
    done = nat("--help")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) <= 24, done.stdout
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    assert any(line.startswith("  bodkin nat ") for line in lines[:6])


def on_this_machine_there_is_no_nat():
    server = Server("--listen", "127.0.0.2", "--stun-address", "127.0.0.1", "--stun-address",
                    "127.0.0.2", workers=1)
    where = f"127.0.0.1:{server.stun}"
    report = check_schema(json.loads(nat("--server", where, "--json").stdout))
    assert report["attributes"]["translated"]["value"] is False, report["attributes"]
    assert report["attributes"]["filtering"]["value"] == EI, report["attributes"]
    card = nat("--home", server.home, "--card", "-").stdout
    check_card(json.loads(card))
    done = nat("--server", where, "--with", "-", input=card)
    assert done.returncode == 0 and "With -: direct" in done.stdout, done
    done = nat("--server", where, "--card", "/nowhere/x.card")
    assert done.returncode == 1 and "cannot be written" in done.stderr, done
    for words in (["--server", where], ["--server", where, "--json"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BODKIN, "nat", *words], env=ENV, stdout=full, timeout=60,
                                  stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1 and "takes no more" in done.stderr, done
    on_a_terminal(where)
    server.close()


def on_a_terminal(where):
    """A checklist on the terminal, which is gone when the card comes."""
    master, slave = pty.openpty()
    process = subprocess.Popen([BODKIN, "nat", "--server", where], env={**ENV, "TERM": "xterm"},
                               stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    shown = b""
    while select.select([master], [], [], 30)[0]:
        try:
            shown += os.read(master, 65536)
        except OSError:  # the other side is closed
            break
    card = process.communicate()[0]
    os.close(master)
    text = shown.decode()
    assert "\u2713 mapping" in text, text
    assert text.endswith("\x1b[J"), text[-100:]
    assert "No NAT" in card and "\x1b" not in card, card


if __name__ == "__main__":
    tests = [the_page_describes_every_member, help_fits_a_screen_and_starts_with_examples,
             without_a_server_one_sentence_says_how_to_get_one, wrong_words_are_told,
             on_this_machine_there_is_no_nat]
    why_not = run_lab()
    if why_not is not None:
        print(f"without the lab: {why_not}")
    else:
        tests += [every_nat_is_named_in_the_report, every_card_is_what_the_report_holds,
                  the_card_for_people_says_the_same, a_pair_is_predicted,
                  one_address_is_honestly_too_few, a_dead_server_is_an_error,
                  an_interrupted_run_shows_what_it_knows,
                  ipv6_has_a_firewall_and_no_nat]
    run(tests)
