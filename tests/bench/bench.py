#!/usr/bin/python3
"""Measure larder against its peers and against what the machine allows.

Every figure that counts is a ratio: larder and its peer are measured in turns
(A B A B ...), a ratio is taken of each pair, and the median is shown with the
least and the greatest. "speed" is how many times as fast as the peer larder
is; "time" and "size" are how many times as much it takes. Absolute figures
stand beside them for orientation: they mean something on an idle machine only.

What is behind a mount is read into the page cache before each run; each mount
is a fresh one.

Before each round the machine's other work is measured and an idle machine
waited for, for some seconds. It matters on both sides and not alike: with a
second core that idles, a request wakes it, which costs several times what it
costs to hand over on a busy machine's one free core. What asks often (bindfs:
each entry) is then up to four times as slow. So rows that were measured beside
other work say so, and are not to be compared with those of an idle machine.

What the kernel lets a driver do depends on who mounts and on the FUSE library,
so the files' rows are there for each driver: as root with Debian's library, as
a user without rights (nobody, with a /dev/fuse for everybody in a mount
namespace of this run's own), and as root with a newer library (--newer).

The peers are Debian's bindfs, gocryptfs and idevicebackup2 (`./dev deps`).
"""

import argparse
import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import stat
import statistics
import subprocess
import sys
import tempfile
import time

