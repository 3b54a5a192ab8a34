#!/usr/bin/python3
"""What can be had of backups that are damaged: mounts with -o salvage.

Which rows lie on which page of Manifest.db, and where a record of
Manifest.mbdb begins, is read here once more, by other means than core's.
"""

import hashlib
import plistlib
import random
import sqlite3
import struct

from harness import *
from mkbackup import decrypt, encrypt, mbdb_record

PAGE = 4096
DB_SHAPES = [name for name, shape in mkbackup.SHAPES.items() if shape.db]
MBDB_SHAPES = [name for name in SHAPES if name not in DB_SHAPES]
PLAIN = ["db-plain", "mbdb-plain"]
ENCRYPTED = [name for name in SHAPES if name not in PLAIN]
# whoever has the manifest has the names
NAMES_IN_CLEAR = ["db-ios10", "mbdb-encrypted"]

# what libmagic is to say of a content, and the name's ending
KINDS = {
    "image-jpeg": ("jpg", lambda n: b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0"
                   b"\0\1\0\1\0\0" + n),
    "image-png": ("png", lambda n: b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40"
                  b"\0\0\0\x40\x08\2\0\0\0" + n),
    "image-heic": ("heic", lambda n: b"\0\0\0\x24ftypheic\0\0\0\0mif1heic"
                   b"miafMiHB" + n),
    "text-plain": ("txt", lambda n: b"Dear Anna,\nnumber "
                   + n.hex().encode() + b" is well.\n"),
    "application-x-bplist": ("plist", lambda n: plistlib.dumps(
        {"n": n}, fmt=plistlib.FMT_BINARY)),
    "application-vnd.sqlite3": ("sqlite", lambda n: SQLITE + n),
    "inode-x-empty": ("", lambda n: b""),
}


def sqlite_file():
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a)")
    return db.serialize()


SQLITE = sqlite_file()


def content(i):
    """(type, content) of the file of a number."""
    kind = list(KINDS)[i % len(KINDS)]
    return kind, KINDS[kind][1](b"%06d" % i * 3)


