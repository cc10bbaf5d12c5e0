#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What routers do to `bodkin map` and to a session: a real one with miniupnpd that restarts, refuses,
is behind another NAT, or is not there. Exit 77: no miniupnpd, no namespaces."""
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mapping_router  # noqa: E402
from mapping_router import EXTERNAL  # noqa: E402
from serve import BODKIN  # noqa: E402
from test_map import PATIENCE_S, Map, carries, main, wait_until  # noqa: E402


def test_a_session_maps_its_port(router, home):
    """`bodkin listen` has its UDP port mapped in the background, and gives it back."""
    for options, expected in ((["--no-portmap"], 0), ([], 1)):
        errors = tempfile.NamedTemporaryFile(dir=router.work)
        p = router.popen("in", [BODKIN, "listen", "--home", home, *options],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                         env={**os.environ, "HOME": router.work})
        wait_until(lambda: b"bodkin1" in open(errors.name, "rb").read())
        if expected:
            wait_until(router.rules)
        else:
            time.sleep(1)
        dnats = [r for r in router.rules() if "dnat" in r]
        assert len(dnats) == expected, dnats
        p.send_signal(signal.SIGINT)
        p.wait(timeout=PATIENCE_S)
        wait_until(lambda: not router.rules())


def test_the_router_restarts(router, home):
    """It announces itself, and the mapping is made anew without being asked."""
    m = Map(router, "-4", "40300", "--home", home)
    m.next("mapped")
    router.stop_daemon()
    router.forget()
    time.sleep(2.5)  # its clock must have gone back for more than that: RFC 6887 section 8.5
    router.start_daemon()
    wait_until(router.rules)
    assert carries(router, "udp", 40300, EXTERNAL, 40300), m.told()
    m.stop()
    assert not router.rules(), router.rules()


def test_a_router_that_says_no(router, _home):
    router.stop_daemon()
    router.start_daemon(ports="2000-2000")
    m = Map(router, "-4", "40400", "--exact", "--way", "upnp")
    assert m.process.wait(timeout=40) == 16, m.told()
    assert "gives no port" in m.told() and m.told().count("\n") == 1, m.told()


def test_another_nat_outside():
    """miniupnpd refuses to map on a reserved address; that is told in one sentence."""
    with mapping_router.Router(external=mapping_router.SHARED) as router:
        router.start_daemon()
        done = router.run("in", [BODKIN, "map", "-4", "40500", "--way", "nat-pmp"], capture_output=True,
                          text=True, timeout=60)
        assert done.returncode == 16, (done.returncode, done.stderr)
        assert "no connection to the internet" in done.stderr, done.stderr


def test_no_router():
    with mapping_router.Router() as router:
        router.run("in", ["ip", "route", "del", "default"])
        router.run("in", ["ip", "-6", "route", "del", "default"])
        done = router.run("in", [BODKIN, "map", "40600"], capture_output=True, text=True,
                          timeout=30)
        assert done.returncode == 16, (done.returncode, done.stderr)
        assert "no router to ask" in done.stderr, done.stderr


if __name__ == "__main__":
    sys.exit(main((test_a_session_maps_its_port, test_the_router_restarts,
                   test_a_router_that_says_no), (test_another_nat_outside, test_no_router)))