import devices
import growth
import offline

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MKBACKUP = HERE.parent / "mkbackup.py"
BACKUPS = HERE / "backups.py"
SLOW_DISK = HERE.parent / "mount" / "slow_disk.c"
PASSWORD = "correct horse"      # mkbackup.py's default
MIB = 1 << 20
IS_ROOT = os.geteuid() == 0


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured."""
    pairs: int
    manifest_rows: int
    tree_files: int
    extracted_files: int
    big_file: int
    random_pages: int
    small_files: int
    small_file: int
    iterations: int
    phone_files: int
    phone_bytes: int
    whole_backup: int


FULL = Sizes(pairs=7, manifest_rows=1_000_000, tree_files=100_000,
             extracted_files=100_000,
             big_file=1024 * MIB, random_pages=10_000, small_files=4000,
             small_file=66_000, iterations=10_000_000,
             phone_files=20_000, phone_bytes=1000 * 10**6,
             whole_backup=4096 * MIB)
QUICK = dataclasses.replace(FULL, pairs=3, manifest_rows=200_000,
                            tree_files=10_000, extracted_files=3_000,
                            big_file=256 * MIB,
                            random_pages=4000, small_files=1000,
                            iterations=1_000_000, phone_files=1_000,
                            phone_bytes=50 * 10**6,
                            whole_backup=128 * MIB)


DISK_US = 2000                  # for a read
AT_ONCE = 8                     # readers
WALKS_OF_ALL = 3                # a walk of a million entries takes its time


# --- results -----------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class Goal:
    """Of performance.md: `gate` must hold, `stretch` is the aim."""
    gate: float
    stretch: float
    at_least: bool = True
    unit: str = ""

    def __str__(self):
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.gate:g} ({self.stretch:g}){self.unit and ' '}" \
               f"{self.unit}"


@dataclasses.dataclass
class Row:
    what: str
    peer: str
    kind: str = ""              # "speed", "time" or "size" of the ratios
    ratios: list = dataclasses.field(default_factory=list)
    larder: str = ""            # absolute
    beside: str = ""            # the peer's
    goal: Goal = None           # of the ratio, or of the absolute if it has
    note: str = ""
    busy: float = 0             # greatest share of the cores that others had

    @property
    def ratio(self):
        if not self.ratios:
            return "–"
        low, mid, high = (f"{x:.3g}" if x < 1000 else f"{x:.0f}" for x in (
            min(self.ratios), statistics.median(self.ratios),
            max(self.ratios)))
        return f"{mid} [{low}–{high}]" if len(self.ratios) > 1 else mid

    def as_json(self):
        r = self.ratios
        return {
            "what": self.what, "peer": self.peer, "kind": self.kind,
            "ratio": r and {"median": statistics.median(r), "min": min(r),
                            "max": max(r)} or None,
            "pairs": len(r), "larder": self.larder, "beside": self.beside,
            "goal": self.goal and dataclasses.asdict(self.goal),
            "note": self.note, "busy": round(self.busy, 2)}


def seconds(times):
    t = statistics.median(times)
    return f"{t:.2f} s" if t >= 1 else f"{t * 1000:.3g} ms"


def speed(what, peer, ours, theirs, goal=None):
    """Times of the same work: how many times as fast larder does it."""
    return Row(what, peer, "speed", [b / a for a, b in zip(ours, theirs)],
               seconds(ours), seconds(theirs), goal)


def duration(what, peer, ours, theirs, goal=None):
    return Row(what, peer, "time", [a / b for a, b in zip(ours, theirs)],
               seconds(ours), seconds(theirs), goal)


def missing(what, program, goal=None):
    return Row(what, program, goal=goal,
               note=f"{program} is not installed (./dev deps)")


# --- other work on the machine ---------------------------------------------

IDLE = 0.1                      # busy less than this
SETTLE_SECONDS = 10             # of waiting before each round


def busy_share(over=0.25):
    """Of all cores, while we sleep."""
    def ticks():
        with open("/proc/stat") as f:
            fields = [int(n) for n in f.readline().split()[1:9]]
        return sum(fields), fields[3] + fields[4]   # all; idle, iowait
    all_before, idle_before = ticks()
    time.sleep(over)
    all_after, idle_after = ticks()
    return 1 - (idle_after - idle_before) / max(all_after - all_before, 1)


# --- programs and mounts -----------------------------------------------------

def run(*argv, **more):
    """Output of a program that must succeed."""
    done = subprocess.run([str(a) for a in argv], capture_output=True,
                          text=True, **more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit status "
                           f"{done.returncode}\n{done.stderr}")
    return done.stdout


def timed(*argv):
    begin = time.monotonic()
    run(*argv)
    return time.monotonic() - begin


def is_mounted(path):
    with open("/proc/self/mounts") as f:
        return any(line.split(" ")[1] == str(path) for line in f)


def unmount(path, daemon):
    command = ("umount",) if IS_ROOT else ("fusermount3", "-u")
    for _ in range(100):
        if not is_mounted(path) or subprocess.run(
                [*command, str(path)], stderr=subprocess.DEVNULL
                ).returncode == 0:
            break
        time.sleep(0.05)
    else:
        subprocess.run([*command, "-l" if IS_ROOT else "-z", str(path)])
    try:
        daemon.wait(30)         # it must not run on into the next measurement
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


NOBODY = 65534
NAMESPACE = "LARDER_BENCH_NAMESPACE"


def enter_namespace():
    """A mount namespace of our own, to change /dev/fuse in."""
    if not IS_ROOT or NAMESPACE in os.environ or not shutil.which("unshare"):
        return
    os.environ[NAMESPACE] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private",
                          sys.executable, *sys.argv])


def let_nobody_mount(work):
    """There: everybody may open /dev/fuse, and let others look in."""
    device, conf = work / "fuse", work / "fuse.conf"
    device.unlink(missing_ok=True)
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    device.chmod(0o666)
    conf.write_text("user_allow_other\n")
    run("mount", "--bind", device, "/dev/fuse")
    run("mount", "--bind", conf, "/etc/fuse.conf")


@dataclasses.dataclass(frozen=True)
class Driver:
    """larderfs with a FUSE library, and who mounts with it."""
    name: str
    larderfs: pathlib.Path
    as_nobody: bool = False

    @property
    def libfuse(self):
        return libfuse_version(self.larderfs)

    @property
    def passthrough(self):
        """May the kernel read plain files itself?"""
        return IS_ROOT and not self.as_nobody and self.libfuse >= (3, 17)

    def command(self, *argv):
        """A program, run by who mounts."""
        return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
                "--clear-groups", *argv) if self.as_nobody else argv

    @property
    def options(self):
        return ("allow_other",) if self.as_nobody else ()

    def __str__(self):
        return f"{self.name}, libfuse {'.'.join(map(str, self.libfuse))}"


@contextlib.contextmanager
def mounted(path, *argv, stderr=subprocess.DEVNULL):
    """A file system whose daemon stays in the foreground; gives the Popen."""
    daemon = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                              stdout=stderr, stderr=stderr)
    try:
        deadline = time.monotonic() + 60
        while not is_mounted(path):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{argv[0]} does not mount {argv[1]}")
            time.sleep(0.005)
        yield daemon
    finally:
        unmount(path, daemon)


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Bench:
    """The place of the data, and what is done there with each program."""

    def __init__(self, args, work):
        self.sizes = QUICK if args.quick else FULL
        self.settle_seconds = 0 if args.quick else SETTLE_SECONDS
        self.busy = []          # before and after each round of a group
        self.larderfs, self.larder = args.larderfs, args.larder
        self.decode = args.decode
        self.work = work
        self.mnt = work / "mnt"
        self.mnt.mkdir(exist_ok=True)
        self.drivers = self.make_drivers(args)
        self.passfile = work / "password"
        self.passfile.write_text(PASSWORD + "\n")
        self.probe_path = work / "probe"
        run("cc", "-O2", "-std=gnu11", "-o", self.probe_path,
            HERE / "probe.c", "-lcrypto")
        self.bindfs = shutil.which("bindfs")
        self.gocryptfs = shutil.which("gocryptfs")

    @functools.cached_property
    def slow_disk(self):
        program = self.work / "slow_disk"
        flags = run("pkg-config", "--cflags", "--libs", "fuse3").split()
        run("cc", "-O2", "-std=gnu11", "-o", program, SLOW_DISK, *flags)
        return program

    def make_drivers(self, args):
        """The first is the one for all rows that do not depend on it."""
        found = [Driver("root" if IS_ROOT else "user", self.larderfs)]
        if NAMESPACE in os.environ:
            # where it is others might not reach it
            self.work.chmod(0o755)
            programs = self.work / "programs"
            programs.mkdir(exist_ok=True)
            os.chown(self.mnt, NOBODY, NOBODY)
            let_nobody_mount(self.work)
            found.append(Driver("nobody", pathlib.Path(
                shutil.copy(self.larderfs, programs)), True))
        if args.newer:
            found.append(Driver("root" if IS_ROOT else "user", args.newer))
        return found

    # data

    def made(self, name, make):
        """A folder of data, made once."""
        path, aside = self.work / name, self.work / f"{name}.part"
        if not path.exists():
            say(f"making {name}")
            shutil.rmtree(aside, ignore_errors=True)
            make(aside)
            aside.rename(path)
        return path

    def backup(self, name, shape, *options):
        return self.made(name, lambda out: run(
            sys.executable, MKBACKUP, shape, out, *options))

    def listed_backup(self, name, *command):
        """Made by backups.py; with the paths of its files."""
        paths = self.work / f"{name}.paths"
        path = self.made(name, lambda out: paths.write_text(
            run(sys.executable, BACKUPS, *command, out)))
        return path, paths

    def small_files(self):
        count, size = self.sizes.small_files, self.sizes.small_file
        return self.listed_backup(f"small-{count}", "small", "db-encrypted",
                                  count, size)

    def manifest_backup(self):
        rows = self.sizes.manifest_rows
        return self.backup(f"manifest-{rows}", "db-encrypted", "--profile",
                           "scale", "--no-payloads", "--files", rows)

    def plain_copy_of_manifest(self, backup):
        def decrypt(out):
            out.mkdir()
            run("openssl", "enc", "-d", "-aes-256-cbc", "-iv", "0" * 32, "-K",
                run(sys.executable, BACKUPS, "manifest-key").strip(),
                "-in", backup / "Manifest.db", "-out", out / "Manifest.db",
                "-bufsize", str(MIB))
        return self.made(f"{backup.name}-plain", decrypt)

    def native_twin(self, backup):
        """The tree of a backup with empty files: enough to walk and stat."""
        def copy(folder, out):
            out.mkdir()
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        os.symlink(os.readlink(entry), out / entry.name)
                    elif entry.is_dir():
                        copy(entry.path, out / entry.name)
                    else:   # not to be opened: there may be no payload
                        os.mknod(out / entry.name)

        def make(out):
            with self.larder_mount(backup):
                copy(self.mnt, out)
        return self.made(f"{backup.name}-twin", make)

    def gocryptfs_store(self, backup):
        def fill(out):
            out.mkdir()
            run(self.gocryptfs, "-init", "-q", "-scryptn", "10", "-passfile",
                self.passfile, out)
            plain = self.work / "mnt-gocryptfs"
            plain.mkdir(exist_ok=True)
            with self.larder_mount(backup), mounted(
                    plain, *self.gocryptfs_command(), out, plain):
                run("cp", "-r", f"{self.mnt}/.", plain)
        return self.made(f"{backup.name}-gocryptfs", fill)

    # mounts

    def larder_mount(self, backup, driver=None, options=(), **more):
        driver = driver or self.drivers[0]
        words = [f"passfile={self.passfile}", *driver.options, *options]
        return mounted(self.mnt, *driver.command(
            driver.larderfs, backup, self.mnt, "-f", "-o", ",".join(words)),
            **more)

    def bindfs_mount(self, folder, driver=None):
        driver = driver or self.drivers[0]
        return mounted(self.mnt, *driver.command(
            self.bindfs, "-f", "-o", ",".join(["ro", *driver.options]),
            folder, self.mnt))

    def gocryptfs_command(self):
        return self.gocryptfs, "-q", "-fg", "-passfile", self.passfile

    def gocryptfs_mount(self, store):
        return mounted(self.mnt, *self.gocryptfs_command(), "-ro", store,
                       self.mnt)

    def larder_mount_seconds(self, backup, *options):
        """In the background: until the parent says that it is mounted."""
        return timed(self.larderfs, backup, self.mnt, *options)

    # work

    def settle(self):
        """Wait for an idle machine, and note how idle it became."""
        deadline = time.monotonic() + self.settle_seconds
        while (busy := busy_share()) > IDLE and time.monotonic() < deadline:
            pass
        self.busy.append(busy)

    def rounds(self):
        for _ in range(self.sizes.pairs):
            self.settle()
            yield
            self.busy.append(busy_share())

    def measured(self, group):
        """The rows of a group, with what else the machine did meanwhile."""
        self.busy = []
        rows = list(group(self))
        busy = max(self.busy, default=0)
        return [dataclasses.replace(row, busy=busy) for row in rows]

    def probe(self, *command):
        """Seconds and amount."""
        out = run(self.probe_path, *command).split()
        return float(out[0]), int(out[1])

    def warm(self, path):
        """What nobody has read for a while may have left the page cache."""
        self.probe(*(("warm", path) if path.is_dir() else
                     ("read", path, MIB)))


class Times:
    """Seconds by name, of the rounds measured; amounts must not differ."""

    def __init__(self):
        self.of, self.amount = {}, {}

    def add(self, name, result, kind="same"):
        took, amount = result
        self.of.setdefault(name, []).append(took)
        if self.amount.setdefault(kind, amount) != amount:
            raise RuntimeError(f"{name}: {amount} entries or bytes where "
                               f"another has {self.amount[kind]}")

    def __getitem__(self, name):
        return self.of[name]


QUIET = False


def say(text):
    if not QUIET:
        print(f"bench: {text}", file=sys.stderr, flush=True)


# --- rows --------------------------------------------------------------------

def decrypt_whole_seconds(manifest_db):
    """The cipher's time does not depend on the key."""
    return timed("openssl", "enc", "-d", "-aes-256-cbc", "-nopad",
                 "-bufsize", MIB, "-K", "1" * 64, "-iv", "0" * 32,
                 "-in", manifest_db, "-out", "/dev/null")


