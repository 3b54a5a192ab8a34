#!/usr/bin/python3
"""A backup on a disk that takes its time, or does not answer for a while."""

import functools
import random
import threading

from harness import *

HERE = os.path.dirname(os.path.abspath(__file__))
MANY = 400
FOLDERS = 8
CONTENT = random.Random(5).randbytes(70000)


def content(i):
    return CONTENT[i:i + 30000 + 40 * i]


def path_of(i):
    return f"many/{i % FOLDERS}/{i:03}.jpg"


def fill(b):
    for i in range(MANY):
        b.file("CameraRollDomain", path_of(i), content(i))


@functools.cache
def program():
    path = new_path("slow_disk")
    flags = execute("pkg-config", "--cflags", "--libs", "fuse3").stdout.split()
    done = execute("cc", "-O2", "-std=gnu11", "-o", path,
                   os.path.join(HERE, "slow_disk.c"), *flags)
    equal((done.returncode, done.stderr), (0, ""))
    return path


class Disk:
    def __init__(self, path):
        self.path = path

    @contextlib.contextmanager
    def holding(self):
        """No read is answered meanwhile."""
        os.setxattr(self.path, "user.hold", b"1")
        try:
            yield
        finally:
            os.setxattr(self.path, "user.hold", b"0")

    def count(self, what):
        return int(os.getxattr(self.path, "user." + what))


@contextlib.contextmanager
def disk(folder, microseconds):
    """A folder on a slow disk."""
    d = Disk(new_dir("disk"))
    with subprocess.Popen([program(), folder, d.path, str(microseconds)],
                          env=environment()):
        try:
            wait_until(lambda: is_mounted(d.path), "mounting")
            yield d
        finally:
            execute("umount", "-l", d.path)


@functools.cache
def backup():
    return made_backup("db-encrypted", fill)


@contextlib.contextmanager
def on_disk(microseconds, *options):
    folder, expect = backup()
    with disk(folder, microseconds) as d, mounted(d.path, *options) as m:
        yield d, m, expect


def many(m, i):
    return m.inside("CameraRollDomain", path_of(i))


@case
def entries_are_looked_at_side_by_side():
    with on_disk(2000) as (d, m, expect):
        found = {}
        for folder, _, names in os.walk(m.inside("CameraRollDomain/many")):
            for name in names:
                found[name] = os.lstat(os.path.join(folder, name)).st_size
        equal(found, {f"{i:03}.jpg": len(content(i)) for i in range(MANY)})
        peak = d.count("peak")
        assert peak >= 5, peak
        equal(differences(expect, m.path), None)


@case
def the_files_that_come_next_are_opened_side_by_side():
    with on_disk(2000) as (d, m, _):
        for i in [i for k in range(4) for i in range(k, MANY, FOLDERS)]:
            equal(read(many(m, i)) == content(i), True, path_of(i))
        peak = d.count("peak")
        assert peak >= 5, peak


@case
def whoever_waits_for_the_disk_keeps_nobody_else_waiting():
    readers, wrong = 6, []

    def reader(m, i):
        try:
            equal(read(many(m, i)) == content(i), True, path_of(i))
        except Exception as e:
            wrong.append(e)

    with on_disk(0) as (d, m, _):
        # what is known is known
        read(many(m, MANY - 1))
        threads = [threading.Thread(target=reader, args=(m, i))
                   for i in range(readers)]
        with d.holding():
            for thread in threads:
                thread.start()
            wait_until(lambda: d.count("held") >= readers, "their reads")
            assert b"workers=yes" in os.getxattr(m.path,
                                                 "user.larder.capabilities")
            equal(read(many(m, MANY - 1)) == content(MANY - 1), True)
        for thread in threads:
            thread.join()
        equal(wrong, [])


run()
