#!/usr/bin/python3
"""larder ls --csv, --bodyfile and --sha256, read back by other programs."""

import base64
import csv
import datetime
import io

from trees import *

EPOCH = datetime.datetime(1970, 1, 1)


def listing(backup, *options, status=0):
    """As bytes: names are no text."""
    done = subprocess.run(
        [LARDER, "ls", "--quiet", "--passfile", PASSFILE, *options, backup],
        env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
        timeout=120)
    equal(done.returncode, status, done.stderr.decode(errors="replace"))
    return done.stdout, done.stderr


def nanoseconds(text):
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole) - EPOCH
    return seconds // datetime.timedelta(seconds=1) * 10**9 \
        + int(fraction or 0)


def hashed(line):
    return line["type"] == "f" and "error" not in line


@case_for(SHAPES)
def the_table_is_what_a_mount_shows(shape):
    text, errors = listing(golden(shape), "--csv", "--sha256", status=26)
    assert text.count(b"\r\n") > 100 and errors
    rows = list(csv.DictReader(io.StringIO(
        text.decode(errors="surrogateescape"), newline="")))
    assert all(None not in row and None not in row.values() for row in rows), \
        "rows of another length"
    found = {row["name"]: row for row in rows}
    lines = {line["path"]: line for line in expect_of(golden_expect(shape))}
    equal((len(rows), found.keys()), (len(lines), lines.keys()))
    for name, row in found.items():
        line = lines[name]
        equal((row["type"][0].replace("f", "d" if row["type"] == "folder"
                                      else "f"), row["mode"]),
              (line["type"], f"{line['mode']:04o}"), name)
        if line["type"] != "d":
            equal(int(row["size"]), line["size"], name)
        if line["type"] == "l":
            equal(row["target"], line["target"], name)
        if line.get("mtime_ns") and row["mtime"]:
            equal(nanoseconds(row["mtime"]), line["mtime_ns"], name)
        equal(row["sha256"], line["sha256"] if hashed(line) else "", name)
        ours = {key[12:]: base64.b64decode(value).decode(
                    errors="surrogateescape")
                for key, value in line.get("xattrs", {}).items()
                if key.startswith("user.larder.")}
        for key, column in (("uid", "uid"), ("gid", "gid"),
                            ("inode", "inode"), ("file-id", "file_id"),
                            ("protection-class", "protection_class"),
                            ("digest", "digest"), ("domain", "domain"),
                            ("path", "path")):
            if key in ours:
                equal(row[column], ours[key].replace("\0", "%00"),
                      f"{name!r}: {key}")


@case_for(SHAPES)
def digests_are_those_that_sha256sum_finds(shape):
    text, _ = listing(golden(shape), "--sha256", status=26)
    sums = save(new_path("sums"), text)
    count = sum(hashed(line) for line in expect_of(golden_expect(shape)))
    with mounted(golden(shape)) as m:
        done = execute("sha256sum", "--strict", "--quiet", "-c", sums,
                       cwd=m.path)
        equal((done.returncode, done.stdout, done.stderr), (0, "", ""))
    equal(text.count(b"\n"), count)
    out = new_path("out")
    larder("extract", "--quiet", "--passfile", PASSFILE, golden(shape), out)
    done = execute("sha256sum", "--strict", "--quiet", "-c", sums, cwd=out)
    equal((done.returncode, done.stdout, done.stderr), (0, "", ""))


@case_for(SHAPES)
def the_body_file_has_a_line_of_eleven_fields_for_each_entry(shape):
    text, _ = listing(golden(shape), "--bodyfile")
    rows = [row.split(b"|") for row in text.split(b"\n")[:-1]]
    lines = {line["path"]: line for line in expect_of(golden_expect(shape))}
    equal({len(row) for row in rows}, {11})
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", text)
    found = {}
    for row in rows:
        name = re.sub(rb"\\(?:x(..)|(\\))", lambda m: bytes.fromhex(
            m[1].decode()) if m[1] else m[2], row[1])
        if row[3].startswith(b"l/"):
            name = name.split(b" -> ")[0]
        found[os.fsdecode(name)] = row
    equal((len(rows), found.keys()), (len(lines), lines.keys()))
    for name, (md5, _, inode, mode, uid, gid, size, atime, mtime, _,
               _) in found.items():
        line = lines[name]
        kind = line["type"].replace("f", "r")
        letters = "".join(c if line["mode"] >> 8 - i & 1 else "-"
                          for i, c in enumerate("rwxrwxrwx"))
        equal((md5, mode.decode(), atime),
              (b"0", f"{kind}/{kind}{letters}", b"0"), name)
        if line["type"] == "f":
            equal(int(size), line["size"], name)
        if line.get("mtime_ns"):
            equal(int(mtime), line["mtime_ns"] // 10**9, name)


@case
def a_hash_list_of_large_and_many_files_is_whole_and_in_order():
    def fill(b):
        for i in range(300):
            b.file("HomeDomain", f"{i:03}", b.rng.randbytes(
                1 << 20 if i % 50 == 0 else i))
        b.link("HomeDomain", "link", "000")
    backup, expect = made_backup("db-encrypted", fill)
    text, _ = listing(backup, "--sha256")
    equal(text.decode().splitlines(),
          [f"SHA256 ({line['path']}) = {line['sha256']}"
           for line in expect_of(expect) if line["type"] == "f"])


run()
