"""DeviceLink: messages, raw file streams, and what a client must answer.

Each operation waits for its status and judges it; whatever is not as it should
be goes to phone.violation().  A client that leaves in good order (Disconnect)
in the middle of things is ClientLeft; one that vanishes is EndOfStream.
"""

import os
import plistlib
import struct
import time

import fastplist
from stream import EndOfStream

FRAME = 32768                   # data bytes of a frame, both ways
FLUSH = 1 << 20                 # bytes gathered before they are sent
LONGEST_MESSAGE = 64 << 20
EMPTY = "___EmptyParameterString___"

SUCCESS, ERROR_LOCAL, ERROR_REMOTE, FILE_DATA = b"\x00", 0x06, b"\x0b", b"\x0c"
COMPLETE = b"\0\0\0\x01\0"      # the frame that ends a file
END_OF_FILES = b"\0\0\0\0"


class ClientLeft(Exception):
    """The client said Disconnect before the end."""


class MBError(Exception):
    """An operation ends with this code of MBErrorDomain."""

    def __init__(self, code, description):
        super().__init__(f"{code}: {description}")
        self.code, self.description = code, description


def be32(n):
    return struct.pack(">I", n)


def frame(code, data=b""):
    return be32(len(data) + 1) + code + data


# The device's own names for the host's status codes.
DEVICE_CODES = {-6: 4, -7: 3, -8: 5, -9: 6, -10: 7, -13: 2, -15: 105}


class Status:
    def __init__(self, code, text, payload):
        self.code, self.text, self.payload = code, text, payload

    @property
    def mb_code(self):
        return 0 if self.code == 0 else DEVICE_CODES.get(self.code, 100)


class Unreadable:
    """A file that the device cannot read: nothing, or not to its end."""

    def __init__(self, text, data=b""):
        self.text, self.data = text, data


