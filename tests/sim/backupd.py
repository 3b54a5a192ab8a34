"""com.apple.mobilebackup2: one connection of a client to the phone."""

import os
import shutil
import stat
import time

import faults
from backup_job import BackupJob
from devicelink import ClientLeft, DeviceLink, MBError
from restore_job import RestoreJob
from session import Session, load_plist
from stream import EndOfStream

KNOBS = faults.KNOBS

PRESENTED = "com.apple.LocalAuthentication.ui.presented"
DISMISSED = "com.apple.LocalAuthentication.ui.dismissed"


class PasswordJob(Session):
    """ChangePassword: on, changed, off."""

    def run(self):
        self.at("request")
        old, new = (self.password(name) for name in
                    ("OldPassword", "NewPassword"))
        if old is None and new is None:
            raise MBError(10, "Neither an old nor a new password")
        if self.phone.password != old:
            raise MBError(207, "Invalid password")
        self.at("response")
        self.phone.password = new
        self.phone.event("password-changed", on=new is not None)

    def password(self, name):
        value = self.request.get(name)
        if value is not None and not isinstance(value, str):
            self.link.violation(f"{name} is {value!r}")
            raise MBError(10, f"{name} is no string")
        return value or None


class ReadingJob(RestoreJob):
    """What Info, List, Unback and Extract share: they read a backup."""

    def open_backup(self):
        self.at("request")
        password = self.request.get("Password")
        self.options = {"Password": password} if password else {}
        self.read_backup()


class InfoJob(ReadingJob):
    def run(self):
        self.open_backup()
        info = load_plist(self.fetch("Info.plist") or b"") or {}
        lines = [f"{key}: {info[key]}" for key in (
            "Device Name", "Product Type", "Product Version",
            "Serial Number", "Last Backup Date", "Target Identifier")
            if key in info]
        lines.append(f"Encrypted: {'yes' if self.encrypted else 'no'}")
        self.at("response")
        return {"Content": "\n".join(lines) + "\n"}


class ListJob(ReadingJob):
    def run(self):
        self.open_backup()
        lines = ["Domain,Path,Size,ModTime,Mode"]
        for sig, *_ in sorted(self.records.values(), key=lambda r: r[0][:2]):
            mode = {"f": stat.S_IFREG, "d": stat.S_IFDIR,
                    "l": stat.S_IFLNK}[sig[2]] | sig[3]
            lines.append(f'"{sig[0]}","{sig[1]}",{sig[8]},{sig[6]},{mode:o}')
        self.at("response")
        return {"Content": "\n".join(lines) + "\n"}


class UnbackJob(ReadingJob):
    """The host gets its backup back as ordinary files, in _unback_."""

    def run(self):
        self.open_backup()
        self.at("payloads")
        self.new_folder()
        self.receive_payloads()
        self.at("unback")
        self.send_tree()
        self.at("response")

    def place_for(self, ident):
        return f"{self.folder}/{ident}"

    def wanted(self):
        return self.records.items()

    def chosen(self):
        return self.wanted()

    def send_tree(self):
        top = self.path("_unback_")
        self.link.create_directory(top)
        folders, files = set(), []
        for ident, (sig, *_) in self.wanted():
            name = "/".join(filter(None, (top, sig[0], sig[1])))
            folder = name if sig[2] == "d" else os.path.dirname(name)
            folders.add(folder)
            if sig[2] == "f":
                files.append(("/.b/6/" + sig[1], name,
                              self.place_for(self.first[ident])))
        for folder in sorted(folders):
            self.link.create_directory(folder)
        size = self.knob("batch")
        for at in range(0, len(files), size):
            batch = files[at:at + size]
            self.link.upload(batch, sum(os.path.getsize(f[2]) for f in batch),
                             100 * at / len(files))


class ExtractJob(UnbackJob):
    """One file of a domain, or all of it without a path."""

    def wanted(self):
        domain = self.request.get("DomainName")
        path = self.request.get("RelativePath")
        found = {ident: record for ident, record in self.records.items()
                 if record[0][0] == domain and path in (None, record[0][1])}
        if not found:
            raise MBError(4, f"{domain}-{path} is not in the backup")
        return found.items()