def key_file(bench, backup):
    path = bench.work / f"{backup.name}.key"
    path.unlink(missing_ok=True)
    run(bench.larder, "key", "--quiet", "--passfile", bench.passfile, backup,
        path)
    return path


def root_listing(bench, backup, key, times):
    manifest_db = backup / "Manifest.db"
    bench.warm(manifest_db)
    mount = bench.larder_mount_seconds(backup, "-o", f"keyfile={key}")
    try:
        listing, _ = bench.probe("list", bench.mnt)
    finally:
        run(*(("umount",) if IS_ROOT else ("fusermount3", "-u")), bench.mnt)
    times.add("listing", (listing, 0))
    times.add("mount and listing", (mount + listing, 0))
    times.add("openssl", (decrypt_whole_seconds(manifest_db), 0))


def memory_rows(bench, backup):
    """Of a mount: when its root is listed, and when all of it is."""
    size = (backup / "Manifest.db").stat().st_size / MIB
    with bench.larder_mount(backup) as daemon:
        bench.probe("list", bench.mnt)
        first = resident_mib(daemon.pid)
        yield Row("memory at root listing", "size of Manifest.db", "size",
                  [first / size], f"{first:.1f} MiB", f"{size:.0f} MiB",
                  Goal(16, 8, False, "MB"))
        took, entries = bench.probe("walk", bench.mnt)
        all_of_it = resident_mib(daemon.pid)
        yield Row("memory after a full walk", "size of Manifest.db", "size",
                  [all_of_it / size], f"{all_of_it:.1f} MiB",
                  f"{size:.0f} MiB", Goal(100, 70, False, "MB"))
        again, _ = bench.probe("walk", bench.mnt)
        yield Row(f"walk + stat of {entries:,} entries", "second walk", "time",
                  [took / again], seconds([took]), seconds([again]),
                  note=f"without payloads; "
                       f"{took / entries * 1e6:.1f} µs per entry")