class DeviceLink:
    def __init__(self, stream, phone):
        self.stream, self.phone = stream, phone
        self.knob = lambda name: phone.knobs[name]
        self.uploading = False
        # folders to be removed once the client is gone: that takes time, and
        # is no part of what was asked for
        self.leftovers = []
        self._status_cache = {}

    # messages

    def violation(self, text):
        self.phone.violation("mobilebackup2: " + text)

    def encode(self, message):
        body = plistlib.dumps(message) if "xml" in self.knob("quirks") \
            else fastplist.encode(message)
        return be32(len(body)) + body

    def send(self, *message):
        self.stream.send(self.encode(list(message)))

    def receive_raw(self, behind_files=False):
        """The body of the next message; with `behind_files` an end of a file
        list may come first."""
        length, = struct.unpack(">I", self.stream.recv_exact(4))
        if behind_files and length == 0:
            length, = struct.unpack(">I", self.stream.recv_exact(4))
        if not 0 < length <= LONGEST_MESSAGE:
            self.violation(f"message of {length} bytes")
            raise EndOfStream("nonsense for a message length")
        return self.stream.recv_exact(length)

    def parse(self, body):
        """The array in a message; Disconnect is seen to here."""
        try:
            message = plistlib.loads(body)
        except Exception as e:          # plistlib raises all sorts
            self.violation(f"message is no property list: {e}")
            raise EndOfStream("unreadable message") from e
        if not isinstance(message, list) or not message \
                or not isinstance(message[0], str):
            self.violation(f"message is no array with a name: {message!r}")
            raise EndOfStream("unreadable message")
        if message[0] != "DLMessageStatusResponse":
            self.phone.event("dl-received", message=message[0])
        if message[0] == "DLMessageDisconnect":
            if len(message) != 2 or not isinstance(message[1], str):
                self.violation(f"Disconnect of another form: {message!r}")
            raise ClientLeft
        return message

    def receive(self):
        return self.parse(self.receive_raw())

    def check_quiet(self):
        """Nothing may come from the client now; it may leave, though."""
        if self.stream.wait_readable(0):
            message = self.receive()
            when = "while the device is still sending files" \
                if self.uploading else "without being asked"
            self.violation(f"{message[0]} {when}")

    def pause(self, seconds):
        """Wait; ends early by EndOfStream or ClientLeft."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.phone.unplugged.is_set():
                raise EndOfStream("unplugged")
            if self.stream.wait_readable(min(left, 0.1)):
                message = self.receive()
                self.violation(f"{message[0]} without being asked")

    # opening and closing

    def handshake(self):
        major, minor = self.knob("dl_version")
        self.send("DLMessageVersionExchange", major, minor)
        reply = self.receive()
        if reply[:2] != ["DLMessageVersionExchange", "DLVersionsOk"] \
                or len(reply) != 3 or not isinstance(reply[2], int):
            self.violation(f"answer to the version exchange: {reply!r}")
            raise EndOfStream("no common version of DeviceLink")
        self.send("DLMessageDeviceReady")

    def process_message(self):
        """The dict of the next DLMessageProcessMessage."""
        message = self.receive()
        if message[0] != "DLMessageProcessMessage" or len(message) != 2 \
                or not isinstance(message[1], dict) \
                or not isinstance(message[1].get("MessageName"), str):
            self.violation(f"no DLMessageProcessMessage: {message!r}")
            raise EndOfStream("not understood")
        return message[1]

    def hello(self):
        hello = self.process_message()
        versions = hello.get("SupportedProtocolVersions")
        if hello["MessageName"] != "Hello" or not isinstance(versions, list) \
                or not all(isinstance(v, float) for v in versions):
            self.violation(f"no Hello: {hello!r}")
            versions = []
        common = self.knob("protocol_version")
        if common not in versions and 2.0 not in versions:
            self.respond(1, "no common protocol version")
            raise EndOfStream("no common version of mobilebackup2")
        self.send("DLMessageProcessMessage", {
            "MessageName": "Response", "ErrorCode": 0,
            "ProtocolVersion": common if common in versions else 2.0})

    def respond(self, code, description="", **more):
        self.send("DLMessageProcessMessage", {
            "MessageName": "Response", "ErrorCode": code,
            "ErrorDescription": description} | more)

    def await_disconnect(self):
        """After the final response nothing but Disconnect may come."""
        try:
            while True:
                if not self.stream.wait_readable(self.knob("reply_timeout")):
                    return self.violation("no Disconnect at the end")
                message = self.receive()
                self.violation(f"{message[0]} after the final response")
        except ClientLeft:
            pass
        except EndOfStream:
            if not self.phone.unplugged.is_set():
                self.violation("closed without Disconnect")

    # statuses

    def await_status(self, what, seconds=None):
        """The Status that answers `what`; None if none came in `seconds`,
        when given: else that is the end."""
        body = self.await_body(what, seconds)
        return None if body is None else self.status_in(what, body)

    def await_body(self, what, seconds=None):
        limit = self.knob("reply_timeout") if seconds is None else seconds
        if not self.stream.wait_readable(limit):
            self.violation(f"{what}: no status within {limit} seconds")
            if seconds is None:
                raise EndOfStream("no status")
            return None
        return self.receive_raw()

    def status_in(self, what, body):
        if status := self._status_cache.get(body):
            return status
        status = self.parse_status(what, self.parse(body))
        if len(body) < 512 and len(self._status_cache) < 64:
            self._status_cache[body] = status
        return status

    def parse_status(self, what, message):
        if message[0] != "DLMessageStatusResponse":
            self.violation(f"{what}: answered by {message[0]}")
            raise EndOfStream("not understood")
        if len(message) != 4:
            self.violation(f"{what}: a status of {len(message)} elements")
            message = (message + [None] * 3)[:4]
        _, code, text, payload = message
        if not isinstance(code, int) or isinstance(code, bool):
            self.violation(f"{what}: status code {code!r}")
            code = -1
        # signed, in the low 32 bits, however wide it was written
        code = (code & 0xffffffff) - ((code & 0x80000000) << 1)
        if not isinstance(text, str):
            self.violation(f"{what}: status text {text!r}")
        elif code == 0 and text != EMPTY:
            self.violation(f"{what}: text {text!r} with success")
        return Status(code, text, payload)

    def require(self, what, status, tolerated=(0,)):
        """A device gives up on a negative status."""
        if status.code not in tolerated:
            raise MBError(104 if status.mb_code == 100 else status.mb_code,
                          f"{what}: {status.text} ({status.code})")
        return status

    def simple(self, what, *message, tolerated=(0,)):
        """An operation that is answered by a status without a payload."""
        self.check_quiet()
        self.send(*message)
        status = self.await_status(what)
        if status.payload not in ({}, EMPTY):
            self.violation(f"{what}: payload {status.payload!r}")
        return self.require(what, status, tolerated)

    # operations

    def progress(self, percent):
        return int(percent) if self.knob("progress_ints") else float(percent)

    def create_directory(self, path):
        self.simple(f"create {path}", "DLMessageCreateDirectory", path, {},
                    tolerated=(0, -7))

    def _named(self, verb):
        return f"DLMessage{verb}Files" if "files-verbs" in self.knob("quirks") \
            else f"DLMessage{verb}Items"

    def move(self, moves, percent=0):
        self.simple("move", self._named("Move"), moves, {},
                    self.progress(percent))

    def remove(self, paths, percent=0):
        self.simple("remove", self._named("Remove"), paths, {},
                    self.progress(percent), tolerated=(0, -6))

    def copy(self, source, destination):
        self.simple("copy", "DLMessageCopyItem", source, destination, {})

    def free_space(self):
        self.check_quiet()
        self.send("DLMessageGetFreeDiskSpace")
        status = self.require("free space", self.await_status("free space"))
        free = status.payload
        if not isinstance(free, int) or isinstance(free, bool) or free < 0:
            self.violation(f"free space is {free!r}")
            return 0
        self.phone.event("free-space", bytes=free)
        return free

    def purge(self, amount):
        """Whether the host says that it made room.  Old clients say nothing
        at all."""
        self.check_quiet()
        self.send("DLMessagePurgeDiskSpace", amount, 4, {})
        status = self.await_status("purge", self.knob("quick_timeout"))
        return status is not None and status.code == 0

    def list_directory(self, path):
        """{name: (type, size)}"""
        self.check_quiet()
        self.send("DLContentsOfDirectory", path, {})
        what = f"list {path}"
        body = self.await_body(what)
        try:
            return fastplist.read_listing(body)
        except fastplist.Unusual:
            status = self.status_in(what, body)
        if status.code == -6:
            return {}
        self.require(what, status)
        if not isinstance(status.payload, dict):
            self.violation(f"{what}: listing is {status.payload!r}")
            return {}
        return {name: self._listed(what, name, entry)
                for name, entry in status.payload.items()}

    def _listed(self, what, name, entry):
        if not isinstance(entry, dict):
            self.violation(f"{what}: {name}: {entry!r}")
            return None, None
        kind, size = entry.get("DLFileType"), entry.get("DLFileSize")
        if kind not in ("DLFileTypeRegular", "DLFileTypeDirectory",
                        "DLFileTypeUnknown") \
                or not isinstance(size, int) or isinstance(size, bool) \
                or not hasattr(entry.get("DLFileModificationDate"), "year"):
            self.violation(f"{what}: {name}: {entry!r}")
        return kind, size

    # host -> device

    def download(self, paths, percent=0):
        """{path: bytes, or the error's code (int)} of small files."""
        parts = {}

        class Gather:
            def __init__(self, path):
                self.data = parts[path] = []

            def write(self, piece):
                self.data.append(bytes(piece))

            def close(self):
                pass

        errors = self.download_to(paths, Gather, percent)
        return {path: b"".join(data) for path, data in parts.items()
                if path not in errors} | errors

    def download_to(self, paths, sink, percent=0):
        """Each file to a sink(path), which has write() and close(); what
        write() gets is good only during the call, and close() is called only
        where the file is complete.  Returns {path: code} of those that did
        not come, with the codes of MBErrorDomain."""
        self.check_quiet()
        self.send("DLMessageDownloadFiles", paths, {}, self.progress(percent),
                  0)
        failed, position = [], 0
        while length := struct.unpack(">I", self.stream.recv_exact(4))[0]:
            if length > 4096:
                self.violation(f"download: a path of {length} bytes")
                raise EndOfStream("not understood")
            raw = self.stream.recv_exact(length)
            path = paths[position] if position < len(paths) else None
            if raw.startswith(b"bplist00"):
                # it may have left before it got our message
                self.parse(raw)
            if path is None or raw != path.encode():
                self.violation(f"download: {raw!r} where {path!r} is due")
                if path is None:
                    raise EndOfStream("more files than asked for")
            if not self._receive_file(path, sink(path)):
                failed.append(path)
            position += 1
        return self._download_status(paths, failed, paths[position:])

    def _receive_file(self, path, sink):
        """Whether it arrived whole."""
        recv = self.stream.recv_exact
        while True:
            length, code = struct.unpack(">IB", recv(5))
            if not 1 <= length <= FRAME + 1:
                self.violation(f"{path}: a frame of {length} bytes")
                if length < 1:
                    raise EndOfStream("not understood")
            if code == FILE_DATA[0]:
                if length == 1:
                    self.violation(f"{path}: a data frame without data")
                self.stream.pieces(length - 1, sink.write)
                continue
            data = recv(length - 1) if length > 1 else b""
            if code == 0:
                if data:
                    self.violation(f"{path}: data behind the end")
                sink.close()
                return True
            elif code == ERROR_LOCAL:
                if not data:
                    self.violation(f"{path}: an error without text")
                return False
            else:
                self.violation(f"{path}: unknown code {code:#x}")
                raise EndOfStream("not understood")

    def _download_status(self, paths, failed, absent):
        status = self.await_status("download")
        errors = {}
        if status.code == -13 and isinstance(status.payload, dict):
            for path, error in status.payload.items():
                code = error.get("DLFileErrorCode") \
                    if isinstance(error, dict) else None
                if path not in paths or not isinstance(code, int) \
                        or not isinstance(error.get("DLFileErrorString"), str):
                    self.violation(f"download: error {path}: {error!r}")
                    continue
                code = (code & 0xffffffff) - ((code & 0x80000000) << 1)
                errors[path] = DEVICE_CODES.get(code, 103)
            if not errors:
                self.violation("download: -13 without an error of a file")
        elif status.code == -13:
            self.violation(f"download: payload {status.payload!r} of -13")
        elif status.code == 0 and status.payload not in ({}, EMPTY):
            self.violation(f"download: payload {status.payload!r}")
        if failed and not set(failed) <= set(errors):
            self.violation(f"download: no error in the status for {failed}")
        if absent and not errors and not status.code:
            self.violation(f"download: {absent} neither sent nor refused")
        for path in (*failed, *absent):
            errors.setdefault(path, 103)
        return errors

    # device -> host

    def upload(self, files, total, percent=0, interrupt=None):
        """Send (device path, host path, source) each: bytes, the place of a
        file, an iterable of chunks, or Unreadable.  `interrupt`, if any, is
        called as interrupt("files" or "frame", number, send).  Returns the
        bytes that went out for each."""
        self.check_quiet()
        out = Sender(self, self.knob("frame_size"))
        out.add(self.encode(["DLMessageUploadFiles", {},
                             self.progress(percent), total]))
        self.uploading = True
        sizes = []
        for number, (device_path, host_path, source) in enumerate(files):
            if interrupt:
                interrupt("files", number, out)
            names = device_path.encode(), host_path.encode()
            out.add(b"".join((be32(len(names[0])), names[0],
                              be32(len(names[1])), names[1])))
            before = out.data_bytes
            if interrupt:
                interrupt("frame", number, out)
            out.file(source)
            sizes.append(out.data_bytes - before)
        out.add(END_OF_FILES)
        self.check_quiet()
        self.uploading = False
        out.flush()
        status = self.await_status("upload")
        if status.payload not in ({}, EMPTY):
            self.violation(f"upload: payload {status.payload!r}")
        self.require("upload", status)
        return sizes


class Sender:
    """Gathers frames, to send many by one call."""

    def __init__(self, link, frame_size):
        self.link, self.frame_size = link, frame_size
        self.parts, self.pending, self.data_bytes = [], 0, 0
        self.in_frame = None    # called once, in the middle of a frame
        self.head = be32(frame_size + 1) + FILE_DATA

    def add(self, data):
        self.parts.append(data)
        self.pending += len(data)
        if self.pending >= FLUSH:
            self.link.check_quiet()
            self.flush()

    def flush(self):
        if self.parts:
            self.link.stream.send(b"".join(self.parts))
            self.parts, self.pending = [], 0

    def data(self, data):
        size, n = self.frame_size, len(data)
        self.data_bytes += n
        if self.in_frame and n:
            return self.broken_frame(bytes(data))
        if n <= size:
            return self.add(frame(FILE_DATA, data)) if n else None
        view, parts = memoryview(data), []
        whole = n // size * size
        for at in range(0, whole, size):
            parts += (self.head, view[at:at + size])
        if whole < n:
            parts.append(frame(FILE_DATA, bytes(view[whole:])))
        return self.add(b"".join(parts))

    def broken_frame(self, data):
        action, self.in_frame = self.in_frame, None
        whole = frame(FILE_DATA, data[:self.frame_size])
        self.add(whole[:5 + len(whole) // 2])
        self.flush()
        action()
        self.add(whole[5 + len(whole) // 2:])
        self.data_bytes -= len(data) - len(data[:self.frame_size])
        self.data(data[self.frame_size:])

    def file(self, source):
        if isinstance(source, str):
            source = read_file(source)
        if isinstance(source, bytes):
            self.data(source)
        elif isinstance(source, Unreadable):
            self.data(source.data)
            return self.add(frame(ERROR_REMOTE, source.text.encode()))
        else:
            for chunk in source:
                self.data(chunk)
        if self.in_frame:               # the file was empty
            action, self.in_frame = self.in_frame, None
            self.flush()
            action()
        return self.add(COMPLETE)


def read_file(place):
    """The bytes of a small file, or an iterator over those of a large one."""
    try:
        fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        return Unreadable(os.strerror(e.errno))
    data = os.read(fd, FLUSH)
    if len(data) < FLUSH:
        os.close(fd)
        return data
    return read_on(fd, data)


def read_on(fd, data):
    with open(fd, "rb", 0) as f:
        while data:
            yield data
            data = f.read(FLUSH)
