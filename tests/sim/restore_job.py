"""Restoring the phone from a backup folder of the host.

Everything is fetched into a new Content beside the phone's own, which takes
its place only when it is complete.
"""

import contextlib
import hashlib
import os
import plistlib
import re
import tempfile

import device_keys
import manifest
from content import Content, check_path
from devicelink import MBError
from session import Session, good_status, load_plist, now, version

PHASES = ("request", "manifest-download", "status-download", "copy",
          "payloads", "apply", "response")

# Domains that a restore leaves alone without RestoreSystemFiles.
SYSTEM_DOMAINS = {
    "SystemPreferencesDomain", "ManagedPreferencesDomain", "RootDomain",
    "WirelessDomain", "DatabaseDomain", "ProtectedDomain", "InstallDomain",
    "NetworkDomain", "MobileDeviceDomain", "BackupDomain"}

OPTIONS = {"RestoreSystemFiles": True, "RestoreShouldReboot": True,
           "RestoreDontCopyBackup": False, "RestorePreserveSettings": True,
           "RemoveItemsNotRestored": True}

# Of the media partition: what a host wants to be installed again.
APPLICATIONS = "iTunesRestore/RestoreApplications.plist"

FILE_ID = re.compile("[0-9a-f]{40}")
PIECE = 1 << 16                 # bytes of a payload that are handled at once


class Rooms:
    """Where payloads are worked on, one at a time: always the same memory."""

    def __init__(self):
        self.stored = memoryview(bytearray(PIECE))
        # what is decrypted, behind a block that waited for it
        self.clear = memoryview(bytearray(16 + PIECE + 16))


class FileSink:
    """Takes a payload as it arrives; in clear and judged by close()."""

    def __init__(self, place, key, digest, rooms):
        self.place, self.rooms = place, rooms
        self.file = None
        self.cipher = device_keys.decryptor(key) if key else None
        self.digest = digest
        self.sum = None if digest is None else hashlib.new(
            "sha1" if len(digest) == 20 else "sha256")
        self.filled = self.length = 0
        self.tail = b""             # the last block, which has the padding
        self.error = None

    def write(self, piece):
        while piece:
            end = min(self.filled + len(piece), PIECE)
            n = end - self.filled
            self.rooms.stored[self.filled:end] = piece[:n]
            self.filled, piece = end, piece[n:]
            if end == PIECE:
                self.store(self.take())

    def take(self):
        """What is gathered, in clear but for the last block."""
        data = self.rooms.stored[:self.filled]
        self.length += self.filled
        self.filled = 0
        if self.sum:
            self.sum.update(data)
        if not self.cipher:
            return data
        clear, n = self.rooms.clear, len(self.tail)
        clear[:n] = self.tail
        n += self.cipher.update_into(data, clear[n:])
        cut = max(n - 16, 0)
        self.tail = bytes(clear[cut:n])
        return clear[:cut]

    def store(self, data):
        if not self.file:
            self.file = open(self.place, "xb", 0)
        while data:
            data = data[self.file.write(data):]

    def close(self):
        self.store(self.take())
        if self.cipher:
            self.store(self.unpadded())
        self.file.close()
        if self.sum and self.sum.digest() != self.digest:
            self.error = "wrong digest"

    def unpadded(self):
        """What the last block holds."""
        count = self.tail[-1] if self.tail else 0
        if self.length % 16 == 0 and 1 <= count <= 16 \
                and self.tail.endswith(bytes([count]) * count):
            return self.tail[:-count]
        self.error = "bad padding"
        return self.tail


