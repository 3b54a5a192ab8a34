"""What the device tests add to those of tests/mount: phones.

A test has everything of tests/mount/harness.py, and Simulator.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys

DEVICE_TESTS = os.path.dirname(os.path.abspath(__file__))


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_mount = _load("mount_harness",
               os.path.join(DEVICE_TESTS, "../mount/harness.py"))
globals().update({name: value for name, value in vars(_mount).items()
                  if not name.startswith("__")})
sys.path.insert(0, os.path.join(DEVICE_TESTS, "../sim"))

import launch                                           # noqa: E402
from launch import UDID, Simulator                      # noqa: E402,F401
from mount_harness import (LARDER, PASSFILE, TMP,       # noqa: E402,F401
                           differences, environment, equal, execute, mounted,
                           new_path, run, wait_until)


# --- programs that talk to a phone -------------------------------------------

def env_of(sim, **more):
    return environment(**more) | {
        "USBMUXD_SOCKET_ADDRESS": sim.env["USBMUXD_SOCKET_ADDRESS"]}


def on(sim, *argv, **more):
    """Run a program to the end."""
    env = more.pop("env", {})
    return execute(*argv, env=env_of(sim, **env), **more)


def larder_on(sim, *args, **more):
    return on(sim, LARDER, *args, **more)


def start(sim, *argv, **more):
    """Start a program; its output is in pipes, as text."""
    return subprocess.Popen(argv, env=env_of(sim), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, errors="surrogateescape", **more)


def pair(sim, phone):
    equal(larder_on(sim, "pair", "--udid", phone.udid).returncode, 0)


def backup(sim, folder, *options, status=0, **more):
    """larder backup, with the status that it must have."""
    done = larder_on(sim, "backup", *options, folder, **more)
    if done.returncode != status:
        raise AssertionError(f"status {done.returncode}, want {status}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def events(done):
    """The objects of --json."""
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- what a phone has, and what a backup shows -------------------------------

def shows_content(phone, folder, *options):
    """The mounted backup equals the phone's files; None or differences."""
    expect = new_path("EXPECT")
    shape = "db-encrypted" if phone.password else "db-plain"
    launch.content.mkbackup.write_expect(
        expect, phone.content.expect(shape))
    passfile = PASSFILE
    if phone.password:
        passfile = new_path("password")
        with open(passfile, "w", encoding="utf-8") as f:
            f.write(phone.password + "\n")
    with mounted(folder, *options, passfile=passfile) as m:
        return differences(expect, m.path)


def snapshot(folder):
    """{path: (type, mode, size, content or target)} of a whole folder."""
    found = {}
    for top, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(top, name)
            st = os.lstat(path)
            content = None
            if os.path.islink(path):
                content = os.readlink(path)
            elif name in names:
                with open(path, "rb") as f:
                    content = hash(f.read())
            found[os.path.relpath(path, folder)] = (
                st.st_mode, content, st.st_mtime_ns if name in names else 0)
    return found


def interrupted(process, number=signal.SIGINT):
    """Send a signal; (status, seconds until the end, output)"""
    import time
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, time.monotonic() - begun, out + err
