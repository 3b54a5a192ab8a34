"""Manifests as the phone writes and reads them, and its record of backups.

A record, of one file, folder or symlink, is a plain tuple

    (signature, blob, mtime_ns, stored)

signature   the first fields of a content.Item, up to xattrs
blob        class and wrapped key of an encrypted file, else None
mtime_ns    None where it was read from a manifest and not remembered
stored      bytes of the payload on the host; None: has none, or unknown
"""

import hashlib
import os
import pickle
import plistlib
import shutil
import sqlite3
import stat
import struct
from pathlib import Path

import content
import mkbackup

SIGNATURE = content.Item._fields.index("xattrs") + 1
KINDS = {1: "f", 2: "d", 4: "l"}
KEPT_SNAPSHOTS = 4


def file_id(item):
    return hashlib.sha1(f"{item[0]}-{item[1]}".encode()).hexdigest()


def signature(item):
    return tuple(item[:SIGNATURE])


class Corrupt(Exception):
    """A manifest that the phone cannot use."""


# --- writing -----------------------------------------------------------------

class RowMaker:
    """Rows of Manifest.db; the usual ones by filling in a form."""

    def __init__(self):
        self.forms = {}

    def row(self, ident, item, blob):
        domain, path, kind, mode, uid, gid, mtime, birth, size, inode, \
            pclass, target, xattrs = item[:SIGNATURE]
        usual = target is None and not xattrs and uid == gid == 501 \
            and len(path) < 256 and path.isascii() and inode >> 32 == 0 \
            and size >> 32 == 0 and mtime >> 32 == 0 and birth >> 32 == 0
        if usual:
            key = mode, kind, pclass, blob is not None
            form = self.forms.get(key)
            if form is None:
                form = self.forms[key] = mkbackup.BlobTemplate(
                    mkbackup.TYPE_MODE[kind] | mode, pclass, key[3])
            archive = form.fill(path, size, inode, birth, mtime, mtime, blob)
        else:
            entry = content.entry_of(content.Item(*item[:SIGNATURE], 0, ""))
            entry.wrapped = blob
            archive = mkbackup.mbfile(entry)
        return ident, domain, path, mkbackup.TYPE_FLAG[kind], archive


def edit_db(path, base, changed, gone):
    """Manifest.db from that of the backup before: `changed` rows, and IDs
    that are `gone`."""
    shutil.copyfile(base, path)
    if not changed and not gone:
        return
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN;")
    db.executemany("DELETE FROM Files WHERE fileID = ?",
                   ((ident,) for ident in gone))
    db.executemany("INSERT OR REPLACE INTO Files VALUES (?, ?, ?, ?, ?)",
                   changed)
    db.execute("COMMIT")
    db.close()


# --- reading -----------------------------------------------------------------

def number(main, key):
    value = main.get(key, 0)
    if not isinstance(value, int):
        raise Corrupt(f"{key} is {value!r}")
    return value


def read_mbfile(archive):
    """(signature without domain and path, blob, digest) of an MBFile."""
    main = mkbackup.mbfile_by_name(plistlib.loads(archive))["root"]
    mode = number(main, "Mode")
    attributes = main.get("ExtendedAttributes")
    key, digest = main.get("EncryptionKey"), main.get("Digest")
    return ((content.KINDS.get(stat.S_IFMT(mode)), stat.S_IMODE(mode),
             *(number(main, k) for k in (
                 "UserID", "GroupID", "LastModified", "Birth", "Size",
                 "InodeNumber", "ProtectionClass")),
             main.get("Target"),
             tuple(sorted(plistlib.loads(attributes).items()))
             if attributes else ()),
            key["NS.data"] if key else None,
            digest["NS.data"] if isinstance(digest, dict) else digest)


def read_db(data):
    """{file ID: record} of a plain Manifest.db, and {file ID: digest}."""
    records, digests = {}, {}
    try:
        db = sqlite3.connect(":memory:")
        db.deserialize(data)
        for ident, domain, path, flags, archive in db.execute(
                "SELECT fileID, domain, relativePath, flags, file FROM Files"):
            if domain is None or not archive:
                continue
            rest, blob, digest = read_mbfile(archive)
            kind = KINDS.get(flags & 7, rest[0])
            if kind != rest[0]:
                raise Corrupt(f"{domain}-{path}: flags {flags}")
            records[ident] = (domain, path, *rest), blob, None, None
            if digest:
                digests[ident] = digest
        db.close()
    except (sqlite3.Error, KeyError, IndexError, TypeError, ValueError,
            plistlib.InvalidFileException) as e:
        raise Corrupt(f"Manifest.db: {e}") from e
    return records, digests