class RestoreJob(Session):
    def __init__(self, link, phone, request):
        super().__init__(link, phone, request)
        self.option = dict(OPTIONS)
        for name, default in OPTIONS.items():
            value = self.options.get(name, default)
            if not isinstance(value, bool):
                link.violation(f"option {name} is {value!r}")
                value = default
            self.option[name] = value
        self.sinks = {}             # file ID -> FileSink of what is fetched

    def run(self):
        self.at("request")
        self.look_at_applications()
        if self.phone.value("com.apple.fmip", "IsAssociated"):
            raise MBError(211, "Find My iPhone must be turned off")
        self.read_backup()
        self.check_space()
        if not self.option["RestoreDontCopyBackup"]:
            self.copy_backup()
        self.at("payloads")
        self.fresh = Content(self.new_folder() + "/content", create=True)
        self.receive_payloads()
        self.at("apply")
        self.apply()
        self.take_applications()
        self.at("response")
        self.phone.event("restore-finished", files=len(self.sinks))

    def new_folder(self):
        """What is left in it at the end is thrown away."""
        self.folder = tempfile.mkdtemp(prefix="restore-",
                                       dir=self.phone.state)
        self.link.leftovers.append(self.folder)
        return self.folder

    # applications

    def look_at_applications(self):
        place = self.phone.state / "afc" / APPLICATIONS
        if not place.exists():
            return self.phone.event("restore-applications", there=False)
        plist = load_plist(place.read_bytes())
        if plist is None or not all(isinstance(app, dict)
                                    for app in plist.values()):
            self.link.violation(f"{APPLICATIONS} is no dictionary of them")
            plist = {}
        return self.phone.event("restore-applications", there=True, holds={
            bundle: {key: shown(value) for key, value in app.items()}
            for bundle, app in plist.items()})

    def take_applications(self):
        """They are being installed from now on."""
        place = self.phone.state / "afc" / APPLICATIONS
        if place.exists():
            place.unlink()

    # is it a backup, and for this phone?

    def must_fetch(self, name, code):
        data = self.fetch(name)
        if not data:
            raise MBError(code, f"{name} is missing or empty")
        return data

    def read_backup(self):
        self.at("manifest-download")
        plist = load_plist(self.must_fetch("Manifest.plist", 205))
        if plist is None or not isinstance(plist.get("Version"), str):
            raise MBError(205, "Manifest.plist is corrupt")
        self.encrypted = plist.get("IsEncrypted", False)
        self.keyset = self.keyset_of(plist) if self.encrypted else None
        self.hashed = version(plist["Version"]) >= (10, 0)
        try:
            self.records, self.digests = self.read_manifest(plist)
        except manifest.Corrupt as e:
            raise MBError(205, str(e)) from e
        self.check_status()
        self.check_records()

    def keyset_of(self, plist):
        password = self.options.get("Password")
        if not isinstance(password, str):
            raise MBError(207, "Password required to restore")
        try:
            return self.unlock(plist, password)
        except MBError as e:
            if e.code == 207:
                e.description = "Invalid password when restoring " \
                                "encrypted backup"
            raise

    def read_manifest(self, plist):
        if not self.hashed:
            return manifest.read_mbdb(self.must_fetch("Manifest.mbdb", 205))
        data = self.must_fetch("Manifest.db", 205)
        if known := self.snapshots.find(data):
            return known.records, {}        # writes no digests
        if self.encrypted and not data.startswith(b"SQLite format 3\0"):
            key = self.keyset.unwrap(plist.get("ManifestKey") or bytes(44))
            if key is None:
                raise manifest.Corrupt("bad ManifestKey")
            data = manifest.decrypt_db(data, key)
        return manifest.read_db(data)

    def check_status(self):
        self.at("status-download")
        data = self.fetch("Status.plist")
        status = None if data is None else load_plist(data)
        if status is None:
            raise MBError(204, "No backup to restore")
        if not good_status(status):
            raise MBError(11, "Status.plist has values of wrong types")
        if not (2, 4) <= version(status["Version"]) < (4, 0):
            raise MBError(203, "Backup version is not supported")
        if status["SnapshotState"] != "finished":
            raise MBError(204, "The backup is incomplete")
        info = load_plist(self.fetch("Info.plist") or b"") or {}
        wanted = info.get("Product Version")
        if isinstance(wanted, str) \
                and version(wanted) > version(self.phone.product_version):
            raise MBError(203, f"The backup is of iOS {wanted}")

    def check_records(self):
        for ident, (sig, blob, _, _) in self.records.items():
            domain, path, kind = sig[:3]
            try:
                check_path(domain, path)
            except ValueError as e:
                raise MBError(205, str(e)) from e
            if kind is None or kind == "l" and not sig[11] or sig[8] < 0 \
                    or kind == "f" and self.encrypted and blob is None \
                    or not FILE_ID.fullmatch(ident):
                raise MBError(205, f"Bad record {ident}: {domain}-{path}")

    def check_space(self):
        wanted = sum(sig[8] for _, (sig, *_) in self.chosen() if sig[2] == "f")
        free = self.phone.value("com.apple.disk_usage", "AmountDataAvailable")
        if wanted > free:
            raise MBError(106, "Not enough free space on the device to "
                               "restore")

    def copy_backup(self):
        """The host keeps a copy of what it has of this phone."""
        self.at("copy")
        if not self.link.list_directory(self.target):
            return
        self.link.free_space()
        copy = f"{self.target}-{now().strftime('%Y%m%d-%H%M%S')}"
        self.link.copy(self.target, copy)
        path = f"{copy}/Info.plist"
        data = self.link.download([path])[path]
        info = load_plist(data) if isinstance(data, bytes) else None
        if info is not None:
            info["Display Name"] = f"{info.get('Display Name', '')} (copy)"
            data = plistlib.dumps(info)
            self.link.upload([("/.b/6/Info.plist", path, data)], len(data))

    # receiving

    def chosen(self):
        """(ID, record) of all that is to be restored."""
        for ident, record in self.records.items():
            if self.option["RestoreSystemFiles"] \
                    or record[0][0] not in SYSTEM_DOMAINS:
                yield ident, record

    def place_for(self, ident):
        """Where a payload goes; the folder is made."""
        place = self.fresh.place(*self.records[ident][0][:2])
        folder = os.path.dirname(place)
        if folder not in self.made:
            os.makedirs(folder, exist_ok=True)
            self.made.add(folder)
        return place

    def receive_payloads(self):
        """Each payload to its place, one for all names of an inode."""
        self.rooms, self.made = Rooms(), set()
        self.first = {}             # file ID -> ID whose payload it shares
        by_inode, wanted = {}, []
        for ident, (sig, _, _, _) in self.chosen():
            if sig[2] != "f":
                continue
            inode = (sig[0], sig[9]) if sig[9] else ident
            first = by_inode.setdefault(inode, ident)
            self.first[ident] = first
            if first == ident:
                wanted.append(ident)
        size, errors = self.knob("batch"), {}
        for at in range(0, len(wanted), size):
            errors |= self.receive_batch(wanted[at:at + size],
                                         10 + 80 * at / len(wanted))
        if errors:
            self.phone.event("restore-errors", errors=errors)
            if 105 in errors.values():
                raise MBError(106, "Not enough space on the device")
            raise MBError(205, "Multiple errors downloading files")
        bad = [sink.error for sink in self.sinks.values() if sink.error]
        if bad:
            raise MBError(205, f"Corrupt payload: {bad[0]}")

    def receive_batch(self, idents, percent):
        asked = {self.path(*((ident[:2], ident) if self.hashed
                             else (ident,))): ident for ident in idents}
        keys = dict.fromkeys(idents)
        if self.encrypted:
            keys = dict(zip(idents, self.keyset.unwrap_all(
                [self.records[ident][1] for ident in idents])))
            if None in keys.values():
                raise MBError(205, "Bad key of a file")

        def sink(path):
            self.faults.receiving(len(self.sinks))
            ident = asked[path]
            self.sinks[ident] = FileSink(self.place_for(ident), keys[ident],
                                         self.digests.get(ident),
                                         self.rooms)
            return self.sinks[ident]

        return self.link.download_to(list(asked), sink, percent)

    # writing

    def apply(self):
        """The new tree: what is restored, and the rest unless it goes."""
        chosen = sorted((record[0], ident) for ident, record in self.chosen())
        with self.fresh.editing():
            # links last: nothing is written through one
            for kind in "dfl":
                for sig, ident in chosen:
                    if sig[2] == kind:
                        self.put(ident, sig)
            folders = [(sig, sig[6] * 10**9) for sig, _ in chosen
                       if sig[2] == "d"]
            folders += self.keep_others({sig[:2] for sig, _ in chosen})
            for sig, mtime_ns in folders:
                self.fresh.settle(sig, mtime_ns)
        old = self.phone.content.path
        os.rename(old, f"{self.folder}/old")
        os.rename(self.fresh.path, old)

    def put(self, ident, sig):
        """One record; a file has been fetched, by this name or another."""
        domain, path, kind = sig[:3]
        place = self.fresh.place(domain, path)
        try:
            if kind == "d":
                return os.makedirs(place, exist_ok=True)
            if kind == "l":
                os.makedirs(os.path.dirname(place), exist_ok=True)
                os.symlink(sig[11], place)
            elif self.first[ident] != ident:
                os.link(self.sinks[self.first[ident]].place,
                        self.place_for(ident))
        except OSError as e:
            raise MBError(205, f"{domain}-{path}: {e}") from e
        return self.fresh.settle(sig, sig[6] * 10**9)

    def keep_others(self, restored):
        """Items of the phone that are not restored, but for those that are to
        go: system files stay unless system files are restored.  Returns
        (signature, time) of folders, which are not finished yet."""
        folders = []
        for item in self.phone.content.scan():
            may_go = self.option["RestoreSystemFiles"] \
                or item.domain not in SYSTEM_DOMAINS
            if (item.domain, item.path) in restored \
                    or may_go and self.option["RemoveItemsNotRestored"]:
                continue
            sig = manifest.signature(item)
            place = self.fresh.place(item.domain, item.path)
            # what is restored has the right of way
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                if item.kind == "d":
                    os.makedirs(place, exist_ok=True)
                    folders.append((sig, item.mtime_ns))
                else:
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    # the old tree goes away: this one can have its file
                    os.link(item.place, place, follow_symlinks=False)
                    self.fresh.settle(sig, item.mtime_ns)
        return folders


def shown(value):
    """For the log, which is JSON: data by their digests."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return value if isinstance(value, (str, int, float, bool)) else str(value)
