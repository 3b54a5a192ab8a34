"""Backups that are taken apart without a phone: larder beside what a user would
have without it.

Each run goes to a fresh folder, and nothing is removed between a round's
measurements but before and after it: a file system that has just removed many
files is slow to make new ones. What was written is synced, outside of the
time, before the next is measured, so that nobody pays for the other's writing.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

KEY, IV = "1" * 64, "0" * 32    # the cipher's time does not depend on them
MIB = 1 << 20


def run(*argv):
    """(seconds, MiB) of a command; in a process of its own, since a child
    begins with the peak of its parent."""
    done = subprocess.run(
        [sys.executable, "-c", """
import json, resource, subprocess, sys, time
begin = time.monotonic()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
took = time.monotonic() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([done.returncode, done.stderr, took, peak]))
""", *map(str, argv)], capture_output=True, text=True, check=True)
    status, message, took, peak = json.loads(done.stdout)
    if status:
        raise RuntimeError(f"{argv}: exit status {status}\n{message}")
    return took, peak


@contextlib.contextmanager
def scratch(bench):
    """A folder for what is written, of which nothing stays."""
    path = bench.work / f"extracted-{os.getpid()}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    os.sync()
    try:
        yield path
    finally:
        shutil.rmtree(path)
        os.sync()


def extract(bench, backup, out):
    bench.warm(backup)
    result = run(bench.larder, "extract", "--quiet", "--passfile",
                 bench.passfile, backup, out)
    os.sync()
    return result


def copy(bench, tree, out):
    bench.warm(tree)
    took, _ = run("cp", "-r", "--reflink=auto", tree, out)
    os.sync()
    return took


def halves(bench, backup, size):
    """Two files with half of a backup's payloads each, as openssl takes
    them; made once."""
    found = [bench.work / f"{backup.name}-half-{i}" for i in range(2)]
    if not all(path.exists() for path in found):
        payloads = sorted(path for path in backup.glob("??/*")
                          if len(path.name) == 40)
        for i, path in enumerate(found):
            left = size // 2
            with open(path, "wb") as out:
                for payload in payloads[i::2]:
                    with open(payload, "rb") as f:
                        while left and (piece := f.read(min(MIB, left))):
                            out.write(piece)
                            left -= len(piece)
    return found


def openssl(bench, files, out=None):
    """Side by side, each to a file of its own in `out`, or to nowhere."""
    for path in files:
        bench.warm(path)
    begin = time.monotonic()
    both = [subprocess.Popen(
        ["openssl", "enc", "-d", "-aes-256-cbc", "-nopad", "-K", KEY, "-iv",
         IV, "-in", path, "-out", out / path.name if out else os.devnull])
        for path in files]
    if any([process.wait() for process in both]):
        raise RuntimeError("openssl fails")
    took = time.monotonic() - begin
    os.sync()
    return took


def has_command(bench, name):
    return subprocess.run([bench.larder, name, "--help"],
                          capture_output=True).returncode == 0


def read_cold(path):
    """Seconds to read all files of a folder from the disk, one after the
    other; None if the page cache cannot be emptied."""
    try:
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        return None
    begin = time.monotonic()
    subprocess.run(["find", path, "-type", "f", "-exec", "cat", "{}", "+"],
                   stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - begin


def verify(bench, backup):
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
    return run(bench.larder, "verify", "--content", "--quiet", "--passfile",
               bench.passfile, backup)[0]
