#!/usr/bin/python3
"""Make iPhone backups, and say what a mount of them must show.

    mkbackup.py SHAPE OUTDIR [options]
    mkbackup.py --self-test

This is the independent side of larder's tests.  It is written from the format
alone (see iphone-backup(5)) and shares nothing with core/.  Needs Python 3.11
and python3-cryptography; the sample's pictures also python3-pil.

A Backup is filled with file(), dir(), link() and row(), then written.  Beside
it goes EXPECT: one JSON object a line, sorted by path, one for each entry of
the mount:

    path       "<Domain>/<shown name>", as os.fsdecode gives it
    type       "f", "d" or "l"
    mode       permission bits, & 07777
    size       bytes (files and symlinks)
    mtime_ns   absent where nothing is recorded
    sha256     of the whole content (files that can be read)
    target     text of a symlink
    xattrs     {name: base64 of the value}: those that must exist
    error      "EIO": reading fails once `readable` bytes were delivered,
               whose SHA-256 is `sha256_readable`.  With `readable` 0 it may
               be open() that fails
"""

import argparse
import base64
import dataclasses
import datetime
import gzip
import hashlib
import io
import itertools
import json
import os
import plistlib
import random
import sqlite3
import struct
import sys
import uuid
from fractions import Fraction
from plistlib import UID

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import (InvalidUnwrap,
                                                    aes_key_unwrap,
                                                    aes_key_wrap)

EPOCH = datetime.datetime(1970, 1, 1)
EPOCH_2001 = 978307200          # 2001-01-01 in Unix time
NOW = 1718444800                # "today" of every backup made here
DEFAULT_PASSWORD = "correct horse"


@dataclasses.dataclass(frozen=True)
class Shape:
    """What differs from one generation of backups to another."""
    name: str
    encrypted: bool
    db: bool                    # Manifest.db and hashed folders
    manifest_key: bool          # Manifest.db itself is encrypted
    double_kdf: bool            # SHA-256 stage in front of the SHA-1 stage
    keybag_version: int
    version: str                # Manifest.plist
    status_version: str
    domains_version: str
    ios: str
    build: str
    product: str
    product_name: str
    udid: str


SHAPES = {s.name: s for s in (
    Shape("db-encrypted", True, True, True, True, 5, "10.0", "3.3", "24.0",
          "17.5.1", "21F90", "iPhone14,5", "iPhone 13",
          "00008110-000A1B2C3D4E5F67"),
    Shape("db-plain", False, True, False, False, 5, "10.0", "3.3", "24.0",
          "17.5.1", "21F90", "iPhone14,5", "iPhone 13",
          "00008110-000A1B2C3D4E5F67"),
    Shape("db-ios10", True, True, False, False, 3, "10.0", "3.2", "16.0",
          "10.1.1", "14B100", "iPhone8,1", "iPhone 6s",
          "5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e"),
    Shape("mbdb-encrypted", True, False, False, False, 3, "9.1", "2.4", "14.0",
          "9.3.5", "13G36", "iPhone5,2", "iPhone 5",
          "5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e"),
    Shape("mbdb-plain", False, False, False, False, 3, "9.1", "2.4", "14.0",
          "9.3.5", "13G36", "iPhone5,2", "iPhone 5",
          "5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e"),
)}


# --- ciphers and keys --------------------------------------------------------

def pad(data):
    """PKCS#7 for 16-byte blocks: one byte at least, a whole block at most."""
    n = 16 - len(data) % 16
    return data + bytes([n]) * n


def encrypt(key, blocks):
    """AES-256-CBC with a zero IV over whole blocks."""
    enc = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return enc.update(blocks) + enc.finalize()


def decrypt(key, blocks):
    dec = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
    return dec.update(blocks) + dec.finalize()


def wrap(kek, key):
    """RFC 3394."""
    return aes_key_wrap(kek, key)


def unwrap(kek, wrapped):
    """RFC 3394; None when the integrity value is wrong."""
    try:
        return aes_key_unwrap(kek, wrapped)
    except InvalidUnwrap:
        return None


def passcode_key(password, salt, iterations, dpsl=None, dpic=None):
    """The key that wraps the class keys; two stages since iOS 10.2."""
    secret = password.encode() if isinstance(password, str) else password
    if dpsl is not None:
        secret = hashlib.pbkdf2_hmac("sha256", secret, dpsl, dpic, 32)
    return hashlib.pbkdf2_hmac("sha1", secret, salt, iterations, 32)


def be32(n):
    return struct.pack(">I", n)


def tlv(tag, value):
    return tag.encode() + be32(len(value)) + value


class Keybag:
    """A backup keybag.  `header` and `classes` are lists of [tag, value], a
    class being such a list of its own: change them, then encode()."""

    def __init__(self):
        self.header = []
        self.classes = []
        self.class_keys = {}    # class number -> key, WRAP 2 only
        self.kek = None

    @classmethod
    def make(cls, rng, password, version=5, iterations=10, dpic=None,
             device_bound=(9, 10, 11)):
        """A keybag of eleven classes.  With `dpic` the derivation has two
        stages.  Keys of the `device_bound` classes (WRAP 3) are of no use."""
        bag = cls()
        salt, dpsl = rng.randbytes(20), rng.randbytes(20)
        bag.kek = passcode_key(password, salt, iterations,
                               dpsl if dpic else None, dpic)
        bag.header = [["VERS", be32(version)], ["TYPE", be32(1)],
                      ["UUID", rng.randbytes(16)], ["HMCK", bytes(40)],
                      ["WRAP", be32(0)], ["SALT", salt],
                      ["ITER", be32(iterations)]]
        if dpic:
            bag.header += [["DPWT", be32(1)], ["DPIC", be32(dpic)],
                           ["DPSL", dpsl]]
        for number in range(1, 12):
            key = rng.randbytes(32)
            bound = number in device_bound
            bag.add_class(number, key, rng.randbytes(16), 3 if bound else 2)
        return bag

    def add_class(self, number, key, ident, wrapping=2):
        self.classes.append([["UUID", ident], ["CLAS", be32(number)],
                             ["WRAP", be32(wrapping)], ["KTYP", be32(0)],
                             ["WPKY", wrap(self.kek, key)]])
        if wrapping == 2:
            self.class_keys[number] = key

    def encode(self):
        fields = itertools.chain(self.header, *self.classes)
        return b"".join(tlv(tag, value) for tag, value in fields)

    def wrap_key(self, number, key):
        """Class (little-endian) and wrapped key: ManifestKey, EncryptionKey."""
        return struct.pack("<I", number) + wrap(self.class_keys[number], key)


def parse_keybag(data):
    """[header, class, ...] as dicts: the second UUID and each later one open
    a class.  For checks."""
    parts = [{}]
    while data:
        tag, length = data[:4].decode(), struct.unpack(">I", data[4:8])[0]
        if tag == "UUID" and "UUID" in parts[-1]:
            parts.append({})
        parts[-1][tag] = data[8:8 + length]
        data = data[8 + length:]
    return parts


# --- records -----------------------------------------------------------------

class Stamp:
    """A time that is not a plain integer: as a plist date in the MBFile
    ("date"), behind a UID ("date-uid"), or as an NSDate object ("nsdate")."""

    def __init__(self, seconds, form):
        self.seconds, self.form = seconds, form


