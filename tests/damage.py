#!/usr/bin/python3
"""Plant one damage in a backup that is good, and say what must be named.

    damage.py SHAPE DAMAGE OUTDIR
    damage.py --list

Shares nothing with core/: backups come from mkbackup.py.  A damage is a
function that gets a Backup, filled but not written (`before`), or the folder
that it was written to (`after`).  It returns the places that a check has to
name, all of them and nothing else: "DOMAIN/PATH", or a file of the folder.
"""

import argparse
import hashlib
import os
import random
import shutil
import sqlite3
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import mkbackup                                         # noqa: E402
from mkbackup import SHAPES, decrypt, encrypt, letters, pad  # noqa: E402
from mkbad import table_pages                           # noqa: E402

HOME = "HomeDomain"
ALL = tuple(SHAPES)
ENCRYPTED = tuple(s for s in SHAPES if SHAPES[s].encrypted)
PLAIN = tuple(s for s in SHAPES if not SHAPES[s].encrypted)
DB = tuple(s for s in SHAPES if SHAPES[s].db)
MBDB = tuple(s for s in SHAPES if not SHAPES[s].db)
LEVELS = ("structure", "stored", "content")

DAMAGES = {}


class Damage:
    def __init__(self, name, level, shapes, before, function):
        self.name, self.level, self.shapes = name, level, shapes
        self.before, self.function = before, function


def damage(level, shapes=ALL, before=False):
    def register(function):
        DAMAGES[function.__name__] = Damage(function.__name__, level, shapes,
                                            before, function)
        return function
    return register


# --- the good backup ---------------------------------------------------------

def database(rows=200, script=""):
    db = sqlite3.connect(":memory:")
    db.executescript("PRAGMA page_size=4096; CREATE TABLE t (i INTEGER PRIMARY"
                     " KEY, text TEXT); CREATE INDEX x ON t(text);" + script)
    db.executemany("INSERT INTO t VALUES (?, ?)",
                   [(i, f"{i:05d} " * 20) for i in range(rows)])
    db.commit()
    data = db.serialize()
    db.close()
    return data


def database_with_log():
    """(database, log): the database alone is not consistent: pages that it
    refers to are only in the log."""
    folder = tempfile.mkdtemp(prefix="larder-wal-")
    path = folder + "/x.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA page_size=4096; PRAGMA journal_mode=WAL;"
                     "PRAGMA wal_autocheckpoint=0;"
                     "CREATE TABLE t (i INTEGER PRIMARY KEY, text TEXT);"
                     "CREATE INDEX x ON t(text);")
    fill = "INSERT INTO t VALUES (?, ?)"
    db.executemany(fill, [(i, f"{i:05d} " * 20) for i in range(100)])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.executemany(fill, [(i, f"{i:05d} " * 20) for i in range(100, 300)])
    with open(path, "rb") as f:
        main = bytearray(f.read())
    with open(path + "-wal", "rb") as f:
        log = f.read()
    db.close()
    shutil.rmtree(folder)
    # a page that the log has anew, as a checkpoint that was broken off would
    # leave it
    main[4096:4096 + 512] = random.Random(5).randbytes(512)
    return bytes(main), log


def database_of_an_app():
    """With a collation and a function that only the app has."""
    db = sqlite3.connect(":memory:")
    db.create_collation("ours", lambda a, b: (a > b) - (a < b))
    db.create_function("ours", 1, lambda x: x, deterministic=True)
    db.executescript("CREATE TABLE t (a TEXT COLLATE ours, b TEXT);"
                     "CREATE INDEX x ON t(a);"
                     "CREATE INDEX y ON t(ours(b));"
                     "INSERT INTO t VALUES ('one', 'two');")
    data = db.serialize()
    db.close()
    return data


