#!/usr/bin/python3
"""Judge a mount by an EXPECT listing.

    compare.py EXPECT MOUNTPOINT [--no-xattrs] [--extracted] [--jobs N]

Walks the mount as it is and compares every entry with the listing (see
tests/mkbackup.py): nothing missing, nothing more; type, mode, size, time,
target, content, extended attributes.  Content is read from front to back, and
some files again at random places and through mmap.  A file that the listing
calls damaged must deliver exactly its readable bytes and then fail with EIO.

With --extracted it is a folder of files that were extracted: no permissions
beyond 0777, none of the attributes that a mount adds, and of what is damaged
the readable bytes; a file without any may be missing.

One line for each difference, fifty at most, then a summary.  Exit status 1 if
there is any.
"""

import argparse
import base64
import concurrent.futures
import errno
import hashlib
import json
import mmap
import os
import random
import stat
import sys
import zlib

SHOWN = 50
CHUNK = 1 << 20
KEEP = 64 << 20                 # larger files are not read a second time
TYPES = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}


def walk(top, prefix=b""):
    """Yield (path below the mount, d_type) as bytes and letter."""
    pending = [prefix]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(top, folder)) as entries:
            for entry in entries:
                path = folder + b"/" + entry.name if folder else entry.name
                kind = "l" if entry.is_symlink() else \
                    "d" if entry.is_dir(follow_symlinks=False) else "f"
                yield path, kind
                if kind == "d":
                    pending.append(path)


def read_until_error(fd):
    """(bytes, error or None): all that can be read from the front, found to
    the byte by asking for less and less."""
    data, want = bytearray(), CHUNK
    while True:
        try:
            chunk = os.pread(fd, want, len(data))
        except OSError as e:
            if want == 1:
                return bytes(data), e
            want //= 2
            continue
        if not chunk:
            return bytes(data), None
        data += chunk


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def check_damaged(path, line):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as e:
        if name_of(e) != line["error"] or line["readable"] > 0:
            yield f"open: {name_of(e)}, want {line['readable']} bytes first"
        return
    try:
        data, error = read_until_error(fd)
        if error is None:
            yield f"read {len(data)} bytes to the end, want {line['error']}" \
                  f" after {line['readable']}"
            return
        if name_of(error) != line["error"]:
            yield f"read: {name_of(error)}, want {line['error']}"
        if len(data) != line["readable"]:
            yield f"{len(data)} bytes readable, want {line['readable']}"
        elif hashlib.sha256(data).hexdigest() != line["sha256_readable"]:
            yield "the readable bytes differ"
        try:
            os.pread(fd, 1, line["size"] - 1)
            yield "the last byte can be read"
        except OSError as e:
            if name_of(e) != line["error"]:
                yield f"last byte: {name_of(e)}, want {line['error']}"
    finally:
        os.close(fd)


def check_content(path, line, again):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as e:
        yield f"open: {name_of(e)}"
        return
    try:
        size, total, digest = line["size"], 0, hashlib.sha256()
        kept = bytearray() if size <= KEEP else None
        while chunk := os.read(fd, CHUNK):
            digest.update(chunk)
            total += len(chunk)
            if kept is not None:
                kept += chunk
        if total != size:
            yield f"{total} bytes read, want {size}"
        elif digest.hexdigest() != line["sha256"]:
            yield "content differs"
        if os.pread(fd, 16, size):
            yield "there are bytes behind the end"
        if again and kept:
            yield from check_slices(fd, bytes(kept))
    except OSError as e:
        yield f"read: {name_of(e)} after {total} bytes"
    finally:
        os.close(fd)


def check_slices(fd, content):
    rng = random.Random(zlib.crc32(content))
    size = len(content)
    places = [(0, 1), (size - 1, 1), (size - 1, 100), (size, 5)]
    for _ in range(24):
        off = rng.randrange(size)
        places.append((off, rng.choice((1, 7, 15, 16, 17, 33, 4095, 4097,
                                        70001))))
    for off, n in places:
        if os.pread(fd, n, off) != content[off:off + n]:
            yield f"pread({n} at {off}) differs"
            return
    with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as view:
        for off, n in places:
            if view[off:off + n] != content[off:off + n]:
                yield f"mmap, {n} at {off}, differs"
                return