def whole_seconds(time):
    return int(time.seconds // 1) if isinstance(time, Stamp) else time


def nanoseconds(time):
    return round(Fraction(time.seconds) * 10**9) \
        if isinstance(time, Stamp) else time * 10**9


TYPE_FLAG = {"f": 1, "d": 2, "l": 4}
TYPE_MODE = {"f": 0o100000, "d": 0o040000, "l": 0o120000}


@dataclasses.dataclass
class Entry:
    """One manifest record and the payload that goes with it."""
    type: str
    domain: bytes
    path: bytes
    mode: int                       # permission bits
    mtime: object = NOW
    ctime: object = NOW
    birth: object = NOW
    uid: int = 501
    gid: int = 501
    inode: int = 0
    pclass: int = 3
    target: bytes = None
    digest: bytes = None            # True: SHA-1 of what is stored
    digest_form: str = "inline"     # or "uid", "nsdata"
    xattrs: dict = None             # {str: bytes}
    data: bytes = b""               # the plaintext
    size: int = None                # recorded; None: true length
    blocks: bytes = None            # encrypt this instead of padded data
    cut: int = None                 # store only so many bytes
    missing: bool = False           # store nothing
    keyed: bool = True              # False: no key though encrypted
    key: bytes = None
    wrapped: bytes = None
    file_id: str = None             # None: canonical
    other_place: bool = False       # flat where hashed is usual, or reverse
    flags: int = None               # column; None: the type's
    blob_form: str = "usual"        # "nsdata-uid", "root-last", "cf-uid",
                                    # "minimal"
    blob: bytes = None              # replaces the MBFile archive
    stored: bytes = None            # filled in by Backup

    @property
    def canonical_id(self):
        return hashlib.sha1(self.domain + b"-" + self.path).hexdigest()


def uid_or_dict(obj):
    """The archive with every UID replaced by {"CF$UID": n}, as it looks after
    a way through XML."""
    if isinstance(obj, UID):
        return {"CF$UID": obj.data}
    if isinstance(obj, dict):
        return {k: uid_or_dict(v) for k, v in obj.items()}
    if isinstance(obj, list):
        return [uid_or_dict(v) for v in obj]
    return obj


def mbfile_objects(e):
    """The NSKeyedArchiver archive of an entry as Python objects."""
    objects = ["$null"]

    def put(obj):
        objects.append(obj)
        return UID(len(objects) - 1)

    def put_class(*names):
        return put({"$classname": names[0], "$classes": list(names)})

    def put_data(data, through_uid=False):
        holder = {}
        ref = put(holder)
        holder["$class"] = put_class("NSMutableData", "NSData", "NSObject")
        holder["NS.data"] = put(data) if through_uid else data
        return ref

    def time(value):
        if not isinstance(value, Stamp):
            return value
        if value.form == "nsdate":
            holder = {"NS.time": float(value.seconds - EPOCH_2001)}
            ref = put(holder)
            holder["$class"] = put_class("NSDate", "NSObject")
            return ref
        date = EPOCH + datetime.timedelta(seconds=value.seconds)
        return put(date) if value.form == "date-uid" else date

    main = {}
    if e.blob_form == "root-last":
        root = None
    else:
        root = put(main)
    main["RelativePath"] = put(e.path.decode(errors="replace"))
    main["Mode"] = TYPE_MODE[e.type] | e.mode
    if e.target is not None:
        main["Target"] = put(e.target.decode(errors="replace"))
    if e.blob_form != "minimal":
        main.update({
            "LastModified": time(e.mtime), "LastStatusChange": time(e.ctime),
            "Birth": time(e.birth), "UserID": e.uid, "GroupID": e.gid,
            "InodeNumber": e.inode, "Flags": 0, "Size": e.size or 0,
            "ProtectionClass": e.pclass})
    if e.wrapped is not None:
        main["EncryptionKey"] = put_data(e.wrapped,
                                         e.blob_form == "nsdata-uid")
    if e.xattrs:
        main["ExtendedAttributes"] = put(
            plistlib.dumps(e.xattrs, fmt=plistlib.FMT_BINARY))
    if e.digest is not None:
        main["Digest"] = {"inline": lambda d: d, "uid": put,
                          "nsdata": put_data}[e.digest_form](e.digest)
    main["$class"] = put_class("MBFile", "NSObject")
    if root is None:
        root = put(main)
    archive = {"$version": 100000, "$archiver": "NSKeyedArchiver",
               "$top": {"root": root}, "$objects": objects}
    return uid_or_dict(archive) if e.blob_form == "cf-uid" else archive


def mbfile(e):
    return plistlib.dumps(mbfile_objects(e), fmt=plistlib.FMT_BINARY)


class BlobTemplate:
    """MBFile archives by filling in a form: some hundred times faster than
    plistlib, for backups of a million records.

    All that varies stands behind all that does not, each at a fixed place;
    only the path, the last object, varies in length."""

    def __init__(self, mode, pclass, keyed):
        self.keyed = keyed
        objects = []

        def put(encoded):
            objects.append(encoded)
            return len(objects) - 1

        def text(s):
            n = len(s)
            head = bytes([0x50 | n]) if n < 15 else bytes([0x5f, 0x10, n])
            return put(head + s.encode("ascii"))

        def array(refs):
            return put(bytes([0xa0 | len(refs)]) + bytes(refs))

        def dictionary(pairs):
            n = len(pairs)
            head = bytes([0xd0 | n]) if n < 15 else bytes([0xdf, 0x10, n])
            return put(head + bytes(text(k) for k in pairs)
                       + bytes(pairs.values()))

        def archive_class(*names):
            return dictionary({"$classname": text(names[0]),
                               "$classes": array([text(n) for n in names])})

        integer = lambda n: put(b"\x12" + be32(n))
        ref = lambda n: put(bytes([0x80, n]))

        # numbers of the objects that vary: known only once the others are
        # counted, so the fixed ones are made twice
        def fixed(first_hole):
            objects.clear()
            hole = itertools.count(first_hole)
            size, inode, birth, mtime, ctime = (next(hole) for _ in range(5))
            key = next(hole) if keyed else None
            path = next(hole)
            main = {"$class": ref(3), "Birth": birth, "Flags": integer(0),
                    "GroupID": integer(501), "InodeNumber": inode,
                    "LastModified": mtime, "LastStatusChange": ctime,
                    "Mode": integer(mode), "ProtectionClass": integer(pclass),
                    "RelativePath": ref(2), "Size": size,
                    "UserID": integer(501)}
            members = [text("$null"), None, path,
                       archive_class("MBFile", "NSObject")]
            if keyed:
                main["EncryptionKey"] = ref(4)
                holder = dictionary({"$class": ref(5), "NS.data": key})
                members += [holder, archive_class("NSMutableData", "NSData",
                                                  "NSObject")]
            members[1] = dictionary(main)
            return dictionary({"$archiver": text("NSKeyedArchiver"),
                               "$objects": array(members),
                               "$top": dictionary({"root": ref(1)}),
                               "$version": integer(100000)})

        fixed(0)
        top = fixed(len(objects))
        self.head = b"bplist00" + b"".join(objects)
        offsets = list(itertools.accumulate(
            [8] + [len(o) for o in objects] + [5] * 5
            + ([47] if keyed else [])))
        self.tail = b"".join(struct.pack(">H", o) for o in offsets) \
            + bytes(6) + bytes([2, 1]) + struct.pack(">QQ", len(offsets), top)

    def fill(self, path, size, inode, birth, mtime, ctime, wrapped=None):
        """`path` is str, ASCII, under 256 bytes."""
        n = len(path)
        body = b"".join((
            self.head,
            struct.pack(">BIBIBIBIBI", 0x12, size, 0x12, inode, 0x12, birth,
                        0x12, mtime, 0x12, ctime),
            b"\x4f\x10\x2c" + wrapped if self.keyed else b"",
            bytes((0x50 | n,)) if n < 15 else bytes((0x5f, 0x10, n)),
            path.encode("ascii")))
        return body + self.tail + struct.pack(">Q", len(body))


def mbdb_string(value):
    if value is None:
        return b"\xff\xff"
    return struct.pack(">H", len(value)) + value


def mbdb_record(e):
    attributes = e.xattrs or {}
    return b"".join((
        mbdb_string(e.domain), mbdb_string(e.path), mbdb_string(e.target),
        mbdb_string(e.digest), mbdb_string(e.wrapped),
        struct.pack(">HQIIiiiQBB", TYPE_MODE[e.type] | e.mode, e.inode, e.uid,
                    e.gid, whole_seconds(e.mtime), whole_seconds(e.ctime),
                    whole_seconds(e.birth), e.size or 0, e.pclass,
                    len(attributes)),
        *(mbdb_string(name.encode()) + mbdb_string(value)
          for name, value in attributes.items())))


# --- manifests ---------------------------------------------------------------

SCHEMA = """
CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);
"""
INDEXES = """
CREATE INDEX FilesDomainIdx ON Files(domain);
CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
CREATE INDEX FilesFlagsIdx ON Files(flags);
"""


def sql_text(value):
    """bytes -> what sqlite3 stores as TEXT; bytes stay where it is no UTF-8
    (the statement casts them)."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return value


def write_db(path, rows, properties=()):
    """Manifest.db with rows of (fileID, domain, relativePath, flags, file)."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA page_size=4096; PRAGMA journal_mode=OFF;"
                     "PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;"
                     "PRAGMA user_version=2; BEGIN;" + SCHEMA)
    db.executemany("INSERT INTO Files VALUES (?, CAST(? AS TEXT),"
                   " CAST(? AS TEXT), ?, ?)", rows)
    db.executemany("INSERT INTO Properties VALUES (?, ?)", properties)
    db.executescript(INDEXES)       # commits first
    db.close()


def encrypt_file(path, key):
    """Manifest.db in place, with PKCS#7, as devices leave it."""
    enc = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    aside = path + ".enc"
    with open(path, "rb") as src, open(aside, "wb") as dst:
        while chunk := src.read(1 << 20):
            if len(chunk) < 1 << 20 or src.tell() == os.fstat(
                    src.fileno()).st_size:
                chunk = pad(chunk)
            dst.write(enc.update(chunk))
        dst.write(enc.finalize())
    os.replace(aside, path)


# --- the backup --------------------------------------------------------------

def to_bytes(text):
    return text if isinstance(text, bytes) else os.fsencode(text)