def info_seconds(bench, backup):
    bench.warm(backup / "Manifest.db")
    return timed(bench.larder, "info", "--quiet", "--passfile",
                 bench.passfile, backup)


def walk_of_all(bench, backup):
    """Of the largest backup, too large to be walked as often as the others."""
    folder = bench.native_twin(backup)
    times = Times()
    for _ in range(WALKS_OF_ALL):
        bench.settle()
        for name, mount in (("larder", bench.larder_mount(backup)),
                            ("bindfs", bench.bindfs_mount(folder))):
            with mount:
                times.add(name, bench.probe("walk", bench.mnt))
    yield speed(f"first walk + stat, {times.amount['same']:,} entries, "
                "no payloads", "bindfs", times["larder"], times["bindfs"],
                Goal(3, 4))


def manifest_rows(bench):
    backup = bench.manifest_backup()
    plain = bench.plain_copy_of_manifest(backup)
    key = key_file(bench, backup)
    times = Times()
    for _ in bench.rounds():
        root_listing(bench, backup, key, times)
        times.add("info", (info_seconds(bench, backup), 0))
        times.add("info plain", (info_seconds(bench, plain), 0))
    whole = "openssl enc -d Manifest.db"
    yield duration("root listed, after mount", whole, times["listing"],
                   times["openssl"])
    yield duration("mount (key file) + root listed", whole,
                   times["mount and listing"], times["openssl"],
                   Goal(20, 8, False, "ms"))
    yield from memory_rows(bench, backup)
    if bench.bindfs and bench.sizes is FULL:
        yield from walk_of_all(bench, backup)
    yield duration("larder info", whole, times["info"], times["openssl"])
    yield duration("larder info, encrypted", "the same, plain",
                   times["info"], times["info plain"], Goal(1.4, 1.1, False))


def requests_row(bench, backup):
    """What the daemon's own trace shows of two walks."""
    log = bench.work / "requests"
    with open(log, "w+") as trace:
        with mounted(bench.mnt, bench.larderfs, backup, bench.mnt, "-d", "-o",
                     f"passfile={bench.passfile}", stderr=trace):
            bench.probe("walk", bench.mnt)
            end_of_first = log.stat().st_size
            bench.probe("walk", bench.mnt)
            end_of_second = log.stat().st_size
        trace.seek(0)
        first = requests(trace.read(end_of_first))
        second = requests(trace.read(end_of_second - end_of_first))
    log.unlink()
    note = "first walk: " + ", ".join(f"{n:,} {name}"
                                      for name, n in first.most_common(4))
    if second:
        note += "; second: " + ", ".join(f"{n:,} {name}" for name, n
                                         in second.most_common())
    return Row("requests on the second walk", "first walk", "count",
               [second.total() / first.total()], f"{second.total():,}",
               f"{first.total():,}", Goal(5, 1, False, "requests"), note)


def requests(trace):
    """By name, of a part of libfuse's trace."""
    return collections.Counter(re.findall(r"opcode: (\w+)", trace))


def two_walks(bench, name, mount, times):
    with mount:
        times.add(f"{name} first", bench.probe("walk", bench.mnt))
        times.add(f"{name} second", bench.probe("walk", bench.mnt))


def tree_rows(bench):
    files = bench.sizes.tree_files
    backup = bench.backup(f"tree-{files}", "db-encrypted", "--profile",
                          "scale", "--files", files)
    folder = bench.native_twin(backup)
    times = Times()
    for _ in bench.rounds():
        bench.warm(backup)
        two_walks(bench, "larder", bench.larder_mount(backup), times)
        bench.probe("walk", folder)
        times.add("native", bench.probe("walk", folder))
        if bench.bindfs:
            two_walks(bench, "bindfs", bench.bindfs_mount(folder), times)
    first = f"first walk + stat, {times.amount['same']:,} entries, encrypted"
    second = "second walk + stat"
    if bench.bindfs:
        yield speed(first, "bindfs", times["larder first"],
                    times["bindfs first"], Goal(4, 5))
        yield speed(second, "bindfs", times["larder second"],
                    times["bindfs second"])
    else:
        yield missing(first, "bindfs", Goal(4, 5))
        yield missing(second, "bindfs")
    yield speed(first, "native", times["larder first"], times["native"])
    yield speed(second, "native", times["larder second"], times["native"],
                Goal(0.9, 1))
    yield requests_row(bench, backup)


def reads(bench, name, mount, backing, path, times, *command):
    """One way of reading one file of a fresh mount."""
    bench.warm(backing)
    with mount:
        what, *more = command
        times.add(name, bench.probe(what, bench.mnt / path, *more), what)


def payload_of(backup, shown):
    """Where a backup stores the file that a mount shows so."""
    domain, path = shown.split("/", 1)
    file_id = hashlib.sha1(f"{domain}-{path}".encode()).hexdigest()
    return backup / file_id[:2] / file_id


