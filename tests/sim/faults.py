"""What can be made to go wrong in a mobilebackup2 connection.

A *point* says where in an operation: "PHASE", "PHASE:files:N" (between files,
after N of those that the phase uploads) or "PHASE:frame:N" (inside a frame of
file N, counted from 0); or a dict {"phase", "where", "files"} of the same.  In
a restore "payloads:frame:N" is a phone that stops reading (stall), which only
unplugging ends early, or goes (unplug_at) while file N is sent to it.
The phases are those of backup_job and restore_job, in their order.
"""

import struct

from devicelink import (COMPLETE, END_OF_FILES, FILE_DATA, ClientLeft,
                        MBError, be32, frame)
from stream import EndOfStream

KNOBS = {
    "passcode": (None, "seconds until the passcode is entered, or \"never\""),
    "passcode_timeout": (1800, "seconds after which \"never\" becomes 208"),
    "refuse": (None, "{code, description}: answer of every request, at once"),
    "fail_at": (None, "{code, description} and a point: fail there"),
    "unplug_at": (None, "a point: the cable is pulled there"),
    "cancel_at": (None, "a point: the user cancels on the phone there"),
    "stall": (None, "{seconds} and a point: silence there"),
    "final": (None, "{code, description} instead of success at the very end"),
    "no_finish": (False, "success without Status.plist ever \"finished\""),
    "file_errors": ({}, "{name: {when: before|after, text, row}}: files that "
                        "cannot be read; row: keep their manifest record"),
    "hostile": ([], "[{op, path, to, at}]: operations that a client must "
                    "refuse, \"<id>\" standing for the backup's folder"),
    "malformed": (None, "a kind of faults.MALFORMED, or {kind, at}"),
    "unknown_message": (None, "a message name, or {name, at}: wants a status"),
    "ping_at": (None, "a point: DLMessagePing there"),
    "purge": (False, "ask for DLMessagePurgeDiskSpace though there is room"),
    "free_check": (True, "compare the host's free space with what is to come"),
    "free_margin": (128 << 20, "bytes that must be left free on the host"),
    "check_info": (True, "download Info.plist and judge it"),
    "verify": ("full", "\"full\": list all folders before and after; "
                       "\"light\": only the manifests"),
    "requires_encryption": (False, "a policy: 207 without a password"),
    "progress_ints": (False, "progress as integers, not reals"),
    "frame_size": (32768, "data bytes of an uploaded frame"),
    "batch": (128, "files of one upload, move or remove message"),
    "quirks": ([], "any of xml, files-verbs, empty-download, list-missing, "
                   "space-first"),
    "dl_version": ([300, 0], "of the version exchange"),
    "protocol_version": (2.1, "of mobilebackup2"),
    "iterations": (10, "PBKDF2-SHA1 of new keybags"),
    "dpic": (10, "PBKDF2-SHA256 of new keybags"),
    "reboot": (False, "after a restore that wants it the phone is away, "
                      "without a goodbye, for reboot_seconds"),
    "reboot_seconds": (0.5, "so long"),
    "hang_up": (None, "before or after: the connection is dropped there, as "
                      "seen from the final response"),
    "reply_timeout": (60, "seconds within which a client must answer"),
    "quick_timeout": (10, "the same where it may not answer at all"),
}


def message(*items):
    return lambda link: link.encode(list(items))


def upload_of(*raw):
    """An upload with these bytes behind its message."""
    return lambda link: link.encode(
        ["DLMessageUploadFiles", {}, 0.0, 100]) + b"".join(raw)


def named(text):
    return be32(len(text)) + text


def body(data):
    return lambda link: be32(len(data)) + data


NAMES = named(b"/.b/6/odd") + named(b"odd/odd")
RESPONSE = {"MessageName": "Response", "ErrorCode": 0}

# An array that is its own first item.
CYCLE = b"bplist00\xa1\x00" + b"\x08" + bytes(6) + b"\1\1" \
    + struct.pack(">QQQ", 1, 0, 10)