def fill(b, files=400, large=True):
    """Some hundred files in several domains; long paths, and records that
    need overflow pages."""
    for domain in ("HomeDomain", "CameraRollDomain",
                   "AppDomain-com.example.app"):
        b.dir(domain, "")
        b.dir(domain, "Library", mode=0o700)
        for i in range(files // 4):
            b.file(domain, f"Library/{i:04}.bin", content(i)[1],
                   mtime=mkbackup.NOW - i, inode=50000 + i)
        b.link(domain, "Library/link", "0001.bin")
    for i in range(files // 4):
        more = {}
        if i % 5 == 0 and large:
            more["xattrs"] = {"com.example.large": b"x" * (2000 + i * 200)}
        b.file("MediaDomain", "Media/" + f"{i:04}-" * (1 + i % 40) + "end",
               content(i)[1], **more)


def made(shape, filler=fill, **more):
    """(folder, Backup)"""
    b = mkbackup.Backup(shape, **more)
    filler(b)
    out = new_path(shape)
    b.write(out)
    return out, b


# --- Manifest.db, page by page ------------------------------------------------

def read_db(out, b):
    """The database in clear, as devices pad it or not."""
    data = read(out + "/Manifest.db")
    if b.shape.manifest_key:
        data = decrypt(b.manifest_key, data)
    return data[:len(data) // PAGE * PAGE]


def varint(data, at):
    value = 0
    for n in range(9):
        byte = data[at + n]
        if n == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7f
        if byte < 0x80:
            return value, at + n + 1


class Pages:
    """kind: {page: "leaf", "inner", "index", "overflow"}; rows: {page: file
    IDs}; chain: {file ID: overflow pages}"""

    def __init__(self, data):
        self.kind, self.rows, self.chain = {}, {}, {}
        self.data = data
        db = sqlite3.connect(":memory:")
        db.deserialize(data)
        root, = db.execute("SELECT rootpage FROM sqlite_master"
                           " WHERE name = 'Files'").fetchone()
        self.walk(root)
        for name, page in db.execute(
                "SELECT name, rootpage FROM sqlite_master WHERE type ="
                " 'index' AND name LIKE 'Files%'"):
            self.kind[page] = "index"

    def page(self, number):
        return self.data[(number - 1) * PAGE:number * PAGE]

    def walk(self, number):
        p = self.page(number)
        count, = struct.unpack(">H", p[3:5])
        if p[0] == 5:
            self.kind[number] = "inner"
            cells = struct.unpack(f">{count}H", p[12:12 + 2 * count])
            for at in cells:
                self.walk(*struct.unpack(">I", p[at:at + 4]))
            self.walk(*struct.unpack(">I", p[8:12]))
            return
        assert p[0] == 13, (number, p[0])
        self.kind[number] = "leaf"
        self.rows[number] = []
        for at in struct.unpack(f">{count}H", p[8:8 + 2 * count]):
            length, at = varint(p, at)
            _rowid, at = varint(p, at)
            header, _ = varint(p, at)
            file_id = p[at + header:at + header + 40].decode()
            self.rows[number].append(file_id)
            self.chain[file_id] = []
            if length <= PAGE - 35:
                continue
            local = (PAGE - 12) * 32 // 255 - 23
            local += (length - local) % (PAGE - 4)
            if local > PAGE - 35:
                local = (PAGE - 12) * 32 // 255 - 23
            following, = struct.unpack(">I", p[at + local:at + local + 4])
            while following:
                self.kind[following] = "overflow"
                self.chain[file_id].append(following)
                following, = struct.unpack(">I", self.page(following)[:4])

    def of(self, kind):
        return sorted(n for n, k in self.kind.items() if k == kind)

    def lost(self, zeroed):
        """File IDs of rows that lie on these pages."""
        return {i for n in zeroed for i in self.rows.get(n, ())}


def patch(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def zero_pages(out, pages):
    for number in pages:
        patch(out + "/Manifest.db", (number - 1) * PAGE, bytes(PAGE))


# --- what has to be shown -----------------------------------------------------

def lost_lines(b, lost, locked=False):
    """EXPECT of lost+found for entries whose record is lost."""
    lines = {}
    kinds = {hashlib.sha256(content(i)[1]).digest(): content(i)[0]
             for i in range(1000)}
    for e in b.entries:
        if e.file_id not in lost or e.type != "f" or e.stored is None:
            continue
        kind = kinds[hashlib.sha256(e.data).digest()]
        ending = KINDS[kind][0]
        name = f"{kind}/{e.file_id}{'.' if ending else ''}{ending}"
        if locked or b.shape.encrypted:
            name = "encrypted/" + e.file_id
        lines["lost+found/" + name] = {
            "type": "f", "mode": 0o644, "size": len(e.stored),
            "sha256": hashlib.sha256(e.stored).hexdigest()}
        lines["lost+found/" + name.split("/")[0]] = {"type": "d",
                                                     "mode": 0o755}
        lines["lost+found"] = {"type": "d", "mode": 0o755}
    return [{"path": path} | line for path, line in lines.items()]


def expect_without(b, lost):
    """An EXPECT file without some entries, whose payloads are found."""
    shown = mkbackup.lay_out([e for e in b.entries if e.file_id not in lost])
    lines = [mkbackup.expect_entry(path, e, b.shape)
             for path, e in sorted(shown.items())] + lost_lines(b, lost)
    path = new_path("expect")
    mkbackup.write_expect(path, lines)
    return path


def salvaged(out, *options, **more):
    return mounted(out, "salvage", *options, notes=True, **more)


def check(out, b, lost):
    """A mount shows all but what is lost, and that in lost+found."""
    before = snapshot(out)
    with salvaged(out) as m:
        equal(differences(expect_without(b, lost), m.path), None)
    equal(changes(before, snapshot(out)), [], "changed in the backup")


def report(out, *options, status=26):
    done = larder("salvage", "--passfile", PASSFILE, "--json", *options, out)
    equal(done.returncode, status, done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


# --- good ones ----------------------------------------------------------------

@case_for(SHAPES)
def a_good_backup_shows_the_same(shape):
    with salvaged(golden(shape)) as m:
        equal(differences(golden_expect(shape), m.path), None)


@case_for(SHAPES)
def of_a_good_backup_nothing_is_damaged(shape):
    out, b = made(shape)
    r = report(out, status=0)
    equal((r["damaged"], r["flaws"], r["records"], r["lost"]),
          (False, [], "whole", 0))
    equal(r["files_fine"], sum(e.type == "f" for e in b.entries))
    equal(r["entries"], len(b.entries))
    check(out, b, set())


@case_for(["db-plain", "mbdb-encrypted"])
def view_of_the_device(shape):
    out, b = made(shape)
    os.remove(f"{out}/Manifest.{'db' if b.shape.db else 'mbdb'}")
    with salvaged(out, "view=device") as m:
        equal(os.listdir(m.path), ["lost+found"])


# --- Manifest.db ----------------------------------------------------------------

def damaged_pages(shape, choose):
    """Zero the pages that `choose`(Pages) names, and look."""
    out, b = made(shape)
    pages = Pages(read_db(out, b))
    zeroed = choose(pages)
    zero_pages(out, zeroed)
    lost = pages.lost(zeroed)
    check(out, b, lost)
    r = report(out)
    equal(r["records"], "recovered")
    equal(r["entries"], len(b.entries) - len(lost))
    return pages, zeroed, lost, r


@case_for(DB_SHAPES)
def header_zeroed(shape):
    _pages, _zeroed, lost, r = damaged_pages(shape, lambda p: [1])
    equal(lost, set())


@case_for(DB_SHAPES)
def inner_page_zeroed(shape):
    _pages, _zeroed, lost, r = damaged_pages(shape, lambda p: p.of("inner"))
    equal((lost, r["lost"]), (set(), 0))


@case_for(DB_SHAPES)
def leaf_page_zeroed(shape):
    _pages, _zeroed, lost, r = damaged_pages(
        shape, lambda p: p.of("leaf")[3:4])
    assert len(lost) > 3, lost
    # encrypted, the head of the page behind is damaged too: it is recovered
    assert r["pages_damaged"] >= 1, r


@case_for([(shape, seed) for shape in DB_SHAPES for seed in range(4)])
def random_pages_zeroed(row):
    shape, seed = row

    def choose(pages):
        rng = random.Random(seed)
        whole = [n for n in pages.kind if pages.kind[n] != "overflow"]
        # what the page behind continues must not be touched either: its
        # first bytes are garbled in an encrypted one
        ok = [n for n in whole if pages.kind.get(n + 1) != "overflow"]
        return sorted(rng.sample(ok + [1], min(len(ok), 2 + 4 * seed)))
    damaged_pages(shape, choose)


@case_for(DB_SHAPES)
def header_and_first_leaf_of_another_page_length(shape):
    # the length of pages has to be guessed: 1024 bytes
    out, b = made(shape)
    path = new_path("db")
    save(path, read_db(out, b))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size=1024")
    db.execute("PRAGMA journal_mode=OFF")
    db.execute("VACUUM")
    db.close()
    data = bytes(1024) + read(path)[1024:]
    if b.shape.manifest_key:
        data = encrypt(b.manifest_key, mkbackup.pad(data))
        data = bytes(1008) + data[1008:]
    save(out + "/Manifest.db", data)
    check(out, b, set())


@case_for(DB_SHAPES)
def index_page_damaged_is_no_loss(shape):
    out, b = made(shape)
    pages = Pages(read_db(out, b))
    zero_pages(out, pages.of("index"))
    check(out, b, set())
    r = report(out)
    equal((r["records"], r["lost"]), ("whole", 0))
    assert "index" in r["flaws"][0], r["flaws"]


@case_for(DB_SHAPES)
def overflow_page_lost_costs_one_record(shape):
    out, b = made(shape)
    pages = Pages(read_db(out, b))
    file_id = next(i for i, chain in pages.chain.items() if len(chain) > 2)
    zero_pages(out, pages.chain[file_id][1:2])
    entry, = (e for e in b.entries if e.file_id == file_id)
    r = report(out)
    equal((r["files_damaged"], r["lost"], r["entries"]),
          (1, 0, len(b.entries)))
    with salvaged(out) as m:
        for e in b.entries:
            path = m.inside(os.fsdecode(e.domain), os.fsdecode(e.path))
            if e is entry:
                assert b"overflow" in os.getxattr(path, "user.larder.damage")
            elif e.type == "f":
                equal(read(path), e.data)


@case_for(DB_SHAPES)
def cut_off(shape):
    out, b = made(shape)
    pages = Pages(read_db(out, b))
    leaves = pages.of("leaf")
    # within a page, and in an encrypted one within a cipher block
    os.truncate(out + "/Manifest.db", (leaves[-4] - 1) * PAGE + 1001)
    gone = [n for n in pages.kind if n >= leaves[-4]]
    lost = pages.lost(gone)
    broken = {i for i, chain in pages.chain.items() if set(chain) & set(gone)}
    with salvaged(out) as m:
        for e in b.entries:
            path = m.inside(os.fsdecode(e.domain), os.fsdecode(e.path))
            if e.file_id not in lost | broken and e.type == "f":
                equal(read(path), e.data)
    r = report(out)
    equal(r["lost"], sum(e.file_id in lost and e.type == "f"
                         for e in b.entries))
    assert r["pages_cut_off"] > 0, r


@case_for(["db-encrypted"])
def one_bit_of_each_page_flipped(shape):
    # of each page another block is garbled, the next one has one bit flipped
    out, b = made(shape)
    rng = random.Random(5)
    pages = Pages(read_db(out, b))
    leaves = pages.of("leaf")
    hit = set()
    for n, number in enumerate(leaves):
        at = 16 * n % (PAGE - 64) if n % 2 else rng.randrange(PAGE)
        hit |= {(number, at // 16), (number, at // 16 + 1)}
        offset = (number - 1) * PAGE + at
        byte = read(out + "/Manifest.db")[offset]
        patch(out + "/Manifest.db", offset, bytes([byte ^ 1 << n % 8]))
    with salvaged(out) as m:
        seen = {os.getxattr(os.path.join(top, name), "user.larder.file-id")
                for top, _, names in os.walk(m.path) for name in names
                if not os.path.islink(os.path.join(top, name))
                and "lost+found" not in top}
    files = {e.file_id.encode() for e in b.entries if e.type == "f"}
    # at most the two rows that two blocks may touch are lost of each page
    assert len(files - seen) <= 2 * len(leaves), len(files - seen)
    assert len(files) > 3 * len(leaves), (len(files), len(leaves))


def with_deleted_rows(shape, delete):
    """A backup from whose manifest rows were deleted again, which leaves them
    on free pages; and one of its pages damaged."""
    out, b = made(shape)
    path = new_path("db")
    save(path, read_db(out, b))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA secure_delete=OFF")
    db.execute("PRAGMA journal_mode=OFF")
    db.executescript("DROP INDEX FilesDomainIdx; DROP INDEX FilesFlagsIdx;"
                     "DROP INDEX FilesRelativePathIdx;")
    db.execute("VACUUM")
    delete(db)
    db.close()
    data = read(path)
    if b.shape.manifest_key:
        data = encrypt(b.manifest_key, mkbackup.pad(data))
    save(out + "/Manifest.db", data)
    return out, b, Pages(read(path))


@case_for(DB_SHAPES)
def deleted_rows_are_found_if_their_payload_is_there(shape):
    gone = []

    def delete(db):
        gone.extend(i for i, in db.execute(
            "SELECT fileID FROM Files WHERE domain = 'CameraRollDomain'"))
        db.execute("DELETE FROM Files WHERE domain = 'CameraRollDomain'")

    out, b, pages = with_deleted_rows(shape, delete)
    free = [e for e in b.entries if e.file_id in gone]
    for e in sorted((e for e in free if e.type == "f"),
                    key=lambda e: e.path)[::2]:
        os.remove(mkbad_path(out, e))
    zero_pages(out, pages.of("inner"))
    r = report(out)
    assert 10 < r["records_deleted"] <= len(free) // 2 + 1, r
    equal(r["files_missing"], 0)
    kept = [e for e in b.entries if e not in free]
    with salvaged(out) as m:
        for e in kept:
            assert os.path.lexists(m.inside(os.fsdecode(e.domain),
                                            os.fsdecode(e.path))), e.path
        for top, _, names in os.walk(m.inside("CameraRollDomain")):
            for name in names:
                e, = (e for e in free if e.path == os.fsencode(
                    os.path.relpath(os.path.join(top, name),
                                    m.inside("CameraRollDomain"))))
                equal(read(os.path.join(top, name)), e.data)


def mkbad_path(out, e):
    return os.path.join(out, e.file_id[:2], e.file_id)


@case_for(DB_SHAPES)
def a_newer_row_counts_before_an_old_copy(shape):
    changed = []

    def delete(db):
        # moves to new pages; the old ones, with the old paths, are free
        rows = db.execute("SELECT fileID, domain, relativePath, flags, file"
                          " FROM Files WHERE domain = 'HomeDomain' AND"
                          " flags = 1").fetchall()
        db.execute("DELETE FROM Files WHERE domain = 'HomeDomain'"
                   " AND flags = 1")
        changed.extend(row[0] for row in rows)
        db.execute("CREATE TABLE filler (a)")
        db.execute("INSERT INTO filler VALUES (zeroblob(9000))")
        db.executemany("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", (
            (row[0], row[1], row[2].replace("Library", "Renamed"), *row[3:])
            for row in rows))

    out, b, pages = with_deleted_rows(shape, delete)
    zero_pages(out, pages.of("inner"))
    with salvaged(out) as m:
        names = os.listdir(m.inside("HomeDomain/Renamed"))
        equal(len(names), len(changed))
        equal([n for n in os.listdir(m.inside("HomeDomain/Library"))
               if n.endswith(".bin")], [])


# --- no manifest ----------------------------------------------------------------

@case_for(SHAPES)
def manifest_deleted(shape):
    out, b = made(shape)
    os.remove(f"{out}/Manifest.{'db' if b.shape.db else 'mbdb'}")
    equal(larder("ls", out).returncode, 26 if b.shape.db else 26)
    check(out, b, {e.file_id for e in b.entries})
    # nobody is asked for a password that opens nothing
    done = larder("salvage", "--json", out)
    equal(done.returncode, 26)
    r = json.loads(done.stdout.splitlines()[-1])
    files = [e for e in b.entries if e.type == "f"]
    equal((r["records"], r["lost"], r["keys_lost"]),
          ("none", len({e.file_id for e in files}), b.shape.encrypted))
    equal(r["lost_encrypted"], r["lost"] if b.shape.encrypted else 0)
    equal(sum(t["files"] for t in r["types"]), r["lost"])
    equal(sum(t["bytes"] for t in r["types"]), r["lost_bytes"])


@case_for(SHAPES)
def all_lists_deleted(shape):
    out, b = made(shape)
    for name in os.listdir(out):
        if "." in name:
            os.remove(f"{out}/{name}")
    equal(larder("ls", out).returncode, 3)
    check(out, b, {e.file_id for e in b.entries})
    done = larder("salvage", out)
    equal(done.returncode, 26, done.stderr)
    assert ("nobody can read them" in done.stdout) == b.shape.encrypted, \
        done.stdout


def contents(folder):
    """{path: hash of the content} of the files that can be read."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            with contextlib.suppress(OSError):
                if not os.path.islink(path):
                    found[os.path.relpath(path, folder)] = hash(read(path))
    return found


@case_for(SHAPES)
def what_a_mount_shows_can_be_extracted(shape):
    out, b = made(shape)
    if b.shape.db:
        zero_pages(out, [1])
    else:
        patch(f"{out}/Manifest.mbdb", 4096, bytes(4096))
    before, to = snapshot(out), new_path("rescued")
    done = larder("extract", "--salvage", "--passfile", PASSFILE, out, to)
    equal(done.returncode, 0, done.stderr)
    with salvaged(out) as m:
        want = contents(m.path)
        equal(contents(to), want)
        assert len(want) > 100, len(want)
    equal(changes(before, snapshot(out)), [], "changed in the backup")


# --- property lists -------------------------------------------------------------

@case_for([(shape, how) for shape in SHAPES for how in ("missing", "damaged")])
def manifest_plist(row):
    shape, how = row
    out, b = made(shape)
    data = read(out + "/Manifest.plist")
    os.remove(out + "/Manifest.plist")
    if how == "damaged":
        save(out + "/Manifest.plist", data[:len(data) // 2])
    if shape in PLAIN:
        check(out, b, set())
        report(out, status=0 if how == "missing" else 26)
        return
    done = larder("salvage", "--json", out)     # and no password
    r = json.loads(done.stdout.splitlines()[-1])
    equal((done.returncode, r["keys_lost"]), (26, True), done.stderr)
    assert any("nobody can read" in flaw for flaw in r["flaws"]), r["flaws"]
    if shape not in NAMES_IN_CLEAR:
        equal((r["entries"], r["lost_encrypted"]), (0, r["lost"]))
        return
    equal((r["entries"], r["lost"]), (len(b.entries), 0))
    equal(r["files_without_key"], r["files"])
    with salvaged(out, passfile=None) as m:
        e = next(e for e in b.entries if e.type == "f")
        path = m.inside(os.fsdecode(e.domain), os.fsdecode(e.path))
        equal(error_of(open, path, "rb"), "ENOKEY")


@case_for(SHAPES)
def other_lists_damaged_are_no_obstacle(shape):
    out, b = made(shape)
    save(out + "/Info.plist", b"junk")
    save(out + "/Status.plist", b"bplist00")
    check(out, b, set())
    r = report(out)
    equal(len(r["flaws"]), 2)


@case_for(["db-encrypted", "mbdb-encrypted"])
def key_bag_with_one_class_damaged(shape):
    b = mkbackup.Backup(shape)
    b.file("HomeDomain", "good.txt", b"good", pclass=3)
    b.file("HomeDomain", "bad.txt", b"bad", pclass=1)
    for fields in b.keybag.classes:
        if dict(fields)["CLAS"] == mkbackup.be32(1):
            fields[-1][1] = bytes(40)
    out = new_path(shape)
    b.write(out)
    equal(larder("ls", "--passfile", PASSFILE, out).returncode, 26)
    with salvaged(out) as m:
        equal(read(m.inside("HomeDomain/good.txt")), b"good")
        equal(error_of(open, m.inside("HomeDomain/bad.txt"), "rb"), "ENOKEY")


@case_for(ENCRYPTED)
def a_wrong_password_stays_wrong(shape):
    out, b = made(shape)
    equal(larder("salvage", "--passfile", save(new_path(), "wrong\n"),
                 out).returncode, 12)
    equal(larder("salvage", out).returncode, 13)


# --- Manifest.mbdb ----------------------------------------------------------------

def record_offsets(b):
    """[(begin, end)] of each record."""
    at, found = 6, []
    for e in b.entries:
        length = len(mbdb_record(e))
        found.append((at, at + length))
        at += length
    return found


def damaged_mbdb(shape, first, data):
    """Overwrite a piece from within a record's domain on; the records that
    change are lost.  Of numbers and attributes nobody sees that they are not
    what they were, so the piece does not begin there."""
    out, b = made(shape, lambda b: fill(b, large=False))
    path = out + "/Manifest.mbdb"
    before = read(path)
    equal(record_offsets(b)[-1][1], len(before))
    patch(path, record_offsets(b)[first][0] + 5, data)
    after = read(path)
    hit = [e for e, (first, last) in zip(b.entries, record_offsets(b))
           if before[first:last] != after[first:last]]
    assert len(hit) > 5, hit
    check(out, b, {e.file_id for e in hit})
    r = report(out)
    equal(r["records"], "recovered")
    assert r["bytes_skipped"] > 0, r


@case_for([(shape, first) for shape in MBDB_SHAPES
           for first in (0, 1, 50, 117, 301, 350)])
def a_page_of_mbdb_zeroed(row):
    shape, first = row
    damaged_mbdb(shape, first, bytes(PAGE))


@case_for([(shape, first) for shape in MBDB_SHAPES
           for first in (0, 3, 64, 120, 299, 351)])
def a_page_of_mbdb_is_noise(row):
    shape, first = row
    damaged_mbdb(shape, first, random.Random(first).randbytes(PAGE))


@case_for(MBDB_SHAPES)
def the_magic_of_mbdb_is_gone(shape):
    out, b = made(shape)
    patch(out + "/Manifest.mbdb", 0, bytes(6))
    check(out, b, set())


@case_for(MBDB_SHAPES)
def mbdb_cut_off(shape):
    out, b = made(shape)
    offsets = record_offsets(b)
    keep = len(offsets) * 2 // 3
    os.truncate(out + "/Manifest.mbdb", offsets[keep][0] + 77)
    check(out, b, {e.file_id for e in b.entries[keep:]})
    equal(report(out)["bytes_skipped"], 77)


# --- interrupted first backups ------------------------------------------------------

def snapshot_alone(shape, manifest=True, sent=1.0):
    """A first backup that was cut short: what has come is in Snapshot/."""
    out, b = made(shape)
    os.mkdir(out + "/Snapshot")
    names = [n for n in os.listdir(out)
             if len(n) in (2, 40) or n.startswith("Manifest.")]
    for name in names:
        os.rename(f"{out}/{name}", f"{out}/Snapshot/{name}")
    if not manifest:
        for name in names:
            if name.startswith("Manifest."):
                os.remove(f"{out}/Snapshot/{name}")
    status = mkbackup.status_plist(b.shape, "uploading")
    save(out + "/Status.plist", plistlib.dumps(status,
                                               fmt=plistlib.FMT_BINARY))
    return out, b


@case_for(SHAPES)
def only_a_snapshot_with_a_manifest_mounts_with_a_warning(shape):
    out, b = snapshot_alone(shape)
    at = new_dir("mnt")
    done = larderfs(out, at, "-o", "passfile=" + PASSFILE)
    try:
        equal(done.returncode, 0, done.stderr)
        assert "interrupted before it was first complete" in \
            one_line(done.stderr), done.stderr
        equal(differences(expect_without(b, set()), at), None)
        equal(sorted(os.listdir(at + "/.larder")),
              ["Info.plist", "Manifest.plist", "Status.plist"])
    finally:
        execute("umount", at)
    done = larder("info", "--json", "--passfile", PASSFILE, out)
    info = json.loads(done.stdout)
    equal((info["complete"], info["snapshot_state"]), (False, "uploading"))
    check(out, b, set())
    equal(report(out)["records"], "whole")


@case_for(SHAPES)
def of_a_snapshot_payloads_may_still_be_missing(shape):
    out, b = snapshot_alone(shape)
    files = [e for e in b.entries if e.type == "f" and e.data]
    for e in files[::3]:
        place = f"{e.file_id[:2]}/" if b.shape.db else ""
        os.remove(f"{out}/Snapshot/{place}{e.file_id}")
    with mounted(out, notes=True) as m:
        for n, e in enumerate(files):
            path = m.inside(os.fsdecode(e.domain), os.fsdecode(e.path))
            if n % 3:
                equal(read(path), e.data)
            else:
                equal(error_of(open, path, "rb"), "EIO")


@case_for(SHAPES)
def a_snapshot_can_be_packed_as_a_backup(shape):
    out, b = snapshot_alone(shape)
    new = new_path("packed")
    done = larder("pack", "--passfile", PASSFILE, out, new)
    equal(done.returncode, 0, done.stderr)
    with mounted(new) as m:
        for e in b.entries:
            if e.type == "f":
                equal(read(m.inside(os.fsdecode(e.domain),
                                    os.fsdecode(e.path))), e.data)


@case_for(SHAPES)
def only_a_snapshot_without_a_manifest_names_the_option(shape):
    out, b = snapshot_alone(shape, manifest=False)
    for done in larder("ls", out), larderfs(out, new_dir("mnt")):
        equal(done.returncode, 3)
        assert "-o salvage" in one_line(done.stderr), done.stderr
    check(out, b, {e.file_id for e in b.entries})


@case
def while_uploading_the_backup_before_stays_what_is_shown():
    out, b = made("db-plain")
    new = mkbackup.Backup("db-plain")
    new.file("HomeDomain", "Library/0001.bin", b"changed")
    late = new.file("HomeDomain", "Library/new.txt", b"Dear Anna,\nnew.\n")
    new.write(out + "/Snapshot")
    os.remove(out + "/Snapshot/Manifest.db")
    os.remove(out + "/Snapshot/Manifest.plist")
    status = mkbackup.status_plist(b.shape, "uploading")
    save(out + "/Status.plist", plistlib.dumps(status,
                                               fmt=plistlib.FMT_BINARY))
    with mounted(out) as m:
        equal(differences(expect_without(b, set()), m.path), None)
    with salvaged(out) as m:
        equal(read(m.inside("HomeDomain/Library/0001.bin")), content(1)[1])
        # what had arrived and is not in the backup before
        equal(read(m.inside("lost+found/text-plain",
                            late.file_id + ".txt")), b"Dear Anna,\nnew.\n")


# --- hostile ------------------------------------------------------------------------

@case
def lost_found_follows_no_links():
    out, b = made("db-plain")
    os.remove(out + "/Manifest.db")
    name = "00" + "ab" * 19
    os.makedirs(out + "/00", exist_ok=True)
    os.symlink("/etc/passwd", f"{out}/00/{name}")
    os.mkfifo(f"{out}/00/00{'cd' * 19}")
    os.rename(out + "/01", out + "/elsewhere")
    os.symlink("elsewhere", out + "/01")
    with salvaged(out) as m:
        found = [n for _, _, names in os.walk(m.path) for n in names]
    assert found and not [n for n in found
                          if n.startswith((name[:40], "00cd", "01"))], found


@case
def a_domain_of_this_name_shares_the_folder():
    out, b = made("db-plain", lambda b: (
        b.file("lost+found", "image-jpeg/mine", b"mine"),
        b.file("HomeDomain", "x", KINDS["image-jpeg"][1](b"x"))))
    db = sqlite3.connect(out + "/Manifest.db")
    db.execute("DELETE FROM Files WHERE domain = 'HomeDomain'")
    db.commit()
    db.close()
    with salvaged(out) as m:
        equal(os.listdir(m.path), ["lost+found"])
        equal(sorted(os.listdir(m.inside("lost+found/image-jpeg"))),
              sorted([b.entries[1].file_id + ".jpg", "mine"]))


@case
def folders_that_are_no_backup_stay_none():
    empty, backups = new_dir("empty"), new_dir("backups")
    shutil.copytree(golden("db-plain"), backups + "/one")
    save(empty + "/file.txt", "text")
    for path in (empty, backups, "/etc"):
        equal(larder("salvage", path).returncode, 3, path)


run()
