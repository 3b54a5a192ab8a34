"""Restoring the phone from a backup folder of the host.

Everything is fetched into a new Content beside the phone's own, which takes
its place only when it is complete.
"""

import hashlib
import os
import plistlib
import shutil

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


class FileSink:
    """Takes a payload as it arrives; in clear and judged by close()."""

    def __init__(self, place, key, digest):
        self.file = open(place, "wb")
        self.cipher = device_keys.decryptor(key) if key else None
        self.digest = digest
        self.sum = None if digest is None else hashlib.new(
            "sha1" if len(digest) == 20 else "sha256")
        self.tail = b""             # the last block, which has the padding
        self.error = None

    def write(self, data):
        if self.sum:
            self.sum.update(data)
        if self.cipher:
            data = self.tail + self.cipher.update(data)
            cut = max(len(data) - 16, 0)
            data, self.tail = data[:cut], data[cut:]
        self.file.write(data)

    def close(self):
        if self.cipher and self.tail:
            count = self.tail[-1]
            if len(self.tail) == 16 and 1 <= count <= 16 \
                    and self.tail.endswith(bytes([count]) * count):
                self.tail = self.tail[:-count]
            else:
                self.error = "bad padding"
            self.file.write(self.tail)
        if self.sum and self.sum.digest() != self.digest:
            self.error = "wrong digest"
        self.file.close()


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
        self.fetched = {}           # place of a file -> its FileSink

    def run(self):
        self.at("request")
        try:
            self.read_backup()
            if not self.option["RestoreDontCopyBackup"]:
                self.copy_backup()
            self.at("payloads")
            self.receive_payloads()
            self.at("apply")
            self.apply()
        finally:
            shutil.rmtree(self.phone.state / "restore", ignore_errors=True)
        self.at("response")
        self.phone.event("restore-finished", files=len(self.fetched))

    def must_fetch(self, name, code):
        data = self.fetch(name)
        if not data:
            raise MBError(code, f"{name} is missing or empty")
        return data

    def read_backup(self):
        """Manifests and Status.plist: is this a backup, and for this phone?"""
        self.at("manifest-download")
        plist = load_plist(self.must_fetch("Manifest.plist", 205))
        if plist is None or not isinstance(plist.get("Version"), str):
            raise MBError(205, "Manifest.plist is corrupt")
        self.encrypted = plist.get("IsEncrypted", False)
        self.keyset = None
        if self.encrypted:
            password = self.options.get("Password")
            if not isinstance(password, str):
                raise MBError(207, "Password required to restore")
            try:
                self.keyset = self.unlock(plist, password)
            except MBError as e:
                if e.code == 207:
                    e.description = "Invalid password when restoring " \
                                    "encrypted backup"
                raise
        self.hashed = version(plist["Version"]) >= (10, 0)
        try:
            self.records, self.digests = self.read_manifest(plist)
        except manifest.Corrupt as e:
            raise MBError(205, str(e)) from e
        self.check_status()
        self.check_records()

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
                    or kind == "f" and self.encrypted and blob is None:
                raise MBError(205, f"Bad record {ident}: {domain}-{path}")

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

    def receive_payloads(self):
        """Each payload to restore/<ID>, one for all names of an inode."""
        self.folder = self.phone.state / "restore"
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.names = {}             # file ID -> ID whose payload it shares
        by_inode, wanted = {}, []
        for ident, (sig, _, _, _) in self.chosen():
            if sig[2] != "f":
                continue
            inode = (sig[0], sig[9]) if sig[9] else ident
            first = by_inode.setdefault(inode, ident)
            self.names[ident] = first
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
        bad = [sink.error for sink in self.fetched.values() if sink.error]
        if bad:
            raise MBError(205, f"Corrupt payload: {bad[0]}")

    def receive_batch(self, idents, percent):
        places = {self.path(*((ident[:2], ident) if self.hashed
                              else (ident,))): ident for ident in idents}

        keys = dict.fromkeys(idents)
        if self.encrypted:
            keys = dict(zip(idents, self.keyset.unwrap_all(
                [self.records[ident][1] for ident in idents])))
            if None in keys.values():
                raise MBError(205, "Bad key of a file")

        def sink(path):
            ident = places[path]
            place = str(self.folder / ident)
            self.fetched[place] = FileSink(place, keys[ident],
                                           self.digests.get(ident))
            return self.fetched[place]

        return self.link.download_to(list(places), sink, percent)

    # writing

    def apply(self):
        """The new tree: what is restored, and the rest unless it goes."""
        fresh = Content(self.folder / "content", create=True)
        self.hold = {}
        with fresh.editing():
            chosen = sorted((record[0], ident)
                            for ident, record in self.chosen())
            self.keep_others(fresh, {sig[:2] for sig, _ in chosen})
            for sig, ident in chosen:
                self.put(fresh, ident, sig)
        for place, mtime_ns in sorted(self.hold.items(), reverse=True):
            os.utime(place, ns=(mtime_ns, mtime_ns), follow_symlinks=False)
        old = self.phone.content.path
        aside = self.folder / "old"
        os.rename(old, aside)
        os.rename(fresh.path, old)

    def keep_others(self, fresh, restored):
        """Items of the phone that are not restored, but for those that are to
        go: system files stay unless system files are restored."""
        for item in self.phone.content.scan():
            may_go = self.option["RestoreSystemFiles"] \
                or item.domain not in SYSTEM_DOMAINS
            if (item.domain, item.path) in restored \
                    or may_go and self.option["RemoveItemsNotRestored"]:
                continue
            meta = {"uid": item.uid, "gid": item.gid, "mode": item.mode,
                    "birth": item.birth, "pclass": item.pclass,
                    "xattrs": dict(item.xattrs)}
            if item.kind == "d":
                fresh.mkdir(item.domain, item.path, **meta)
            elif item.kind == "l":
                fresh.symlink(item.domain, item.path, item.target, **meta)
            else:
                fresh.write(item.domain, item.path, **meta)
                os.unlink(fresh.place(item.domain, item.path))
                shutil.copy2(item.place, fresh.place(item.domain, item.path))
            self.hold[fresh.place(item.domain, item.path)] = item.mtime_ns

    def put(self, fresh, ident, sig):
        domain, path, kind, mode, uid, gid, mtime, birth, _, _, pclass, \
            target, xattrs = sig
        meta = {"mode": mode, "uid": uid, "gid": gid, "birth": birth,
                "pclass": pclass, "xattrs": dict(xattrs)}
        place = fresh.place(domain, path)
        if kind == "d":
            os.makedirs(place, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
        if kind == "l":
            os.symlink(target, place)
        elif kind == "f":
            first = str(self.folder / self.names[ident])
            os.link(first, place)
        fresh.set(domain, path, mtime=mtime, **meta)
        self.hold[place] = mtime * 10**9