def fill(b):
    rng = b.rng

    def add(name, data, domain=HOME, **more):
        path = "Library/" + name
        b.parents(domain, path)
        return b.file(domain, path, data, **more)

    b.text = add("text.txt", letters(rng, 5003))
    b.equal = add("equal.txt", letters(rng, 5003))
    b.shorter = add("shorter.txt", letters(rng, 3001))
    b.whole = add("whole.txt", letters(rng, 4096))
    b.tiny = add("tiny", b"hello")
    b.tiny_too = add("tiny too", b"salut")
    b.noise = add("noise.bin", rng.randbytes(7000))
    b.digest = add("digest.bin", letters(rng, 9001), digest=True)
    b.long_digest = add("digest256.bin", letters(rng, 2001))
    b.long_digest.digest = hashlib.sha256(b.long_digest.stored).digest()
    b.large = add("large.bin", letters(rng, 700001))
    b.database = add("app.sqlite", database(), pclass=4)
    b.logged = add("logged.sqlite", database_with_log()[0])
    b.log = add("logged.sqlite-wal", database_with_log()[1])
    b.odd_database = add("odd.sqlite", database_of_an_app())
    b.hot = add("hot.sqlite", database(20))
    add("hot.sqlite-journal",
        bytes.fromhex("d9d505f920a163d7") + bytes(504 + 4096))
    add("cold.sqlite", database(20))
    add("cold.sqlite-journal", bytes(512))
    add("cold.sqlite-wal", b"")
    # ciphers for databases leave a part of the header in clear
    add("sealed.db", rng.randbytes(16) + database(20)[16:24]
        + rng.randbytes(8192 - 24))
    b.empty = add("empty", b"")
    add("empty without payload", b"", missing=True)
    # they changed while they were backed up
    add("grew.txt", letters(rng, 5000), size=1000)
    add("grew a little.txt", letters(rng, 29), size=20)
    add("grew to the last byte.txt", letters(rng, 31), size=20)
    add("shrank by its digest.txt", letters(rng, 700), size=6000, digest=True)
    if b.shape.encrypted:
        add("shrank.txt", letters(rng, 700), size=6000)
        add("shrank a little.txt", letters(rng, 20), size=29)
        add("became empty.txt", b"", size=300)
    b.link(HOME, "Library/link", "text.txt")
    b.folder = b.dir(HOME, "Library/folder")
    # enough for a manifest of some pages
    for i in range(250):
        add(f"many/{i:04d}.txt", letters(rng, 40 + i),
            domain="AppDomain-com.example.many")


def good(shape, out):
    b = mkbackup.Backup(shape)
    fill(b)
    b.write(out)
    return b


def make(name, shape, out, stock=None):
    """The places that must be named.  `stock` keeps the good backup of each
    shape for the next time."""
    d = DAMAGES[name]
    if d.before:
        b = mkbackup.Backup(shape)
        fill(b)
        named = d.function(b)
        b.write(out)
    else:
        if stock is None:
            b = good(shape, out)
        else:
            if shape not in stock:
                stock[shape] = good(shape, out + ".good"), out + ".good"
            b, there = stock[shape]
            shutil.copytree(there, out)
        named = d.function(b, out)
    return {named} if isinstance(named, str) else set(named)


# --- helpers -----------------------------------------------------------------

def place(e):
    return os.fsdecode(e.domain + b"/" + e.path)


def payload(out, e):
    hashed = f"{out}/{e.file_id[:2]}/{e.file_id}"
    return hashed if os.path.lexists(hashed) else f"{out}/{e.file_id}"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def save(path, data):
    with open(path, "wb") as f:
        f.write(data)


def flip(path, at, mask=0x10):
    data = bytearray(read(path))
    data[at] ^= mask
    save(path, data)


def store_again(b, e):
    e.blocks = None
    e.size = len(e.data)
    b._store(e)


def cut(b, out, e, length):
    os.truncate(payload(out, e), length)
    return place(e)


def swap(out, one, other):
    a, b = payload(out, one), payload(out, other)
    os.rename(a, a + ".x")
    os.rename(b, a)
    os.rename(a + ".x", b)
    return place(one), place(other)


def edit_manifest(b, out, change):
    """Change the plaintext of Manifest.db or .mbdb."""
    path = out + ("/Manifest.db" if b.shape.db else "/Manifest.mbdb")
    data = read(path)
    if b.shape.manifest_key:
        data = decrypt(b.manifest_key, data)
        data = data[:-data[-1]]
    data = change(data)
    if b.shape.manifest_key:
        data = encrypt(b.manifest_key, pad(data))
    save(path, data)


def edit_rows(b, out, script, *values):
    def change(data):
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.deserialize(data)
        db.execute(script, values)
        data = db.serialize()
        db.close()
        return data
    edit_manifest(b, out, change)


