#!/usr/bin/python3
"""The bytes of files, however they are read; and that none can be changed."""

import mmap
import random

from harness import *

GIB = 1 << 30
BIG = 5 * GIB
MARKERS = {                     # in the plain file of 5 GiB
    0: b"the very beginning",
    2 * GIB - 7: b"across 2 GiB",
    4 * GIB - 3: b"across 4 GiB",
    4 * GIB + 4096 * 77 + 5: b"beyond",
    BIG - 7: b"the end",
}
RNG = random.Random(20)
CONTENT = RNG.randbytes((3 << 20) + 77)

SHAPES_READ = ("db-encrypted", "db-plain", "mbdb-encrypted")


def fill(b):
    b.dir("HomeDomain")
    b.file("HomeDomain", "content.bin", CONTENT)
    for i in range(60):
        n = (1 << 14) + i * 3571
        b.file("HomeDomain", f"many/{i:02d}.bin", CONTENT[i:i + n])


def fill_damaged(b):
    b.file("HomeDomain", "a-good", CONTENT[:70000])
    b.file("HomeDomain", "cut", CONTENT[:200000], cut=150001)
    b.file("HomeDomain", "m-good", CONTENT[:80000])
    b.file("HomeDomain", "missing", CONTENT[:1000], missing=True)
    b.file("HomeDomain", "z-good", CONTENT[:90000])


BACKUPS = {}


def backup_of(shape):
    if shape not in BACKUPS:
        BACKUPS[shape] = made_backup(shape, fill)
    return BACKUPS[shape]


@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def places(count, size, longest):
    for _ in range(count):
        off = RNG.choice((RNG.randrange(size), RNG.randrange(size) & ~4095,
                          RNG.randrange(size) & ~15))
        yield off + RNG.choice((-1, 0, 1)) if off else 0, \
            RNG.choice((1, 15, 16, 17, RNG.randrange(1, 5000),
                        RNG.randrange(1, longest)))


@case_for(SHAPES_READ)
def any_offset_and_any_length_can_be_read(shape):
    with mounted(backup_of(shape)[0]) as m, \
            opened(m.inside("HomeDomain/content.bin")) as fd:
        size = len(CONTENT)
        for off, n in places(1500, size, 400000):
            equal(os.pread(fd, n, off) == CONTENT[off:off + n], True,
                  f"{n} bytes at {off}")
        for off in (size - 1, size, size + 1, size + (1 << 40)):
            equal(os.pread(fd, 100, off), CONTENT[off:off + 100], f"at {off}")
        # again without what the kernel kept
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        for off, n in places(300, size, 20000):
            equal(os.pread(fd, n, off) == CONTENT[off:off + n], True,
                  f"{n} bytes at {off}, not cached")