class Backup:
    """A backup to be: add entries, write(), expect().

    `keybag`, `manifest_key` and `manifest_key_class` may be changed before
    write(); `edit` is called with Manifest.plist's dict, if given."""

    def __init__(self, shape, password=DEFAULT_PASSWORD, seed=1, dpic=10,
                 iterations=10, edit=None):
        self.shape = SHAPES[shape] if isinstance(shape, str) else shape
        self.rng = random.Random(seed)
        self.password = password if self.shape.encrypted else ""
        self.keybag = Keybag.make(
            self.rng, self.password, self.shape.keybag_version, iterations,
            dpic if self.shape.double_kdf else None,
            (9, 10, 11) if self.shape.encrypted else range(5, 12))
        self.manifest_key = self.rng.randbytes(32)
        self.manifest_key_class = 3
        self.edit = edit
        self.entries = []
        self.raw_rows = []
        self.mbdx = False
        self.device_name = "Anna's iPhone"
        self.next_inode = 1000

    # adding

    def file(self, domain, path, data=b"", mode=0o644, **more):
        e = self._entry("f", domain, path, mode, data=data, **more)
        if e.size is None:
            e.size = len(data)
        self._store(e)
        return e

    def dir(self, domain, path="", mode=0o755, **more):
        return self._entry("d", domain, path, mode, size=0, **more)

    def link(self, domain, path, target, mode=0o755, **more):
        return self._entry("l", domain, path, mode, target=to_bytes(target),
                           size=0, **more)

    def parents(self, domain, path, **more):
        """Directory rows for the domain and all above `path`, where none is
        there yet."""
        have = {(e.domain, e.path) for e in self.entries if e.type == "d"}
        parts = path.split("/")[:-1]
        for n in range(len(parts) + 1):
            above = "/".join(parts[:n])
            if (to_bytes(domain), to_bytes(above)) not in have:
                self.dir(domain, above, **more)

    def row(self, file_id, domain, path, flags, blob):
        """A row of Manifest.db as it is, which the mount is to skip."""
        self.raw_rows.append((file_id, sql_text(domain), sql_text(path), flags,
                              blob))

    def _entry(self, kind, domain, path, mode, **more):
        e = Entry(kind, to_bytes(domain), to_bytes(path), mode, **more)
        if e.inode == 0:
            self.next_inode += 1
            e.inode = self.next_inode
        if e.file_id is None:
            e.file_id = e.canonical_id
        self.entries.append(e)
        return e

    def _store(self, e):
        """Settle key, stored bytes and digest of a regular file."""
        e.keyed = e.keyed and self.shape.encrypted
        stored = e.data
        if e.keyed:
            if e.key is None:
                e.key = self.rng.randbytes(32)
            if e.wrapped is None:
                e.wrapped = self.keybag.wrap_key(e.pclass, e.key)
            if e.blocks is None:
                e.blocks = pad(e.data)
            stored = encrypt(e.key, e.blocks)
        e.stored = None if e.missing else stored[:e.cut]
        if e.digest is True:
            e.digest = hashlib.sha1(e.stored or b"").digest()

    # writing

    def write(self, out):
        os.makedirs(out, exist_ok=True)
        for e in self.entries:
            if e.stored is not None:
                self.write_payload(out, e.file_id, e.stored, e.other_place)
        if self.shape.db:
            self.write_manifest_db(out, itertools.chain(
                (self.db_row(e) for e in self.entries), self.raw_rows))
        else:
            self.write_manifest_mbdb(out, map(mbdb_record, self.entries))
            if self.mbdx:
                self.write_mbdx(out)
        self.write_plists(out)

    def write_payload(self, out, file_id, stored, other_place=False):
        hashed = self.shape.db != other_place
        folder = os.path.join(out, file_id[:2]) if hashed else out
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, file_id), "wb") as f:
            f.write(stored)

    def db_row(self, e):
        return (e.file_id, sql_text(e.domain), sql_text(e.path),
                TYPE_FLAG[e.type] if e.flags is None else e.flags,
                mbfile(e) if e.blob is None else e.blob)

    def write_manifest_db(self, out, rows):
        properties = []
        if self.shape.encrypted and not self.shape.manifest_key:
            salt = self.rng.randbytes(16)
            check = hashlib.sha256(self.password.encode() + salt).digest()
            properties = [("salt", salt), ("passwordHash", check)]
        path = os.path.join(out, "Manifest.db")
        write_db(path, rows, properties)
        if self.shape.manifest_key:
            encrypt_file(path, self.manifest_key)

    def write_manifest_mbdb(self, out, records):
        with open(os.path.join(out, "Manifest.mbdb"), "wb") as f:
            f.write(b"mbdb\x05\x00")
            f.writelines(records)

    def write_mbdx(self, out):
        index, offset = b"", 0
        for e in self.entries:
            index += bytes.fromhex(e.canonical_id) \
                + struct.pack(">IH", offset, TYPE_MODE[e.type] | e.mode)
            offset += len(mbdb_record(e))
        with open(os.path.join(out, "Manifest.mbdx"), "wb") as f:
            f.write(b"mbdx\x02\x00" + be32(len(self.entries)) + index)

    def manifest_plist(self, apps=()):
        shape = self.shape
        plist = {
            "Version": shape.version,
            "SystemDomainsVersion": shape.domains_version,
            "Date": plist_date(NOW),
            "IsEncrypted": shape.encrypted,
            "WasPasscodeSet": True,
            "BackupKeyBag": self.keybag.encode(),
            "Lockdown": {
                "BuildVersion": shape.build, "DeviceName": self.device_name,
                "ProductType": shape.product, "ProductVersion": shape.ios,
                "SerialNumber": "F2LXXXXXXXXX", "UniqueDeviceID": shape.udid,
                "com.apple.MobileDeviceCrashCopy": {},
                "com.apple.mobile.data_sync": {}},
            "Applications": {
                app: {"CFBundleIdentifier": app, "CFBundleVersion": "1",
                      "ContainerContentClass": "Data/Application",
                      "Path": "/var/containers/Bundle/Application/"
                              + str(uuid.uuid5(uuid.NAMESPACE_DNS, app)
                                    ).upper()}
                for app in apps}}
        if shape.manifest_key:
            plist["ManifestKey"] = self.keybag.wrap_key(
                self.manifest_key_class, self.manifest_key)
        return plist

    def write_plists(self, out, snapshot_state="finished"):
        shape = self.shape
        apps = sorted({
            e.domain[10:].decode(errors="replace") for e in self.entries
            if e.domain.startswith(b"AppDomain-")})
        manifest = self.manifest_plist(apps)
        if self.edit:
            self.edit(manifest)
        status = status_plist(shape, snapshot_state)
        info = {
            "Build Version": shape.build, "Device Name": self.device_name,
            "Display Name": self.device_name,
            "GUID": hashlib.md5(shape.udid.encode()).hexdigest().upper(),
            "IMEI": "350000000000006", "Installed Applications": apps,
            "Last Backup Date": plist_date(NOW), "Applications": {},
            "Product Name": shape.product_name,
            "Product Type": shape.product, "Product Version": shape.ios,
            "Serial Number": "F2LXXXXXXXXX", "Target Identifier": shape.udid,
            "Target Type": "Device", "Unique Identifier": shape.udid.upper(),
            "iTunes Version": "12.13.2"}
        for name, plist, fmt in (
                ("Manifest.plist", manifest, plistlib.FMT_BINARY),
                ("Status.plist", status, plistlib.FMT_BINARY),
                ("Info.plist", info, plistlib.FMT_XML)):
            with open(os.path.join(out, name), "wb") as f:
                plistlib.dump(plist, f, fmt=fmt)

    # what the mount shows

    def expect(self):
        """Lines of EXPECT as dicts, sorted."""
        shown = lay_out(self.entries)
        return [expect_entry(path, e, self.shape) for path, e in
                sorted(shown.items())]


def plist_date(seconds):
    return EPOCH + datetime.timedelta(seconds=seconds)


def status_plist(shape, snapshot_state):
    return {"Version": shape.status_version, "UUID": str(
                uuid.uuid5(uuid.NAMESPACE_DNS, shape.udid)).upper(),
            "Date": plist_date(NOW), "BackupState": "new",
            "SnapshotState": snapshot_state, "IsFullBackup": True}


def write_expect(path, lines):
    with open(path, "w", encoding="ascii") as f:
        for line in lines:
            f.write(json.dumps(line) + "\n")


# --- what the mount shows ----------------------------------------------------

def split_path(path):
    """Raw names of a recorded path.  A slash separates two names unless it
    begins or ends the path or follows another slash; then it belongs to the
    name behind it, or if it ends the path to the one before."""
    names, start = [], 0
    for i in range(1, len(path) - 1):
        if path[i:i + 1] == b"/" and path[i - 1:i] != b"/":
            names.append(path[start:i])
            start = i + 1
    return names + [path[start:]]


def shown_name(raw, is_domain=False):
    if is_domain and raw == b"":
        return b"%"
    if is_domain and raw in (b".larder", b".xdg-volume-info"):
        return b"%2E" + raw[1:]
    if raw in (b".", b".."):
        return raw.replace(b".", b"%2E")
    name = raw.replace(b"/", b"%2F").replace(b"\0", b"%00")
    if len(name) > 255:
        cut = 238
        while name[cut] & 0xc0 == 0x80:
            cut -= 1
        name = name[:cut] + b"%" + hashlib.sha1(raw).hexdigest()[:16].encode()
    return name


class Node:
    def __init__(self):
        self.is_dir = False
        self.dir = None         # its record; None: made up
        self.other = None       # file or symlink of that path
        self.children = {}      # raw name -> Node


def choose(entries):
    """One record for each (domain, path): the one of canonical ID, or the
    last if that does not decide."""
    groups = {}
    for e in entries:
        groups.setdefault((e.domain, e.path), []).append(e)
    for group in groups.values():
        canonical = [e for e in group if e.file_id == e.canonical_id]
        yield (canonical or group)[-1]


def lay_out(entries):
    """{path as the mount shows it: Entry, or None for a made-up directory}"""
    root = Node()
    for e in choose(entries):
        node = root
        for raw in [e.domain] + (split_path(e.path) if e.path else []):
            node.is_dir = True
            node = node.children.setdefault(raw, Node())
        if e.type == "d":
            node.is_dir, node.dir = True, e
        else:
            node.other = e
    shown = {}

    def walk(node, prefix):
        taken = set()

        def name_for(wanted):
            for n in itertools.count(1):
                name = wanted if n == 1 else wanted + b"%%%d" % n
                if name not in taken:
                    taken.add(name)
                    return prefix + name

        for raw in sorted(node.children):
            child = node.children[raw]
            wanted = shown_name(raw, node is root)
            path = name_for(wanted)
            if not child.is_dir:
                shown[path] = child.other
                continue
            shown[path] = child.dir
            if child.other:
                shown[name_for(wanted + b"%file")] = child.other
            walk(child, path + b"/")

    walk(root, b"")
    return shown