def pages_of(data, name):
    """Numbers of a table's or index's pages, the root first."""
    db = sqlite3.connect(":memory:")
    db.deserialize(data)
    root, = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?",
                       (name,)).fetchone()
    pages, todo = [], [root]
    while todo:
        number = todo.pop(0)
        pages.append(number)
        at = (number - 1) * 4096 + (100 if number == 1 else 0)
        kind = data[at]
        if kind in (2, 5):
            count = int.from_bytes(data[at + 3:at + 5], "big")
            for i in range(count):
                cell = int.from_bytes(
                    data[at + 12 + 2 * i:at + 14 + 2 * i], "big")
                cell += (number - 1) * 4096
                todo.append(int.from_bytes(data[cell:cell + 4], "big"))
            todo.append(int.from_bytes(data[at + 8:at + 12], "big"))
    return pages


def spoil_page(b, out, name, which):
    def change(data):
        pages = pages_of(data, name)
        at = (pages[which] - 1) * 4096
        return data[:at] + random.Random(3).randbytes(4096) + data[at + 4096:]
    edit_manifest(b, out, change)
    return "Manifest.db"


# --- payloads: structure -----------------------------------------------------

@damage("structure")
def payload_missing(b, out):
    os.unlink(payload(out, b.text))
    return place(b.text)


@damage("structure")
def payload_with_digest_missing(b, out):
    os.unlink(payload(out, b.digest))
    return place(b.digest)


@damage("structure")
def payload_cut_within_a_block(b, out):
    return cut(b, out, b.text, 1001)


@damage("structure")
def payload_cut_at_a_block(b, out):
    return cut(b, out, b.text, 4096)


@damage("structure")
def payload_cut_by_its_last_block(b, out):
    return cut(b, out, b.whole, 4096 if b.shape.encrypted else 4080)


@damage("structure")
def payload_emptied(b, out):
    return cut(b, out, b.text, 0)


@damage("structure")
def small_payload_emptied(b, out):
    return cut(b, out, b.tiny, 0)


@damage("structure")
def payloads_swapped(b, out):
    return swap(out, b.text, b.shorter)


@damage("structure")
def payload_is_a_folder(b, out):
    path = payload(out, b.text)
    os.unlink(path)
    os.mkdir(path)
    return place(b.text)


@damage("structure")
def payload_is_a_link(b, out):
    path = payload(out, b.text)
    os.unlink(path)
    os.symlink(os.path.basename(payload(out, b.equal)), path)
    return place(b.text)


# --- payloads: stored --------------------------------------------------------

@damage("stored")
def bit_in_a_payload_with_digest(b, out):
    flip(payload(out, b.digest), 4711)
    return place(b.digest)


@damage("stored")
def bit_in_a_payload_with_long_digest(b, out):
    flip(payload(out, b.long_digest), 0, 1)
    return place(b.long_digest)


@damage("stored", before=True)
def digest_is_another(b):
    b.digest.digest = bytes(20)
    return place(b.digest)


# --- payloads: content -------------------------------------------------------

@damage("content", ENCRYPTED)
def bit_in_the_last_block(b, out):
    flip(payload(out, b.text), -3)
    return place(b.text)


@damage("content", ENCRYPTED)
def bit_before_the_padding(b, out):
    # of the block before: the same bit of the padding is another then
    flip(payload(out, b.text), -17)
    return place(b.text)


@damage("content", ENCRYPTED, before=True)
def padding_damaged(b):
    e = b.text
    blocks = pad(e.data)
    e.stored = encrypt(e.key, blocks[:-1] + bytes([blocks[-1] ^ 0x40]))
    return place(e)


@damage("content", ENCRYPTED, before=True)
def padding_of_a_tiny_file_damaged(b):
    e = b.tiny
    e.stored = encrypt(e.key, e.data + b"\x0b" * 9 + b"\x0a\x0b")
    return place(e)


@damage("content", ENCRYPTED, before=True)
def key_garbled(b):
    e = b.text
    e.wrapped = e.wrapped[:20] + bytes([e.wrapped[20] ^ 1]) + e.wrapped[21:]
    return place(e)