def throughput(row, size):
    """The absolute figures of a row as GB/s."""
    def rate(text):
        value, unit = text.split()
        took = float(value) / (1000 if unit == "ms" else 1)
        return f"{size / took / 1e9:.2f} GB/s"
    return dataclasses.replace(row, larder=rate(row.larder),
                               beside=rate(row.beside))


def encrypted_file_rows(bench):
    size, pages = bench.sizes.big_file, bench.sizes.random_pages
    backup, paths = bench.listed_backup(f"encrypted-{size}", "big",
                                        "db-encrypted", size)
    shown = paths.read_text().strip()
    payload = payload_of(backup, shown)
    store = bench.gocryptfs_store(backup) if bench.gocryptfs else None
    whole, random = ("read", MIB), ("pages", pages)
    times = Times()
    for _ in bench.rounds():
        for driver in bench.drivers:
            bench.warm(payload)
            times.add(f"aes {driver}", bench.probe("decrypt", payload), "aes")
            reads(bench, f"{driver} read", bench.larder_mount(backup, driver),
                  payload, shown, times, *whole)
            reads(bench, f"{driver} cached", bench.larder_mount(
                backup, driver, ["ways=read-ahead:ahead"]),
                payload, shown, times, *whole)
        reads(bench, "pages", bench.larder_mount(backup), payload, shown,
              times, *random)
        for command in (whole, random) if store else ():
            reads(bench, f"gocryptfs {command[0]}",
                  bench.gocryptfs_mount(store), store, shown, times, *command)
    what = f"encrypted, {size // MIB} MiB by 1 MiB"
    for driver in bench.drivers:
        yield throughput(speed(
            f"{what} ({driver})", "AES limit", times[f"{driver} read"],
            times[f"aes {driver}"], Goal(0.65, 0.85)), size)
        yield throughput(speed(
            f"the same through the page cache ({driver})", "AES limit",
            times[f"{driver} cached"], times[f"aes {driver}"],
            Goal(0.55, 0.80) if IS_ROOT and not driver.as_nobody
            else Goal(0.40, 0.50)), size)
    scattered = f"encrypted, random, {pages} × 4 KiB, cold"
    if not store:
        yield missing(what, "gocryptfs", Goal(3.5, 4.5))
        yield missing(scattered, "gocryptfs", Goal(1.4, 2))
        return
    for driver in bench.drivers:
        yield throughput(speed(
            f"{what} ({driver})", "gocryptfs", times[f"{driver} read"],
            times["gocryptfs read"], Goal(3.5, 4.5)), size)
    yield speed(scattered, "gocryptfs", times["pages"],
                times["gocryptfs pages"], Goal(1.4, 2))


def read_requests(bench, backup, driver, shown):
    """READs that reach the daemon while a whole file is read."""
    log = bench.work / "requests"
    options = ",".join([f"passfile={bench.passfile}", *driver.options])
    with open(log, "w+") as trace:
        with mounted(bench.mnt, *driver.command(
                driver.larderfs, backup, bench.mnt, "-d", "-o", options),
                stderr=trace):
            bench.probe("read", bench.mnt / shown, MIB)
        trace.seek(0)
        count = requests(trace.read())["READ"]
    log.unlink()
    return count


def plain_file_rows(bench):
    size = bench.sizes.big_file
    backup, paths = bench.listed_backup(f"plain-{size}", "big", "db-plain",
                                        size)
    shown = paths.read_text().strip()
    payload = payload_of(backup, shown)
    times = Times()
    for _ in bench.rounds():
        for driver in bench.drivers:
            reads(bench, f"{driver}", bench.larder_mount(backup, driver),
                  payload, shown, times, "read", MIB)
            bench.warm(payload)
            times.add(f"native {driver}", bench.probe("read", payload, MIB),
                      "read")
            if bench.bindfs:
                reads(bench, f"bindfs {driver}",
                      bench.bindfs_mount(backup, driver), payload,
                      payload.relative_to(backup), times, "read", MIB)
    what = f"plain, {size // MIB} MiB by 1 MiB"
    for driver in bench.drivers:
        yield throughput(speed(
            f"{what} ({driver})", "native", times[f"{driver}"],
            times[f"native {driver}"],
            Goal(0.85, 0.97) if driver.passthrough else None), size)
        if driver.passthrough:
            count = read_requests(bench, backup, driver, shown)
            yield Row(f"READ requests meanwhile ({driver})", "",
                      larder=f"{count}", goal=Goal(0, 0, False, "requests"))
        goal = None if driver.passthrough else Goal(1.3, 1.8)
        if bench.bindfs:
            yield throughput(speed(
                f"{what} ({driver})", "bindfs", times[f"{driver}"],
                times[f"bindfs {driver}"], goal), size)
        else:
            yield missing(what, "bindfs", goal)


def small_file_rows(bench):
    count, size = bench.sizes.small_files, bench.sizes.small_file
    what = f"encrypted, {count} files of {size // 1000} kB, whole"
    goal = Goal(3, 4)
    if not bench.gocryptfs:
        yield missing(what, "gocryptfs", goal)
        return
    backup, paths = bench.small_files()
    store = bench.gocryptfs_store(backup)
    times = Times()
    for _ in bench.rounds():
        for name, mount, backing in (
                ("larder", bench.larder_mount, backup),
                ("gocryptfs", bench.gocryptfs_mount, store)):
            bench.warm(backing)
            with mount(backing):
                times.add(name, bench.probe("files", bench.mnt, paths))
    yield speed(what, "gocryptfs", times["larder"], times["gocryptfs"], goal)


@contextlib.contextmanager
def slow_disk(bench, folder):
    """The folder, where each read takes DISK_US, but any number at once."""
    place = bench.work / "disk"
    place.mkdir(exist_ok=True)
    with mounted(place, bench.slow_disk, folder, place, DISK_US):
        yield place


