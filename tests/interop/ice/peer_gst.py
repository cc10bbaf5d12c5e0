#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""GStreamer's webrtcbin (over libnice) behind the line protocol of README.md. As with a browser, the
descriptions around the other side's ICE lines carry a fingerprint of zeros; of its data only what it
sends is seen, DTLS."""
import os
import re
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

STATES = ("disconnected", "gathering", "connecting", "connected", "ready", "failed")
START = time.monotonic_ns()


def say(*words):
    line = " ".join([str((time.monotonic_ns() - START) // 1000), *map(str, words)])
    os.write(1, line.encode() + b"\n")


def description(kind, ufrag, password):
    lines = ["v=0", f"o=- {time.time_ns()} 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0",
             "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=mid:0",
             "a=ice-ufrag:" + ufrag, "a=ice-pwd:" + password, "a=ice-options:trickle",
             "a=fingerprint:sha-256 " + ":".join(["00"] * 32),
             "a=setup:" + ("actpass" if kind == "offer" else "passive"), "a=sctp-port:5000",
             "a=max-message-size:262144", ""]
    _, message = GstSdp.SDPMessage.new_from_text("\r\n".join(lines))
    kinds = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
    return GstWebRTC.WebRTCSessionDescription.new(kinds[kind], message)


class Peer:
    def __init__(self):
        self.role, self.policy, self.stun, self.turns = "controlling", "all", None, []
        self.pipe = self.bin = None
        self.told = set()
        self.loop = GLib.MainLoop()

    # ---- what is asked of it -----------------------------------------------------------------
    def on_role(self, args):
        self.role = args

    def on_policy(self, args):
        self.policy = args

    def on_server(self, args):
        uri, user, password = (args.split(" ") + ["", ""])[:3]
        scheme, rest = uri.split(":", 1)
        if scheme == "stun":
            self.stun = "stun://" + rest
        else:
            self.turns.append(f"{scheme}://{user}:{password}@{rest}")

    def on_gather(self, _args):
        say("state", "creating")
        self.pipe = Gst.Pipeline()
        self.bin = Gst.ElementFactory.make("webrtcbin")
        self.pipe.add(self.bin)
        self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        if self.stun:
            self.bin.set_property("stun-server", self.stun)
        for turn in self.turns:
            self.bin.emit("add-turn-server", turn)
        if self.policy == "relay":
            self.bin.set_property("ice-transport-policy",
                                  GstWebRTC.WebRTCICETransportPolicy.RELAY)
        self.bin.connect("on-ice-candidate", self._candidate)
        self.bin.connect("notify::ice-gathering-state", self._gathering)
        ice = self.bin.get_property("ice-agent")  # Python takes the bin's own reference: never let go
        agent = ice.get_property("agent")
        agent.connect("component-state-changed", self._state)
        self.kept = (ice, agent)
        self.pipe.set_state(Gst.State.PLAYING)
        if self.role == "controlling":
            self.bin.emit("create-data-channel", "x", None)
            self._make("offer")

    def on_remote_credentials(self, args):
        ufrag, password = args.split(" ")
        kind = "answer" if self.role == "controlling" else "offer"
        promise = Gst.Promise.new()
        self.bin.emit("set-remote-description", description(kind, ufrag, password), promise)
        promise.wait()
        if kind == "offer":
            self._make("answer")

    def on_remote_candidate(self, args):
        self.bin.emit("add-ice-candidate", 0, re.sub("^a=", "", args))

    def on_end_of_candidates(self, _args):
        self.bin.emit("add-ice-candidate", 0, "")

    def on_send(self, _args):
        say("error it sends data under DTLS only")

    def on_restart(self, _args):
        say("error no restart")

    def on_quit(self, _args):
        self.loop.quit()

    # ---- what webrtcbin tells ----------------------------------------------------------------
    def _make(self, kind):
        promise = Gst.Promise.new()
        self.bin.emit("create-" + kind, None, promise)
        promise.wait()
        reply = promise.get_reply()  # owns what get_value() shows
        made = reply.get_value(kind)
        text = made.sdp.as_text()
        say("credentials", re.search(r"a=ice-ufrag:(\S+)", text)[1],
            re.search(r"a=ice-pwd:(\S+)", text)[1])
        promise = Gst.Promise.new()
        self.bin.emit("set-local-description", made, promise)
        promise.wait()

    def _candidate(self, _bin, _mline, line):
        if line and line not in self.told:
            self.told.add(line)
            say("candidate", line)

    def _gathering(self, _bin, _what):
        if self.bin.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            say("gathered")

    def _state(self, _agent, _stream, component, number):
        """From libnice itself: the bin's own ice-connection-state forgets data channels."""
        if component != 1:
            return
        state = STATES[number]
        say("state", state)
        if state in ("connected", "ready") and "connected" not in self.told:
            self.told.add("connected")
            say("connected")
        if state == "failed":
            say("failed webrtcbin says so")

    # ---- life --------------------------------------------------------------------------------
    def _input(self, channel, _condition):
        status, line, _, _ = channel.read_line()
        if status == GLib.IOStatus.EOF:
            self.loop.quit()
            return False
        if line:
            word, _, args = line.rstrip("\r\n").partition(" ")
            method = getattr(self, "on_" + word.replace("-", "_"), None)
            if method:
                method(args)
            else:
                say("error no such word:", word)
        return True

    def run(self):
        channel = GLib.IOChannel.unix_new(0)
        channel.set_encoding(None)
        GLib.io_add_watch(channel, GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN | GLib.IOCondition.HUP,
                          self._input)
        self.loop.run()
        if self.pipe:
            self.pipe.set_state(Gst.State.NULL)


if __name__ == "__main__":
    Gst.init(sys.argv)
    if Gst.ElementFactory.find("webrtcbin") is None:
        say("failed no webrtcbin")
        sys.exit(77)
    Peer().run()