class CloudJob(Session):
    def run(self):
        self.at("request")
        state = self.request.get("CloudBackupState")
        if not isinstance(state, bool):
            self.link.violation(f"CloudBackupState is {state!r}")
            raise MBError(10, "CloudBackupState is no boolean")
        self.phone.set_value("com.apple.mobile.backup", "CloudBackupEnabled",
                             state)
        self.at("response")


JOBS = {"Backup": BackupJob, "Restore": RestoreJob, "Info": InfoJob,
        "List": ListJob, "Unback": UnbackJob, "Extract": ExtractJob,
        "ChangePassword": PasswordJob, "EnableCloudBackup": CloudJob}
UNGUARDED = "Info", "List", "EnableCloudBackup"     # ask for no passcode


def check_request(link, phone, request):
    """The parts that all requests share."""
    target = request.get("TargetIdentifier")
    if target != phone.udid:
        link.violation(f"TargetIdentifier is {target!r}")
        raise MBError(10, "TargetIdentifier is another device's")
    source = request.get("SourceIdentifier", target)
    if not isinstance(source, str) or not source or "/" in source:
        link.violation(f"SourceIdentifier is {source!r}")
        raise MBError(10, "Bad SourceIdentifier")
    if not isinstance(request.get("Options", {}), dict):
        link.violation(f"Options is {request['Options']!r}")
        raise MBError(10, "Options is no dictionary")


def want_passcode(link, phone):
    """The phone asks its user; silence meanwhile."""
    wait = phone.knobs["passcode"]
    if wait is None:
        return
    phone.event("passcode-wanted")
    phone.notify(PRESENTED)
    try:
        if wait == "never":
            link.pause(phone.knobs["passcode_timeout"])
            raise MBError(208, "Device locked - timeout waiting for passcode"
                               " entry")
        link.pause(wait)
    finally:
        phone.notify(DISMISSED)


def perform(link, phone, request):
    """(code, description, more) of the final response."""
    name = request["MessageName"]
    try:
        check_request(link, phone, request)
        if refuse := phone.knobs["refuse"]:
            raise MBError(refuse["code"], refuse.get("description", "refused"))
        if name not in JOBS:
            link.violation(f"request {name!r}")
            raise MBError(10, f"Unknown message {name}")
        if name not in UNGUARDED:
            want_passcode(link, phone)
        more = JOBS[name](link, phone, request).run() or {}
    except MBError as e:
        return e.code, e.description, {}
    if final := phone.knobs["final"]:
        return final["code"], final.get("description", ""), {}
    return 0, "", more


def serve(stream, phone):
    """The whole connection: handshake, requests, and its end."""
    link = DeviceLink(stream, phone)
    started = time.monotonic()
    try:
        link.handshake()
        link.hello()
        if not stream.wait_readable(phone.knobs["reply_timeout"]):
            return
        request = link.process_message()
        name = request["MessageName"]
        phone.event(name.lower() + "-request", request=redact(request))
        if name == "Restore":
            phone.restoring = link
        code, description, more = perform(link, phone, request)
        hang_up = phone.knobs["hang_up"]
        if hang_up == "before":
            return
        link.respond(code, description, **more)
        phone.event("response", request=name, code=code,
                    description=description,
                    seconds=round(time.monotonic() - started, 3))
        if hang_up == "after":
            return
        if name == "Restore" and code == 0 and phone.knobs["reboot"] \
                and request.get("Options", {}).get("RestoreShouldReboot",
                                                   True):
            return phone.reboot()
        link.await_disconnect()
    except ClientLeft:
        phone.event("client-left")
    except EndOfStream:
        phone.event("connection-lost")
    finally:
        if phone.restoring is link:
            phone.restoring = None
        for folder in link.leftovers:
            shutil.rmtree(folder, ignore_errors=True)


def redact(request):
    """A request without passwords, for the log."""
    if isinstance(request, dict):
        return {key: "..." if "Password" in key else redact(value)
                for key, value in request.items()}
    return request