MALFORMED = {
    "not-array": lambda link: link.encode({"DLMessage": "DLMessagePing"}),
    "empty-array": message(),
    "name-not-string": message(5, 6),
    "name-short": message("DLx"),
    "name-foreign": message("HelloWorld", {}),
    "upload-short": message("DLMessageUploadFiles", {}),
    "upload-types": lambda link: link.encode(
        ["DLMessageUploadFiles", "x", "y", "z"]) + END_OF_FILES,
    "download-not-array": message("DLMessageDownloadFiles", "x", {}, 0.0, 0),
    "download-not-strings": message("DLMessageDownloadFiles", [1, {}, b"x"],
                                    {}, 0.0, 0),
    "move-short": message("DLMessageMoveItems"),
    "move-not-dict": message("DLMessageMoveItems", ["a", "b"], {}, 0.0),
    "move-not-strings": message("DLMessageMoveItems", {"a": 5}, {}, 0.0),
    "remove-not-array": message("DLMessageRemoveItems", "a", {}, 0.0),
    "create-not-string": message("DLMessageCreateDirectory", 5, {}),
    "list-not-string": message("DLContentsOfDirectory", {}, {}),
    "copy-short": message("DLMessageCopyItem", "a"),
    "process-short": message("DLMessageProcessMessage"),
    "process-not-dict": message("DLMessageProcessMessage", "Response"),
    "response-no-code": message("DLMessageProcessMessage",
                                {"MessageName": "Response"}),
    "response-negative": message("DLMessageProcessMessage",
                                 RESPONSE | {"ErrorCode": -5}),
    "response-string": message("DLMessageProcessMessage",
                               RESPONSE | {"ErrorCode": "0"}),
    "truncated": lambda link: body(link.encode(
        ["DLMessageCreateDirectory", "x", {}])[4:-20])(link),
    "garbage": body(b"\xff\x00garbage" * 40),
    "cycle": body(CYCLE),
    "zero-length": lambda link: be32(0),
    "huge-length": lambda link: be32(0x7fffffff) + b"bplist00",
    "huge-frame": upload_of(NAMES, be32(0xffffffff), FILE_DATA, bytes(1000)),
    "zero-frame": upload_of(NAMES, be32(0)),
    "long-name": upload_of(named(b"/.b/6/odd"), be32(5000), b"n" * 5000),
    "empty-name": upload_of(named(b"/.b/6/odd"), be32(0), frame(b"\0")),
    "unknown-code": upload_of(NAMES, frame(b"\x77", b"what"), COMPLETE,
                              END_OF_FILES),
}


def parse_point(value, phase="status-uploading"):
    """(phase, where, files) of a point or of a dict that holds one."""
    if isinstance(value, str):
        parts = value.split(":")
        return (parts[0], parts[1] if len(parts) > 1 else "before",
                int(parts[2]) if len(parts) > 2 else 0)
    if "at" in value:
        return parse_point(value["at"])
    return (value.get("phase", phase), value.get("where", "before"),
            value.get("files", 0))


