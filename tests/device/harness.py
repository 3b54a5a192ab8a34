"""What the device tests add to those of tests/mount: phones.

A test has everything of tests/mount/harness.py, and Simulator.
"""

import atexit
import concurrent.futures
import contextlib
import functools
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

DEVICE_TESTS = os.path.dirname(os.path.abspath(__file__))


def _stay_in_memory():
    """Hundreds of backups come and go here, each of a thousand folders and
    files: that is nothing for a disk."""
    place = tempfile.mkdtemp(prefix="larder-memory-")
    os.chmod(place, 0o755)
    atexit.register(os.rmdir, place)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs",
                       place], check=False).returncode == 0:
        tempfile.tempdir = place
        atexit.register(subprocess.run, ["umount", "-l", place], check=False)


if "LARDER_TEST_NAMESPACE" in os.environ:       # of mounts: our own
    _stay_in_memory()


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
                           Skip, differences, environment, equal, execute,
                           mounted, new_dir, new_path, read, run, save,
                           wait_until)

BACKUP_SERVICE = "com.apple.mobilebackup2"


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

def expect_of_phone(phone):
    """(EXPECT file, password file) for a backup of the phone as it is now."""
    expect, passfile = new_path("EXPECT"), PASSFILE
    shape = "db-encrypted" if phone.password else "db-plain"
    launch.content.mkbackup.write_expect(expect, phone.content.expect(shape))
    if phone.password:
        passfile = save(new_path("password"), phone.password + "\n")
    return expect, passfile


def shows(folder, expected, *options):
    """A backup, mounted, against what expect_of_phone() gave; None or
    differences."""
    expect, passfile = expected
    with mounted(folder, *options, passfile=passfile) as m:
        return differences(expect, m.path)


def shows_content(phone, folder, *options):
    """The mounted backup equals the phone's files; None or differences."""
    return shows(folder, expect_of_phone(phone), *options)


def edit(phone, **counts):
    """Change, add and remove some of the phone's files."""
    return launch.content.edit(phone.content, **counts)


def payloads(folder):
    """{file ID: inode} of a backup."""
    return {place.name: place.stat().st_ino
            for place in pathlib.Path(folder).glob("??/*")}


