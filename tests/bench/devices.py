"""Backups and restores of simulated phones, by larder and by idevicebackup2 in
turns.

Both talk to the same simulator, and write to the same file system. What the
simulator needs is in both figures; beside it stands the clients' own processor
time, which is theirs alone. Each backup goes to a fresh folder, and nothing is
removed before the end: a file system that has just removed many files is slow
to make new ones. For the same reason a phone that is restored has its files in
memory, if there is as much: how fast it writes them is not what is measured.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sim"))

from launch import Simulator                            # noqa: E402

PEER = "idevicebackup2"
MEMORY = "/dev/shm"


@dataclasses.dataclass
class Run:
    """One command: seconds, processor seconds, MiB, TLS handshakes."""
    seconds: float
    cpu: float
    peak: float
    handshakes: int


def timed(sim, *argv):
    phone = sim.phones[0]
    phone.forget()
    begin = time.monotonic()
    process = subprocess.Popen([str(a) for a in argv], env=sim.env,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or phone.violations():
        raise RuntimeError(f"{argv}: exit status {process.returncode} "
                           f"{phone.violations()}")
    # it may have something to put in order
    phone.wait("service-left", name="com.apple.mobilebackup2")
    return Run(took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024,
               phone.counters()["tls-handshakes"])


@contextlib.contextmanager
def phone_with(work, **fill):
    """A simulator whose one phone has these files, made once and paired."""
    name = "-".join(str(v) for v in fill.values())
    with Simulator({"fill": fill}, folder=work / f"phone-{name}") as sim:
        subprocess.run(["idevicepair", "pair"], env=sim.env, check=True,
                       stdout=subprocess.DEVNULL)
        yield sim


def rounds(bench, sim, first=True):
    """{client: [Run]} of full backups or, if not `first`, of the run after."""
    runs = {"larder": [], PEER: []}
    for number, _ in enumerate(bench.rounds()):
        for client, argv in (("larder", (bench.larder, "backup")),
                             (PEER, (PEER, "backup"))):
            folder = bench.work / f"backups-{os.getpid()}" \
                / f"{client}-{time.monotonic_ns()}-{number}"
            folder.mkdir(parents=True)
            run = timed(sim, *argv, folder)
            if not first:
                os.sync()
                run = timed(sim, *argv, folder)
            runs[client].append(run)
            os.sync()
    return runs


@contextlib.contextmanager
def place_for_phone(work, size):
    """A folder where so many bytes fit three times: what a phone has, what
    comes in its place, and to spare."""
    roomy = os.path.isdir(MEMORY) \
        and shutil.disk_usage(MEMORY).free > 3 * size
    with tempfile.TemporaryDirectory(prefix="larder-bench-",
                                     dir=MEMORY if roomy else work) as path:
        yield pathlib.Path(path)


def options_of(sim):
    """What the last restore asked for, as a phone understands it."""
    event, = sim.phones[0].events("restore-request")
    options = dict(event["request"]["Options"])
    # what nobody says is so
    return {"RestoreShouldReboot": True} | options


def restores(bench, sim, password):
    """{client: [Run]} of restores of a backup that is made first."""
    phone, = sim.phones
    phone.password = password
    folder = bench.work / f"backups-{os.getpid()}" / f"{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    timed(sim, bench.larder, "backup", "--quiet", folder)
    ours = bench.larder, "restore", "--quiet", "--yes", "--udid", phone.udid, \
        "--passfile", bench.passfile, folder / phone.udid
    theirs = PEER, "restore", "--system", "--settings", "--remove", \
        *(("--password", password) if password else ()), folder
    runs, asked = {"larder": [], PEER: []}, []
    for _ in bench.rounds():
        for client, argv in (("larder", ours), (PEER, theirs)):
            bench.warm(folder)
            runs[client].append(timed(sim, *argv))
            asked.append(options_of(sim))
    if any(options != asked[0] for options in asked):
        raise RuntimeError(f"the clients ask for different things: {asked}")
    return runs


def of(runs, client, field):
    return [getattr(run, field) for run in runs[client]]