class Faults:
    def __init__(self, link, phone, folder):
        self.link, self.phone, self.folder = link, phone, folder
        self.phase = None

    def knob(self, name):
        return self.phone.knobs[name]

    def at(self, phase):
        """A phase begins."""
        self.phase = phase
        self.phone.event("phase", phase=phase)
        for name in ("stall", "unplug_at", "cancel_at", "fail_at"):
            if self._due(name, "before"):
                self._strike(name)
        if self._due("ping_at", "before"):
            self._ping()
        self._unknown()
        self._malformed()
        for wanted in self.knob("hostile"):
            if parse_point(wanted)[0] == phase:
                self._hostile(wanted)

    def _due(self, name, where):
        value = self.knob(name)
        return value and parse_point(value)[:2] == (self.phase, where)

    def _strike(self, name):
        value = self.knob(name)
        self.phone.event("fault", knob=name, phase=self.phase)
        if name == "stall":
            self.link.pause(value["seconds"])
        elif name == "unplug_at":
            self.phone.unplug()
            raise EndOfStream("unplugged")
        elif name == "cancel_at":
            self.phone.notify("com.apple.itunes-client.syncCancelRequest")
            raise MBError(202, "Operation cancelled on the device")
        else:
            raise MBError(value["code"], value.get("description", "failed"))

    # within uploads

    def stop_before(self):
        """(files, knob) after which the upload of this phase is broken off in
        good order, or None."""
        for name in ("cancel_at", "fail_at"):
            if self._due(name, "files"):
                return parse_point(self.knob(name))[2], name
        return None

    def stop(self, name):
        self._strike(name)

    def interrupter(self, sent):
        """interrupt() for DeviceLink.upload of a batch that begins after
        `sent` files, or None."""
        due = []
        for name in ("stall", "unplug_at"):
            for where in ("files", "frame"):
                if self._due(name, where):
                    number = parse_point(self.knob(name))[2] - sent
                    due.append((where, number, name))
        if not due:
            return None

        def interrupt(where, number, sender):
            for point in due:
                if point[:2] == (where, number):
                    if where == "frame":
                        sender.in_frame = lambda: self._strike(point[2])
                    else:
                        sender.flush()
                        self._strike(point[2])

        return interrupt

    # within downloads

    def receiving(self, number):
        """The name of file `number` of this phase has come."""
        point = self.phase, "frame", number
        for name in ("stall", "unplug_at"):
            value = self.knob(name)
            if not value or parse_point(value) != point:
                continue
            if name == "unplug_at":
                self._strike(name)
            self.phone.event("fault", knob=name, phase=self.phase)
            self.phone.sleep(value["seconds"])

    # messages out of order

    def _ping(self):
        self.link.send("DLMessagePing", "are you there")
        if self.link.stream.wait_readable(0.3):     # may be answered
            self.link.receive()

    def _unknown(self):
        value = self.knob("unknown_message")
        if not value:
            return
        if isinstance(value, str):
            value = {"name": value}
        if parse_point(value)[0] == self.phase:
            self.link.check_quiet()
            self.link.send(value["name"], {}, 0)
            status = self.link.await_status(value["name"],
                                            self.knob("quick_timeout"))
            if status and status.code == 0:
                self.link.violation(f"success for {value['name']}")

    def _malformed(self):
        value = self.knob("malformed")
        if not value:
            return
        if isinstance(value, str):
            value = {"kind": value}
        if parse_point(value)[0] != self.phase:
            return
        kind = value["kind"]
        self.link.check_quiet()
        outcome = "left"
        try:
            self.link.stream.send(MALFORMED[kind](self.link))
            if not self.link.stream.wait_readable(self.knob("quick_timeout")):
                outcome = "silence"
                self.link.violation(f"no reaction to {kind}")
            else:
                outcome = self.link.parse(self.link.receive_raw(
                    kind.startswith("download")))[0]
        finally:
            self.phone.event("malformed", kind=kind, outcome=outcome)
        raise MBError(1, f"malformed: {kind}")

    def _hostile(self, wanted):
        op = wanted["op"]
        path = wanted["path"].replace("<id>", self.folder)
        other = wanted.get("to", f"{self.folder}/Status.plist").replace(
            "<id>", self.folder)
        outcome = "left"
        try:
            done, outcome = self._try_hostile(op, path, other)
            if done:
                self.link.violation(f"{op} of {path!r} was done")
        except MBError as e:
            outcome = f"refused: {e}"
        except (ClientLeft, EndOfStream) as e:
            outcome = "left" if isinstance(e, ClientLeft) else "closed"
            raise
        finally:
            self.link.uploading = False
            self.phone.event("hostile", op=op, path=path, outcome=outcome)

    def _try_hostile(self, op, path, other):
        """(whether it was done, what the client said)"""
        link = self.link
        if op == "download":
            got = link.download([path])[path]
            return isinstance(got, bytes), "refused"
        if op == "list":
            return bool(link.list_directory(path)), "nothing"
        if op == "upload":
            link.upload([("/.b/6/odd", path, b"hostile")], 7)
        elif op == "create":
            link.create_directory(path)
        elif op == "move":
            link.move({path: other})
        elif op == "remove":
            link.simple("remove", "DLMessageRemoveItems", [path], {}, 0.0)
        elif op == "copy":
            link.copy(path, other)
        else:
            raise ValueError(f"hostile operation {op!r}")
        return True, "done"
