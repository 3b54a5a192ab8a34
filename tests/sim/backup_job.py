"""A backup, as the phone makes it: phases in the order of PHASES.

The phone compares its files with the host's last backup (its own record of it
if it made it, else the host's manifest), uploads what changed to Snapshot/,
and has the host move that into place once it is complete.
"""

import datetime
import hashlib
import os
import uuid

import device_keys
import manifest
import mkbackup
from content import sha256_of
from devicelink import MBError, Unreadable
from session import Session, binary, good_status, load_plist, now, version

PHASES = ("request", "status-download", "manifest-download", "verify", "scan",
          "space", "directories", "status-uploading", "upload",
          "manifest-upload", "status-moving", "move", "status-removing",
          "remove", "status-finished", "final-verify", "response")
PURGE_EXTRA = 2 << 30
HEX = [f"{i:02x}" for i in range(256)]
STATES = "uploading", "moving", "removing", "finished"

INFO_KEYS = {
    "Applications": dict, "Build Version": str, "Device Name": str,
    "Display Name": str, "GUID": str, "Installed Applications": list,
    "Last Backup Date": datetime.datetime, "Product Type": str,
    "Product Version": str, "Serial Number": str, "Target Identifier": str,
    "Target Type": str, "Unique Identifier": str, "iTunes Files": dict,
    "iTunes Settings": dict, "iTunes Version": str}

PAYLOADS = device_keys.PayloadCache()