def read_at_once(bench, lists):
    """Seconds and bytes of one reader for each list of files."""
    begin = time.monotonic()
    readers = [subprocess.Popen([bench.probe_path, "files", bench.mnt, paths],
                                stdout=subprocess.PIPE, text=True)
               for paths in lists]
    amounts = [int(reader.communicate()[0].split()[1]) for reader in readers]
    return time.monotonic() - begin, sum(amounts)


def lists_of(bench, paths, each):
    """The first files for one reader, others for several at once."""
    lines = paths.read_text().splitlines(keepends=True)
    lists = [bench.work / f"slow-{i}.paths" for i in range(1 + AT_ONCE)]
    apart = len(lines) // len(lists)
    for i, path in enumerate(lists):
        path.write_text("".join(lines[apart * i:apart * i + each]))
    return lists


def slow_disk_rows(bench):
    count = bench.sizes.small_files
    disk = f"a disk of {DISK_US / 1000:g} ms"
    backup, paths = bench.small_files()
    lists = lists_of(bench, paths, 100)
    times = Times()
    systems = [("larder", bench.larder_mount, backup)]
    if bench.gocryptfs:
        systems.append(("gocryptfs", bench.gocryptfs_mount,
                        bench.gocryptfs_store(backup)))
    for _ in bench.rounds():
        for name, mount, backing in systems:
            bench.warm(backing)
            with slow_disk(bench, backing) as folder, mount(folder):
                for who, which in (("one", lists[:1]), ("all", lists[1:])):
                    times.add(f"{name} {who}", read_at_once(bench, which), who)
        with slow_disk(bench, backup) as folder, bench.larder_mount(folder):
            times.add("walk", bench.probe("walk", bench.mnt))
    for who, what, goal in (
            ("one", "100 small files", Goal(1.5, 3)),
            ("all", f"{AT_ONCE} readers of 100 each", Goal(0.7, 1))):
        if bench.gocryptfs:
            yield speed(f"{disk}: {what}", "gocryptfs", times[f"larder {who}"],
                        times[f"gocryptfs {who}"], goal)
        else:
            yield missing(f"{disk}: {what}", "gocryptfs", goal)
    yield speed(f"{disk}: first walk of {count} files", "one by one",
                times["walk"], [count * DISK_US / 1e6] * len(times["walk"]),
                Goal(4, 6))


def unlock_rows(bench):
    count = bench.sizes.iterations
    backup = bench.backup(f"unlock-{count}", "db-encrypted", "--profile",
                          "scale", "--files", 1, "--no-payloads", "--dpic",
                          count)
    ours, openssl = [], []
    for _ in bench.rounds():
        begin = time.monotonic()
        key_file(bench, backup)
        ours.append(time.monotonic() - begin)
        begin = time.monotonic()
        hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), bytes(20), count)
        openssl.append(time.monotonic() - begin)
    yield duration(f"unlock, {count:,} iterations", "OpenSSL PBKDF2", ours,
                   openssl, Goal(0.45, 0.37, False))


def decode_rows(bench):
    """File records: what a listing decodes for each of its entries."""
    what, peer = "decode of a file record", "libplist"
    goal = Goal(0.12, 0.05, False)
    if not os.access(bench.decode, os.X_OK):
        yield Row(what, peer, goal=goal, note=f"{bench.decode} is not built")
        return
    backup = bench.backup("records-20000", "db-encrypted", "--profile",
                          "scale", "--files", 20000, "--no-payloads")
    manifest_db = bench.plain_copy_of_manifest(backup) / "Manifest.db"
    ours, libplist = [], []
    for _ in bench.rounds():
        took, took_libplist, count = run(bench.decode, manifest_db).split()
        ours.append(float(took) / int(count))
        libplist.append(float(took_libplist) / int(count))
    row = duration(what, peer, ours, libplist, goal)
    yield dataclasses.replace(
        row, larder=f"{statistics.median(ours) * 1e9:.0f} ns",
        beside=f"{statistics.median(libplist) * 1e9:.0f} ns")


def client_rows(what, runs, goal):
    """The whole command, and what of it the client itself has used."""
    ours, theirs = (devices.of(runs, name, "seconds")
                    for name in ("larder", devices.PEER))
    yield speed(what, devices.PEER, ours, theirs, goal)
    yield speed(f"{what}: processor time of the client", devices.PEER,
                devices.of(runs, "larder", "cpu"),
                devices.of(runs, devices.PEER, "cpu"))


def device_rows(bench):
    """Backups of a simulated phone, and what comes back to it."""
    goals = {"small": Goal(2.5, 3), "same": Goal(4, 5), "bulk": Goal(1.5, 2)}
    if not shutil.which(devices.PEER):
        yield missing("backups of a phone", devices.PEER)
        return
    files, size = bench.sizes.phone_files, bench.sizes.phone_bytes
    with devices.phone_with(bench.work, kind="many", count=files) as sim:
        runs = devices.rounds(bench, sim)
        yield from client_rows(f"back up {files:,} small files", runs,
                               goals["small"])
        yield Row("TLS handshakes of a backup", devices.PEER, "time",
                  [a / b for a, b in zip(
                      devices.of(runs, "larder", "handshakes"),
                      devices.of(runs, devices.PEER, "handshakes"))],
                  str(runs["larder"][0].handshakes),
                  str(runs[devices.PEER][0].handshakes))
        runs = devices.rounds(bench, sim, first=False)
        yield from client_rows("the same again, nothing changed", runs,
                               goals["same"])
    with devices.phone_with(bench.work, kind="bulk", size=size) as sim:
        runs = devices.rounds(bench, sim)
        yield from client_rows(f"back up {size / 1e9:g} GB", runs,
                               goals["bulk"])
        peak = max(devices.of(runs, "larder", "peak"))
        yield Row("memory while backing up", "", larder=f"{peak:.1f} MiB",
                  goal=Goal(64, 32, False, "MiB"))
    yield from restore_rows(bench)
    shutil.rmtree(bench.work / f"backups-{os.getpid()}", ignore_errors=True)


