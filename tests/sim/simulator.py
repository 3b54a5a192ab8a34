#!/usr/bin/python3
"""Phones on this computer, for programs that talk to real ones.

    simulator.py --socket PATH --state DIR [--control PATH] [--phone FILE]...
                 [--until-eof]

Clients find it by USBMUXD_SOCKET_ADDRESS=UNIX:PATH.  Each FILE is a JSON
object with what differs from phone.IDENTITY, and optionally

    fill     {"kind": "small|many|bulk|sample", ...}: the files of a new phone
    knobs    {name: value}: see --knobs
    values   {domain or "": {key: value}} of lockdownd
    apps     a list of dictionaries like those of media.py

Without any there is one phone with few files.  "ready" on standard output
says that clients can come.  --until-eof ends with standard input.

The control socket takes a JSON object a line, {"do": VERB, "udid": ...}, and
answers with one: {"ok": ...} or {"error": ...}.  `launch.py` speaks it.
"""

import argparse
import json
import os
import pathlib
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True

import backupd                                          # noqa: E402
import content                                          # noqa: E402
import mux as usbmux                                    # noqa: E402
import phone as phones                                  # noqa: E402


class Control:
    def __init__(self, path, mux):
        self.mux = mux
        pathlib.Path(path).unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)

    def run(self):
        while True:
            sock, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(sock,),
                             daemon=True).start()

    def serve(self, sock):
        with sock, sock.makefile("rw", encoding="utf-8") as f:
            for line in f:
                try:
                    answer = {"ok": self.do(json.loads(line))}
                except Exception as e:      # to whoever asked
                    answer = {"error": f"{type(e).__name__}: {e}"}
                f.write(json.dumps(answer) + "\n")
                f.flush()

    def do(self, request):
        verb = request.pop("do")
        if verb == "mux":
            return {"counters": self.mux.counters,
                    "violations": self.mux.violations}
        udid = request.pop("udid")
        return getattr(self, "do_" + verb)(self.mux.phones[udid], **request)

    def do_set(self, phone, **knobs):
        unknown = knobs.keys() - phone.knobs.keys()
        if unknown:
            raise KeyError(f"no knob {sorted(unknown)}")
        phone.knobs.update(knobs)

    def do_reset(self, phone):
        for name, (default, _) in (phones.KNOBS | backupd.KNOBS).items():
            phone.knobs[name] = json.loads(json.dumps(default))
        phone.forget()

    def do_forget(self, phone):
        phone.forget()

    def do_violations(self, phone):
        return phone.violations()

    def do_events(self, phone):
        return phone.events()

    def do_wait(self, phone, event, after=0, timeout=30, **details):
        return phone.wait_event(event, after, timeout, **details)

    def do_counters(self, phone):
        return phone.counters()

    def do_unplug(self, phone):
        phone.unplug()

    def do_plug(self, phone, again=False):
        if not again or phone.unplugged.is_set():
            self.mux.plug(phone)

    def do_notify(self, phone, name):
        phone.notify(name)

    def do_password(self, phone, **change):
        if "to" in change:
            phone.password = change["to"]
        return phone.password

    def do_identity(self, phone, **change):
        phone.id.update(change)
        return phone.id


def open_phones(args):
    if not args.phone:
        return [phones.Phone(args.state / "phone",
                             {"fill": {"kind": "small"}})]
    found = []
    for number, place in enumerate(args.phone):
        with open(place, encoding="utf-8") as f:
            config = json.load(f)
        found.append(phones.Phone(args.state / f"phone-{number}", config))
    return found


def show_knobs():
    for name, (default, what) in (phones.KNOBS | backupd.KNOBS).items():
        print(f"{name:20} {json.dumps(default):8} {what}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0])
    parser.add_argument("--socket")
    parser.add_argument("--state", type=pathlib.Path)
    parser.add_argument("--control")
    parser.add_argument("--phone", action="append")
    parser.add_argument("--until-eof", action="store_true")
    parser.add_argument("--knobs", action="store_true",
                        help="list what can be made to go wrong")
    args = parser.parse_args()
    if args.knobs:
        return show_knobs()
    if not args.socket or not args.state:
        parser.error("--socket and --state are needed")
    args.state.mkdir(parents=True, exist_ok=True)
    mux = usbmux.Mux(args.socket, args.state, open_phones(args))
    threads = [mux.run]
    if args.control:
        threads.append(Control(args.control, mux).run)
    for run in threads:
        threading.Thread(target=run, daemon=True).start()
    print("ready", flush=True)
    if args.until_eof:
        sys.stdin.buffer.read()
    else:
        while True:
            time.sleep(3600)
    os._exit(0)                 # connections may be open


if __name__ == "__main__":
    main()