@damage("content", ENCRYPTED, before=True)
def key_cut(b):
    b.text.wrapped = b.text.wrapped[:40]
    return place(b.text)


@damage("content", ENCRYPTED, before=True)
def key_of_another_file(b):
    b.text.wrapped = b.shorter.wrapped
    return place(b.text)


@damage("content", ENCRYPTED, before=True)
def key_of_another_file_and_padding_right_by_chance(b):
    """The last byte is 1 for one key in 256."""
    e = b.text
    for n in range(5000):
        key = hashlib.sha256(b"%d" % n).digest()
        if decrypt(key, e.stored)[-1] == 1:
            break
    e.wrapped = b.keybag.wrap_key(e.pclass, key)
    return place(e)


@damage("content", ENCRYPTED, before=True)
def key_of_an_unknown_class(b):
    b.text.wrapped = (12).to_bytes(4, "little") + b.text.wrapped[4:]
    b.text.pclass = 12
    return place(b.text)


@damage("structure", ENCRYPTED, before=True)
def key_missing(b):
    b.text.wrapped = None
    return place(b.text)


@damage("content", ENCRYPTED)
def payloads_of_equal_length_swapped(b, out):
    return swap(out, b.text, b.equal)


@damage("content", ENCRYPTED)
def payloads_of_one_block_swapped(b, out):
    return swap(out, b.tiny, b.tiny_too)


@damage("content")
def bit_in_a_database_page(b, out):
    # the number of cells of a page
    path = payload(out, b.database)
    flip(path, 3 * 4096 + 3)
    return place(b.database)


@damage("content")
def bit_in_the_first_block_of_a_database(b, out):
    flip(payload(out, b.database), 5, 0x20)
    return place(b.database)


@damage("content", before=True)
def database_page_gone(b):
    e = b.database
    e.data = e.data[:8192] + bytes(4096) + e.data[12288:]
    store_again(b, e)
    return place(e)


@damage("content", before=True)
def log_of_a_database_gone(b):
    b.entries.remove(b.log)
    return place(b.logged)


@damage("content", before=True)
def log_of_a_database_damaged(b):
    # what is behind the first frame does not count any more
    e = b.log
    e.data = e.data[:40] + b"!" + e.data[41:]
    store_again(b, e)
    return place(b.logged)


# --- what is in the folder ---------------------------------------------------

@damage("structure")
def payload_in_no_record(b, out):
    name = hashlib.sha1(b"nobody's").hexdigest()
    path = (name[:2] + "/" if b.shape.db else "") + name
    os.makedirs(os.path.dirname(f"{out}/{path}"), exist_ok=True)
    save(f"{out}/{path}", b"nobody's")
    return path


@damage("structure")
def payload_of_a_folder(b, out):
    name = b.folder.file_id
    path = (name[:2] + "/" if b.shape.db else "") + name
    os.makedirs(os.path.dirname(f"{out}/{path}"), exist_ok=True)
    save(f"{out}/{path}", b"folders have none")
    return path


@damage("structure")
def payload_twice(b, out):
    name = b.text.file_id
    path = ("" if b.shape.db else name[:2] + "/") + name
    os.makedirs(os.path.dirname(f"{out}/{path}"), exist_ok=True)
    shutil.copy(payload(out, b.text), f"{out}/{path}")
    return path


@damage("structure", DB)
def payload_in_the_wrong_folder(b, out):
    name = b.text.file_id
    other = f"{(int(name[:2], 16) + 1) % 256:02x}"
    os.makedirs(f"{out}/{other}", exist_ok=True)
    os.rename(payload(out, b.text), f"{out}/{other}/{name}")
    return place(b.text), f"{other}/{name}"


@damage("structure")
def file_of_nobody(b, out):
    save(out + "/Manifest.db.new", b"left")
    return "Manifest.db.new"


@damage("structure")
def folder_of_nobody(b, out):
    os.mkdir(out + "/stuff")
    save(out + "/stuff/x", b"x")
    return "stuff"


@damage("structure")
def snapshot_left(b, out):
    os.makedirs(out + "/Snapshot/ab")
    save(out + "/Snapshot/ab/" + "ab" * 20, b"half")
    return "Snapshot"