def shown_content(e):
    """(size, bytes that can be read); fewer bytes than size: EIO behind."""
    size = e.size or 0
    if e.stored is None:
        return size, b""
    if not e.keyed:
        return len(e.stored), e.stored
    stored_len = len(e.stored)
    plain = e.blocks[:stored_len // 16 * 16]    # what is stored, in clear
    if stored_len == 0:
        return size, b""
    if stored_len % 16:
        return size, plain[:size]
    n = plain[-1]
    if 1 <= n <= 16 and plain.endswith(bytes([n]) * n):
        return stored_len - n, plain[:-n]
    if size >= stored_len or size <= stored_len - 16 \
            or not any(plain[size:]):
        return size, plain[:size]
    return size, plain[:-16]


def birthtime(time):
    seconds, fraction = divmod(nanoseconds(time), 10**9)
    return f"{seconds}.{fraction:09d}" if fraction else f"{seconds}"


def expect_entry(path, e, shape):
    line = {"path": os.fsdecode(path)}
    if e is None:
        return line | {"type": "d", "mode": 0o755}
    line |= {"type": e.type, "mode": e.mode}
    if e.type == "l":
        line |= {"size": len(e.target), "target": os.fsdecode(e.target)}
    if e.type == "f":
        size, readable = shown_content(e)
        line["size"] = size
        digest = hashlib.sha256(readable).hexdigest()
        if len(readable) == size:
            line["sha256"] = digest
        else:
            line |= {"error": "EIO", "readable": len(readable),
                     "sha256_readable": digest}
    minimal = e.blob_form == "minimal" and shape.db
    if not minimal:
        line["mtime_ns"] = nanoseconds(e.mtime) if shape.db \
            else whole_seconds(e.mtime) * 10**9
    if e.type != "l":
        larder = {"domain": e.domain, "path": e.path, "file-id": e.file_id}
        if not minimal:
            larder |= {
                "uid": e.uid, "gid": e.gid, "inode": e.inode,
                "protection-class": e.pclass,
                "birthtime": birthtime(e.birth if shape.db
                                       else whole_seconds(e.birth))}
        if e.digest:
            larder["digest"] = e.digest.hex()
        xattrs = {"user.larder." + name: to_bytes(value) if isinstance(
                      value, (bytes, str)) else str(value).encode()
                  for name, value in larder.items()}
        xattrs |= {"user." + name: value
                   for name, value in (e.xattrs or {}).items()}
        line["xattrs"] = {name: base64.b64encode(value).decode()
                          for name, value in xattrs.items()}
    return line


# --- profile: odd ------------------------------------------------------------

APP = "AppDomain-com.example.app"
GROUP = "AppDomainGroup-group.com.example.shared"


def letters(rng, n):
    """Text that can never be taken for padding or zeros."""
    return bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz ABCDEF\xc3\xa9",
                             k=n))


def fill_odd(b, big):
    rng, shape = b.rng, b.shape

    # the ordinary, and domains
    b.dir("HomeDomain", mode=0o755, mtime=NOW - 86400)
    b.dir("HomeDomain", "Library", mode=0o700)
    b.dir("HomeDomain", "Library/SMS", mode=0o755, flags=2 | 64)
    b.file("HomeDomain", "Library/SMS/sms.db", letters(rng, 300),
           mode=0o644, digest=True)
    b.dir("CameraRollDomain")
    b.dir("CameraRollDomain", "Media", uid=0, gid=0)
    b.dir("MediaDomain")
    b.dir("KeychainDomain", mode=0o700, uid=64, gid=64)
    b.file("KeychainDomain", "keychain-backup.plist", letters(rng, 700),
           mode=0o600, uid=64, gid=64, pclass=4)
    b.dir(APP)
    b.dir(APP, "Documents", pclass=0)
    b.file(APP, "Documents/hello.txt", b"hello",
           xattrs={"com.example.note": b"abc"}, digest=True)
    # no row for the domain, none for the folders
    b.file(GROUP, "Library/Preferences/group.plist", letters(rng, 90))

    # lengths round a cipher block, a page and a request; all the classes
    for i, n in enumerate((1, 15, 16, 17, 4095, 4096, 4097, 65536)):
        b.file(APP, f"Documents/sizes/{n}.bin", rng.randbytes(n),
               pclass=1 + i % 4, inode=70000 + i)
    b.file(APP, "Documents/sizes/big.bin",
           (rng.randbytes(251) * (big // 251 + 1))[:big])

    # the three forms of an empty file
    b.file(APP, "Documents/empty/payload-empty", cut=0)
    b.file(APP, "Documents/empty/payload-padding")
    b.file(APP, "Documents/empty/payload-missing", missing=True)

    # symlinks
    b.dir(APP, "Documents/links")
    b.link(APP, "Documents/links/relative", "../hello.txt", digest=None)
    b.link(APP, "Documents/links/absolute",
           "/private/var/mobile/Library/x", mtime=NOW - 5)
    b.link(APP, "Documents/links/etc", "/etc/passwd")
    b.link(APP, "Documents/links/dangling", "no such file")
    b.link(APP, "Documents/links/up", "../../../../../../..", mode=0o777)
    b.link(APP, "Documents/links/long", "x/" * 600 + "end")
    b.link(APP, "Documents/links/Gr\u00fc\u00dfe", "\u00fcber/b\u0301")

    # names
    def name(path, **more):
        return b.file("MediaDomain", path, letters(rng, 20), **more)

    name("Media/u\u0308bung.txt")           # NFD
    name("Media/\u00fcbung.txt")            # NFC
    name("Media/\U0001f600 \u65e5\u672c\u8a9e.txt")
    for odd in ("line\nbreak", "back\\slash", "100%", "%", "%2F", " ", "-rf",
                "a b", "...", ".hidden", ".larder", "quote'\"`$x", "tab\t",
                "\x01\x7f", "con:", "*?[]"):
        name("Media/names/" + odd)
    name("Media/long/" + "n" * 255)
    name("Media/long/" + "m" * 300)
    name("Media/long/" + "a" + "\u00fc" * 150)
    name("Media/long/" + "m" * 299 + "!")
    name("Media/long/" + "\u65e5" * 90 + "/below")
    name("Media/long/\0" + "z" * 253)
    name("Media/dots/..")
    name("Media/dots/.")
    name("Media/dots/../../etc/passwd")
    name("..")
    name("/absolute/path")
    name("//two/leading")
    name("Media/slash//double")
    name("Media/slash///triple")
    name("Media/slash/trailing/")
    name("Media/nul/em\0bedded")
    b.dir("MediaDomain", "Media/nul/dir\0ectory", mode=0o711)
    name("Media/nul/dir\0ectory/below")
    # different names that are shown alike
    name("Media/alike/x%2F")
    name("Media/alike/x/")
    name("Media/alike2/%2E%2E/literal")
    name("Media/alike2/../escaped")
    name("Media/alike3/y%00")
    name("Media/alike3/y\0")
    name(b"Media/bytes/caf\xe9")
    name(b"Media/bytes/\xff\xfe\x80")
    if not shape.db:
        b.link("MediaDomain", b"Media/bytes/link\xe9", b"caf\xe9")

    # domains that are no names
    b.file("SysContainerDomain-../../../x", "etc/evil", b"evil")
    b.file("..", "up", b"up")
    b.file(".", "here", b"here")
    b.file("", "no domain", b"none")
    b.file(".larder", "Info.plist", b"not the backup's")
    b.dir("A/b", mode=0o750)
    b.file("A/b", "one", b"one")
    b.file("A%2Fb", "two", b"two")
    b.dir("SysSharedContainerDomain-" + "s" * 260, mode=0o755)
    b.file("SysSharedContainerDomain-" + "s" * 260, "f", b"long domain")
    b.dir("EmptyDomain", mode=0o775)
    b.file("Dom\u00e4ne \U0001f600", "f", b"unknown domain")

    # recorded Size: only the payload knows
    def sized(path, **more):
        return b.file("HomeDomain", "Library/Sizes/" + path, **more)

    sized("grew-by-blocks", data=letters(rng, 5000), size=1000)
    sized("shrank-by-blocks", data=letters(rng, 1000), size=5000)
    sized("grew-within-block", data=letters(rng, 29), size=20)
    sized("shrank-within-block", data=letters(rng, 20), size=29)
    sized("was-empty", data=letters(rng, 40), size=0)
    sized("became-empty", data=b"", size=40)
    sized("padding-block-more", data=letters(rng, 32), size=33)

    # payloads that are not what they should be (plain: just other lengths)
    text = letters(rng, 200)
    sized("missing", data=text, missing=True)
    sized("emptied", data=text, cut=0)
    sized("cut-within-block", data=text, cut=100)
    sized("cut-at-block", data=text, cut=96)
    sized("cut-at-page", data=letters(rng, 9000), cut=8192)
    sized("cut-below-block", data=text, cut=9)
    sized("cut-padding-only", data=text[:32], cut=40)
    sized("bad-padding", data=text, blocks=text[:192] + b"Z" * 15 + b"\x81")
    sized("bad-padding-page", data=letters(rng, 4100),
          blocks=letters(rng, 4096) + b"Z" * 15 + b"\x11")
    sized("bad-padding-size-more", data=text, size=300,
          blocks=text + b"ZZZZZZZ\x00")
    sized("bad-padding-size-less", data=text, size=100,
          blocks=text + b"ZZZZZZZ\x00")
    sized("zero-padding", data=text, blocks=text + bytes(8))
    sized("zero-padding-block", data=text[:192], blocks=text[:192] + bytes(16))
    sized("unpadded", data=text[:192], blocks=text[:192])
    sized("block-of-16s-and-Size-whole", data=text[:160] + b"\x10" * 16,
          blocks=text[:160] + b"\x10" * 32)
    sized("no-key", data=letters(rng, 77), keyed=False)

    # modes and times
    def timed(path, **more):
        return b.file("CameraRollDomain", "Media/Times/" + path, b"tick",
                      **more)

    timed("setuid", mode=0o4755)
    timed("setgid-sticky", mode=0o3711)
    timed("read-only", mode=0o400)
    timed("before-1970", mtime=-86399, birth=-86400)
    timed("epoch", mtime=0, ctime=0, birth=0)
    timed("last-of-32-bits", mtime=2**31 - 1)
    timed("date", mtime=Stamp(1700000000, "date"), birth=1699999999)
    timed("date-fraction", mtime=Stamp(1700000000.5, "date"),
          birth=Stamp(1600000000.25, "date"))
    timed("date-behind-uid", mtime=Stamp(1234567890.25, "date-uid"))
    timed("nsdate", mtime=Stamp(1700000000.75, "nsdate"),
          birth=Stamp(1700000000.5, "nsdate"))
    timed("nsdate-before-2001", mtime=Stamp(900000000.5, "nsdate"))
    timed("nsdate-before-1970", mtime=Stamp(-1.5, "nsdate"),
          birth=Stamp(-86400, "nsdate"))
    b.dir("CameraRollDomain", "Media/Times/sticky", mode=0o1777, mtime=1)

    # the archive's variants
    def archived(path, **more):
        return b.file("HomeDomain", "Library/Archive/" + path,
                      letters(rng, 50), **more)

    archived("digest-inline", digest=True)
    archived("digest-behind-uid", digest=True, digest_form="uid")
    archived("digest-nsdata", digest=True, digest_form="nsdata")
    archived("digest-sha256", digest=rng.randbytes(32))
    archived("nsdata-behind-uid", blob_form="nsdata-uid")
    archived("root-is-last", blob_form="root-last")
    archived("cf-uid", blob_form="cf-uid")
    archived("minimal", blob_form="minimal")
    archived("xattrs", xattrs={
        "com.example.empty": b"", "com.example.text": b"value",
        "com.apple.metadata:kMDItem": rng.randbytes(200),
        "\u00fcber": b"\x00\xff"})
    b.dir("HomeDomain", "Library/Archive", xattrs={"com.example.dir": b"d"},
          mode=0o751, inode=2**40 + 7)

    # one inode, two names
    first = archived("hard-link-1", inode=4242)
    b.file("HomeDomain", "Library/Archive/hard-link-2", first.data,
           inode=4242, key=first.key, wrapped=first.wrapped)

    # file or symlink, and folder too
    b.file("HomeDomain", "Library/Both/thing", b"a file")
    b.file("HomeDomain", "Library/Both/thing/below", b"below a file")
    b.link("HomeDomain", "Library/Both/link", "thing")
    b.file("HomeDomain", "Library/Both/link/below", b"below a symlink")

    # places
    archived("other-place", other_place=True)
    archived("other-place-empty", size=0, cut=0, other_place=True)

    # two records of one path
    if shape.db:
        other = lambda: rng.randbytes(20).hex()
        b.file(APP, "Twice/canonical-first", b"canonical")
        b.file(APP, "Twice/canonical-first", b"the other", file_id=other())
        b.file(APP, "Twice/canonical-last", b"the other", file_id=other())
        b.file(APP, "Twice/canonical-last", b"canonical")
        b.file(APP, "Twice/neither", b"the first", file_id=other())
        b.file(APP, "Twice/neither", b"the last", file_id=other())
        b.file(APP, "Once/other-id", b"not the canonical ID",
               file_id=other())
        # the flags column
        b.file(APP, "Flags/uploaded", b"1|8", flags=1 | 8)
        b.file(APP, "Flags/verified", b"1|32", flags=1 | 32)
        b.file(APP, "Flags/many", b"1|8|16|32|64|128", flags=0xf9)
        b.file(APP, "Flags/none", b"from Mode", flags=0)
        b.dir(APP, "Flags/none-dir", flags=8)
        b.link(APP, "Flags/none-link", "none", flags=0)
        b.dir(APP, "Flags/two-types", flags=3)
        # rows of the device's own bookkeeping
        b.row(other(), None, None, 64, None)
        b.row(other(), APP, "Flags/no-blob", 1, None)
        b.row(other(), APP, "Flags/empty-blob", 1, b"")
        b.row(other(), None, "Flags/no-domain", 2, mbfile(b.entries[0]))
    else:
        old = b.file(APP, "Twice/repeated", b"old", size=3, mode=0o600)
        new = b.file(APP, "Twice/repeated", b"newer", mode=0o640)
        old.stored = new.stored
        b.mbdx = not shape.encrypted


# --- profile: sample ---------------------------------------------------------

def sqlite_bytes(script, **tables):
    """A database: `script` makes the tables, which get the given rows."""
    db = sqlite3.connect(":memory:")
    db.executescript("PRAGMA page_size=4096;" + script)
    for table, rows in tables.items():
        marks = ",".join("?" * len(rows[0]))
        db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
    db.commit()
    data = db.serialize()
    db.close()
    return data


def picture(rng, number, taken):
    """A JPEG of invented hills under an invented sky, with an EXIF date."""
    from PIL import Image, ImageDraw

    width, height = 640, 480
    if number % 4 == 3:
        width, height = height, width
    sky = [rng.randrange(90, 200), rng.randrange(120, 220), 255]
    column = Image.new("RGB", (1, height))
    for y in range(height):
        t = y / height
        column.putpixel((0, y), tuple(
            int(c + (250 - c) * t) for c in sky))
    image = column.resize((width, height))
    draw = ImageDraw.Draw(image)
    r, x, y = rng.randrange(25, 60), rng.randrange(width), rng.randrange(150)
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 240, 170))
    for layer in range(3):
        base = height * (55 + 15 * layer) // 100
        points, x = [(0, height)], 0
        while x < width + 80:
            points.append((x, base + rng.randrange(-60, 40)))
            x += rng.randrange(40, 90)
        points.append((x, height))
        shade = 140 - 40 * layer
        draw.polygon(points, fill=(rng.randrange(30, 80), shade,
                                   rng.randrange(40, 110)))
    exif = Image.Exif()
    stamp = plist_date(taken).strftime("%Y:%m:%d %H:%M:%S")
    exif[0x010f], exif[0x0110] = "Apple", "iPhone 13"
    exif[0x0132] = stamp
    exif.get_ifd(0x8769)[0x9003] = stamp
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80, exif=exif)
    return out.getvalue(), width, height


