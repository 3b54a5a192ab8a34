#!/usr/bin/python3
"""Make backups with one flaw each.

    mkbad.py OUTDIR         one folder for each flaw, named after it
    mkbad.py --list

OUTDIR/EXPECT.json says what a mount with the password "correct horse" has to
do with each:

    exit      the exit statuses that are right
    mounts    true, false, or null where both are right
    message   text that the one-line error holds, or null
    reads     {path: what reading it gives} if mounted:
              {"sha256": ...}, {"errors": [names, any of them]} by open() or
              the first read(), or {"absent": true}

Whatever stands there: no crash, no hang, nothing followed out of the backup.
"""

import argparse
import hashlib
import json
import os
import plistlib
import shutil
import sqlite3
import struct
import sys
from plistlib import UID

sys.dont_write_bytecode = True

from mkbackup import (SHAPES, Backup, be32, mbfile, mbfile_objects,
                      passcode_key, status_plist, wrap)

OK, UNKNOWN, DAMAGED = 0, 3, 26
EIO = {"errors": ["EIO"]}
GOOD = "HomeDomain/Library/good.txt"
FLAWED = "HomeDomain/Library/flawed.bin"

FLAWS = {}


def flaw(exits, mounts=None, message=None, reads=None):
    """Register a maker.  `exits` is one status or several; `reads` adds to
    the good file, or takes it away with None."""
    exits = [exits] if isinstance(exits, int) else list(exits)
    if mounts is None and OK not in exits:
        mounts = False
    if mounts is None and exits == [OK]:
        mounts = True

    def register(maker):
        name = maker.__name__.replace("_", "-")
        expect = {"exit": exits, "mounts": mounts, "message": message}
        if mounts is not False:
            wanted = {GOOD: content(b"good\n")} | (reads or {})
            expect["reads"] = {path: what for path, what in wanted.items()
                               if what}
        FLAWS[name] = (maker, expect)
        return maker

    return register


def content(data):
    return {"sha256": hashlib.sha256(data).hexdigest()}


def small(shape, **more):
    """A backup with nothing wrong yet."""
    b = Backup(shape, **more)
    b.dir("HomeDomain")
    b.dir("HomeDomain", "Library")
    b.file("HomeDomain", "Library/good.txt", b"good\n")
    return b


def read(path):
    with open(path, "rb") as f:
        return f.read()


def save(path, data):
    with open(path, "wb") as f:
        f.write(data)


def save_plist(path, value, fmt=plistlib.FMT_BINARY):
    save(path, plistlib.dumps(value, fmt=fmt))


def payload_path(out, e):
    return os.path.join(out, e.file_id[:2], e.file_id)


# --- not a backup ------------------------------------------------------------

@flaw(UNKNOWN)
def not_a_backup_empty_folder(out):
    os.makedirs(out)


@flaw(UNKNOWN, message="not read")
def ios3_mdinfo(out):
    os.makedirs(out)
    save_plist(out + "/Info.plist", {"Product Version": "3.1.3"},
               plistlib.FMT_XML)
    save_plist(out + "/Manifest.plist", {
        "IsEncrypted": False, "AuthVersion": "1.0",
        "AuthSignature": bytes(20), "Data": plistlib.dumps(
            {"Files": {}}, fmt=plistlib.FMT_BINARY)}, plistlib.FMT_XML)
    save_plist(out + "/Status.plist", {"Backup Success": True},
               plistlib.FMT_XML)
    name = hashlib.sha1(b"HomeDomain-Library/SMS/sms.db").hexdigest()
    save_plist(f"{out}/{name}.mdinfo", {
        "IsEncrypted": False, "Metadata": plistlib.dumps(
            {"Path": "Library/SMS/sms.db", "Domain": "HomeDomain"},
            fmt=plistlib.FMT_BINARY)})
    save(f"{out}/{name}.mddata", b"SQLite format 3\0")


# --- Manifest.plist ----------------------------------------------------------

def with_plist(out, data):
    small("db-encrypted").write(out)
    save(out + "/Manifest.plist", data)


def bplist(objects, top=0, claimed=None):
    """A binary plist of objects encoded by hand, references of one byte."""
    body, offsets = b"bplist00", []
    for encoded in objects:
        offsets.append(len(body))
        body += encoded
    return body + b"".join(struct.pack(">H", o) for o in offsets) + bytes(6) \
        + bytes([2, 1]) + struct.pack(
            ">QQQ", len(objects) if claimed is None else claimed, top,
            len(body))