def restore_rows(bench):
    """A backup of a simulated phone that comes back to it."""
    files, size = bench.sizes.phone_files, bench.sizes.phone_bytes
    with devices.place_for_phone(bench.work, files << 13) as place, \
            devices.phone_with(place, kind="many", count=files) as sim:
        runs = devices.restores(bench, sim, None)
        yield from client_rows(f"restore of {files:,} small files", runs,
                               Goal(2.5, 3))
    with devices.place_for_phone(bench.work, size) as place, \
            devices.phone_with(place, kind="bulk", size=size) as sim:
        runs = devices.restores(bench, sim, PASSWORD)
        yield from client_rows(f"restore of {size / 1e9:g} GB, encrypted",
                               runs, Goal(2, 2.5))
        peak = max(devices.of(runs, "larder", "peak"))
        yield Row("memory while restoring", "", larder=f"{peak:.1f} MiB",
                  goal=Goal(64, 32, False, "MiB"))


def staging_rows(bench):
    """One app of a large backup, staged for a restore."""
    files, app = bench.sizes.tree_files, "com.example.app01"
    backup = bench.backup(f"tree-{files}", "db-encrypted", "--profile",
                          "scale", "--files", files)
    staged, took = bench.work / f"staged-{os.getpid()}", []
    for _ in bench.rounds():
        bench.warm(backup)
        begin = time.monotonic()
        said = run(bench.larder, "pack", "--json", "--app", app, "--passfile",
                   bench.passfile, backup, staged)
        took.append(time.monotonic() - begin)
        end = json.loads(said.splitlines()[-1])
        if not end["payloads_shared"] or end["payloads_copied"] \
                or end["payloads_written"]:
            raise RuntimeError(f"payloads were copied: {end}")
        shutil.rmtree(staged)
    yield Row(f"one app of {files:,} files staged and synced, nothing copied",
              "", larder=f"{statistics.median(took):.2f} s",
              goal=Goal(2, 1, False, "s"))


def whole_backup(bench, shape):
    """Photos and, a quarter of it, films."""
    size = bench.sizes.whole_backup
    return bench.listed_backup(f"{shape}-{size}", "mixed", shape, size)[0]


def extract_encrypted_rows(bench):
    size, times, peak = bench.sizes.whole_backup, Times(), 0
    backup = whole_backup(bench, "db-encrypted")
    halves = offline.halves(bench, backup, size)
    for _ in bench.rounds():
        with offline.scratch(bench) as place:
            took, memory = offline.extract(bench, backup, place / "larder")
            peak = max(peak, memory)
            times.add("larder", (took, 0))
            times.add("null", (offline.openssl(bench, halves), 0))
            times.add("files", (offline.openssl(bench, halves, place), 0))
    what = f"extract, encrypted, {size // MIB} MiB"
    yield throughput(speed(what, "2 × openssl enc -d, to files",
                           times["larder"], times["files"],
                           Goal(0.7, 1)), size)
    yield throughput(speed(what, "2 × openssl enc -d, to /dev/null",
                           times["larder"], times["null"]), size)
    yield Row("memory while extracting", "", larder=f"{peak:.1f} MiB",
              goal=Goal(64, 32, False, "MiB"))
    for path in halves:
        path.unlink()


def extract_plain_rows(bench):
    size, times = bench.sizes.whole_backup, Times()
    backup = whole_backup(bench, "db-plain")
    for _ in bench.rounds():
        with offline.scratch(bench) as place:
            times.add("larder", (offline.extract(bench, backup,
                                                 place / "larder")[0], 0))
            times.add("cp", (offline.copy(bench, backup, place / "cp"), 0))
    yield throughput(speed(f"extract, plain, {size // MIB} MiB",
                           "cp -r --reflink=auto", times["larder"],
                           times["cp"], Goal(0.9, 1)), size)


def extract_small_rows(bench):
    files, times, peak = bench.sizes.extracted_files, Times(), 0
    backup = bench.backup(f"tree-{files}", "db-encrypted", "--profile",
                          "scale", "--files", files)
    for _ in bench.rounds():
        with offline.scratch(bench) as place:
            took, memory = offline.extract(bench, backup, place / "larder")
            peak = max(peak, memory)
            times.add("larder", (took, 0))
            times.add("cp", (offline.copy(bench, place / "larder",
                                          place / "cp"), 0))
    what = f"extract, encrypted, {files:,} small files"
    yield speed(what, "cp -r", times["larder"], times["cp"], Goal(0.8, 1))
    yield Row(f"memory while extracting {files:,} files", "",
              larder=f"{peak:.1f} MiB",
              goal=Goal(64 + files * 100 / MIB, 32, False, "MiB"))


def verify_rows(bench):
    """Against the slower of reading all from the disk and decrypting it."""
    size, goal = bench.sizes.whole_backup, Goal(0.7, 0.9)
    what = f"verify --content, encrypted, {size // MIB} MiB, cold"
    if not offline.has_command(bench, "verify"):
        yield Row(what, "larder verify", goal=goal,
                  note="missing: this larder has no such command")
        return
    backup, times = whole_backup(bench, "db-encrypted"), Times()
    halves = offline.halves(bench, backup, size)
    for _ in bench.rounds():
        aes = offline.openssl(bench, halves)
        disk = offline.read_cold(backup)
        times.add("peer", (max(aes, disk or 0), 0))
        times.add("larder", (offline.verify(bench, backup), 0))
    yield throughput(speed(what, "slower of disk and AES", times["larder"],
                           times["peer"], goal), size)
    for path in halves:
        path.unlink()