@damage("structure")
def status_says_uploading(b, out):
    with open(out + "/Status.plist", "wb") as f:
        mkbackup.plistlib.dump(mkbackup.status_plist(b.shape, "uploading"), f)
    return "Status.plist"


@damage("structure")
def first_backup_interrupted(b, out):
    name = "Manifest.db" if b.shape.db else "Manifest.mbdb"
    os.mkdir(out + "/Snapshot")
    for moved in (name, "Manifest.plist"):
        os.rename(f"{out}/{moved}", f"{out}/Snapshot/{moved}")
    with open(out + "/Status.plist", "wb") as f:
        mkbackup.plistlib.dump(mkbackup.status_plist(b.shape, "uploading"), f)
    return "Snapshot"


@damage("structure")
def status_plist_damaged(b, out):
    flip(out + "/Status.plist", 8, 0xff)
    os.truncate(out + "/Status.plist", 60)
    return "Status.plist"


@damage("structure")
def status_plist_missing(b, out):
    os.unlink(out + "/Status.plist")
    return "Status.plist"


@damage("structure")
def info_plist_damaged(b, out):
    os.truncate(out + "/Info.plist", 400)
    return "Info.plist"


@damage("structure")
def manifest_plist_damaged(b, out):
    os.truncate(out + "/Manifest.plist", 100)
    return "Manifest.plist"


@damage("structure")
def manifest_plist_missing(b, out):
    os.unlink(out + "/Manifest.plist")
    # an encrypted manifest cannot be told from a damaged one then
    return ("Manifest.plist", "Manifest.db") if b.shape.manifest_key \
        else "Manifest.plist"


@damage("structure", ENCRYPTED)
def key_bag_damaged(b, out):
    data = read(out + "/Manifest.plist")
    at = data.index(b"SALT")
    save(out + "/Manifest.plist", data[:at] + b"XXXX" + data[at + 4:])
    return "Manifest.plist"


@damage("structure", ENCRYPTED, before=True)
def class_key_damaged(b):
    field = b.keybag.classes[7][4]      # WPKY of class 8, which none needs
    field[1] = bytes([field[1][0] ^ 1]) + field[1][1:]
    return "Manifest.plist"


# --- the manifest ------------------------------------------------------------

@damage("structure", DB)
def manifest_leaf_page_damaged(b, out):
    return spoil_page(b, out, "Files", 5)


@damage("structure", DB)
def manifest_last_leaf_page_damaged(b, out):
    return spoil_page(b, out, "Files", -1)


@damage("structure", DB)
def manifest_root_page_damaged(b, out):
    return spoil_page(b, out, "Files", 0)


@damage("structure", DB)
def manifest_index_page_damaged(b, out):
    return spoil_page(b, out, "FilesDomainIdx", 1)


@damage("structure", DB)
def manifest_id_index_page_damaged(b, out):
    return spoil_page(b, out, "sqlite_autoindex_Files_1", 1)


@damage("structure", DB)
def manifest_unused_index_page_damaged(b, out):
    return spoil_page(b, out, "FilesFlagsIdx", 0)


@damage("structure", DB)
def manifest_index_entry_damaged(b, out):
    def change(data):
        at = (pages_of(data, "FilesDomainIdx")[1] - 1) * 4096
        hit = data.index(b"AppDomain-com.example.many", at)
        return data[:hit] + b"B" + data[hit + 1:]
    edit_manifest(b, out, change)
    return "Manifest.db"


@damage("structure", DB)
def manifest_cut(b, out):
    path = out + "/Manifest.db"
    os.truncate(path, os.path.getsize(path) // 8192 * 4096)
    return "Manifest.db"


@damage("structure", DB)
def manifest_cut_within_a_block(b, out):
    path = out + "/Manifest.db"
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096 + 1001)
    return "Manifest.db"


@damage("structure", DB)
def manifest_emptied(b, out):
    os.truncate(out + "/Manifest.db", 0)
    return "Manifest.db"


@damage("structure", DB)
def manifest_header_damaged(b, out):
    edit_manifest(b, out, lambda data: b"?" * 16 + data[16:])
    return "Manifest.db"


@damage("structure")
def manifest_missing(b, out):
    name = "Manifest.db" if b.shape.db else "Manifest.mbdb"
    os.unlink(f"{out}/{name}")
    return name


