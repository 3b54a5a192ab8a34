"""A simulated phone: who it is, what it remembers, what it does wrong.

A phone lives in a state folder:

    phone.json      identity and password
    values.plist    what clients have set of lockdownd's values
    key.pem         the device's RSA key
    pairs/          pair records it has accepted, by HostID
    content/        its files (content.py)
    afc/            its media partition
    backup/         what its backup daemon remembers
"""

import copy
import json
import pathlib
import plistlib
import socket
import threading
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import backupd
import content
import media

KNOBS = {
    "trust": ("yes", "answer to Pair: yes, dialog (the next trust_after "
                     "requests find the dialog up), denied, locked"),
    "trust_after": (2, "Pair requests that find the dialog up"),
    "locked_sessions": (0, "so many StartSession find the phone locked"),
    "refuse_services": ({}, "{service: lockdown error}"),
    "refuse_values": ({}, "{key: lockdown error}"),
    "service_tls": (True, "services want TLS"),
    "sync_lock": (0, "so many tries find the sync lock taken; -1: all"),
    "silent_services": ([], "services that accept and say nothing"),
    "silent_requests": ([], "requests that lockdownd does not answer"),
    "handshake_seconds": (0, "before each TLS handshake"),
    "unplug_after_bytes": (None, "of the backup service, phone to host"),
    "refuse_icons": ([], "bundle identifiers without an icon"),
    "find_my": (False, "com.apple.fmip's IsAssociated; true: no restore; "
                       "null: no such value"),
    "disk_usage": ({}, "{key: bytes}: of com.apple.disk_usage; a restore "
                       "needs AmountDataAvailable"),
}

IDENTITY = {
    "udid": "00008110-000A1B2C3D4E5F67",
    "name": "Anna's iPhone",
    "product_type": "iPhone14,5",
    "product_version": "17.5.1",
    "build": "21F90",
    "serial": "F2LZK1ABCD",
    "password": None,
    "usb": True,
    "network": None,            # an address of loopback, "127.0.0.2"
    "escrow": None,
}