class BackupJob(Session):
    def __init__(self, link, phone, request):
        super().__init__(link, phone, request)
        self.uuid = str(uuid.uuid4()).upper()
        self.full = True
        self.why_full = "asked for"
        self.base = None        # Snapshot that this one builds on
        self.stage = None       # phase reached, for whoever resumes
        self.records, self.uploads = {}, []
        self.uploaded = {}      # file ID -> bytes stored in Snapshot/
        self.lost = set()       # file IDs that could not be read
        self.moves, self.removals = [], []
        self.manifest_moves = ["Manifest.plist", "Manifest.db"]
        self.moved_away = None
        self.sent = {}          # name of a manifest -> its digest
        self.db = self.snapshots.new_db(self.uuid)

    # the whole

    def run(self):
        try:
            self.whole()
        except BaseException:
            if self.stage:
                self.keep_state()
            raise
        finally:
            self.keys.save()

    def whole(self):
        self.at("request")
        if self.phone.password is None and self.knob("requires_encryption"):
            raise MBError(207, "Backups must be encrypted on this device")
        if "space-first" in self.knob("quirks"):
            self.link.free_space()
        self.check_info()
        resumed = self.look_at_old()
        self.keyset = self.key_set()
        if resumed in (None, "uploading"):
            self.make_snapshot()
        if resumed != "removing":
            self.put_status("moving")
            self.move()
        self.put_status("removing")
        self.remove()
        self.put_status("finished")
        self.final_verify()
        self.finish()

    def make_snapshot(self):
        self.at("verify")
        self.verify_old()
        self.at("scan")
        self.scan()
        self.at("space")
        self.check_space()
        self.at("directories")
        self.make_directories()
        self.put_status("uploading")
        self.at("upload")
        self.upload_payloads()
        self.at("manifest-upload")
        self.upload_manifests()

    def finish(self):
        self.at("response")
        self.snapshots.save(
            manifest.Snapshot(self.full, self.bag, self.records),
            self.sent["Manifest.db"], self.db)
        self.snapshots.forget_unfinished()
        self.phone.event(
            "backup-finished", full=self.full, why=self.why_full,
            uploaded=len(self.uploaded), removed=len(self.removals),
            bytes=sum(self.uploaded.values()), encrypted=self.keyset.encrypted)

    # the host's last backup

    def check_info(self):
        if not self.knob("check_info") or self.id != self.target:
            return
        data = self.fetch("Info.plist")
        info = None if data is None else load_plist(data)
        if info is None:
            return self.link.violation("no Info.plist before the backup")
        for key, kind in INFO_KEYS.items():
            if not isinstance(info.get(key), kind):
                self.link.violation(f"Info.plist: {key} is "
                                    f"{type(info.get(key)).__name__}")
        for key, want in (
                ("Target Identifier", self.phone.udid),
                ("Unique Identifier", self.phone.udid.upper()),
                ("Target Type", "Device"),
                *((key, self.phone.value(None, key.replace(" ", "")))
                  for key in ("Device Name", "Product Type", "Serial Number",
                              "Product Version", "Build Version"))):
            if info.get(key) != want:
                self.link.violation(f"Info.plist: {key} is {info.get(key)!r},"
                                    f" not {want!r}")

    def look_at_old(self):
        """Decide between full and incremental; the phase that a broken-off
        backup goes on with, if it does."""
        self.at("status-download")
        if "empty-download" in self.knob("quirks"):
            self.link.download([])
        data = self.fetch("Status.plist")
        status = None if data is None else load_plist(data)
        if self.options.get("ForceFullBackup") is True:
            return None
        if not good_status(status):
            self.why_full = "no backup" if data is None else "bad Status.plist"
            return None
        if version(status["Version"]) < (3, 3):
            self.why_full = "old format"
            self.move_old_away()
            return None
        self.at("manifest-download")
        if status["SnapshotState"] in STATES[:3]:
            return self.resume(status)
        try:
            self.base = self.load_base()
        except (MBError, manifest.Corrupt) as e:
            self.why_full = str(e)
        self.full = self.base is None
        if not self.full:
            self.why_full = None
        return None

    def move_old_away(self):
        """An old format is put aside until the new backup is complete."""
        stamp = now().strftime("%Y%m%d-%H%M%S")
        self.moved_away = f"{self.id}-{stamp}"
        self.link.move({self.id: self.moved_away})
        self.link.create_directory(self.id)
        self.link.copy(f"{self.moved_away}/Info.plist", self.path("Info.plist"))

    def load_base(self):
        """The Snapshot on the host, by its own manifest."""
        plist = load_plist(self.fetch("Manifest.plist") or b"")
        if plist is None:
            raise manifest.Corrupt("no Manifest.plist")
        if plist.get("IsEncrypted") is not (self.phone.password is not None):
            raise MBError(207, "encryption was switched")
        keyset = self.unlock(plist, self.phone.password)
        data = self.fetch("Manifest.db")
        if not data:
            raise manifest.Corrupt("no Manifest.db")
        base = self.snapshots.find(data)
        if base and base.bag == keyset.bag:
            self.phone.event("base", known=True)
            self.keys.set = keyset
            return base
        if keyset.encrypted:
            key = keyset.unwrap(plist.get("ManifestKey") or bytes(44))
            if key is None:
                raise manifest.Corrupt("bad ManifestKey")
            data = manifest.decrypt_db(data, key)
        records, _ = manifest.read_db(data)
        base = manifest.Snapshot(False, keyset.bag, records)
        if self.keys.set is None or self.keys.set.bag != keyset.bag:
            self.keys.password, self.keys.set = self.phone.password, keyset
            self.keys.file_keys, self.keys.dirty = {}, True
        self.phone.event("base", known=False)
        return base

    def verify_old(self):
        """Every file of the old manifest must be there, else it is no base.
        A full backup looks for what is in its way instead."""
        if "list-missing" in self.knob("quirks"):
            if self.link.list_directory(self.path("no such folder")):
                self.link.violation("a listing of a folder that is not there")
        top = self.link.list_directory(self.id)
        self.stale = set()
        if self.base is None or self.knob("verify") == "full":
            self.stale = self.listed_payloads(self.id, top)
        if self.base is not None and self.knob("verify") == "full":
            missing = [ident for ident, record in self.base.records.items()
                       if record[0][2] == "f" and ident not in self.stale
                       and (record[2] is None or record[3] is not None)]
            if missing:
                self.why_full = f"corrupt: {len(missing)} payloads missing"
                self.phone.event("base-corrupt", missing=missing[:10])
                self.base, self.full = None, True
        if not self.uploaded:
            self.snapshots.forget_unfinished()
            if "Snapshot" in top:
                self.link.remove([self.path("Snapshot")])

    def listed_payloads(self, folder, top):
        """{file ID: size} in the xx folders below `folder`."""
        found = {}
        for name, (kind, _) in top.items():
            if kind == "DLFileTypeDirectory" and name in HEX:
                for ident, (kind, size) in self.link.list_directory(
                        f"{folder}/{name}").items():
                    if ident[:2] == name and len(ident) == 40:
                        found[ident] = size
        return found

    # resuming

    def keep_state(self):
        self.snapshots.keep_unfinished({
            name: getattr(self, name) for name in (
                "uuid", "full", "why_full", "id", "stage", "records",
                "uploaded", "lost", "moves", "removals", "moved_away", "sent",
                "db", "stamps")} | {
            "bag": self.keyset.bag, "had_base": self.base is not None})

    def resume(self, status):
        state = self.snapshots.unfinished()
        phase = status["SnapshotState"]
        if not state or state["uuid"] != status["UUID"] \
                or state["id"] != self.id or state["stage"] != phase \
                or state["bag"] != self.key_set().bag:
            self.why_full = f"broken off while {phase}"
            return None
        if phase == "moving" and not self.can_move(state):
            self.why_full = "Snapshot is not as it was left"
            return None
        self.phone.event("resume", phase=phase)
        for name in state.keys() - {"stage", "had_base", "bag"}:
            setattr(self, name, state[name])
        self.bag = state["bag"]
        if phase == "uploading":
            self.resume_upload(state)
        return phase

    def can_move(self, state):
        """Reduce the moves of a broken-off backup to those still to be done;
        whether the rest has arrived where it belongs."""
        folder = self.path("Snapshot")
        top = self.link.list_directory(folder)
        waiting = self.listed_payloads(folder, top)
        arrived = self.listed_payloads(self.id,
                                       self.link.list_directory(self.id))
        if any(ident not in waiting and arrived.get(ident) != size
               for ident, size in state["uploaded"].items()):
            return False
        state["moves"] = [i for i in state["moves"] if i in waiting]
        state["manifest_moves"] = [name for name in self.manifest_moves
                                   if name in top]
        return True

    def resume_upload(self, state):
        """What is in Snapshot/ as it was sent need not be sent again."""
        folder = self.path("Snapshot")
        there = self.listed_payloads(folder, self.link.list_directory(folder))
        self.uploaded = {ident: size for ident, size in self.uploaded.items()
                         if there.get(ident) == size}
        if state["had_base"]:
            try:
                self.base = self.load_base()
            except (MBError, manifest.Corrupt) as e:
                self.base, self.full, self.why_full = None, True, str(e)

    # what to do

    def scan(self):
        """Fill records, uploads and removals."""
        stamps = getattr(self, "stamps", {}) if self.uploaded else {}
        items = [(manifest.file_id(item), item)
                 for item in self.phone.content.scan()]
        old = self.base.records if self.base else {}
        encrypted = self.keyset.encrypted
        self.uploads, self.records, self.stamps = [], {}, {}
        for ident, item in items:
            record = old.get(ident)
            blob = stored = None
            if item.kind == "f":
                if record and self.unchanged(item, record, encrypted):
                    blob, stored = record[1], record[3]
                    if stored is None:
                        stored = self.stale.get(ident)
                else:
                    self.uploads.append((ident, item))
                    self.stamps[ident] = item.mtime_ns, item.size, item.inode
            self.records[ident] = (manifest.signature(item), blob,
                                   item.mtime_ns, stored)
        self.uploaded = {
            ident: size for ident, size in self.uploaded.items()
            if ident in self.stamps
            and stamps.get(ident) == self.stamps[ident]}
        if encrypted:
            self.file_keys = self.keys.assign(self.uploads)
            for ident, (_, blob) in self.file_keys.items():
                record = self.records[ident]
                self.records[ident] = record[0], blob, *record[2:]
        self.removals = sorted(
            ident for ident in (self.stale or old)
            if ident not in self.records or self.records[ident][0][2] != "f")
        self.phone.event("scanned", files=len(items),
                         uploads=len(self.uploads), full=self.full,
                         removals=len(self.removals), why=self.why_full)

    @staticmethod
    def unchanged(item, record, encrypted):
        """Whether the payload on the host still serves."""
        sig, blob, mtime_ns, _ = record
        return (sig[2] == "f" and sig[6] == item.mtime and sig[8] == item.size
                and mtime_ns in (None, item.mtime_ns)
                and (not encrypted or blob is not None
                     and blob[0] == device_keys.file_class(item)))

    def check_space(self):
        if not self.knob("free_check"):
            return
        need = sum(item.size for _, item in self.uploads) \
            + self.knob("free_margin")
        free = self.link.free_space()
        if free < need or self.knob("purge"):
            self.link.purge(max(need - free, 0) + PURGE_EXTRA)
            free = self.link.free_space()
        if free < need:
            raise MBError(105, f"Not enough free space on the host: {need} "
                               f"bytes needed, {free} available")

    def make_directories(self):
        for folder in (self.id, self.path("Snapshot")):
            self.link.create_directory(folder)
            for name in HEX:
                self.link.create_directory(f"{folder}/{name}")

    # uploads

    def put_status(self, state):
        self.at("status-" + state)
        if state == "finished" and self.knob("no_finish"):
            return
        self.stage = state
        data = binary({
            "Version": "3.3", "UUID": self.uuid, "Date": now(),
            "BackupState": "new", "SnapshotState": state,
            "IsFullBackup": self.full})
        self.send_file("Status.plist", "Status.plist", data)

    def send_file(self, name, where, source, size=None):
        size = len(source) if size is None else size
        self.sent[name] = hashlib.sha256(source).hexdigest() \
            if isinstance(source, bytes) else sha256_of(source)
        self.link.upload([("/.b/6/" + name, self.path(*where.split("/")),
                           source)], size, 90)

    def upload_payloads(self):
        waiting = [u for u in self.uploads if u[0] not in self.uploaded]
        total, done, size = len(waiting), 0, self.knob("batch")
        stop = self.faults.stop_before()
        while done < total or stop:
            end = min(done + size, total)
            if stop and stop[0] <= end:
                end = max(done, stop[0])
            batch = waiting[done:end]
            if batch:
                self.upload_batch(batch, done, total)
            done = end
            if stop and stop[0] <= done or done >= total and stop:
                self.faults.stop(stop[1])

    def upload_batch(self, batch, done, total):
        files = [("/.b/6/" + item.path, f"{self.id}/Snapshot/{ident[:2]}/"
                  f"{ident}", self.payload(ident, item))
                 for ident, item in batch]
        sizes = self.link.upload(
            files, sum(item.size for _, item in batch), 5 + 80 * done / total,
            self.faults.interrupter(done))
        for (ident, _), stored in zip(batch, sizes):
            if ident not in self.lost:
                self.uploaded[ident] = stored
        self.phone.event("upload-batch", files=len(batch), bytes=sum(sizes))

    def payload(self, ident, item):
        """What Sender.file() is to send."""
        error = self.knob("file_errors").get(item.name)
        if error:
            return self.unreadable(ident, item, error)
        if not self.keyset.encrypted:
            return item.place
        try:
            return PAYLOADS.payload(item.place, item.size,
                                    self.file_keys[ident][0])
        except OSError as e:
            return self.unreadable(ident, item, {
                "when": "before", "text": os.strerror(e.errno)})

    def unreadable(self, ident, item, error):
        """A file that cannot be sent: the host keeps what it had of it, and
        the manifest says so."""
        self.lost.add(ident)
        old = self.base.records.get(ident) if self.base else None
        if error.get("row"):
            record = self.records[ident]
            self.records[ident] = *record[:3], None
        elif old:
            self.records[ident] = old
        else:
            del self.records[ident]
        data = b""
        if error.get("when") == "after":
            with open(item.place, "rb") as f:
                data = f.read(max(item.size // 2, 1))
        return Unreadable(error.get("text", "Operation not permitted"), data)

    def upload_manifests(self):
        for ident, stored in self.uploaded.items():
            record = self.records[ident]
            self.records[ident] = *record[:3], stored
        manifest_key = os.urandom(32)
        plain = self.build_db()
        self.bag = self.keyset.bag
        self.send_file("Manifest.plist", "Snapshot/Manifest.plist",
                       binary(self.manifest_plist(manifest_key)))
        place = plain
        if self.keyset.encrypted:
            place = encrypted_copy(plain, manifest_key)
        self.send_file("Manifest.db", "Snapshot/Manifest.db", place,
                       os.path.getsize(place))
        if place != plain:
            os.unlink(place)
        self.moves = list(self.uploaded)

    def build_db(self):
        """Manifest.db in clear; returns its place."""
        place, maker = self.db, manifest.RowMaker()
        if os.path.exists(place):
            os.unlink(place)
        old = self.base.records if self.base else {}
        if self.base and self.base.db:
            changed = [maker.row(ident, record[0], record[1])
                       for ident, record in self.records.items()
                       if ident not in old or old[ident][:2] != record[:2]]
            gone = [ident for ident in old if ident not in self.records]
            manifest.edit_db(place, self.base.db, changed, gone)
        else:
            mkbackup.write_db(place, (
                maker.row(ident, record[0], record[1])
                for ident, record in self.records.items()))
        return place

    def manifest_plist(self, manifest_key):
        value = lambda key: self.phone.value(None, key) or ""
        lockdown = ("BuildVersion", "DeviceName", "ProductType",
                    "ProductVersion", "SerialNumber", "UniqueDeviceID")
        apps = sorted({record[0][0][len("AppDomain-"):]
                       for record in self.records.values()
                       if record[0][0].startswith("AppDomain-")})
        plist = {
            "Version": "10.0", "SystemDomainsVersion": "24.0", "Date": now(),
            "IsEncrypted": self.keyset.encrypted, "WasPasscodeSet": True,
            "BackupKeyBag": self.keyset.bag,
            "Lockdown": {key: value(key) for key in lockdown} | {
                "com.apple.MobileDeviceCrashCopy": {},
                "com.apple.mobile.data_sync": {}},
            "Applications": {app: {
                "CFBundleIdentifier": app, "CFBundleVersion": "1",
                "ContainerContentClass": "Data/Application",
                "Path": "/var/containers/Bundle/Application/" + str(
                    uuid.uuid5(uuid.NAMESPACE_DNS, app)).upper()}
                for app in apps}}
        if self.keyset.encrypted:
            plist["ManifestKey"], = self.keyset.wrap_all([(3, manifest_key)])
        return plist

    # into place

    def move(self):
        self.at("move")
        size = self.knob("batch")
        for at in range(0, len(self.moves), size):
            self.link.move({
                self.path("Snapshot", ident[:2], ident):
                self.path(ident[:2], ident)
                for ident in self.moves[at:at + size]}, 90)
        for name in self.manifest_moves:
            self.link.move({self.path("Snapshot", name): self.path(name)}, 95)

    def remove(self):
        self.at("remove")
        size = self.knob("batch")
        for at in range(0, len(self.removals), size):
            self.link.remove([self.path(ident[:2], ident)
                              for ident in self.removals[at:at + size]], 97)
        self.link.remove([self.path("Snapshot")], 98)
        self.link.remove([self.path("Manifest.mbdb"),
                          self.path("Manifest.mbdx")], 98)
        if self.moved_away:
            self.link.remove([self.moved_away], 99)

    def final_verify(self):
        """The host must have exactly what it was sent."""
        self.at("final-verify")
        if self.knob("no_finish"):
            return
        for name in ("Status.plist", "Manifest.plist", "Manifest.db"):
            data = self.fetch(name, 99)
            if data is None or name in self.sent and self.sent[name] != \
                    hashlib.sha256(data).hexdigest():
                self.link.violation(f"{name} is not what was sent")
                raise MBError(205, f"{name} is not what was sent")
        top = self.link.list_directory(self.id)
        if "Snapshot" in top:
            self.link.violation("Snapshot is still there")
        if self.knob("verify") != "full":
            return
        there = self.listed_payloads(self.id, top)
        for ident, record in self.records.items():
            stored = record[3]
            if stored is not None and there.get(ident) != stored:
                what = f"payload {ident} has {there.get(ident)} bytes, " \
                       f"not {stored}"
                self.link.violation(what)
                raise MBError(205, what)
        extra = [ident for ident in there if ident not in self.records]
        if extra:
            self.link.violation(f"payloads of no record: {extra[:10]}")


def encrypted_copy(place, key):
    """An encrypted copy beside a Manifest.db."""
    copy = place + ".copy"
    if os.path.exists(copy):
        os.unlink(copy)
    os.link(place, copy)
    mkbackup.encrypt_file(copy, key)        # replaces the name, not the file
    return copy