@flaw(DAMAGED, message="Manifest.plist")
def manifest_plist_truncated(out):
    small("db-encrypted").write(out)
    data = read(out + "/Manifest.plist")
    save(out + "/Manifest.plist", data[:len(data) // 2])


@flaw(DAMAGED, message="Manifest.plist")
def manifest_plist_empty(out):
    with_plist(out, b"")


@flaw(DAMAGED)
def manifest_plist_cyclic(out):
    # { "x": itself }
    with_plist(out, bplist([b"\xd1\x01\x00", b"\x51x"]))


@flaw([OK, DAMAGED])
def manifest_plist_dag_bomb(out):
    # all keys that matter are there; one more holds an array of the next
    # one twice, and so on: 2^40 nodes for whoever copies them
    b = small("db-plain")
    level = []
    for _ in range(40):
        level = [level, level]
    b.edit = lambda plist: plist.update(Bomb=level)
    b.write(out)


@flaw([OK, DAMAGED])
def manifest_plist_deep_xml(out):
    b = small("db-plain")
    b.write(out)
    plist = b.manifest_plist()
    data = plistlib.dumps(plist, fmt=plistlib.FMT_XML)
    n = 1000000
    bomb = b"<key>Bomb</key>" + b"<array>" * n + b"</array>" * n
    end = data.rindex(b"</dict>")
    save(out + "/Manifest.plist", data[:end] + bomb + data[end:])


@flaw([OK, DAMAGED])
def manifest_plist_deep_binary(out):
    # 60,000 arrays, one inside the other, references of two bytes
    small("db-plain").write(out)
    n = 60000
    objects = [b"\xd1" + struct.pack(">HH", 1, 2), b"\x51x"]
    objects += [b"\xa1" + struct.pack(">H", i + 3) for i in range(n)]
    objects.append(b"\xa0")
    body, offsets = b"bplist00", []
    for encoded in objects:
        offsets.append(len(body))
        body += encoded
    save(out + "/Manifest.plist", body + b"".join(map(be32, offsets))
         + bytes(6) + bytes([4, 2])
         + struct.pack(">QQQ", len(objects), 0, len(body)))


@flaw(DAMAGED)
def manifest_plist_uid_out_of_range(out):
    b = small("db-encrypted")
    b.edit = lambda plist: plist.update(BackupKeyBag=UID(0xffffffff))
    b.write(out)


@flaw(DAMAGED, message="Manifest.plist")
def manifest_plist_ref_out_of_range(out):
    with_plist(out, bplist([b"\xd1\x01\xf0", b"\x5cBackupKeyBag"]))


@flaw(DAMAGED)
def manifest_plist_wrong_types(out):
    b = small("db-encrypted")
    b.edit = lambda plist: plist.update(
        Version=10, IsEncrypted="yes", BackupKeyBag=["bag"],
        ManifestKey="key", Lockdown=[], Applications="none", Date="today")
    b.write(out)


@flaw(DAMAGED, message="Manifest.plist")
def manifest_plist_is_array(out):
    with_plist(out, plistlib.dumps(["IsEncrypted", True],
                                   fmt=plistlib.FMT_BINARY))


# --- keybag ------------------------------------------------------------------

def with_keybag(out, change, shape="db-encrypted"):
    """`change` gets the backup before it is written."""
    b = small(shape)
    change(b)
    b.write(out)


def set_header(bag, tag, value):
    for field in bag.header:
        if field[0] == tag:
            field[1] = value


def set_classes(bag, tag, change):
    for fields in bag.classes:
        for field in fields:
            if field[0] == tag:
                field[1] = change(field[1])


def header_flaw(out, tag, value):
    with_keybag(out, lambda b: set_header(b.keybag, tag, value))


@flaw(DAMAGED, message="key bag")
def keybag_missing(out):
    with_keybag(out, lambda b: setattr(
        b, "edit", lambda plist: plist.pop("BackupKeyBag")))


@flaw(DAMAGED, message="key bag")
def keybag_empty(out):
    with_keybag(out, lambda b: setattr(
        b, "edit", lambda plist: plist.update(BackupKeyBag=b"")))


@flaw(DAMAGED, message="key bag")
def keybag_length_past_end(out):
    def edit(plist):
        bag = plist["BackupKeyBag"]
        at = bag.index(b"SALT") + 4
        plist["BackupKeyBag"] = bag[:at] + be32(0x7fffffff) + bag[at + 4:]
    with_keybag(out, lambda b: setattr(b, "edit", edit))


@flaw(DAMAGED, message="key bag")
def keybag_truncated(out):
    with_keybag(out, lambda b: setattr(b, "edit", lambda plist: plist.update(
        BackupKeyBag=plist["BackupKeyBag"][:150])))


@flaw(DAMAGED, message="key bag")
def keybag_iter_0(out):
    header_flaw(out, "ITER", be32(0))


@flaw(DAMAGED, message="key bag")
def keybag_iter_2_31(out):
    header_flaw(out, "ITER", be32(2**31))


@flaw(DAMAGED, message="key bag")
def keybag_dpic_0(out):
    header_flaw(out, "DPIC", be32(0))


@flaw(DAMAGED, message="key bag")
def keybag_dpic_2_31(out):
    header_flaw(out, "DPIC", be32(2**31))


@flaw([OK, DAMAGED])
def keybag_short_salt(out):
    # consistent: who takes salts of any length unlocks it
    def change(b):
        bag = b.keybag
        dpsl = dict(bag.header)["DPSL"]
        bag.kek = passcode_key(b.password, b"salt", 10, dpsl, 10)
        set_header(bag, "SALT", b"salt")
        for fields in bag.classes:
            record = dict(fields)
            number, = struct.unpack(">I", record["CLAS"])
            fields[-1][1] = wrap(bag.kek, bag.class_keys.get(number,
                                                             bytes(32)))
    with_keybag(out, change)


@flaw(DAMAGED, message="key bag")
def keybag_wpky_wrong_length(out):
    with_keybag(out, lambda b: set_classes(b.keybag, "WPKY",
                                           lambda v: v[:32]))


@flaw(DAMAGED, message="key bag")
def keybag_no_usable_class(out):
    with_keybag(out, lambda b: set_classes(b.keybag, "WRAP",
                                           lambda v: be32(3)))


@flaw([OK, DAMAGED])
def keybag_one_class_damaged(out):
    # class 1; nothing in the backup needs it
    def change(b):
        wpky = b.keybag.classes[0][-1]
        wpky[1] = bytes([wpky[1][0] ^ 1]) + wpky[1][1:]
    with_keybag(out, change)


@flaw(DAMAGED, message="key bag")
def keybag_too_many_classes(out):
    def change(b):
        b.keybag.classes = [[["UUID", bytes(16)], ["CLAS", be32(n)],
                             ["WRAP", be32(2)], ["KTYP", be32(0)],
                             ["WPKY", bytes(40)]] for n in range(10000)]
    with_keybag(out, lambda b: setattr(b, "edit", lambda plist: (
        change(b), plist.update(BackupKeyBag=b.keybag.encode()))))


def manifest_key_flaw(out, change):
    b = small("db-encrypted")
    b.edit = lambda plist: plist.update(
        ManifestKey=change(plist["ManifestKey"]))
    b.write(out)


@flaw(DAMAGED)
def manifest_key_wrong_length(out):
    manifest_key_flaw(out, lambda key: key[:30])


@flaw(DAMAGED)
def manifest_key_bad_class(out):
    manifest_key_flaw(out, lambda key: struct.pack("<I", 77) + key[4:])


@flaw(DAMAGED)
def manifest_key_damaged(out):
    manifest_key_flaw(out, lambda key: key[:20] + bytes([key[20] ^ 1])
                      + key[21:])


@flaw(DAMAGED)
def manifest_key_missing(out):
    b = small("db-encrypted")
    b.edit = lambda plist: plist.pop("ManifestKey")
    b.write(out)


# --- Manifest.db -------------------------------------------------------------

@flaw([UNKNOWN, DAMAGED], message="Manifest")
def manifest_db_missing(out):
    small("db-plain").write(out)
    os.remove(out + "/Manifest.db")


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_empty(out):
    small("db-plain").write(out)
    save(out + "/Manifest.db", b"")


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_not_sqlite(out):
    small("db-plain").write(out)
    save(out + "/Manifest.db", b"This is no database. " * 500)


def many_rows(shape, n=300):
    b = small(shape)
    for i in range(n):
        b.dir("HomeDomain", f"Library/folder-{i:04d}")
    return b


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_truncated(out):
    many_rows("db-plain").write(out)
    data = read(out + "/Manifest.db")
    save(out + "/Manifest.db", data[:len(data) // 2])


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_encrypted_truncated(out):
    many_rows("db-encrypted").write(out)
    data = read(out + "/Manifest.db")
    save(out + "/Manifest.db", data[:len(data) // 2 // 16 * 16])


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_not_multiple_of_16(out):
    small("db-encrypted").write(out)
    save(out + "/Manifest.db", read(out + "/Manifest.db")[:-5])


@flaw([OK])
def manifest_db_encrypted_unpadded(out):
    # no flaw: some writers append no padding block
    small("db-encrypted").write(out)
    save(out + "/Manifest.db", read(out + "/Manifest.db")[:-16])


def with_sql(out, script, b=None):
    (b or small("db-plain")).write(out)
    db = sqlite3.connect(out + "/Manifest.db")
    db.executescript(script)
    db.commit()
    db.close()


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_no_files_table(out):
    with_sql(out, "ALTER TABLE Files RENAME TO Other;")


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_files_is_view(out):
    with_sql(out, "ALTER TABLE Files RENAME TO Hidden;"
             "CREATE VIEW Files AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
             " SELECT i + 1 FROM n) SELECT fileID, domain, relativePath,"
             " flags, file FROM Hidden, n;")


@flaw(DAMAGED, message="Manifest.db")
def manifest_db_lacks_columns(out):
    with_sql(out, "DROP TABLE Files; CREATE TABLE Files"
             " (fileID TEXT PRIMARY KEY, domain TEXT, flags INTEGER);"
             "INSERT INTO Files VALUES ('aa', 'HomeDomain', 1);")


@flaw([OK, DAMAGED])
def manifest_db_without_rowid(out):
    with_sql(out, "ALTER TABLE Files RENAME TO Old; CREATE TABLE Files"
             " (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT,"
             " flags INTEGER, file BLOB) WITHOUT ROWID;"
             "INSERT INTO Files SELECT * FROM Old; DROP TABLE Old;")


def table_pages(data, table):
    """(page number, offset) of the pages of a rowid table: interior pages,
    then leaves.  Enough of the b-tree format for a tree of small depth."""
    db = sqlite3.connect(":memory:")
    db.deserialize(bytes(data))
    root, = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?",
                       (table,)).fetchone()
    size = struct.unpack_from(">H", data, 16)[0]
    interior, leaves, todo = [], [], [root]
    while todo:
        number = todo.pop()
        at = (number - 1) * size
        if data[at] == 0x0d:
            leaves.append((number, at))
            continue
        assert data[at] == 0x05
        interior.append((number, at))
        cells, = struct.unpack_from(">H", data, at + 3)
        for i in range(cells):
            cell, = struct.unpack_from(">H", data, at + 12 + 2 * i)
            todo.append(struct.unpack_from(">I", data, at + cell)[0])
        todo.append(struct.unpack_from(">I", data, at + 8)[0])
    return interior, leaves


def fill_interior(data, at, child, size=4096, cells=300):
    """Make a page an interior one of a table, all its cells the same child."""
    page = bytearray(size)
    page[0] = 0x05
    start = size - 6 * cells
    struct.pack_into(">HHHBI", page, 1, 0, cells, start, 0, child)
    for i in range(cells):
        place = start + 6 * i
        struct.pack_into(">H", page, 12 + 2 * i, place)
        # the key: a varint of two bytes
        key = i + 128
        struct.pack_into(">IBB", page, place, child, 0x80 | key >> 7,
                         key & 0x7f)
    data[at:at + size] = page


@flaw([OK, DAMAGED], reads={GOOD: None})
def manifest_db_page_loop(out):
    # the root of Files is its own child
    many_rows("db-plain").write(out)
    data = bytearray(read(out + "/Manifest.db"))
    (root, at), *_ = table_pages(data, "Files")[0]
    fill_interior(data, at, root)
    save(out + "/Manifest.db", data)


@flaw([OK, DAMAGED], reads={GOOD: None})
def manifest_db_page_dag(out):
    # ten levels of pages, each 301 times the parent of the next: a scan would
    # return 10^25 rows
    many_rows("db-plain").write(out)
    data = bytearray(read(out + "/Manifest.db"))
    interior, leaves = table_pages(data, "Files")
    chain = interior[:1] + leaves[1:10]
    for (_, at), (child, _) in zip(chain, chain[1:] + leaves[:1]):
        fill_interior(data, at, child)
    save(out + "/Manifest.db", data)


@flaw(OK)
def manifest_db_rows_of_wrong_type(out):
    b = small("db-plain")
    blob = mbfile(b.entries[-1])
    b.write(out)
    db = sqlite3.connect(out + "/Manifest.db")
    odd = [None, 7, -1.5, "text", b"\x00blob\xff", "", b""]
    good = ["ab" * 20, "HomeDomain", "Library/x", 1, blob]
    number = 0
    for column in range(5):
        for value in odd:
            number += 1
            row = list(good)
            row[0] = f"{number:040x}"
            row[2] = f"Library/row-{number}"
            row[column] = value
            db.execute("INSERT OR IGNORE INTO Files VALUES (?, ?, ?, ?, ?)",
                       row)
    for flags in (2**62, -2**63, -1, "1", 1.5):
        number += 1
        db.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", (
            f"{number:040x}", "HomeDomain", f"Library/row-{number}", flags,
            blob))
    db.execute("INSERT INTO Files VALUES (NULL, NULL, NULL, NULL, NULL)")
    db.commit()
    db.close()


# --- the MBFile archive ------------------------------------------------------

def with_blob(out, make, shape="db-plain", **more):
    """Besides the good file one whose archive is what `make` says, given the
    entry."""
    b = small(shape)
    e = b.file("HomeDomain", "Library/flawed.bin", b"payload of 23 letters..",
               **more)
    e.blob = make(e)
    b.write(out)


def archive_with(change):
    """Archive of an entry after `change`(objects, MBFile dict)."""
    def make(e):
        archive = mbfile_objects(e)
        change(archive["$objects"], archive["$objects"][1])
        return plistlib.dumps(archive, fmt=plistlib.FMT_BINARY)
    return make


@flaw(OK)
def blob_garbage(out):
    with_blob(out, lambda e: b"\xde\xad\xbe\xef" * 60)


@flaw(OK)
def blob_truncated(out):
    with_blob(out, lambda e: mbfile(e)[:-50])


@flaw(OK)
def blob_cyclic_uids(out):
    def change(objects, main):
        objects[2] = UID(2)
        main["RelativePath"] = UID(2)
        objects.append({"NS.data": UID(len(objects)), "$class": UID(1)})
        main["Digest"] = UID(len(objects) - 1)
        main["ExtendedAttributes"] = UID(1)
    with_blob(out, archive_with(change))


@flaw(OK)
def blob_cyclic_containers(out):
    # $objects holds the top dictionary
    with_blob(out, lambda e: bplist([
        b"\xd2\x01\x02\x03\x04", b"\x58$objects", b"\x54$top", b"\xa1\x00",
        b"\xd1\x05\x06", b"\x54root", b"\x80\x00"]))


@flaw(OK)
def blob_uid_out_of_range(out):
    def change(objects, main):
        main["RelativePath"] = UID(4000)
        main["ExtendedAttributes"] = UID(0xffffffff)
        main["Digest"] = UID(len(objects))
    with_blob(out, archive_with(change))


@flaw(OK)
def blob_root_out_of_range(out):
    def make(e):
        archive = mbfile_objects(e)
        archive["$top"]["root"] = UID(99)
        return plistlib.dumps(archive, fmt=plistlib.FMT_BINARY)
    with_blob(out, make)


@flaw(OK)
def blob_huge_counts(out):
    def make(e):
        blob = mbfile(e)
        return blob[:-24] + struct.pack(">Q", 2**40) + blob[-16:]
    with_blob(out, make)


@flaw(OK)
def blob_huge_array(out):
    # an array that says it has 2^62 members
    with_blob(out, lambda e: bplist([
        b"\xd1\x01\x02", b"\x58$objects",
        b"\xaf\x13" + struct.pack(">Q", 2**62)]))


@flaw(OK)
def blob_huge(out):
    # 4 MiB of a key that means nothing
    with_blob(out, archive_with(
        lambda objects, main: objects.append(bytes(4 << 20))))


@flaw(OK)
def blob_wrong_types(out):
    def change(objects, main):
        main.update(Size="23", InodeNumber=b"inode", UserID=[], GroupID={},
                    LastModified="yesterday", Birth=True,
                    ProtectionClass=3.0, Digest="digest",
                    ExtendedAttributes=7)
    with_blob(out, archive_with(change))


@flaw(OK)
def blob_xattrs_garbage(out):
    with_blob(out, archive_with(lambda objects, main: (
        objects.append(b"bplist00 no plist at all"),
        main.update(ExtendedAttributes=UID(len(objects) - 1)))),)


@flaw(OK, reads={FLAWED: content(b"payload of 23 letters..")})
def blob_negative_size(out):
    with_blob(out, archive_with(
        lambda objects, main: main.update(Size=-5)), "db-encrypted")


@flaw(OK)
def blob_negative_size_payload_missing(out):
    with_blob(out, archive_with(
        lambda objects, main: main.update(Size=-5)), missing=True)


@flaw(OK, reads={FLAWED: content(b"payload of 23 letters..")})
def blob_size_2_63(out):
    with_blob(out, archive_with(
        lambda objects, main: main.update(Size=2**63)))


@flaw(OK, reads={FLAWED: EIO})
def blob_size_2_63_payload_cut(out):
    # a length taken from the record must not overflow
    with_blob(out, archive_with(
        lambda objects, main: main.update(Size=2**63 - 1)), "db-encrypted",
        cut=9)


@flaw(OK, reads={FLAWED: {"errors": ["EIO", "ENOKEY"]}})
def blob_key_wrong_length(out):
    with_blob(out, mbfile, "db-encrypted", wrapped=b"\x03\0\0\0" + bytes(16))


@flaw(OK, reads={FLAWED: {"errors": ["EIO", "ENOKEY"]}})
def blob_key_damaged(out):
    with_blob(out, mbfile, "db-encrypted", wrapped=b"\x03\0\0\0" + bytes(40))


@flaw(OK, reads={FLAWED: {"errors": ["ENOKEY"]}})
def blob_key_unknown_class(out):
    with_blob(out, mbfile, "db-encrypted", pclass=77,
              wrapped=b"\x4d\0\0\0" + bytes(40))


@flaw(OK, reads={FLAWED: {"errors": ["ENOKEY"]}})
def blob_key_of_device_bound_class(out):
    # class 10 is wrapped with the device's own key as well (WRAP 3)
    with_blob(out, mbfile, "db-encrypted", pclass=10,
              wrapped=b"\x0a\0\0\0" + bytes(40))


# --- paths -------------------------------------------------------------------

def with_path(out, path, domain="HomeDomain"):
    b = small("db-plain")
    b.file(domain, path, b"odd place")
    b.write(out)


@flaw(OK)
def deep_path_10000(out):
    with_path(out, "d/" * 10000 + "f")


@flaw(OK)
def deep_path_mbdb(out):
    b = small("mbdb-plain")
    b.file("HomeDomain", "d/" * 30000 + "f", b"deep")
    b.write(out)


@flaw(OK, reads={
    "HomeDomain/%2E%2E/%2E%2E/%2E%2E/etc/cron.d/x": content(b"odd place")})
def path_dotdot(out):
    with_path(out, "../../../etc/cron.d/x")


@flaw(OK, reads={"HomeDomain/%2Fetc/cron.d/x": content(b"odd place")})
def path_absolute(out):
    with_path(out, "/etc/cron.d/x")


@flaw(OK, reads={"HomeDomain/Library/a%00b": content(b"odd place")})
def path_nul(out):
    with_path(out, "Library/a\0b")


@flaw(OK, reads={"SysContainerDomain-..%2F..%2F..%2Fetc/x":
                 content(b"odd place")})
def domain_dotdot(out):
    with_path(out, "x", "SysContainerDomain-../../../etc")


@flaw(OK, reads={"HomeDomain/Library/link/passwd": content(b"not the host's")})
def symlink_outside(out):
    b = small("db-plain")
    b.link("HomeDomain", "Library/link", "/etc")
    b.file("HomeDomain", "Library/link/passwd", b"not the host's")
    b.link("HomeDomain", "Library/up", "../" * 30 + "etc/passwd")
    b.write(out)


# --- payloads ----------------------------------------------------------------

def with_payload(out, spoil):
    """A flawed.bin whose payload is taken away, then `spoil`(path)."""
    b = small("db-plain")
    e = b.file("HomeDomain", "Library/flawed.bin", b"some content")
    b.write(out)
    path = payload_path(out, e)
    os.remove(path)
    spoil(path)


@flaw(OK, reads={FLAWED: EIO})
def payload_is_symlink_outside(out):
    with_payload(out, lambda path: os.symlink("/etc/hostname", path))


@flaw(OK, reads={FLAWED: EIO})
def payload_is_fifo(out):
    with_payload(out, os.mkfifo)


@flaw(OK, reads={FLAWED: EIO})
def payload_is_directory(out):
    with_payload(out, os.mkdir)


@flaw(OK, reads={FLAWED: EIO})
def payload_folder_is_symlink(out):
    def spoil(path):
        folder = os.path.dirname(path)
        elsewhere = os.path.join(os.path.dirname(out), ".elsewhere")
        os.makedirs(elsewhere, exist_ok=True)
        save(os.path.join(elsewhere, os.path.basename(path)), b"elsewhere")
        assert not os.listdir(folder)
        os.rmdir(folder)
        os.symlink("../.elsewhere", folder)
    with_payload(out, spoil)


@flaw(OK, reads={FLAWED: EIO})
def payload_missing(out):
    with_payload(out, lambda path: None)


def with_file_id(out, file_id):
    b = small("db-plain")
    e = b.file("HomeDomain", "Library/flawed.bin", b"some content",
               missing=True)
    e.file_id = file_id
    b.write(out)
    return e


@flaw(OK, reads={FLAWED: EIO})
def fileid_with_slashes(out):
    with_file_id(out, "../../etc/passwd")


@flaw(OK, reads={FLAWED: EIO})
def fileid_dotdot_absolute(out):
    with_file_id(out, "/etc/passwd")


@flaw(OK, reads={FLAWED: EIO})
def fileid_names_plist(out):
    # must not give the backup's own Info.plist as content
    with_file_id(out, "Info.plist")


@flaw(OK, reads={FLAWED: EIO})
def fileid_short(out):
    with_file_id(out, "a")


@flaw(OK)
def fileid_uppercase(out):
    # the payload lies under the lower-case name
    e = with_file_id(out, "x")
    db = sqlite3.connect(out + "/Manifest.db")
    db.execute("UPDATE Files SET fileID = ? WHERE fileID = 'x'",
               (e.canonical_id.upper(),))
    db.commit()
    db.close()
    os.makedirs(f"{out}/{e.canonical_id[:2]}", exist_ok=True)
    save(f"{out}/{e.canonical_id[:2]}/{e.canonical_id}", b"some content")


# --- Manifest.mbdb -----------------------------------------------------------

def with_mbdb(out, change):
    b = small("mbdb-plain")
    b.file("HomeDomain", "Library/flawed.bin", b"some content",
           xattrs={"com.example.a": b"1"})
    b.write(out)
    data = read(out + "/Manifest.mbdb")
    save(out + "/Manifest.mbdb", change(data))


@flaw(DAMAGED, message="Manifest.mbdb")
def mbdb_truncated(out):
    with_mbdb(out, lambda data: data[:-30])


@flaw(DAMAGED, message="Manifest.mbdb")
def mbdb_length_past_end(out):
    # the path of the last record
    def change(data):
        at = data.rindex(b"Library/flawed.bin") - 2
        return data[:at] + b"\xff\xfe" + data[at + 2:]
    with_mbdb(out, change)


@flaw([UNKNOWN, DAMAGED], message="Manifest.mbdb")
def mbdb_bad_magic(out):
    with_mbdb(out, lambda data: b"mbdx" + data[4:])


@flaw(DAMAGED, message="Manifest.mbdb")
def mbdb_empty(out):
    with_mbdb(out, lambda data: b"")


@flaw(DAMAGED, message="Manifest.mbdb")
def mbdb_huge_property_count(out):
    # 255 properties where one is
    def change(data):
        at = data.rindex(b"\x00\x0dcom.example.a") - 1
        return data[:at] + b"\xff" + data[at + 1:]
    with_mbdb(out, change)


@flaw(OK, reads={FLAWED: content(b"some content")})
def mbdb_negative_size(out):
    def change(data):
        at = data.rindex(b"\x00\x0dcom.example.a") - 10
        return data[:at] + struct.pack(">q", -5) + data[at + 8:]
    with_mbdb(out, change)


# --- interrupted backups -----------------------------------------------------

def new_backup():
    """The next state of small(): one file changed, one more, one the same."""
    b = small("db-plain")
    b.file("HomeDomain", "Library/changed.txt", b"after")
    b.file("HomeDomain", "Library/new.txt", b"new")
    return b


def old_backup():
    b = small("db-plain")
    b.file("HomeDomain", "Library/changed.txt", b"before")
    b.file("HomeDomain", "Library/gone.txt", b"gone")
    return b


def set_status(out, state):
    save_plist(out + "/Status.plist",
               status_plist(SHAPES["db-plain"], state))


def move(src, dst, name):
    os.makedirs(os.path.dirname(os.path.join(dst, name)), exist_ok=True)
    os.replace(os.path.join(src, name), os.path.join(dst, name))


def interrupted(out, moved):
    """Old backup with the new one in Snapshot/, all of it but good.txt (which
    is unchanged, so not sent); then the `moved` names moved into place."""
    old, new = old_backup(), new_backup()
    old.write(out)
    snapshot = out + "/Snapshot"
    new.write(snapshot)
    os.remove(snapshot + "/Info.plist")
    os.remove(snapshot + "/Status.plist")
    os.remove(payload_path(snapshot, new.entries[2]))
    ids = {e.path.decode(): f"{e.file_id[:2]}/{e.file_id}"
           for e in new.entries}
    for name in moved:
        move(snapshot, out, ids.get(name, name))


OLD = {"HomeDomain/Library/changed.txt": content(b"before"),
       "HomeDomain/Library/gone.txt": content(b"gone"),
       "HomeDomain/Library/new.txt": {"absent": True}}
NEW = {"HomeDomain/Library/changed.txt": content(b"after"),
       "HomeDomain/Library/new.txt": content(b"new"),
       "HomeDomain/Library/gone.txt": {"absent": True}}


@flaw(OK, reads=OLD)
def status_uploading(out):
    interrupted(out, [])
    os.remove(out + "/Snapshot/Manifest.plist")
    os.remove(out + "/Snapshot/Manifest.db")
    set_status(out, "uploading")


@flaw(OK, reads=NEW)
def status_moving(out):
    # one payload is moved already; both manifests are not
    interrupted(out, ["Library/new.txt"])
    set_status(out, "moving")


@flaw(OK, reads=NEW)
def status_moving_main_only(out):
    # the manifests are moved already; one payload is not
    interrupted(out, ["Library/new.txt", "Manifest.plist", "Manifest.db"])
    set_status(out, "moving")


@flaw(OK, reads=NEW)
def status_removing(out):
    # all is moved; what the new backup lacks still lies about
    interrupted(out, ["Library/new.txt", "Library/changed.txt",
                      "Manifest.plist", "Manifest.db"])
    shutil.rmtree(out + "/Snapshot")
    set_status(out, "removing")


@flaw(UNKNOWN, message="interrupted")
def snapshot_only_uploading(out):
    b = new_backup()
    b.write(out)
    os.makedirs(out + "/Snapshot")
    for name in os.listdir(out):
        if len(name) == 2:
            os.replace(f"{out}/{name}", f"{out}/Snapshot/{name}")
    os.remove(out + "/Manifest.plist")
    os.remove(out + "/Manifest.db")
    set_status(out, "uploading")


# --- command line ------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(
        description="Make backups with one flaw each.")
    parser.add_argument("outdir", nargs="?")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(FLAWS))
        return
    if not args.outdir:
        parser.error("OUTDIR is wanted")
    out = os.path.abspath(args.outdir)
    os.makedirs(out, exist_ok=True)
    if os.listdir(out):
        parser.error(f"{out} is not empty")
    for name, (maker, _) in FLAWS.items():
        maker(os.path.join(out, name))
    with open(os.path.join(out, "EXPECT.json"), "w", encoding="ascii") as f:
        json.dump({name: expect for name, (_, expect) in FLAWS.items()}, f,
                  indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
