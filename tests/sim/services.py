"""The phone's small services, as far as clients use them."""

import contextlib
import os
import plistlib
import queue
import select
import shutil
import socket
import struct
import threading

import backupd
import lockdown
from media import LOCK_FILE
from restore_job import APPLICATIONS
from stream import EndOfStream

BACKUP = "com.apple.mobilebackup2"


# --- notification_proxy ------------------------------------------------------

class NotificationProxy:
    """Reads in the connection's thread; a second one writes, so that a
    notification can go out at any time."""

    def __init__(self, stream, phone):
        self.stream, self.phone = stream, phone
        self.outgoing = queue.SimpleQueue()
        self.names = set()
        self.wake, self.woken = socket.socketpair()

    def post(self, name):
        if name in self.names:
            self.outgoing.put({"Command": "RelayNotification", "Name": name})
            with contextlib.suppress(OSError):      # just leaving
                self.wake.send(b"!")

    def run(self):
        self.phone.observe(self, self.post)
        shut_down = False
        try:
            while not shut_down:
                self.flush()
                if self.readable():
                    shut_down = self.take()
        finally:
            self.phone.unobserve(self)
            if not shut_down and not self.phone.unplugged.is_set():
                self.phone.event("np-left")
            self.wake.close()
            self.woken.close()

    def readable(self):
        """False if there is something to write first."""
        if self.stream.wait_readable(0):
            return True
        ready = select.select([self.stream.sock, self.woken], [], [])[0]
        if self.woken in ready:
            self.woken.recv(1)
            return False
        return True

    def flush(self):
        while not self.outgoing.empty():
            lockdown.send_plist(self.stream, self.outgoing.get())

    def take(self):
        message = lockdown.receive_plist(self.stream, self.phone, "np")
        command, name = message.get("Command"), message.get("Name")
        if command == "Shutdown":
            lockdown.send_plist(self.stream, {"Command": "ProxyDeath"})
            return True
        if command not in ("ObserveNotification", "PostNotification") \
                or not isinstance(name, str):
            self.phone.violation(f"np: {message!r}")
        elif command == "ObserveNotification":
            self.names.add(name)
        else:
            self.phone.event("posted", name=name)
        return False


def notification_proxy(stream, phone):
    NotificationProxy(stream, phone).run()


# --- afc ---------------------------------------------------------------------

STATUS, DATA, OPENED, POSITION = 0x01, 0x02, 0x0e, 0x13
OK, UNKNOWN, BAD_HEADER, INVALID, NOT_FOUND, IS_DIR, DENIED, UNSUPPORTED, \
    EXISTS, WOULD_BLOCK, IO_ERROR, NOT_EMPTY = \
    0, 1, 2, 7, 8, 9, 10, 15, 16, 19, 20, 33
MAGIC = b"CFA6LPAA"
LOCK_EXCLUSIVE, LOCK_SHARED, UNLOCK = 6, 5, 12
MODES = {1: os.O_RDONLY, 2: os.O_RDWR | os.O_CREAT,
         3: os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
         4: os.O_RDWR | os.O_CREAT | os.O_TRUNC,
         5: os.O_WRONLY | os.O_CREAT | os.O_APPEND,
         6: os.O_RDWR | os.O_CREAT | os.O_APPEND}
READ_MAX = 8 << 20

LOCKS = {}                      # file of a phone -> the Afc that has it
LOCKS_GUARD = threading.Lock()


