#!/usr/bin/python3
"""Backups with a flaw: a clear end, or a mount that goes on working."""

import collections
import hashlib
import re
import socket
import unicodedata

from harness import *

MEMORY = 1536 << 20             # bytes of address space
SECONDS = 40                    # for one flaw, walk and all

BAD = new_dir("bad")
subprocess.run(["/usr/bin/python3", TESTS + "/mkbad.py", BAD + "/flaws"],
               check=True)
FLAWS = json.loads(read(BAD + "/flaws/EXPECT.json"))

# the sanitizers reserve terabytes of addresses
LIMITED = ("prlimit", f"--as={MEMORY}") if not SANITIZED else ()


def folder(name):
    return f"{BAD}/flaws/{name}"


def try_mount(name):
    """(exit status, messages) of what does not mount; None if it does, and is
    unmounted again."""
    at = new_dir("mnt")
    done = execute(*LIMITED, LARDERFS, folder(name), at, "-o",
                   "passfile=" + PASSFILE, timeout=SECONDS)
    if not is_mounted(at):
        return done.returncode, done.stderr
    execute("umount", at)
    return None


def read_entry(path):
    """As EXPECT.json puts it."""
    try:
        with open(path, "rb", 0) as f:
            digest = hashlib.sha256()
            while chunk := f.read(1 << 16):
                digest.update(chunk)
            return {"sha256": digest.hexdigest()}
    except FileNotFoundError:
        return {"absent": True}
    except OSError as e:
        return {"errors": [errno.errorcode[e.errno]]}


def check_reads(m, reads):
    for path, want in reads.items():
        got = read_entry(m.inside(path))
        if "errors" in want and "errors" in got:
            assert got["errors"][0] in want["errors"], (path, got, want)
        else:
            equal(got, want, path)


def read_all(m):
    """Read every file, whatever comes of it; the paths that gave an error."""
    failed = []
    done = execute("find", m.path, "-type", "f", "-print0", timeout=SECONDS)
    equal(done.returncode, 0, "find")
    for path in done.stdout.split("\0")[:-1]:
        if len(os.fsencode(path)) < 4096 and "errors" in read_entry(path):
            failed.append(os.path.relpath(path, m.path))
    return failed


def harmless(line):
    """Nothing in it that a terminal would act upon."""
    return not any(unicodedata.category(c) == "Cc" for c in line)


@case_for(name for name, want in FLAWS.items() if want["mounts"] is False)
def it_ends_with_one_line_and_its_exit_status(name):
    want = FLAWS[name]
    status, messages = try_mount(name) or (None, None)
    assert status in want["exit"], f"exit status {status}, {messages!r}"
    line = one_line(messages)
    assert line.startswith("larderfs: "), line
    assert name in line, f"no folder in {line!r}"
    assert (want["message"] or "") in line, line
    assert harmless(line), line


@case_for(name for name, want in FLAWS.items() if want["mounts"] is not False)
def it_ends_well_or_mounts_and_works_on(name):
    want = FLAWS[name]
    refused = try_mount(name)
    if refused:
        assert want["mounts"] is None and refused[0] in want["exit"], refused
        assert name in one_line(refused[1]), refused
        return
    assert 0 in want["exit"], "it mounts"
    start = time.monotonic()
    with mounted(folder(name), foreground=True,
                 program=(*LIMITED, LARDERFS)) as m:
        check_reads(m, want.get("reads", {}))
        done = execute("find", m.path, "-ls", timeout=SECONDS)
        # of paths too long for the system find says so, and goes on
        if done.returncode:
            assert "deep-path" in name, done.stderr
        failed = [read_all(m) for _ in range(3)]
        equal(failed[1:], failed[:1] * 2, "errors, time after time")
        if "HomeDomain/Library/good.txt" in want.get("reads", {}):
            equal(read(m.inside("HomeDomain/Library/good.txt")), b"good\n")
        equal(m.unmount(), 0, "exit status")
    assert time.monotonic() - start < SECONDS
    counts = collections.Counter(m.lines())
    for path in set(failed[0]):
        shown = re.sub("[\udc80-\udcff]", "?", path)   # what is no UTF-8
        about = [line for line in m.lines() if shown + ": " in line]
        equal(len(about), 1, f"log lines about {path}: {about}")
    equal([line for line, n in counts.items() if n > 1], [], "repeated")
    for line in m.lines():
        assert line.startswith("larderfs: ") and harmless(line), line


@case_for(("db-encrypted", "mbdb-encrypted"))
def each_damaged_file_is_logged_once(shape):
    damaged = [line["path"] for line in expect_of(golden_expect(shape))
               if "error" in line]
    with mounted(golden(shape), foreground=True) as m:
        for _ in range(3):
            equal(sorted(read_all(m)), sorted(damaged))
        with subprocess.Popen(["sh", "-c", 'cat "$0"/*/*/*/* >/dev/null 2>&1'
                               '& cat "$0"/*/*/*/* >/dev/null 2>&1; wait',
                               m.path]) as readers:
            readers.wait()
        equal(m.unmount(), 0)
    for path in damaged:
        about = [line for line in m.lines() if f" {path}: " in line]
        equal(len(about), 1, f"log lines about {path}: {about}")


# a /dev with a log that we hear, in a namespace inside ours
IN_BACKGROUND = """
for name in null zero full random urandom fuse; do
	touch "$1/$name" && mount --bind "/dev/$name" "$1/$name" || exit
done
mount --rbind "$1" /dev || exit
"$2" "$3" "$4" -o "passfile=$5" || exit
for i in 1 2 3; do find "$4" -type f -exec cat {} + >/dev/null 2>&1; done
umount "$4"
"""


@case
def in_the_background_the_lines_go_to_the_system_log():
    damaged = [line["path"] for line in expect_of(golden_expect("db-encrypted"))
               if "error" in line]
    dev, at = new_dir("dev"), new_dir("mnt")
    lines = []

    def listen():
        while line := log.recv(4096):
            lines.append(line.decode())

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(dev + "/log")
        listener = threading.Thread(target=listen)
        listener.start()
        done = execute(
            "unshare", "-m", "--propagation", "private", "sh", "-c",
            IN_BACKGROUND, "sh", dev, LARDERFS, golden("db-encrypted"), at,
            PASSFILE)
        log.shutdown(socket.SHUT_RDWR)
        listener.join()
    equal((done.returncode, done.stderr), (0, ""))
    for line in lines:
        assert re.match(r"<28>.* larderfs\[\d+\]: ", line), line
    for path in damaged:
        about = [line for line in lines if f" {path}: " in line]
        equal(len(about), 1, f"log lines about {path}: {about}")


@case
def in_the_background_no_terminal_is_held():
    with mounted(golden("db-encrypted")) as m:
        for fd in "012":
            equal(os.readlink(f"/proc/{m.pid}/fd/{fd}"), "/dev/null")
        equal(os.readlink(f"/proc/{m.pid}/cwd"), "/")
        fields = read(f"/proc/{m.pid}/stat", "r").rsplit(")", 1)[1].split()
        equal(int(fields[3]), m.pid, "session")

run()
