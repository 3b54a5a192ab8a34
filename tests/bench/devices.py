"""Backups of simulated phones, by larder and by idevicebackup2 in turns.

Both talk to the same simulator, and write to the same file system. What the
simulator needs is in both figures; beside it stands the clients' own processor
time, which is theirs alone. Each backup goes to a fresh folder, and nothing is
removed before the end: a file system that has just removed many files is slow
to make new ones.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "sim"))

from launch import Simulator                            # noqa: E402

PEER = "idevicebackup2"


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


def of(runs, client, field):
    return [getattr(run, field) for run in runs[client]]
