#!/usr/bin/python3
"""Eight readers at once, for a while, each in a process of its own: sizes,
blocks and patterns of all kinds, and walks.  Every byte is the right one,
whatever ways it takes, and as long as it lasts.

LARDER_TEST_SECONDS is for how long, each time; a minute says more."""

import concurrent.futures
import hashlib
import mmap
import multiprocessing
import random

from harness import *

SECONDS = float(os.environ.get("LARDER_TEST_SECONDS", "2.5"))
READERS = 8
MOUNT_SECONDS = 4               # then a new one, of which nothing is known
MIB = 1 << 20
RNG = random.Random(8)
CONTENT = RNG.randbytes(6 * MIB + 4321)
BLOCKS = (1000, 4096, 32 << 10, 128 << 10, 333333, MIB, 3 * MIB + 1)
ENDINGS = ("mov", "jpg", "db", "txt")
WAYS_TRIED = ["none", "default", "silent-open:ahead:open-ahead"]
if "io-uring=yes" in execute(LARDERFS, "--capabilities", "-o",
                             "ways=io-uring").stdout:
    WAYS_TRIED.append("default:io-uring")


def fill(b):
    sizes = [0, 1, 4096, 4097, 128 << 10, (128 << 10) + 1, MIB, 4 * MIB,
             4 * MIB + 1, 6 * MIB]
    sizes += [int(4 * 1.12 ** RNG.randrange(120)) for _ in range(80)]
    for i, size in enumerate(sizes):
        name = f"{i // 12}/{i}.{ENDINGS[i % len(ENDINGS)]}"
        b.file("CameraRollDomain", "Media/" + name, CONTENT[i:i + size])
    for i in range(600):
        b.file("HomeDomain", f"many/{i % 7}/{i // 40}/{i}",
               CONTENT[i:i + 11 * i])
    b.link("HomeDomain", "link", "many/0/0/0")


@contextlib.contextmanager
def opened(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def read_whole(rng, path, want):
    sums, block = hashlib.sha256(), rng.choice(BLOCKS)
    with opened(path) as fd:
        while piece := os.read(fd, block):
            sums.update(piece)
    equal(sums.digest(), hashlib.sha256(want).digest(),
          f"{path} in blocks of {block}")


def read_scattered(rng, path, want):
    with opened(path) as fd:
        for _ in range(40):
            off, n = rng.randrange(len(want) + 50), rng.choice(BLOCKS)
            equal(os.pread(fd, n, off) == want[off:off + n], True,
                  f"{n} bytes at {off} of {path}")


def read_mapped(rng, path, want):
    if not want:
        return
    flags = rng.choice((mmap.MAP_SHARED, mmap.MAP_PRIVATE))
    with opened(path) as fd, mmap.mmap(fd, 0, flags, mmap.PROT_READ) as view:
        for _ in range(20):
            off = rng.randrange(len(want))
            equal(view[off:off + 5000] == want[off:off + 5000], True,
                  f"mapped at {off} of {path}")
        equal(view[:] == want, True, f"mapped: {path}")


def forget(_, path, want):
    with opened(path) as fd:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    equal(os.stat(path).st_size, len(want), path)


def walk(top, sizes):
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = os.lstat(path).st_size
    equal(found.items() ^ sizes.items(), set(), "a walk")


def reader(top, files, sizes, seed, end):
    """How often it has read."""
    rng, rounds = random.Random(seed), 0
    paths = sorted(files)
    while time.monotonic() < end:
        if rng.random() < 0.05:
            walk(top, sizes)
        begin, size = files[path := rng.choice(paths)]
        rng.choice((read_whole, read_whole, read_scattered, read_mapped,
                    forget))(rng, f"{top}/{path}",
                             CONTENT[begin:begin + size])
        rounds += 1
    return rounds


BACKUPS = {shape: made_backup(shape, fill)
           for shape in ("db-encrypted", "db-plain")}


def truth(expect):
    """{path: (where in CONTENT, size)}, {path: size} of all but folders"""
    files, sizes = {}, {}
    for line in expect_of(expect):
        if line["type"] == "f":
            begin = int(re.match(r"\d+", line["path"].rsplit("/", 1)[1])[0])
            files[line["path"]] = begin, line["size"]
        if line["type"] != "d":
            sizes[line["path"]] = line.get("size", len(line.get("target", "")))
    return files, sizes


@case_for({f"{shape}, {ways}": (shape, ways)
           for shape in BACKUPS for ways in WAYS_TRIED})
def eight_readers_for_a_while_get_the_right_bytes(_, which):
    shape, ways = which
    backup, expect = BACKUPS[shape]
    files, sizes = truth(expect)
    end, rounds = time.monotonic() + SECONDS, 0
    while (now := time.monotonic()) < end:
        with mounted(backup, "ways=" + ways) as m, \
                concurrent.futures.ProcessPoolExecutor(
                    READERS, multiprocessing.get_context("fork")) as pool:
            running = [pool.submit(reader, m.path, files, sizes, RNG.random(),
                                   min(end, now + MOUNT_SECONDS))
                       for _ in range(READERS)]
            rounds += sum(future.result() for future in running)
        equal(sanitizer_reports(), [])
    assert rounds > READERS, rounds
    print(f"# {rounds} files read")


CASE_SECONDS = 240 + SECONDS


run()