def read_mbdb(data):
    """The same of a Manifest.mbdb."""
    if data[:6] != b"mbdb\x05\0":
        raise Corrupt("Manifest.mbdb has no mbdb 5.0")
    records, digests, at = {}, {}, 6

    def string():
        nonlocal at
        length, = struct.unpack_from(">H", data, at)
        at += 2
        if length == 0xffff:
            return b""
        at += length
        return data[at - length:at]

    try:
        while at < len(data):
            domain, path, target, digest, blob = (string() for _ in range(5))
            mode, inode, uid, gid, mtime, _, birth, size, pclass, count = \
                struct.unpack_from(">HQIIiiiQBB", data, at)
            at += 40
            xattrs = tuple(sorted((string().decode(), string())
                                  for _ in range(count)))
            ident = hashlib.sha1(domain + b"-" + path).hexdigest()
            kind = content.KINDS.get(stat.S_IFMT(mode))
            records[ident] = (
                domain.decode(), path.decode(), kind, stat.S_IMODE(mode), uid,
                gid, mtime, birth, size, inode, pclass,
                target.decode() if kind == "l" else None, xattrs), \
                blob or None, None, None
            if digest:
                digests[ident] = digest
    except (struct.error, UnicodeDecodeError) as e:
        raise Corrupt(f"Manifest.mbdb: {e}") from e
    return records, digests


def decrypt_db(data, key):
    """Manifest.db in clear, padded or not."""
    if len(data) % 16:
        raise Corrupt(f"Manifest.db of {len(data)} bytes")
    data = mkbackup.decrypt(key, data)
    if data.endswith(b"\x10" * 16) and len(data) % 4096 == 16:
        data = data[:-16]
    if not data.startswith(b"SQLite format 3\0"):
        raise Corrupt("Manifest.db is no database once decrypted")
    return data


# --- what the phone remembers of its backups ---------------------------------

class Snapshot:
    """A backup as it was left on a host."""

    def __init__(self, full, bag, records):
        self.full, self.bag, self.records = full, bag, records
        self.db = None              # place of its Manifest.db in clear


class SnapshotStore:
    """The last few finished backups, each by the digest of its Manifest.db as
    the host has it, and the unfinished one."""

    def __init__(self, path):
        self.path = Path(path)
        os.makedirs(self.path, exist_ok=True)

    def new_db(self, uuid):
        """Where the Manifest.db of a backup that begins is made."""
        return str(self.path / f"{uuid}.db")

    def save(self, snapshot, digest, db):
        """Keep a snapshot and its Manifest.db in clear, now at `db`."""
        with open(self.path / f"{digest}.record", "wb") as f:
            pickle.dump((snapshot.full, snapshot.bag, snapshot.records), f,
                        pickle.HIGHEST_PROTOCOL)
        os.replace(db, self.path / f"{digest}.db")
        known = sorted(self.path.glob("*.record"),
                       key=lambda p: p.stat().st_mtime_ns)
        for old in known[:-KEPT_SNAPSHOTS]:
            old.unlink()
        for place in self.path.glob("*.db"):
            if not place.with_suffix(".record").exists():
                place.unlink()

    def find(self, data):
        """The snapshot that has this very Manifest.db, or None."""
        digest = hashlib.sha256(data).hexdigest()
        try:
            with open(self.path / f"{digest}.record", "rb") as f:
                snapshot = Snapshot(*pickle.load(f))
        except FileNotFoundError:
            return None
        snapshot.db = str(self.path / f"{digest}.db")
        return snapshot

    # the unfinished one

    @property
    def _unfinished(self):
        return self.path / "unfinished"

    def keep_unfinished(self, state):
        with open(self._unfinished, "wb") as f:
            pickle.dump(state, f, pickle.HIGHEST_PROTOCOL)

    def unfinished(self):
        try:
            with open(self._unfinished, "rb") as f:
                return pickle.load(f)
        except FileNotFoundError:
            return None

    def forget_unfinished(self):
        self._unfinished.unlink(missing_ok=True)
