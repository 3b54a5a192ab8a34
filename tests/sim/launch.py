"""For tests and demos: a simulator of their own.

    with Simulator() as sim:
        phone = sim.phones[0]
        subprocess.run([...], env=sim.env)
        phone.set(refuse={"code": 208, "description": "Device locked"})
        assert not phone.violations()

The simulator ends with the block, and with the process that started it.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

SIM = pathlib.Path(__file__).resolve().parent

sys.path.insert(0, str(SIM))

import content                                          # noqa: E402

PYTHON = "/usr/bin/python3"
UDID = "00008110-000A1B2C3D4E5F67"


class RemotePhone:
    """A phone inside the simulator."""

    def __init__(self, sim, udid, state):
        self.sim, self.udid, self.state = sim, udid, state

    def do(self, verb, **details):
        return self.sim.control(verb, udid=self.udid, **details)

    def set(self, **knobs):
        self.do("set", **knobs)

    def reset(self):
        """No faults, nothing counted."""
        self.do("reset")

    def forget(self):
        self.do("forget")

    def violations(self):
        return self.do("violations")

    def events(self, name=None):
        return [e for e in self.do("events")
                if name is None or e["event"] == name]

    def wait(self, event, timeout=30, **details):
        """Until an event of that name has happened since the last forget()."""
        found = self.do("wait", event=event, timeout=timeout, **details)
        assert found is not None, f"no {event} {details}: {self.events()}"
        return found

    def counters(self):
        return self.do("counters")

    def plug(self):
        self.do("plug")

    def plug_again(self):
        """If it is not."""
        self.do("plug", again=True)

    def unplug(self):
        self.do("unplug")

    @property
    def password(self):
        return self.do("password")

    @password.setter
    def password(self, value):
        self.do("password", to=value)

    @property
    def content(self):
        return content.Content(self.state / "content")


class Simulator:
    def __init__(self, *configs, folder=None):
        """Each config is what simulator.py takes as --phone FILE."""
        self.configs = configs or ({"fill": {"kind": "small"}},)
        self.folder, self.ours = folder, folder is None

    def __enter__(self):
        self.folder = pathlib.Path(self.folder or tempfile.mkdtemp(
            prefix="larder-phone-"))
        self.folder.mkdir(exist_ok=True)
        arguments = ["--socket", str(self.folder / "usbmuxd"),
                     "--control", str(self.folder / "control"),
                     "--state", str(self.folder / "state"), "--until-eof"]
        for number, config in enumerate(self.configs):
            place = self.folder / f"phone-{number}.json"
            place.write_text(json.dumps(config))
            arguments += ["--phone", str(place)]
        for name in ("usbmuxd", "control"):
            (self.folder / name).unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [PYTHON, str(SIM / "simulator.py"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != b"ready\n":
            self.__exit__()
            raise RuntimeError("the simulator did not start")
        self.env = os.environ | {"USBMUXD_SOCKET_ADDRESS":
                                 f"UNIX:{self.folder}/usbmuxd"}
        self.phones = [
            RemotePhone(self, config.get("udid", UDID),
                        self.folder / "state" / f"phone-{number}")
            for number, config in enumerate(self.configs)]
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self.ours:
            shutil.rmtree(self.folder, ignore_errors=True)

    def phone(self, udid):
        return next(phone for phone in self.phones if phone.udid == udid)

    def control(self, verb, **details):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.folder / "control"))
            with sock.makefile("rw", encoding="utf-8") as f:
                f.write(json.dumps({"do": verb} | details) + "\n")
                f.flush()
                answer = json.loads(f.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["ok"]