def no_controls(text):
    """Nothing that a terminal would obey."""
    found = re.findall(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", text)
    equal(found, [], repr(text))


# --- phones ------------------------------------------------------------------

class Acquaintance:
    """A phone and this computer that trust each other, to begin with: making
    the keys takes longer than a backup."""

    def __init__(self):
        with Simulator({"udid": UDID}) as sim:
            phone, = sim.phones
            pair(sim, phone)
            state = sim.folder / "state"
            self.buid = (state / "buid").read_bytes()
            self.record = (state / f"pair-records/{UDID}.plist").read_bytes()
            self.key = (phone.state / "key.pem").read_bytes()
            place, = (phone.state / "pairs").iterdir()
            self.host = place.name, place.read_bytes()
            self.escrow = json.loads(
                (phone.state / "phone.json").read_text())["escrow"]

    def make(self, folder, number, udid):
        state = pathlib.Path(folder, "state")
        phone = state / f"phone-{number}"
        (phone / "pairs").mkdir(parents=True)
        (phone / "pairs" / self.host[0]).write_bytes(self.host[1])
        (phone / "key.pem").write_bytes(self.key)
        (state / "pair-records").mkdir(exist_ok=True)
        (state / f"pair-records/{udid}.plist").write_bytes(self.record)
        (state / "buid").write_bytes(self.buid)


acquaintance = functools.cache(Acquaintance)


@contextlib.contextmanager
def simulator(*configs):
    """Phones that know this computer, unless trust is what it is about."""
    folder, known = new_dir("phones"), []
    for number, config in enumerate(configs or ({"fill": {"kind": "small"}},)):
        if "trust" not in config.get("knobs", {}):
            acquaintance().make(folder, number, config.get("udid", UDID))
            config = config | {"escrow": acquaintance().escrow}
        known.append(config)
    try:
        with Simulator(*known, folder=folder) as sim:
            yield sim
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def phones(*configs):
    """A simulator whose clients break no rule."""
    with simulator(*configs) as sim:
        yield sim
        for phone in sim.phones:
            over(phone)
            equal(phone.violations(), [], phone.udid)
        equal(sim.control("mux")["violations"], [], "usbmuxd")


def over(phone):
    """Wait until the phone is done with its backup connections."""
    if n := phone.counters().get(BACKUP_SERVICE):
        wait_until(lambda: sum(e["name"] == BACKUP_SERVICE for e in
                               phone.events("service-left")) >= n,
                   "the end of the backup service")


def phases(phone):
    return [e["phase"] for e in phone.events("phase")]


class Bench:
    """A phone with a backup, that has changed since: for all that can happen
    on the way to the next backup."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        atexit.register(self.close)
        self.sim = self.stack.enter_context(simulator())
        self.phone, = self.sim.phones
        self.base = new_path("base")
        backup(self.sim, self.base)
        self.old = expect_of_phone(self.phone)
        self.edited = edit(self.phone, change=3, add=3, remove=2, seed=7)
        self.new = expect_of_phone(self.phone)

    def close(self):
        self.stack.close()

    def begin(self):
        """A fresh copy of the backup, in a folder with a neighbour; a phone
        without faults."""
        self.parent = new_path("bench")
        self.folder = self.parent + "/backups"
        shutil.copytree(self.base, self.folder, symlinks=True)
        os.mkdir(f"{self.folder}/{NEIGHBOUR}")
        save(f"{self.folder}/{NEIGHBOUR}/Status.plist", b"not ours")
        save(f"{self.parent}/x", b"not ours")
        self.before = snapshot(self.parent)
        self.phone.plug_again()
        self.phone.reset()

    def end(self):
        self.phone.reset()
        shutil.rmtree(self.parent)

    @property
    def target(self):
        return f"{self.folder}/{UDID}"

    def run(self, *options, status=0, words=(), **knobs):
        """larder backup, with faults; its status and words of its output."""
        self.phone.set(**knobs)
        done = larder_on(self.sim, "backup", *options, self.folder)
        text = done.stdout + done.stderr
        if done.returncode != status:
            raise AssertionError(f"status {done.returncode}, want {status}: "
                                 f"{text}")
        for word in words:
            assert word in text, f"no {word!r} in {text!r}"
        no_controls(text)
        over(self.phone)
        return done

    def start(self, *options, **knobs):
        self.phone.set(**knobs)
        return start(self.sim, LARDER, "backup", *options, self.folder)

    def intact(self, what=""):
        """Nothing at all is other than before."""
        equal(changes(self.before, snapshot(self.parent)), [], what)

    def fails(self, status, *words, options=(), quiet=True, **knobs):
        """...and leaves everything as it was; `quiet`: the rules of the
        protocol are kept all the same."""
        done = self.run(*options, status=status, words=words, **knobs)
        self.intact()
        assert "the backup before is as it was" in done.stderr, done.stderr
        if quiet:
            equal(self.phone.violations(), [])
        return done

    def succeeds(self, *words, options=(), **knobs):
        done = self.run(*options, words=words, **knobs)
        self.is_new()
        return done

    def is_new(self):
        equal(sorted(os.listdir(self.folder)), sorted([UDID, NEIGHBOUR]))
        equal(shows(self.target, self.new), None)
        equal(self.phone.violations(), [])

    def is_old(self):
        equal(shows(self.target, self.old), None)

    def recovers(self):
        """The next run is as if nothing had been."""
        self.phone.plug_again()
        self.phone.reset()
        self.succeeds()


NEIGHBOUR = "00008101-00000000000000BB"
WORKERS = 4
_idle = []


@contextlib.contextmanager
def bench():
    """One that is free, or a new one."""
    b = _idle.pop() if _idle else Bench()
    b.begin()
    try:
        yield b
    except BaseException:
        b.close()               # who knows what state it is in
        raise
    b.end()
    _idle.append(b)


def each(rows, check):
    """check(bench, row) for each row, several at a time; all that fail are
    reported, by their rows."""
    def one(row):
        try:
            with bench() as b:
                check(b, row)
        except Exception:
            return f"{row!r}: {traceback.format_exc()}"

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        problems = list(filter(None, pool.map(one, rows)))
    if problems:
        raise AssertionError(f"{len(problems)} of {len(rows)}\n"
                             + "\n".join(problems))


# --- signals -----------------------------------------------------------------

def interrupted(process, number=signal.SIGINT):
    """Send a signal; (status, seconds until the end, output)"""
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, time.monotonic() - begun, out + err