def pdf(lines):
    """A one-page PDF of plain text."""
    text = b"BT /F1 14 Tf 72 760 Td 20 TL " + b" ".join(
        b"(%s) Tj T*" % line.encode("latin-1") for line in lines) + b" ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % o for o in offsets)
    return out + b"xref\n0 6\n0000000000 65535 f \n%strailer\n" \
        b"<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" \
        % (table, len(out))


FAMILY = [  # first, last, number, mail
    ("Ben", "Keller", "+15550100", "ben@example.com"),
    ("Clara", "Keller", "+15550101", "clara@example.com"),
    ("Oma", "Ilse", "+15550102", None),
    ("Dr.", "Weber", "+15550103", "praxis@example.org"),
]
MESSAGES = [  # whom (index into FAMILY), from me, text
    (0, 0, "Train is late, start without me"),
    (0, 1, "No rush, soup is on the stove"),
    (0, 0, "You are the best \U0001f372"),
    (1, 0, "Mum can I stay at Lena's tonight?"),
    (1, 1, "If the maths is done, yes"),
    (1, 0, "It is! Mostly"),
    (1, 1, "Mostly?"),
    (2, 0, "Hello Anna, the pictures from the lake are lovely. Oma"),
    (2, 1, "We will bring prints on Sunday!"),
    (2, 0, "And cake?"),
    (2, 1, "And cake. Apfelkuchen, f\u00fcr dich \u2764\ufe0f"),
    (3, 0, "Your appointment is on Tuesday at 9:15"),
    (0, 1, "Tickets for Lisbon are booked"),
    (0, 0, "Window seat for me please"),
]
NOTES = [
    ("Packing list", "Passports\nChargers\nSun cream\nBook for the train"),
    ("Apfelkuchen", "5 apples, 200 g flour, 100 g butter, cinnamon"),
    ("Wifi at Oma's", "It is on the back of the router. It always was."),
]