class Phone:
    def __init__(self, state, config=None):
        self.state = pathlib.Path(state)
        self.state.mkdir(parents=True, exist_ok=True)
        config = dict(config or {})
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.knobs = {name: copy.deepcopy(default) for name, (default, _)
                      in (KNOBS | backupd.KNOBS).items()}
        self.knobs.update(config.pop("knobs", {}))
        self._extra = config.pop("values", {})
        self.apps = config.pop("apps", None) or media.default_apps()
        fill = config.pop("fill", None)
        self._identity = dict(IDENTITY)
        saved = self.state / "phone.json"
        if saved.exists():
            self._identity.update(json.loads(saved.read_text()))
        self._identity.update(config)
        self.id = self._identity
        self.udid = self.id["udid"]
        self._key = None
        self._values = self._saved_values()     # {domain or "": {key: value}}
        self._violations, self._events, self._counters = [], [], {}
        self._observers = {}
        self.streams = set()
        self.ports = {}
        self.escrow = bytes.fromhex(self.id["escrow"] or "") or None
        self.unplugged = threading.Event()
        self.on_unplug = lambda: None       # the mux puts itself here
        self.plug_in = lambda: None         # and here
        self.restoring = None       # the connection that asked for it
        fresh = not (self.state / "content").exists()
        self.content = content.Content(self.state / "content", create=True)
        if fresh and fill:
            kind = fill.pop("kind")
            getattr(content, f"fill_{kind}")(self.content, **fill)
        media.fill(self.state / "afc")
        (self.state / "pairs").mkdir(exist_ok=True)
        self._save()

    def _save(self):
        (self.state / "phone.json").write_text(json.dumps(self._identity))

    # identity

    @property
    def product_version(self):
        return self.id["product_version"]

    @property
    def password(self):
        return self.id["password"]

    @password.setter
    def password(self, value):
        with self._lock:
            self.id["password"] = value
            self._save()

    @property
    def key(self):
        with self._lock:
            if self._key is None:
                place = self.state / "key.pem"
                if not place.exists():
                    key = rsa.generate_private_key(65537, 2048)
                    place.write_bytes(key.private_bytes(
                        serialization.Encoding.PEM,
                        serialization.PrivateFormat.TraditionalOpenSSL,
                        serialization.NoEncryption()))
                self._key = serialization.load_pem_private_key(
                    place.read_bytes(), None)
            return self._key

    def set_escrow(self, data):
        with self._lock:
            self.escrow = data
            self.id["escrow"] = data.hex()
            self._save()

    # lockdown's values

    def _global(self):
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
        return {
            "ActivationState": "Activated",
            "BluetoothAddress": "a4:cf:99:00:00:01",
            "BuildVersion": self.id["build"],
            "DeviceClass": "iPhone",
            "DeviceName": self.id["name"],
            "DevicePublicKey": public,
            "EthernetAddress": "a4:cf:99:00:00:02",
            "HardwareModel": "D17AP",
            "HostAttached": True,
            "IntegratedCircuitCardIdentity": "8949000000000000001",
            "InternationalMobileEquipmentIdentity": "350000000000006",
            "InternationalMobileEquipmentIdentity2": "350000000000014",
            "MobileEquipmentIdentifier": "35000000000000",
            "ModelNumber": "MLPF3",
            "PasswordProtected": False,
            "PhoneNumber": "+49 170 0000000",
            "ProductName": "iPhone OS",
            "ProductType": self.id["product_type"],
            "ProductVersion": self.product_version,
            "ProtocolVersion": "2",
            "SerialNumber": self.id["serial"],
            "TelephonyCapability": True,
            "TimeIntervalSince1970": time.time(),
            "TimeZone": "Europe/Berlin",
            "TrustedHostAttached": True,
            "UniqueChipID": 6303405673529190,
            "UniqueDeviceID": self.udid,
            "WiFiAddress": "a4:cf:99:00:00:03",
        }

    def _domain(self, domain):
        if domain is None:
            return self._global()
        return {
            "com.apple.mobile.backup": {
                "WillEncrypt": self.password is not None,
                "Version": "4.0", "RequiresEncryption": False,
                "CloudBackupEnabled": False},
            "com.apple.iTunes": {"LibraryApplications": []},
            "com.apple.mobile.iTunes": {"MinITunesVersion": "12.12.0"},
            "com.apple.disk_usage": {
                "TotalDiskCapacity": 128 * 10**9,
                "TotalDataCapacity": 110 * 10**9,
                "TotalDataAvailable": 109 * 10**9,
                "TotalSystemCapacity": 18 * 10**9,
                "TotalSystemAvailable": 0,
                "AmountDataAvailable": 109 * 10**9} | self.knobs["disk_usage"],
            "com.apple.fmip": {} if self.knobs["find_my"] is None
            else {"IsAssociated": self.knobs["find_my"]},
            "com.apple.mobile.battery": {
                "BatteryCurrentCapacity": 87, "BatteryIsCharging": True},
        }.get(domain, {})

    def values(self, domain=None):
        """All of a domain; a fresh dict."""
        extra = self._extra.get(domain or "", {})
        with self._lock:
            changed = self._values.get(domain or "", {})
            return self._domain(domain) | extra | changed

    def value(self, domain, key):
        return self.values(domain).get(key)

    def set_value(self, domain, key, value):
        with self._lock:
            self._values.setdefault(domain or "", {})[key] = value
            self._save_values()

    def remove_value(self, domain, key):
        """Of what was set; what a phone is born with stays."""
        with self._lock:
            self._values.get(domain or "", {}).pop(key, None)
            self._save_values()

    def _saved_values(self):
        place = self.state / "values.plist"
        return plistlib.loads(place.read_bytes()) if place.exists() else {}

    def _save_values(self):
        (self.state / "values.plist").write_bytes(
            plistlib.dumps(self._values))

    # what happened

    def violation(self, text):
        with self._lock:
            self._violations.append(text)

    def violations(self):
        with self._lock:
            return list(self._violations)

    def event(self, name, /, **details):
        with self._changed:
            self._events.append({"event": name} | details)
            self._changed.notify_all()

    def events(self):
        with self._lock:
            return list(self._events)

    def wait_event(self, name, /, after=0, timeout=30, **details):
        """The number of events up to the first one of this name behind the
        first `after` events; None if it does not come."""
        def find():
            for i, e in enumerate(self._events[after:], after + 1):
                if e["event"] == name and details.items() <= e.items():
                    return i
            return None
        with self._changed:
            self._changed.wait_for(lambda: find() is not None, timeout)
            return find()

    def count(self, name, n=1):
        with self._lock:
            self._counters[name] = self._counters.get(name, 0) + n

    def counters(self):
        with self._lock:
            return dict(self._counters)

    def forget(self):
        """Start counting anew."""
        with self._lock:
            self._violations.clear()
            self._events.clear()
            self._counters.clear()

    def take(self, knob):
        """Count a knob down; true while it was not yet 0 (-1: always)."""
        with self._lock:
            left = self.knobs[knob]
            if left > 0:
                self.knobs[knob] = left - 1
            return left != 0

    # notifications

    def observe(self, observer, post):
        """From now on post(name) is called for each notify()."""
        with self._lock:
            self._observers[observer] = post

    def unobserve(self, observer):
        with self._lock:
            self._observers.pop(observer, None)

    def notify(self, name):
        self.event("notify", name=name)
        with self._lock:
            posts = list(self._observers.values())
        for post in posts:
            post(name)

    # the cable

    def unplug(self):
        self.unplugged.set()
        with self._lock:
            streams = list(self.streams)
        for stream in streams:
            # the thread that uses it closes it; not SSLSocket.shutdown,
            # after which the rest would be taken for plain text
            try:
                socket.socket.shutdown(stream.sock, socket.SHUT_RDWR)
            except OSError:
                pass
        self.event("unplugged")
        self.on_unplug()

    def reboot(self):
        """Gone, and back after a while."""
        def start():
            self.plug_in()
            self.event("started")

        self.unplug()
        self.event("reboots")
        timer = threading.Timer(self.knobs["reboot_seconds"], start)
        timer.daemon = True
        timer.start()

    def sleep(self, seconds):
        """Ended early by unplug()."""
        self.unplugged.wait(seconds)
