"""What all operations on a backup folder of a host have in common."""

import datetime
import plistlib
import re

import device_keys
import manifest
from devicelink import MBError
from faults import Faults


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def binary(plist):
    return plistlib.dumps(plist, fmt=plistlib.FMT_BINARY)


class Session:
    """What every operation on a backup folder of the host needs."""

    def __init__(self, link, phone, request):
        self.link, self.phone, self.request = link, phone, request
        self.target = request.get("TargetIdentifier")
        self.id = request.get("SourceIdentifier") or self.target
        self.options = request.get("Options", {})
        self.faults = Faults(link, phone, self.id)
        self.at = self.faults.at
        state = phone.state / "backup"
        self.snapshots = manifest.SnapshotStore(state / "snapshots")
        self.keys = device_keys.KeyStore(state / "keys")

    def knob(self, name):
        return self.phone.knobs[name]

    def path(self, *names):
        return "/".join((self.id, *names))

    def key_set(self):
        return self.keys.current(self.phone.password, self.knob("iterations"),
                                 self.knob("dpic"))

    def fetch(self, name, percent=0):
        """A small file of the backup folder, or None if there is none."""
        path = self.path(name)
        got = self.link.download([path], percent)[path]
        if got == 4:
            return None
        if isinstance(got, int):
            raise MBError(got, f"{name} could not be read")
        return got

    def unlock(self, plist, password):
        """The KeySet of a Manifest.plist; 207 if the password is not its."""
        bag = plist.get("BackupKeyBag")
        encrypted = plist.get("IsEncrypted", False)
        if not isinstance(bag, bytes):
            raise MBError(205, "No key bag")
        if self.keys.set and self.keys.set.bag == bag \
                and self.keys.password == password:
            return self.keys.set
        try:
            keys = device_keys.unlock(bag, password or "")
        except (KeyError, ValueError) as e:
            raise MBError(205, f"Bad key bag: {e}") from e
        if keys is None:
            raise MBError(207, "Invalid password")
        return device_keys.KeySet(bag, keys, encrypted)


def load_plist(data):
    """The dict in it, or None."""
    try:
        plist = plistlib.loads(data)
    except Exception:           # of any kind: plistlib is not particular
        return None
    return plist if isinstance(plist, dict) else None


def good_status(status):
    """Of the types that a device wants."""
    types = {"Version": str, "UUID": str, "Date": datetime.datetime,
             "BackupState": str, "SnapshotState": str, "IsFullBackup": bool}
    return status is not None and all(
        isinstance(status.get(key), kind) for key, kind in types.items())


def version(text):
    return tuple(int(n) for n in re.findall(r"\d+", text)[:2])