@case_for(SHAPES_READ)
def threads_read_one_open_file_at_once(shape):
    wrong = []

    def reader(fd, todo):
        for off, n in todo:
            if os.pread(fd, n, off) != CONTENT[off:off + n]:
                wrong.append((off, n))

    with mounted(backup_of(shape)[0]) as m, \
            opened(m.inside("HomeDomain/content.bin")) as fd:
        threads = [threading.Thread(target=reader, args=(
            fd, list(places(200, len(CONTENT), 200000)))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    equal(wrong, [])


@case_for(SHAPES_READ)
def memory_can_be_mapped_private_and_shared(shape):
    with mounted(backup_of(shape)[0]) as m, \
            opened(m.inside("HomeDomain/content.bin")) as fd:
        for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
            with mmap.mmap(fd, 0, flags, mmap.PROT_READ) as view:
                equal(len(view), len(CONTENT))
                for off, n in places(300, len(CONTENT), 50000):
                    equal(view[off:off + n] == CONTENT[off:off + n], True,
                          f"{n} bytes at {off}")
                equal(view[:] == CONTENT, True, "the whole")
        # a private mapping may be written, and the file stays what it is
        with mmap.mmap(fd, 0, mmap.MAP_PRIVATE,
                       mmap.PROT_READ | mmap.PROT_WRITE) as view:
            view[5:10] = b"other"
            equal(os.pread(fd, 20, 0), CONTENT[:20])
        equal(error_of(mmap.mmap, fd, 0, mmap.MAP_SHARED,
                       mmap.PROT_READ | mmap.PROT_WRITE), "EACCES")


@case_for(SHAPES_READ)
def direct_reads_are_right_where_they_are_accepted(shape):
    with mounted(backup_of(shape)[0]) as m:
        try:
            fd = os.open(m.inside("HomeDomain/content.bin"),
                         os.O_RDONLY | os.O_DIRECT)
        except OSError as e:
            raise Skip(f"O_DIRECT: {e.strerror}") from e
        buffer = mmap.mmap(-1, 1 << 20)
        for _ in range(60):
            off = RNG.randrange(len(CONTENT) + 4096) & ~4095
            n = RNG.randrange(1, 257) * 4096
            got = os.preadv(fd, [memoryview(buffer)[:n]], off)
            equal(buffer[:got] == CONTENT[off:off + n], True,
                  f"{n} bytes at {off}")
        os.close(fd)


@case_for(SHAPES_READ)
def eight_parallel_sha256sum_processes_agree(shape):
    backup, expect = backup_of(shape)
    want = {line["path"]: line["sha256"] for line in expect_of(expect)
            if "sha256" in line}
    with mounted(backup) as m:
        running = []
        for _ in range(8):
            paths = RNG.sample(sorted(want), len(want))
            running.append(subprocess.Popen(
                ["sha256sum", "-z", *paths], cwd=m.path, text=True,
                stdout=subprocess.PIPE))
        for process in running:
            out, _ = process.communicate()
            equal(process.returncode, 0)
            equal({line[66:]: line[:64] for line in out.split("\0")[:-1]},
                  want)


def check_big(m, name, content_at):
    """`content_at`(off, n) knows what is right."""
    path = m.inside("HomeDomain", name)
    size = os.stat(path).st_size
    with opened(path) as fd:
        offs = [0, 1, 2 * GIB - 20, 4 * GIB - 20, 4 * GIB - 1, 4 * GIB,
                4 * GIB + 4096 * 77, size - 40, size - 1]
        offs += [RNG.randrange(size) for _ in range(60)]
        for off in offs:
            for n in (1, 33, 70000):
                equal(os.pread(fd, n, off) == content_at(off, n), True,
                      f"{n} bytes at {off}")
        equal(os.pread(fd, 10, size), b"")
        # through the boundary in one go, and mapped behind it
        os.lseek(fd, 4 * GIB - (8 << 20), os.SEEK_SET)
        for i in range(16):
            off = 4 * GIB - (8 << 20) + (i << 20)
            equal(os.read(fd, 1 << 20) == content_at(off, 1 << 20), True,
                  f"from front to back at {off}")
        with mmap.mmap(fd, 1 << 20, mmap.MAP_SHARED, mmap.PROT_READ,
                       offset=4 * GIB) as view:
            equal(view[:] == content_at(4 * GIB, 1 << 20), True, "mapped")


@case
def a_plain_file_over_4_gib_is_read_right():
    b = mkbackup.Backup("db-plain")
    e = b.file("HomeDomain", "big", b"", size=BIG)
    out = new_path("big")
    b.write(out)
    with open(f"{out}/{e.file_id[:2]}/{e.file_id}", "wb") as f:
        f.truncate(BIG)
        for off, text in MARKERS.items():
            f.seek(off)
            f.write(text)

    def content_at(off, n):
        data = bytearray(max(min(n, BIG - off), 0))
        for at, text in MARKERS.items():
            for i, byte in enumerate(text):
                if off <= at + i < off + len(data):
                    data[at + i - off] = byte
        return bytes(data)

    with mounted(out) as m:
        equal(os.stat(m.inside("HomeDomain/big")).st_size, BIG)
        check_big(m, "big", content_at)


@case_for(("db-encrypted", "mbdb-encrypted"))
def an_encrypted_file_over_4_gib_is_read_right(shape):
    # A sparse payload: blocks of zeros, one behind the other, all decrypt to
    # the same. Some blocks are written, which also changes the next one.
    b = mkbackup.Backup(shape)
    e = b.file("HomeDomain", "big", b"")
    zero = mkbackup.decrypt(e.key, bytes(16))
    xor = lambda a, c: bytes(x ^ y for x, y in zip(a, c))
    end = mkbackup.pad(b"11 letters.")
    stored = {off & ~15: RNG.randbytes(16) for off in MARKERS}
    stored[BIG - 16] = mkbackup.encrypt(e.key, end)
    stored[BIG - 32] = bytes(16)
    size = e.size = BIG - 5

    out = new_path("big")
    b.write(out)
    place = f"{out}/{e.file_id[:2]}/{e.file_id}" if b.shape.db \
        else f"{out}/{e.file_id}"
    with open(place, "wb") as f:
        f.truncate(BIG)
        for off, block in stored.items():
            f.seek(off)
            f.write(block)

    def content_at(off, n):
        first, last = off & ~15, min(off + n, size)
        data = bytearray(zero * ((last - first + 15) // 16))
        for at, block in stored.items():
            for here, plain in (
                    (at, xor(mkbackup.decrypt(e.key, block),
                             stored.get(at - 16, bytes(16)))),
                    (at + 16, xor(mkbackup.decrypt(
                        e.key, stored.get(at + 16, bytes(16))), block))):
                if first <= here < last:
                    data[here - first:here - first + 16] = plain
        return bytes(data[off - first:last - first])

    equal(content_at(BIG - 16, 16), b"11 letters.", "the test itself")
    with mounted(out) as m:
        equal(os.stat(m.inside("HomeDomain/big")).st_size, size)
        check_big(m, "big", content_at)


@case_for(("db-encrypted", "mbdb-encrypted"))
def a_damaged_file_gives_its_good_bytes_and_its_neighbours_all(shape):
    backup, expect = made_backup(shape, fill_damaged)
    with mounted(backup) as m:
        for _ in range(3):
            equal(differences(expect, m.path), None)
        with opened(m.inside("HomeDomain/cut")) as fd:
            equal(os.pread(fd, 200000, 0) == CONTENT[:150000], True)
            equal(os.pread(fd, 200000, 149999), CONTENT[149999:150000])
            equal(error_of(os.pread, fd, 1, 150000), "EIO")
            equal(error_of(os.pread, fd, 10, 199999), "EIO")
            equal(os.pread(fd, 10, 200000), b"")
        # what reads a file in one go: as much as there is, and an error
        done = subprocess.run(["cat", m.inside("HomeDomain/cut")],
                              capture_output=True)
        equal((done.returncode, done.stdout == CONTENT[:150000]), (1, True))
        assert b"Input/output error" in done.stderr, done.stderr
        equal(error_of(read, m.inside("HomeDomain/missing")), "EIO")
        # mapped, its good pages are good, and the others are no zeros; its
        # size is not forgotten
        for end, status in ((4096 * 36, 0), (160000, -signal.SIGBUS)):
            done = subprocess.run(["/usr/bin/python3", "-c", """
import mmap, os, sys
path, end = sys.argv[1], int(sys.argv[2])
with open(path, "rb") as f:
    view = mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    start = view[:4096]
    os.stat(path)
    sys.stdout.buffer.write(view[:end])
""", m.inside("HomeDomain/cut"), str(end)], capture_output=True)
            equal(done.returncode, status, done.stderr)
            equal(done.stdout == (b"" if status else CONTENT[:end]), True)
            equal(os.stat(m.inside("HomeDomain/cut")).st_size, 200000)
        equal(differences(expect, m.path), None, "afterwards")


def refused(m):
    """{what is tried: the error's name}"""
    file = m.inside("HomeDomain/content.bin")
    folder = m.inside("HomeDomain/many")
    new = m.inside("HomeDomain/new")
    many = m.inside("HomeDomain/many/00.bin")

    def create():
        os.close(os.open(new, os.O_CREAT | os.O_WRONLY | os.O_EXCL))

    def opening(flags):
        return lambda: os.close(os.open(file, flags))

    return {what: error_of(function, *args) for what, function, *args in (
        ("open for write", opening(os.O_WRONLY)),
        ("open for both", opening(os.O_RDWR)),
        ("open to append", opening(os.O_WRONLY | os.O_APPEND)),
        ("open and truncate", opening(os.O_WRONLY | os.O_TRUNC)),
        ("read and truncate", opening(os.O_RDONLY | os.O_TRUNC)),
        ("create", create),
        ("create in the root", save, m.inside("new"), b""),
        ("truncate", os.truncate, file, 0),
        ("unlink", os.unlink, file),
        ("mkdir", os.mkdir, new),
        ("rmdir", os.rmdir, folder),
        ("rename", os.rename, file, new),
        ("rename over", os.rename, many, file),
        ("link", os.link, file, new),
        ("symlink", os.symlink, "x", new),
        ("mknod", os.mknod, new),
        ("chmod", os.chmod, file, 0o600),
        ("chown", os.chown, file, 1, 1),
        ("utime", os.utime, file),
        ("setxattr", os.setxattr, file, "user.x", b"y"),
        ("removexattr", os.removexattr, file, "user.larder.path"),
        ("setxattr of a folder", os.setxattr, folder, "user.x", b"y"),
        ("chmod of the root", os.chmod, m.path, 0o777),
    )}


@case
def every_attempt_to_write_gives_erofs():
    backup, expect = backup_of("db-encrypted")
    with mounted(backup) as m:
        equal({what: error for what, error in refused(m).items()
               if error != "EROFS"}, {})
        equal(differences(expect, m.path), None, "afterwards")


@case
def the_backup_is_not_touched_by_being_read():
    backup, expect = backup_of("db-encrypted")

    def state():
        found = {}
        for folder, _, names in os.walk(backup):
            for name in [".", *names]:
                path = os.path.join(folder, name)
                st = os.stat(path)
                found[path] = (st.st_mtime_ns, st.st_ctime_ns, st.st_size)
        return found

    before = state()
    with mounted(backup) as m:
        equal(differences(expect, m.path), None)
    equal(state(), before)


@case
def a_backup_on_a_read_only_file_system_is_enough():
    backup, expect = backup_of("db-plain")
    at = new_dir("read-only")
    execute("mount", "--bind", backup, at)
    execute("mount", "-o", "remount,bind,ro", at)
    try:
        with mounted(at) as m:
            equal(differences(expect, m.path), None)
    finally:
        # the daemon's files are closed just after its memory is gone
        wait_until(lambda: not execute("umount", at).returncode, "umount")


run()