def offline_rows(bench):
    for rows in (extract_encrypted_rows, extract_plain_rows,
                 extract_small_rows, verify_rows):
        yield from rows(bench)


GROUPS = {"manifest": manifest_rows, "tree": tree_rows,
          "encrypted": encrypted_file_rows, "plain": plain_file_rows,
          "small": small_file_rows, "slow": slow_disk_rows,
          "unlock": unlock_rows, "decode": decode_rows,
          "staging": staging_rows, "offline": offline_rows,
          "device": device_rows}


# --- the machine -------------------------------------------------------------

@functools.cache
def libfuse_version(larderfs):
    """Of the library that larderfs is linked with."""
    found = re.search(r"libfuse3\S* => (\S+)", run("ldd", larderfs))
    if not found:
        return ()
    numbers = re.findall(r"\d+", os.path.realpath(found[1]).split(".so.")[-1])
    return tuple(map(int, numbers))


def machine(bench):
    cpu = re.search(r"model name\s*: (.*)",
                    pathlib.Path("/proc/cpuinfo").read_text())
    place = run("findmnt", "-no", "FSTYPE", "--target", bench.work).strip()
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "drivers": "; ".join(map(str, bench.drivers)),
        "openssl": run("openssl", "version").split()[1],
        "file system": place,
        "user": "root" if IS_ROOT else "unprivileged",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


# --- growth ------------------------------------------------------------------

@contextlib.contextmanager
def mounted_and_listed(bench, backup, key):
    """Seconds until the root is listed, and the process."""
    begin = time.monotonic()
    with mounted(bench.mnt, bench.larderfs, backup, bench.mnt, "-f", "-o",
                 f"keyfile={key}") as daemon:
        bench.probe("list", bench.mnt)
        yield time.monotonic() - begin, daemon.pid


def show_growth(bench, args):
    counts = growth.COUNTS + (growth.HUGE if args.huge else ())
    rows = [growth.measure(bench, count, key_file, mounted_and_listed,
                           resident_mib) for count in counts]
    for line in growth.table(rows):
        print("".join(f"{cell:>14}" for cell in line))
    growth.draw(rows, args.growth)


# --- output ------------------------------------------------------------------

def print_table(facts, rows):
    print(", ".join(f"{name}: {value}" for name, value in facts.items()))
    print()
    head = ("what", "×", "larder", "peer", "", "ratio [min–max]", "n", "goal")
    lines = [head] + [
        (r.what, r.kind, r.larder, r.peer, r.beside, r.ratio,
         str(len(r.ratios)), str(r.goal or "")) for r in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line, row in zip(lines, [None, *rows]):
        text = "  ".join(f"{cell:{width}}" for cell, width
                         in zip(line, widths)).rstrip()
        notes = [row.note] if row and row.note else []
        if row and row.busy > IDLE:
            notes.append(f"beside other work: up to {row.busy:.0%} "
                         "of the cores")
        print(text + (f"  ({'; '.join(notes)})" if notes else ""))
    print("\nA goal is a gate, and in brackets the aim beyond it: of the "
          "ratio, or with a unit of the absolute figure.")


@contextlib.contextmanager
def work_folder(given):
    """Data in a folder that was given stay for the next time."""
    if given:
        path = pathlib.Path(given).resolve()
        path.mkdir(parents=True, exist_ok=True)
        yield path
    else:
        with tempfile.TemporaryDirectory(prefix="larder-bench-",
                                         dir="/var/tmp") as path:
            yield pathlib.Path(path)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="fewer pairs, smaller files: under 3 minutes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--larderfs", metavar="PATH",
                        default=ROOT / "build/release/fs/larderfs")
    parser.add_argument("--newer", metavar="PATH",
                        help="larderfs with a newer FUSE library")
    parser.add_argument("--larder", metavar="PATH",
                        default=ROOT / "build/release/tools/larder")
    parser.add_argument("--decode", metavar="PATH", type=pathlib.Path,
                        default=ROOT / "build/release/tests/bench/decode",
                        help="what times the decoding of records")
    parser.add_argument("--work", metavar="DIR",
                        help="keep the data here, 14 GB, and use them again")
    parser.add_argument("--only", metavar="GROUP", action="append",
                        choices=GROUPS, help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--growth", metavar="SVG",
                        help="only draw how time and memory grow with a "
                             "backup; needs gnuplot")
    parser.add_argument("--huge", action="store_true",
                        help="with --growth: 5,000,000 records too")
    args = parser.parse_args()
    for name in ("larderfs", "larder", "newer"):
        if getattr(args, name) is None:
            continue
        path = pathlib.Path(getattr(args, name)).resolve()
        if not os.access(path, os.X_OK):
            parser.error(f"{path} is not there: build it, or give --{name}")
        setattr(args, name, path)
    return args


def main():
    enter_namespace()
    # a signal must leave no mount behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = arguments()
    rows = []
    with work_folder(args.work) as work:
        bench = Bench(args, work)
        if args.growth:
            show_growth(bench, args)
            return
        facts = machine(bench)
        for name in args.only or GROUPS:
            begin = time.monotonic()
            rows += bench.measured(GROUPS[name])
            say(f"{name}: {time.monotonic() - begin:.0f} s")
        facts["load"] += f" before, {os.getloadavg()[0]:.1f} after"
    if args.json:
        print(json.dumps({"machine": facts, "quick": args.quick,
                          "rows": [r.as_json() for r in rows]}, indent=1,
                         ensure_ascii=False))
    else:
        print_table(facts, rows)


if __name__ == "__main__":
    main()