def check_xattrs(path, wanted):
    for name, value in wanted.items():
        value = base64.b64decode(value)
        try:
            got = os.getxattr(path, name, follow_symlinks=False)
        except OSError as e:
            yield f"{name}: {name_of(e)}"
            continue
        if got != value:
            yield f"{name}: {got!r}, want {value!r}"
    listed = set(os.listxattr(path, follow_symlinks=False))
    for name in sorted(set(wanted) - listed):
        yield f"{name} is not listed"


def as_extracted(line):
    """What a copy in a file system shows of an entry."""
    line = dict(line)
    if "mode" in line:
        line["mode"] &= 0o777
    if "error" in line:
        del line["error"]
        line["size"] = line["readable"]
        line["sha256"] = line["sha256_readable"]
    line["xattrs"] = {name: value for name, value
                      in line.get("xattrs", {}).items()
                      if not name.startswith("user.larder.")}
    return line


def check_no_others(path, wanted):
    listed = {name for name in os.listxattr(path, follow_symlinks=False)
              if name.startswith("user.")}
    for name in sorted(listed - set(wanted)):
        yield f"{name} is too much"


def check(path, kind, line, xattrs, again, extracted=False):
    """Yield the differences of one entry."""
    if extracted:
        line = as_extracted(line)
    st = os.lstat(path)
    got = TYPES.get(stat.S_IFMT(st.st_mode), "?")
    if got != line["type"] or kind != line["type"]:
        yield f"type {got} (readdir: {kind}), want {line['type']}"
        return
    if extracted and got == "l":
        line["mode"], line["xattrs"] = 0o777, {}    # Linux gives links none
    if stat.S_IMODE(st.st_mode) != line["mode"]:
        yield f"mode {stat.S_IMODE(st.st_mode):04o}, want {line['mode']:04o}"
    if "size" in line and st.st_size != line["size"]:
        yield f"size {st.st_size}, want {line['size']}"
    if "mtime_ns" in line and st.st_mtime_ns != line["mtime_ns"]:
        yield f"mtime {st.st_mtime_ns}, want {line['mtime_ns']} ns"
    if "target" in line:
        target = os.readlink(path)
        if target != os.fsencode(line["target"]):
            yield f"target {target!r}, want {line['target']!r}"
    if xattrs and "xattrs" in line:
        yield from check_xattrs(path, line["xattrs"])
        if extracted:
            yield from check_no_others(path, line["xattrs"])
    if "error" in line:
        yield from check_damaged(path, line)
    elif "sha256" in line:
        yield from check_content(path, line, again)


def main():
    parser = argparse.ArgumentParser(
        description="Compare a mount with an EXPECT listing.")
    parser.add_argument("expect")
    parser.add_argument("mountpoint")
    parser.add_argument("--no-xattrs", action="store_true")
    parser.add_argument("--extracted", action="store_true")
    parser.add_argument("--jobs", type=int, default=4)
    args = parser.parse_args()
    top = os.fsencode(args.mountpoint)
    with open(args.expect, encoding="ascii") as f:
        lines = [json.loads(text) for text in f if text.strip()]
    wanted = {os.fsencode(line["path"]): line for line in lines}
    if not wanted:
        sys.exit(f"{args.expect}: nothing is expected")

    differences = 0

    def report(path, text):
        nonlocal differences
        differences += 1
        if differences <= SHOWN:
            print(f"{path!r}: {text}")
        elif differences == SHOWN + 1:
            print("...")

    found = {}
    try:
        for path, kind in walk(top):
            if path in found:
                report(path, "listed twice")
            found[path] = kind
    except OSError as e:
        report(os.fsencode(e.filename or top), f"listing: {name_of(e)}")
    for path in sorted(set(wanted) - set(found)):
        if not args.extracted or wanted[path].get("readable") != 0:
            report(path, "missing")
    for path in sorted(set(found) - set(wanted)):
        report(path, "not expected")

    # random places: every file of a small backup, some of a large one
    every = max(1, len(wanted) // 1000)

    def one(item):
        number, path = item
        try:
            return path, list(check(
                os.path.join(top, path), found[path], wanted[path],
                not args.no_xattrs, number % every == 0, args.extracted))
        except OSError as e:
            return path, [f"{name_of(e)}: {e}"]

    both = enumerate(sorted(set(wanted) & set(found)))
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for path, texts in pool.map(one, both):
            for text in texts:
                report(path, text)
    print(f"{len(wanted)} entries, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