@damage("structure", MBDB)
def mbdb_cut(b, out):
    path = out + "/Manifest.mbdb"
    os.truncate(path, os.path.getsize(path) - 1000)
    return "Manifest.mbdb"


@damage("structure", MBDB)
def mbdb_header_damaged(b, out):
    flip(out + "/Manifest.mbdb", 1)
    return "Manifest.mbdb"


@damage("structure", DB)
def file_id_is_another(b, out):
    other = hashlib.sha1(b"another").hexdigest()
    edit_rows(b, out, "UPDATE Files SET fileID = ? WHERE fileID = ?", other,
              b.text.file_id)
    return place(b.text)


@damage("structure", DB)
def file_id_is_another_and_the_payload_too(b, out):
    other = hashlib.sha1(b"another").hexdigest()
    edit_rows(b, out, "UPDATE Files SET fileID = ? WHERE fileID = ?", other,
              b.text.file_id)
    os.makedirs(f"{out}/{other[:2]}", exist_ok=True)
    os.rename(payload(out, b.text), f"{out}/{other[:2]}/{other}")
    return place(b.text)


@damage("structure", DB)
def file_id_of_a_folder_is_another(b, out):
    edit_rows(b, out, "UPDATE Files SET fileID = ? WHERE fileID = ?",
              hashlib.sha1(b"another").hexdigest(), b.folder.file_id)
    return place(b.folder)


@damage("structure", DB)
def file_id_malformed(b, out):
    edit_rows(b, out, "UPDATE Files SET fileID = ? WHERE fileID = ?",
              "../../etc/passwd", b.text.file_id)
    return place(b.text)


@damage("structure", DB)
def record_twice(b, out):
    edit_rows(b, out, "INSERT INTO Files SELECT ?, domain, relativePath, flags,"
              " file FROM Files WHERE fileID = ?",
              hashlib.sha1(b"twice").hexdigest(), b.text.file_id)
    return place(b.text)


@damage("structure", MBDB, before=True)
def record_twice_in_mbdb(b):
    b.entries.append(b.text)
    return place(b.text)


@damage("structure", DB, before=True)
def record_unreadable(b):
    b.text.blob = mkbackup.mbfile(b.text)[:100]
    return place(b.text)


@damage("structure", before=True)
def record_of_negative_size(b):
    b.text.size = -5 if b.shape.db else 2**63
    return place(b.text)


@damage("structure", before=True)
def link_without_a_target(b):
    e = b.link(HOME, "Library/nowhere", b"")
    e.target = b"" if b.shape.db else None
    return place(e)


@damage("structure", before=True)
def file_below_a_file(b):
    return place(b.file(HOME, "Library/text.txt/below", b"below"))


@damage("structure", before=True)
def file_far_below_a_link(b):
    return place(b.file(HOME, "Library/link/a/b", b"below"))


@damage("structure", before=True)
def path_leads_out(b):
    return place(b.file(HOME, "Library/../../../etc/x", b"out"))


@damage("structure", before=True)
def domain_leads_out(b):
    return place(b.file("SysContainerDomain-../../x", "etc/x", b"out"))


@damage("structure", ENCRYPTED[:1], before=True)
def manifest_key_damaged(b):
    def edit(manifest):
        key = manifest["ManifestKey"]
        manifest["ManifestKey"] = key[:9] + bytes([key[9] ^ 1]) + key[10:]
    b.edit = edit
    return "Manifest.plist"


@damage("structure", ENCRYPTED[:1], before=True)
def manifest_key_cut(b):
    def edit(manifest):
        manifest["ManifestKey"] = manifest["ManifestKey"][:40]
    b.edit = edit
    return "Manifest.plist"


# --- command line ------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(
        description="Make a backup with one damage.")
    parser.add_argument("shape", nargs="?", choices=SHAPES)
    parser.add_argument("damage", nargs="?")
    parser.add_argument("outdir", nargs="?")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        for d in DAMAGES.values():
            print(f"{d.level:10} {d.name}  ({', '.join(d.shapes)})")
        return
    if not args.outdir:
        parser.error("SHAPE, DAMAGE and OUTDIR are wanted")
    for name in sorted(make(args.damage, args.shape, args.outdir)):
        print(name)


if __name__ == "__main__":
    main()