class AfcError(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


def code_of(error):
    return {FileNotFoundError: NOT_FOUND, IsADirectoryError: IS_DIR,
            PermissionError: DENIED, FileExistsError: EXISTS,
            NotADirectoryError: NOT_FOUND}.get(type(error), IO_ERROR)


class Afc:
    def __init__(self, stream, phone):
        self.stream, self.phone = stream, phone
        self.root = os.path.realpath(phone.state / "afc")
        self.handles = {}
        self.next_handle = 1

    def run(self):
        try:
            while True:
                self.one()
        finally:
            for fd, _ in self.handles.values():
                os.close(fd)
            with LOCKS_GUARD:
                for place in [k for k, v in LOCKS.items() if v is self]:
                    del LOCKS[place]
                    if not self.phone.unplugged.is_set():
                        self.phone.event("lock-left")

    def one(self):
        head = self.stream.recv_exact(40)
        magic, whole, this, number, op = struct.unpack("<8sQQQQ", head)
        if magic != MAGIC or not 40 <= this <= whole <= READ_MAX:
            self.phone.violation(f"afc: header {head.hex()}")
            raise EndOfStream("bad header")
        data = self.stream.recv_exact(whole - 40)
        handler = self.OPS.get(op)
        try:
            if handler is None:
                raise AfcError(UNSUPPORTED)
            kind, payload = handler(self, data) or (STATUS, b"\0" * 8)
        except AfcError as e:
            kind, payload = STATUS, struct.pack("<Q", e.code)
        except OSError as e:
            kind, payload = STATUS, struct.pack("<Q", code_of(e))
        except (struct.error, ValueError, IndexError) as e:
            self.phone.violation(f"afc: operation {op:#x}: {e}")
            kind, payload = STATUS, struct.pack("<Q", INVALID)
        self.stream.send(struct.pack("<8sQQQQ", MAGIC, 40 + len(payload),
                                     40 + len(payload), number, kind)
                         + payload)

    def place(self, raw):
        """A path of the client, below the media partition."""
        path = raw.split(b"\0")[0].decode()
        place = os.path.normpath(self.root + "/" + path.lstrip("/"))
        if place != self.root and not place.startswith(self.root + "/"):
            raise AfcError(DENIED)
        return place

    def check_time(self, place):
        """What a restore needs must be there when it is asked for."""
        if self.phone.restoring and place.endswith("/" + APPLICATIONS):
            self.phone.violation(f"afc: {APPLICATIONS} is written during the "
                                 "restore")

    def handle(self, data):
        number, = struct.unpack_from("<Q", data)
        if number not in self.handles:
            raise AfcError(INVALID)
        return self.handles[number]

    def read_dir(self, data):
        names = [".", ".."] + sorted(os.listdir(self.place(data)))
        return DATA, b"".join(n.encode() + b"\0" for n in names)

    def remove(self, data):
        place = self.place(data)
        if os.path.isdir(place):
            try:
                os.rmdir(place)
            except OSError as e:
                raise AfcError(NOT_EMPTY) from e
        else:
            os.unlink(place)

    def make_dir(self, data):
        os.makedirs(self.place(data), exist_ok=True)

    def info(self, data):
        st = os.lstat(self.place(data))
        kind = "S_IFDIR" if os.path.isdir(self.place(data)) else "S_IFREG"
        pairs = ("st_size", st.st_size, "st_blocks", st.st_blocks,
                 "st_nlink", st.st_nlink, "st_ifmt", kind,
                 "st_mtime", st.st_mtime_ns, "st_birthtime", st.st_mtime_ns)
        return DATA, b"".join(str(p).encode() + b"\0" for p in pairs)

    def device_info(self, _data):
        total = shutil.disk_usage(self.root)
        pairs = ("Model", self.phone.id["product_type"],
                 "FSTotalBytes", total.total, "FSFreeBytes", total.free,
                 "FSBlockSize", 4096)
        return DATA, b"".join(str(p).encode() + b"\0" for p in pairs)

    def open(self, data):
        mode, = struct.unpack_from("<Q", data)
        if mode not in MODES:
            raise AfcError(INVALID)
        place = self.place(data[8:])
        if mode != 1:
            self.check_time(place)
        fd = os.open(place, MODES[mode], 0o644)
        number = self.next_handle
        self.next_handle += 1
        self.handles[number] = fd, place
        self.phone.event("afc-open", path=place[len(self.root):])
        return OPENED, struct.pack("<Q", number)

    def read(self, data):
        fd, _ = self.handle(data)
        size, = struct.unpack_from("<Q", data, 8)
        return DATA, os.read(fd, min(size, READ_MAX))

    def write(self, data):
        fd, place = self.handle(data)
        self.check_time(place)
        view = memoryview(data)[8:]
        while view:
            view = view[os.write(fd, view):]

    def seek(self, data):
        fd, _ = self.handle(data)
        whence, offset = struct.unpack_from("<Qq", data, 8)
        os.lseek(fd, offset, whence)

    def tell(self, data):
        fd, _ = self.handle(data)
        return POSITION, struct.pack("<Q", os.lseek(fd, 0, os.SEEK_CUR))

    def close(self, data):
        fd, place = self.handle(data)
        number, = struct.unpack_from("<Q", data)
        del self.handles[number]
        os.close(fd)
        with LOCKS_GUARD:
            if LOCKS.get(place) is self:
                del LOCKS[place]
                self.phone.event("lock-closed")

    def set_size(self, data):
        fd, _ = self.handle(data)
        os.ftruncate(fd, struct.unpack_from("<Q", data, 8)[0])

    def rename(self, data):
        one, other = map(self.place, data.split(b"\0")[:2])
        self.check_time(other)
        os.rename(one, other)

    def lock(self, data):
        _, place = self.handle(data)
        op, = struct.unpack_from("<Q", data, 8)
        with LOCKS_GUARD:
            if op == UNLOCK:
                if LOCKS.get(place) is self:
                    del LOCKS[place]
                    self.phone.event("unlocked")
                else:
                    self.phone.violation("afc: unlock of what is not locked")
            elif op in (LOCK_SHARED, LOCK_EXCLUSIVE):
                taken = place.endswith(LOCK_FILE) \
                    and self.phone.take("sync_lock")
                if taken or LOCKS.get(place, self) is not self:
                    self.phone.event("lock-busy")
                    raise AfcError(WOULD_BLOCK)
                LOCKS[place] = self
                self.phone.event("locked")
            else:
                self.phone.violation(f"afc: lock operation {op}")
                raise AfcError(INVALID)

    def set_time(self, data):
        ns, = struct.unpack_from("<Q", data)
        os.utime(self.place(data[8:]), ns=(ns, ns))

    OPS = {0x03: read_dir, 0x08: remove, 0x09: make_dir, 0x0a: info,
           0x0b: device_info, 0x0d: open, 0x0f: read, 0x10: write,
           0x11: seek, 0x12: tell, 0x14: close, 0x15: set_size,
           0x18: rename, 0x1b: lock, 0x1e: set_time}


def afc(stream, phone):
    Afc(stream, phone).run()


# --- installation_proxy, springboardservices, diagnostics_relay --------------

BATCH = 2                       # apps of one answer: several answers are usual


def installation_proxy(stream, phone):
    while True:
        request = lockdown.receive_plist(stream, phone, "instproxy")
        if request.get("Command") != "Browse":
            lockdown.send_plist(stream, {"Error": "UnknownCommand"})
            continue
        options = request.get("ClientOptions", {})
        wanted = options.get("ReturnAttributes")
        apps = [{k: v for k, v in app.items() if k != "icon"
                 and (wanted is None or k in wanted)} for app in phone.apps]
        for at in range(0, len(apps), BATCH):
            part = apps[at:at + BATCH]
            lockdown.send_plist(stream, {
                "Status": "BrowsingApplications", "CurrentIndex": at,
                "CurrentAmount": len(part), "Total": len(apps),
                "CurrentList": part})
        lockdown.send_plist(stream, {"Status": "Complete"})


def springboardservices(stream, phone):
    icons = {app["CFBundleIdentifier"]: app.get("icon") for app in phone.apps}
    while True:
        request = lockdown.receive_plist(stream, phone, "springboard")
        answer = {"Error": "UnknownCommand"}
        if request.get("command") == "getIconPNGData":
            bundle = request.get("bundleId")
            icon = icons.get(bundle)
            answer = {"pngData": icon} if icon \
                and bundle not in phone.knobs["refuse_icons"] \
                else {"Error": "no icon"}
        data = plistlib.dumps(answer, fmt=plistlib.FMT_BINARY)
        stream.send(struct.pack(">I", len(data)) + data)


def diagnostics_relay(stream, phone):
    while True:
        request = lockdown.receive_plist(stream, phone, "diagnostics")
        answer = {"Status": "Success"}
        if request.get("Request") == "MobileGestalt":
            answer["Diagnostics"] = {"MobileGestalt": {
                key: True for key in request.get("MobileGestaltKeys", [])
            } | {"Status": "Success"}}
        lockdown.send_plist(stream, answer)
        if request.get("Request") == "Goodbye":
            return


# --- the backup service ------------------------------------------------------

def backup(stream, phone):
    stream.limit = phone.knobs["unplug_after_bytes"]
    backupd.serve(stream, phone)


def silent(stream, phone):
    """Accepts, and says nothing."""
    while not phone.unplugged.is_set():
        stream.recv_exact(1)


def or_silent(name, serve):
    def run(stream, phone):
        try:
            if name in phone.knobs["silent_services"]:
                silent(stream, phone)
            else:
                serve(stream, phone)
        finally:
            phone.event("service-left", name=name)
    return run


SERVICES = {name: or_silent(name, serve) for name, serve in {
    "com.apple.mobile.notification_proxy": notification_proxy,
    "com.apple.afc": afc,
    "com.apple.mobile.installation_proxy": installation_proxy,
    "com.apple.springboardservices": springboardservices,
    "com.apple.mobile.diagnostics_relay": diagnostics_relay,
    BACKUP: backup,
}.items()}
