#!/usr/bin/python3
"""A desktop without a screen, for tests: a display, a window manager, a bus
for the session and one for the system with the daemon that knows the disks,
and somebody who looks at it and clicks.

    with Screen(env, as_user=("setpriv", ...), folder=TMP) as screen:
        screen.spawn("thunar", home)
        screen.click("menu item", "Open")
        screen.picture("thunar.png")

What is on the screen, and where, is known by the accessibility bus, as a
screen reader knows it; clicks and keys come as from a mouse and a keyboard.

Run as a program this file is the one who looks: it must belong to the user of
the session bus.  Requests come on standard input, a JSON object a line.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

SIZE = 860, 540
DEEP, WIDE = 24, 80             # how far to look


# --- who looks ---------------------------------------------------------------

def walk(node, front=False, depth=0):
    """What is shown below an accessible object, the object first, each with
    whether it is in the window that has the keyboard."""
    from gi.repository import Atspi, GLib

    yield node, front
    if depth == DEEP:
        return
    try:
        count = min(node.get_child_count(), WIDE)
    except GLib.Error:
        return
    for i in range(count):
        try:
            child = node.get_child_at_index(i)
            states = child.get_state_set() if child else None
        except GLib.Error:
            continue
        if depth == 0 and child:
            front = states.contains(Atspi.StateType.ACTIVE)
        if child and (depth < 2 or states.contains(
                Atspi.StateType.SHOWING)):
            yield from walk(child, front, depth + 1)


def describe(node):
    from gi.repository import Atspi

    role, box = node.get_role_name(), [0, 0, 0, 0]
    if role != "application":
        at = node.get_extents(Atspi.CoordType.SCREEN)
        box = [at.x, at.y, at.width, at.height]
    return {"role": role, "name": node.get_name() or "", "box": box}


def look():
    """Everything that is on the screen."""
    from gi.repository import Atspi, GLib

    found = []
    desktop = Atspi.get_desktop(0)
    for i in range(desktop.get_child_count()):
        with contextlib.suppress(GLib.Error):
            app = desktop.get_child_at_index(i)
            for node, front in walk(app) if app else ():
                with contextlib.suppress(GLib.Error):
                    found.append(describe(node) | {
                        "app": app.get_name(), "front": front})
    return found


def main():
    import gi
    gi.require_version("Atspi", "2.0")
    from gi.repository import Atspi
    Atspi.init()
    Atspi.set_timeout(3000, 3000)
    for line in sys.stdin:
        assert line == "look\n", line
        print(json.dumps(look()), flush=True)


# --- the desktop -------------------------------------------------------------

SYSTEM_BUS = """<busconfig>
<type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/>
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
</policy></busconfig>
"""


class Screen:
    def __init__(self, env, as_user, folder):
        """What is started belongs to the user, by the words of `as_user`; its
        output goes to a log in the folder, which is root's."""
        self.env, self.as_user, self.folder = dict(env), as_user, folder
        self.log = open(folder + "/log", "ab")
        self.running = []
        self.eyes = None

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def spawn(self, *argv, as_root=False, **more):
        process = subprocess.Popen(
            [*(() if as_root else self.as_user), *argv], env=self.env, **{
                "stdin": subprocess.DEVNULL, "stdout": self.log,
                "stderr": self.log, "start_new_session": True,
                "cwd": self.env["HOME"]} | more)
        self.running.append(process)
        return process

    def told(self, *argv, **more):
        """What a program says about itself on the descriptor it is given."""
        ours, theirs = os.pipe()
        self.spawn(*(word.format(theirs) for word in argv),
                   pass_fds=(theirs,), **more)
        os.close(theirs)
        with open(ours, encoding="ascii") as f:
            return f.readline().strip()

    def open(self):
        conf = self.folder + "/system-bus.conf"
        with open(conf, "w", encoding="ascii") as f:
            f.write(SYSTEM_BUS.format(self.folder + "/system-bus"))
        self.env["DBUS_SYSTEM_BUS_ADDRESS"] = self.told(
            "dbus-daemon", "--config-file=" + conf, "--nofork",
            "--print-address={}", as_root=True)
        self.spawn("/usr/libexec/udisks2/udisksd", as_root=True)
        self.env["DISPLAY"] = ":" + self.told(
            "Xvfb", "-displayfd", "{}", "-screen", "0",
            f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp", "-ac", "-noreset")
        self.env["DBUS_SESSION_BUS_ADDRESS"] = self.told(
            "dbus-daemon", "--session", "--nofork", "--print-address={}")
        self.spawn("xsetroot", "-solid", "#3b5b73").wait()
        self.spawn("openbox", "--sm-disable")
        self.eyes = self.spawn(
            "/usr/bin/python3", os.path.abspath(__file__), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.look()             # programs find who looks when they start

    def close(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()

    # looking

    def look(self):
        self.eyes.stdin.write("look\n")
        self.eyes.stdin.flush()
        line = self.eyes.stdout.readline()
        if not line:
            raise AssertionError("nobody looks any more")
        return json.loads(line)

    def find(self, role, name, seconds=60, app=None, front=False):
        """Wait for something whose role and whole name match; `front`: in the
        window that has the keyboard."""
        end = time.monotonic() + seconds
        while True:
            shown = self.look()
            for thing in shown:
                if re.fullmatch(role, thing["role"]) \
                        and re.fullmatch(name, thing["name"]) \
                        and (not app or app == thing["app"]) \
                        and (not front or thing["front"]):
                    return thing
            if time.monotonic() > end:
                names = sorted({f"{t['app']}: {t['role']} {t['name']!r}"
                                for t in shown if t["name"]})
                raise AssertionError(f"no {role} {name!r} within {seconds} s:"
                                     "\n" + "\n".join(names))
            time.sleep(0.05)

    def shows(self, role, name):
        return any(re.fullmatch(role, t["role"]) and re.fullmatch(
            name, t["name"]) for t in self.look())

    # doing

    def xdotool(self, *words):
        subprocess.run(["xdotool", *map(str, words)], env=self.env, check=True,
                       stdout=self.log, stderr=self.log)

    def click_at(self, x, y, button=1, repeat=1):
        self.xdotool("mousemove", x, y, "click", "--repeat", repeat,
                     "--delay", 60, button)

    def click(self, role, name, button=1, repeat=1, **more):
        thing = self.find(role, name, **more)
        x, y, width, height = thing["box"]
        self.click_at(x + width // 2, y + height // 2, button, repeat)
        return thing

    def type(self, text):
        # not as an argument, where every user could read it
        subprocess.run(["xdotool", "type", "--file", "-"], env=self.env,
                       input=text, text=True, check=True)

    def picture(self, path):
        subprocess.run(["import", "-window", "root", "+dither", "-colors",
                        "128", path], env=self.env, check=True)


if __name__ == "__main__":
    main()