def fill_sample(b, _big):
    rng = b.rng
    start = NOW - 40 * 86400
    apple = lambda t: t - EPOCH_2001
    clock = itertools.count(start, 4 * 3600)

    def add(domain, path, data, owner=501, **more):
        b.parents(domain, path, mtime=start, ctime=start, birth=start,
                  uid=owner, gid=owner)
        more = {"mtime": next(clock)} | more
        more = {"ctime": more["mtime"], "birth": more["mtime"]} | more
        return b.file(domain, path, data, uid=owner, gid=owner, **more)

    # pictures
    taken = [start + i * 3 * 86400 + rng.randrange(80000) for i in range(12)]
    assets = []
    for i, when in enumerate(taken, 1):
        data, width, height = picture(rng, i, when)
        name = f"IMG_{i:04d}.JPG"
        attributes = {"com.apple.assetsd.favorite": b"\x01"} if i == 5 else None
        add("CameraRollDomain", "Media/DCIM/100APPLE/" + name, data,
            mtime=when, xattrs=attributes)
        assets.append((i, name, "DCIM/100APPLE", apple(when), width, height,
                       int(i == 5)))
    add("CameraRollDomain", "Media/PhotoData/Photos.sqlite", sqlite_bytes(
        "CREATE TABLE ZASSET (Z_PK INTEGER PRIMARY KEY, ZFILENAME VARCHAR,"
        " ZDIRECTORY VARCHAR, ZDATECREATED TIMESTAMP, ZWIDTH INTEGER,"
        " ZHEIGHT INTEGER, ZFAVORITE INTEGER);"
        "CREATE TABLE ZGENERICALBUM (Z_PK INTEGER PRIMARY KEY,"
        " ZTITLE VARCHAR);", ZASSET=assets,
        ZGENERICALBUM=[(1, "At the lake"), (2, "Clara")]))

    # messages, people, calls
    sent = [start + 86400 * (2 + i * 5 // 2) for i in range(len(MESSAGES))]
    people = list(enumerate(FAMILY, 1))
    add("HomeDomain", "Library/SMS/sms.db", sqlite_bytes(
        "CREATE TABLE message (ROWID INTEGER PRIMARY KEY AUTOINCREMENT,"
        " guid TEXT UNIQUE NOT NULL, text TEXT, handle_id INTEGER DEFAULT 0,"
        " service TEXT, date INTEGER, date_read INTEGER,"
        " is_from_me INTEGER DEFAULT 0, is_read INTEGER DEFAULT 0);"
        "CREATE TABLE handle (ROWID INTEGER PRIMARY KEY AUTOINCREMENT UNIQUE,"
        " id TEXT NOT NULL, country TEXT, service TEXT NOT NULL);"
        "CREATE TABLE chat (ROWID INTEGER PRIMARY KEY AUTOINCREMENT,"
        " guid TEXT UNIQUE NOT NULL, style INTEGER, state INTEGER,"
        " chat_identifier TEXT, service_name TEXT, display_name TEXT);"
        "CREATE TABLE chat_message_join (chat_id INTEGER REFERENCES chat"
        " (ROWID), message_id INTEGER REFERENCES message (ROWID),"
        " message_date INTEGER DEFAULT 0, PRIMARY KEY (chat_id, message_id));"
        "CREATE TABLE chat_handle_join (chat_id INTEGER, handle_id INTEGER);",
        message=[(i, str(uuid.UUID(bytes=rng.randbytes(16))).upper(), text,
                  who + 1, "iMessage", apple(when) * 10**9,
                  (apple(when) + 60) * 10**9, mine, 1)
                 for i, ((who, mine, text), when)
                 in enumerate(zip(MESSAGES, sent), 1)],
        handle=[(i, p[2], "us", "iMessage") for i, p in people],
        chat=[(i, "iMessage;-;" + p[2], 45, 3, p[2], "iMessage", "")
              for i, p in people],
        chat_message_join=[(m[0] + 1, i, apple(when) * 10**9) for i, (m, when)
                           in enumerate(zip(MESSAGES, sent), 1)],
        chat_handle_join=[(i, i) for i, _ in people]),
        size=4096, digest=True)     # it grew while it was backed up
    add("HomeDomain", "Library/AddressBook/AddressBook.sqlitedb", sqlite_bytes(
        "CREATE TABLE ABPerson (ROWID INTEGER PRIMARY KEY AUTOINCREMENT,"
        " First TEXT, Last TEXT, Organization TEXT, Note TEXT);"
        "CREATE TABLE ABMultiValue (UID INTEGER PRIMARY KEY, record_id INTEGER,"
        " property INTEGER, identifier INTEGER, label INTEGER, value TEXT);"
        "CREATE TABLE ABMultiValueLabel (value TEXT, UNIQUE(value));",
        ABPerson=[(i, p[0], p[1], None, None) for i, p in people],
        ABMultiValue=[(i, i, 3, 0, 1, p[2]) for i, p in people]
        + [(10 + i, i, 4, 0, 1, p[3]) for i, p in people if p[3]],
        ABMultiValueLabel=[("_$!<Mobile>!$_",), ("_$!<Home>!$_",)]))
    add("HomeDomain", "Library/CallHistoryDB/CallHistory.storedata",
        sqlite_bytes(
            "CREATE TABLE ZCALLRECORD (Z_PK INTEGER PRIMARY KEY, ZADDRESS"
            " VARCHAR, ZDATE TIMESTAMP, ZDURATION FLOAT, ZORIGINATED INTEGER,"
            " ZANSWERED INTEGER);",
            ZCALLRECORD=[(i, FAMILY[i % 4][2], apple(start) + i * 90000,
                          float(rng.randrange(5, 900)), i % 2, int(i != 3))
                         for i in range(1, 9)]))
    add("HomeDomain", "Library/Preferences/com.apple.springboard.plist",
        plistlib.dumps({"SBShowBatteryPercentage": True},
                       fmt=plistlib.FMT_BINARY), mode=0o600)
    add("HomeDomain", "Library/Calendar/Calendar.sqlitedb", sqlite_bytes(
        "CREATE TABLE CalendarItem (ROWID INTEGER PRIMARY KEY, summary TEXT,"
        " start_date REAL, end_date REAL);",
        CalendarItem=[(1, "Oma, with cake", apple(NOW), apple(NOW) + 7200),
                      (2, "Lisbon", apple(NOW) + 10**6, apple(NOW) + 2 * 10**6)
                      ]))
    add("MediaDomain", "Media/Recordings/Clara practising.m4a",
        b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom\0\0\0\0" + rng.randbytes(9000))
    add("WirelessDomain", "Library/Databases/CellularUsage.db", sqlite_bytes(
        "CREATE TABLE subscriber_info (ROWID INTEGER PRIMARY KEY,"
        " subscriber_id TEXT, subscriber_mdn TEXT, last_update_time REAL);",
        subscriber_info=[(1, "8901000000000000000", "+15550199",
                          apple(start))]), owner=25)
    add("KeychainDomain", "keychain-backup.plist", plistlib.dumps(
        {"genp": [{"v_Data": rng.randbytes(120)} for _ in range(4)],
         "inet": [], "cert": [], "keys": []}, fmt=plistlib.FMT_BINARY),
        owner=64, mode=0o600, pclass=4)
    add("SystemPreferencesDomain",
        "SystemConfiguration/com.apple.wifi.known-networks.plist",
        plistlib.dumps({"wifi.network.ssid.Kellerkinder": {
            "AddReason": "User"}}, fmt=plistlib.FMT_BINARY), owner=0)

    # apps
    notes = "AppDomainGroup-group.com.apple.notes"
    add(notes, "NoteStore.sqlite", sqlite_bytes(
        "CREATE TABLE ZICCLOUDSYNCINGOBJECT (Z_PK INTEGER PRIMARY KEY,"
        " ZTITLE1 VARCHAR, ZSNIPPET VARCHAR, ZCREATIONDATE1 TIMESTAMP,"
        " ZMODIFICATIONDATE1 TIMESTAMP, ZNOTEDATA INTEGER);"
        "CREATE TABLE ZICNOTEDATA (Z_PK INTEGER PRIMARY KEY, ZNOTE INTEGER,"
        " ZDATA BLOB);",
        ZICCLOUDSYNCINGOBJECT=[
            (i, title, text.split("\n")[0], apple(start) + i * 86400,
             apple(start) + i * 90000, i)
            for i, (title, text) in enumerate(NOTES, 1)],
        ZICNOTEDATA=[(i, i, gzip.compress(f"{t}\n{x}".encode(), mtime=0))
                     for i, (t, x) in enumerate(NOTES, 1)]))
    travel = "AppDomain-com.example.travel"
    add(travel, "Documents/Lisbon/Plan.txt",
        b"Day 1  Alfama, tram 28\nDay 2  Bel\xc3\xa9m, pastries\n"
        b"Day 3  Sintra\n")
    add(travel, "Documents/Lisbon/Boarding pass.pdf",
        pdf(["Boarding pass", "KELLER / ANNA", "LIS 14 JUN  seat 12A"]))
    add(travel, "Documents/Lisbon/Hotel \u00fc Castelo.txt",
        "Rua do Exemplo 7, Lisboa\nCheck-in from 15:00\n".encode())
    add(travel, "Documents/Ideas.txt", b"Azores? Madeira? Just the lake?\n")
    b.link(travel, "Documents/Next trip", "Lisbon", mtime=start, ctime=start,
           birth=start)
    add(travel, "Library/Preferences/com.example.travel.plist",
        plistlib.dumps({"units": "metric", "home": "Bonn"},
                       fmt=plistlib.FMT_BINARY), mode=0o600)
    add("AppDomain-com.example.journal", "Documents/2024-06.md",
        b"# June\n\nWarm. Clara swam across the lake and back.\n")
    add("AppDomain-com.example.journal", "Documents/.index", b"")
    b.dir("AppDomainPlugin-com.example.travel.widget", mtime=start)


# --- profile: scale ----------------------------------------------------------

SCALE_DOMAINS = ["HomeDomain", "CameraRollDomain", "MediaDomain"] + [
    f"AppDomain-com.example.app{i:02d}" for i in range(42)] + [
    f"AppDomainGroup-group.com.example.app{i:02d}" for i in range(15)]
SCALE_SUFFIXES = (".plist", ".sqlite", ".jpg", ".dat", ".json", ".png")
SCALE_FOLDERS = ("Library", "Documents", "Caches", "Data", "Media", "Store",
                 "Items", "Cache", "Assets", "tmp")


def scale_paths(count):
    """Yield (domain, path, is_dir): `count` files, ten a folder, ten folders
    a folder, each row for a folder before those below it."""
    domains = len(SCALE_DOMAINS)
    for d, domain in enumerate(SCALE_DOMAINS):
        files = count // domains + (d < count % domains)
        yield domain, "", True
        leaves = (files + 9) // 10
        depth = max(len(str(leaves - 1)), 1) if leaves else 0
        previous = []
        for leaf in range(leaves):
            digits = f"{leaf:0{depth}d}"
            names = [SCALE_FOLDERS[int(c)] if n == 0 else
                     f"{SCALE_FOLDERS[int(c)]}-{digits[:n + 1]}"
                     for n, c in enumerate(digits)]
            same = 0
            while same < len(previous) and previous[same] == names[same]:
                same += 1
            for n in range(same + 1, depth + 1):
                yield domain, "/".join(names[:n]), True
            previous = names
            folder = "/".join(names)
            for i in range(leaf * 10, min(leaf * 10 + 10, files)):
                yield (domain, f"{folder}/item_{i:07d}"
                       f"{SCALE_SUFFIXES[i % 6]}", False)


def write_scale(b, out, count, payloads, expect):
    """A backup of `count` files whose records are made as they are written.
    Keys and contents come from a small stock."""
    os.makedirs(out, exist_ok=True)
    rng, shape = b.rng, b.shape
    stock = []
    for _ in range(256):
        e = Entry("f", b"", b"", 0o644,
                  data=rng.randbytes(rng.randrange(0, 900)))
        e.size = len(e.data)
        b._store(e)
        stock.append((e.wrapped, e.size, e.stored,
                      hashlib.sha256(e.data).hexdigest()))
    file_blob = BlobTemplate(0o100644, 3, shape.encrypted)
    dir_blob = BlobTemplate(0o040755, 3, False)
    lines = []
    if payloads and shape.db:
        for i in range(256):
            os.makedirs(os.path.join(out, f"{i:02x}"), exist_ok=True)

    def records():
        for n, (domain, path, is_dir) in enumerate(scale_paths(count)):
            file_id = hashlib.sha1(
                f"{domain}-{path}".encode()).hexdigest()
            inode, mtime = 1000 + n, NOW - 10**8 + n * 97 % 10**8
            wrapped, size, stored, sha256 = (None, 0, None, None) if is_dir \
                else stock[n * 7 % 256]
            if stored is not None and payloads:
                place = f"{out}/{file_id[:2]}/{file_id}" if shape.db \
                    else f"{out}/{file_id}"
                with open(place, "wb", 0) as f:
                    f.write(stored)
            if expect:
                mode = 0o755 if is_dir else 0o644
                e = Entry("d" if is_dir else "f", domain.encode(),
                          path.encode(), mode, mtime=mtime, birth=mtime,
                          inode=inode, file_id=file_id)
                shown = f"{domain}/{path}" if path else domain
                if is_dir:
                    line = expect_entry(shown.encode(), e, shape)
                else:
                    e.stored = b""
                    e.keyed = False
                    line = expect_entry(shown.encode(), e, shape)
                    line |= {"size": size, "sha256": sha256}
                lines.append(line)
            if not shape.db:
                yield mbdb_record(Entry(
                    "d" if is_dir else "f", domain.encode(), path.encode(),
                    0o755 if is_dir else 0o644, mtime=mtime, ctime=mtime,
                    birth=mtime, inode=inode, size=size, wrapped=wrapped))
            elif is_dir:
                yield (file_id, domain, path, 2, dir_blob.fill(
                    path, 0, inode, mtime, mtime, mtime))
            else:
                yield (file_id, domain, path, 1, file_blob.fill(
                    path, size, inode, mtime, mtime, mtime, wrapped))

    if shape.db:
        b.write_manifest_db(out, records())
    else:
        b.write_manifest_mbdb(out, records())
    b.write_plists(out)
    if expect:
        lines.sort(key=lambda line: line["path"])
        write_expect(expect, lines)


# --- self-test ---------------------------------------------------------------

# All values below are published with the format: iphone-backup(5).

def vector_keybag(modern):
    bag = Keybag()
    salt, dpsl = bytes(range(0x10, 0x24)), bytes(range(0x40, 0x54))
    bag.kek = passcode_key("correct horse", salt, 1000,
                           dpsl if modern else None, 2000)
    bag.header = [
        ["VERS", be32(5 if modern else 3)], ["TYPE", be32(1)],
        ["UUID", bytes.fromhex("00112233445566778899aabbccddeeff")],
        ["HMCK", bytes(range(0x80, 0xa8))], ["WRAP", be32(0)],
        ["SALT", salt], ["ITER", be32(1000)]]
    if modern:
        bag.header += [["DPWT", be32(1)], ["DPIC", be32(2000)],
                       ["DPSL", dpsl]]
    for n in (1, 3, 4, 11):
        key = hashlib.sha256(b"class %d" % n).digest()
        if n == 11:
            key = bytes(c ^ 0x5a for c in key)
        bag.add_class(n, key, bytes([n]) * 16, 3 if n == 11 else 2)
    return bag


def vector_entry(kind, path, mode, **more):
    return Entry(kind, b"AppDomain-com.example.app", path, mode,
                 mtime=1700000000, ctime=1700000001, birth=1699999999,
                 inode=more.pop("inode", 123456), **more)


def read_back(out, password):
    """Yield (domain, path, content or None) of a written backup, by the
    shortest way.  Knows nothing of odd payloads."""
    with open(out + "/Manifest.plist", "rb") as f:
        manifest = plistlib.load(f)
    header, *classes = parse_keybag(manifest["BackupKeyBag"])
    u32 = lambda value: struct.unpack(">I", value)[0]
    kek = passcode_key(password if manifest["IsEncrypted"] else "",
                       header["SALT"], u32(header["ITER"]),
                       header.get("DPSL"), u32(header.get("DPIC", be32(0))))
    keys = {u32(c["CLAS"]): unwrap(kek, c["WPKY"]) for c in classes
            if u32(c["WRAP"]) == 2}
    assert all(keys.values()), "keybag does not unlock"
    open_key = lambda blob: unwrap(keys[blob[0]], blob[4:])

    def content(file_id, wrapped):
        for place in (f"{out}/{file_id[:2]}/{file_id}", f"{out}/{file_id}"):
            if os.path.exists(place):
                with open(place, "rb") as f:
                    data = f.read()
                if wrapped and data and len(data) % 16 == 0:
                    data = decrypt(open_key(wrapped), data)
                    data = data[:-data[-1]]
                return data

    if os.path.exists(out + "/Manifest.db"):
        with open(out + "/Manifest.db", "rb") as f:
            data = f.read()
        if "ManifestKey" in manifest:
            data = decrypt(open_key(manifest["ManifestKey"]), data)
            data = data[:-data[-1]]
        db = sqlite3.connect(":memory:")
        db.deserialize(data)
        db.text_factory = bytes
        assert db.execute("PRAGMA integrity_check").fetchone() == (b"ok",)
        for file_id, domain, path, blob in db.execute(
                "SELECT fileID, domain, relativePath, file FROM Files"):
            if not blob or domain is None:
                continue
            archive = plistlib.loads(blob)
            objects = archive["$objects"]

            def follow(o):
                if isinstance(o, dict) and "CF$UID" in o:
                    o = UID(o["CF$UID"])
                return objects[o.data] if isinstance(o, UID) else o

            main = follow(archive["$top"]["root"])
            wrapped = follow(main.get("EncryptionKey"))
            wrapped = wrapped and follow(wrapped["NS.data"])
            yield domain, path, content(file_id.decode(), wrapped) \
                if main["Mode"] >> 12 == 8 else None
        return
    f = open(out + "/Manifest.mbdb", "rb")
    assert f.read(6) == b"mbdb\x05\x00"

    def string():
        length, = struct.unpack(">H", f.read(2))
        return None if length == 0xffff else f.read(length)

    with f:
        while f.peek(1):
            domain = string()
            path, _target, _digest, wrapped = (string() for _ in range(4))
            mode, *_, properties = struct.unpack(">HQIIiiiQBB", f.read(40))
            for _ in range(2 * properties):
                string()
            file_id = hashlib.sha1(domain + b"-" + path).hexdigest()
            yield domain, path, content(file_id, wrapped) \
                if mode >> 12 == 8 else None


def self_test():
    import tempfile

    checks = itertools.count(1)

    def check(what, got, want):
        if got != want:
            sys.exit(f"not ok {next(checks)} {what}\n  got  {got!r}\n"
                     f"  want {want!r}")
        print(f"ok {next(checks)} {what}")

    sha256 = lambda data: hashlib.sha256(data).hexdigest()

    for domain, path, want in (
            ("HomeDomain", "Library/SMS/sms.db",
             "3d0d7e5fb2ce288813306e4d4636395e047a3d28"),
            ("HomeDomain", "", "70765829101933f25994c71bbee6dfd685535bff"),
            ("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.JPG",
             "343e26971dfe9c395c425c0ccf799df63ae6261e"),
            (APP, "Documents/link",
             "4e6525d2b4bd66bcee3b26766566b14068519683"),
            ("HomeDomain", "Library/\u00dcbung.txt",
             "15308ac9639a8dab0240c7fb7a7c33c304a38237"),
            ("HomeDomain", "Library/U\u0308bung.txt",
             "884820de1747aade945601df752969ffeb3b3fa5")):
        e = Entry("f", domain.encode(), path.encode(), 0)
        check(f"file ID of {domain} {path}", e.canonical_id, want)

    for modern, kek, want in (
            (True, "84b204bbe0e4d07fa68920413507a33633b7f6a605fe2c69"
             "d8daf48fa271e5b9", "9184f430798ec034c1b8c9500763b662"
             "f6d8c346f9c9764ab6c5ccee25409936"),
            (False, "f8d52876616f3ae15f934e8c82bb28632936079e3c3b85bc"
             "109edab87320dad6", "e1d71bfd817cbf6ac25257697b41b729"
             "d3178298475e92a1dea8c3e44861f6b4")):
        bag = vector_keybag(modern)
        check(f"passcode key, modern={modern}", bag.kek.hex(), kek)
        check(f"keybag, modern={modern}", sha256(bag.encode()), want)
    check("wrong password does not unwrap",
          unwrap(passcode_key("wrong", bytes(range(0x10, 0x24)), 1000),
                 bag.classes[1][4][1]), None)
    check("empty password", passcode_key(
        "", bytes(range(0x10, 0x24)), 1000).hex(),
        "4b285a1af7dc0e759e0e260cbd4a87a052b446d30927f2aa06a5ca008b871db1")
    check("password that is not ASCII", passcode_key(
        "p\u00e4ssw\u00f6rd", bytes(range(0x10, 0x24)), 1000,
        bytes(range(0x40, 0x54)), 2000).hex(),
        "c0c3b8bc76d27c299bf258d3c0ab7e22d2cbffd4d94b76bc23fdb6d45ef7d69f")
    check("hashcat 14800", unwrap(
        passcode_key("hashcat", bytes.fromhex(
            "2721336781705041205314422175267631184867"), 10000, bytes.fromhex(
            "99fafc983e732998adb9fadc162a2e382143f115"), 1000),
        bytes.fromhex("17a3b858e79bc273be43a9f113b71efe7ec8e7e401396b350180"
                      "b4592ef45db67ffef7b2d64329a5")).hex(),
        "2ed7042e87b50000fa6ba698661c000013194470a1f70000c35bd72ce0360000")

    bag = vector_keybag(True)
    manifest_key = hashlib.sha256(b"manifest key").digest()
    check("ManifestKey", bag.wrap_key(3, manifest_key).hex(),
          "03000000a4b5deca1e57df2cfd623f12c5167a108b7d15cad77ca4aca3329d5f"
          "1569167cfdfc3e836970c7de")
    file_key = hashlib.sha256(b"file key").digest()
    wrapped = bag.wrap_key(3, file_key)
    check("EncryptionKey", wrapped.hex(),
          "03000000568b7f9ade491543dc05f8acdc953969e81cbc308adba6840433733868"
          "d94bb51aa7582c9abd7c7a")
    for plain, want in (
            (b"", "63d10b8a4c4284ee184745fe2dcdfb44a1ad67a9"),
            (b"hello", "05ee09516f8382f84113672ec80fa7c3d55d8d49"),
            (b"0123456789abcdef", "8a33438d1c1b591e82fa0a0481495bb203f4013a"),
            (b"0123456789abcdefghijk",
             "83c43e4789e50e02d7ba432df1b7639cbfd86dc2")):
        check(f"payload of {plain}", hashlib.sha1(
            encrypt(file_key, pad(plain))).hexdigest(), want)
    fake_db = b"SQLite format 3\0" + bytes(range(16)) * 255
    check("encrypted manifest", hashlib.sha1(
        encrypt(manifest_key, pad(fake_db))).hexdigest(),
        "19b18a992e4fab1b39cb45b71679512268556cf2")

    plain = vector_entry("f", b"Documents/hello.txt", 0o644, size=5)
    folder = vector_entry("d", b"Documents", 0o755, size=0, pclass=0)
    link = vector_entry("l", b"Documents/link", 0o755, target=b"hello.txt",
                        size=0, pclass=0)
    keyed = vector_entry(
        "f", b"Documents/hello.txt", 0o644, size=5, wrapped=wrapped,
        digest=hashlib.sha1(encrypt(file_key, pad(b"hello"))).digest(),
        xattrs={"com.example.note": b"abc"})
    for what, e, want in (
            ("file", plain, "7835224430c9937d0ec5b07b828ed23e"
             "c07d01f0465b7bcb35550ebcec824023"),
            ("directory", folder, "2841a2e42e6de7183f8e5ac92c55854d"
             "f6ca301d65777f8680d893a1842ddb7c"),
            ("symlink", link, "4db778c7a2e130c48baca215b9c6b8f6"
             "434012947cdc1e9fad1108ba4c49a83c"),
            ("encrypted file", keyed, "138e432c2b9c2fc9f85be4048f1ac071"
             "1afcf961c3604491c8d7fa191d346915")):
        check(f"MBFile of a {what}", sha256(mbfile(e)), want)
    records = [
        vector_entry("d", b"", 0o755, inode=1, pclass=0),
        vector_entry("f", b"Documents/hello.txt", 0o644, size=5,
                     digest=hashlib.sha1(b"hello").digest(),
                     xattrs={"com.example.note": b"abc"}),
        vector_entry("l", b"Documents/link", 0o755, inode=2,
                     target=b"hello.txt", pclass=0),
        vector_entry("f", b"Documents/enc.txt", 0o644, inode=123457, size=5,
                     wrapped=wrapped)]
    check("Manifest.mbdb", sha256(
        b"mbdb\x05\0" + b"".join(map(mbdb_record, records))),
        "6528208891a2e61b6a159e7261f2ed8912c79e809826a8dbcae0d07c09c3f784")

    resolve = lambda o: mbfile_by_name(plistlib.loads(o))
    for path in ("d", "a/b", "a/long/path/that/needs/a/length.byte"):
        for e, keyed in ((vector_entry("f", path.encode(), 0o644, size=77,
                                       wrapped=wrapped), True),
                         (vector_entry("d", path.encode(), 0o755, size=0),
                          False)):
            template = BlobTemplate(TYPE_MODE[e.type] | e.mode, e.pclass,
                                    keyed)
            check(f"MBFile from a template, {path}, keyed={keyed}",
                  resolve(template.fill(path, e.size, e.inode, e.birth,
                                        e.mtime, e.ctime, wrapped)),
                  resolve(mbfile(e)))

    for raw, want in ((b"/abs", [b"/abs"]), (b"a//b", [b"a", b"/b"]),
                      (b"a/", [b"a/"]), (b"a/b/c", [b"a", b"b", b"c"]),
                      (b"/", [b"/"]), (b"//a///b/", [b"//a", b"//b/"])):
        check(f"names of {raw}", split_path(raw), want)

    with tempfile.TemporaryDirectory() as tmp:
        for shape in SHAPES:
            out = f"{tmp}/{shape}"
            b = Backup(shape)
            fill_odd(b, 5000)
            b.write(out)
            got = {}
            for domain, path, content in read_back(out, DEFAULT_PASSWORD):
                got.setdefault((domain, path), []).append(content)
            wanted = {(e.domain, e.path) for e in b.entries}
            check(f"{shape}: records are read back", set(got), wanted)
            usual = [e for e in b.entries if e.type == "f" and e.cut is None
                     and not e.missing and e.keyed == b.shape.encrypted
                     and (not e.keyed or e.blocks == pad(e.data))
                     and (shape.startswith("db") or e.data != b"old")]
            check(f"{shape}: {len(usual)} payloads are read back",
                  [e.path for e in usual
                   if e.data not in got[e.domain, e.path]], [])
            lines = b.expect()
            check(f"{shape}: EXPECT names are all different",
                  len({line["path"] for line in lines}), len(lines))
            check(f"{shape}: EXPECT names are file names",
                  [line["path"] for line in lines for name in
                   os.fsencode(line["path"]).split(b"/")
                   if name in (b"", b".", b"..") or len(name) > 255], [])
        for shape in SHAPES:
            out = f"{tmp}/scale-{shape}"
            write_scale(Backup(shape), out, 700, True, out + ".expect")
            with open(out + ".expect") as f:
                lines = [json.loads(line) for line in f]
            sums = {line["path"]: line.get("sha256") for line in lines}
            got = {os.fsdecode(domain + b"/" + path if path else domain):
                   content if content is None else sha256(content)
                   for domain, path, content in read_back(
                       out, DEFAULT_PASSWORD)}
            check(f"{shape}: scale is read back", got, sums)
    print(f"1..{next(checks) - 1}")


def mbfile_by_name(archive):
    """The MBFile of an archive with its references resolved."""
    objects = archive["$objects"]

    def follow(o):
        if isinstance(o, UID):
            return follow(objects[o.data])
        if isinstance(o, dict):
            return {k: follow(v) for k, v in o.items()}
        if isinstance(o, list):
            return [follow(v) for v in o]
        return o

    return follow(archive["$top"])


# --- command line ------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(
        description="Make an iPhone backup and a list of what it holds.")
    parser.add_argument("shape", nargs="?", choices=SHAPES)
    parser.add_argument("outdir", nargs="?")
    parser.add_argument("--password", default=DEFAULT_PASSWORD,
                        help=f'of encrypted shapes ("{DEFAULT_PASSWORD}")')
    parser.add_argument("--dpic", type=int, default=10,
                        help="iterations of the SHA-256 stage (10)")
    parser.add_argument("--iter", type=int, default=10,
                        help="iterations of the SHA-1 stage (10)")
    parser.add_argument("--profile", default="odd",
                        choices=("odd", "sample", "scale"))
    parser.add_argument("--big", type=int, default=(1 << 20) + 3,
                        help="bytes of the largest file of odd (1 MiB + 3)")
    parser.add_argument("--files", type=int, default=100000,
                        help="regular files of scale (100000)")
    parser.add_argument("--no-payloads", action="store_true",
                        help="scale: the manifest alone, without EXPECT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--expect", metavar="FILE",
                        help="where EXPECT goes (OUTDIR.expect)")
    parser.add_argument("--self-test", action="store_true")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    if not args.outdir:
        parser.error("SHAPE and OUTDIR are wanted")
    out = args.outdir.rstrip("/")
    if os.path.isdir(out) and os.listdir(out):
        parser.error(f"{out} is not empty")
    expect = args.expect or out + ".expect"

    b = Backup(args.shape, args.password, args.seed, args.dpic, args.iter)
    if args.profile == "scale":
        write_scale(b, out, args.files, not args.no_payloads,
                    None if args.no_payloads else expect)
        return
    fill = fill_odd if args.profile == "odd" else fill_sample
    fill(b, args.big)
    b.write(out)
    write_expect(expect, b.expect())


if __name__ == "__main__":
    main()
