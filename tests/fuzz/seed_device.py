#!/usr/bin/python3
"""Write the first inputs of the corpora "upload" and "session": what a device
sends, sound ones and hostile ones.

Their first byte is for the target: how many bytes arrive at once.
"""
import datetime
import os
import plistlib
import struct

HERE = os.path.dirname(os.path.abspath(__file__))

DONE, HOST_FAILED, DEVICE_FAILED, DATA = 0x00, 0x06, 0x0B, 0x0C
ID = "0" * 39 + "1"
NO_FILES, SERVED = 0x80, 0x40  # of a session's first byte


def put(target, name, data, first=0):
    path = os.path.join(HERE, "corpus", target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(bytes([first]) + data)


# --- files in a stream ---------------------------------------------------

def u32(value):
    return struct.pack(">I", value)


def text(value):
    value = value if isinstance(value, bytes) else value.encode()
    return u32(len(value)) + value


def hunk(code, data=b""):
    return u32(len(data) + 1) + bytes([code]) + data


def file(host_path, *hunks):
    return text("/.b/1/file") + text(host_path) + b"".join(hunks)


def stored(host_path, data=b"content"):
    return file(host_path, hunk(DATA, data), hunk(DONE))


END = u32(0)

UPLOADS = {
    "three-files": stored("U/a", b"hello") + file("U/b", hunk(DONE))
    + file("U/c", hunk(DEVICE_FAILED, b"Operation not permitted")) + END,
    "empty-list": END,
    "several-hunks": file("U/a", hunk(DATA, b"one"), hunk(DATA),
                          hunk(DATA, b"two"), hunk(DONE)) + END,
    "failure-behind-data": file("U/a", hunk(DATA, b"half"),
                                hunk(DEVICE_FAILED, b"gone"))
    + stored("U/b") + END,
    "text-longer-than-500": file("U/a", hunk(DEVICE_FAILED, b"x" * 1300))
    + END,
    "path-of-4096": stored("U/" + "a" * 4094) + END,
    "path-of-4097": stored("U/" + "a" * 4095) + END,
    "device-path-of-4097": text("a" * 4097),
    "host-path-of-nothing": stored("") + END,
    "zero-bytes-in-a-path": stored(b"U/a\0/../b") + END,
    "zero-hunk": file("U/a") + u32(0) + END,
    "unknown-code": file("U/a", hunk(0x07, b"?")) + END,
    "bytes-behind-the-end": file("U/a", hunk(DONE, b"x")) + END,
    "huge-hunk": file("U/a") + b"\xff\xff\xff\xff\x0c" + b"few bytes",
    "huge-path": b"\xff\xff\xff\xff" + b"few bytes",
    "cut-off-in-a-hunk": file("U/a") + u32(100) + bytes([DATA]) + b"half",
    "cut-off-in-a-length": file("U/a") + b"\0\0",
}


# --- messages ------------------------------------------------------------

def frame(data):
    return u32(len(data)) + data


def message(*items):
    return frame(plistlib.dumps(list(items), fmt=plistlib.FMT_BINARY))


HELLO = (message("DLMessageVersionExchange", 300, 0)
         + message("DLMessageDeviceReady")
         + message("DLMessageProcessMessage",
                   {"MessageName": "Response", "ErrorCode": 0,
                    "ProtocolVersion": 2.1}))


def response(code, words=""):
    return message("DLMessageProcessMessage",
                   {"MessageName": "Response", "ErrorCode": code,
                    "ErrorDescription": words})


def upload(*files):
    return (message("DLMessageUploadFiles", {}, 12.5, 100)
            + b"".join(files) + END)


def download(*names):
    return message("DLMessageDownloadFiles", list(names), {}, 0.0, 0)


def move(**items):
    return message("DLMessageMoveItems", items, {}, 50.0)


def move_one(a, b):
    return message("DLMessageMoveItems", {a: b}, {}, 50)


def remove(*names):
    return message("DLMessageRemoveItems", list(names), {}, 80.0)


def make(name):
    return message("DLMessageCreateDirectory", name, {})


def copy(a, b):
    return message("DLMessageCopyItem", a, b, {})


def listing(name):
    return message("DLContentsOfDirectory", name, {})


FREE = message("DLMessageGetFreeDiskSpace")

BACKUP = b"".join([
    download("U/Status.plist", "U/Manifest.plist", "U/Manifest.db"), FREE,
    make("U/Snapshot"), make("U/Snapshot/00"), make("U"),
    upload(stored("U/Status.plist", b"uploading")),
    upload(stored("U/Snapshot/00/" + ID), file("U/Snapshot/00/empty",
                                               hunk(DONE))),
    upload(stored("U/Snapshot/Manifest.plist")),
    move_one("U/Snapshot/00/" + ID, "U/00/" + ID),
    move_one("U/Snapshot/Manifest.plist", "U/Manifest.plist"),
    remove("U/00/gone", "U/Snapshot"),
    upload(stored("U/Status.plist", b"finished")),
    download("U/Status.plist"), listing("U"), response(0)])


def deep(levels):
    """Arrays in arrays, by hand: plistlib would recurse."""
    objects = [b"\xa1" + struct.pack(">H", n + 1) for n in range(levels)]
    objects.append(b"\xa0")
    out, offsets = b"bplist00", []
    for item in objects:
        offsets.append(len(out))
        out += item
    table = b"".join(struct.pack(">I", o) for o in offsets)
    return frame(out + table + bytes(6) + b"\x04\x02" + struct.pack(
        ">QQQ", len(objects), 0, len(out)))


def multiplying(levels):
    """Each array holds the next one eight times."""
    objects = [b"\xa8" + bytes([n + 1]) * 8 for n in range(levels)]
    objects.append(b"\x54leaf")
    out, offsets = b"bplist00", []
    for item in objects:
        offsets.append(len(out))
        out += item
    table = b"".join(struct.pack(">H", o) for o in offsets)
    return frame(out + table + bytes(6) + b"\x02\x01" + struct.pack(
        ">QQQ", len(objects), 0, len(out)))


XML_BACKUP = frame(plistlib.dumps(["DLMessageCreateDirectory", "U/xml", {}]))

SESSIONS = {
    "backup": BACKUP,
    "every-operation": FREE + make("U/a/b") + copy("U/00", "U/c")
    + copy("U", "U-20240102-030405") + listing("U") + listing("U/no")
    + move_one("U/c", "U/a") + remove("U/a", "U/no")
    + message("DLMessagePurgeDiskSpace", 1000, 1)
    + message("DLMessagePing", "x") + response(0),
    "unknown-message": message("DLMessageFromTheFuture", 1, "x", {})
    + response(1, "words"),
    "ping-and-disconnect": message("DLMessagePing", "x")
    + message("DLMessageDisconnect", "no \x1b[2J reason"),
    "xml-messages": XML_BACKUP + response(0),
    "upload-to-the-folder-above": upload(stored("../evil")),
    "upload-out-of-the-middle": upload(stored("U/00/../../evil")),
    "upload-to-an-absolute-path": upload(stored("/tmp/evil")),
    "upload-to-another-device": upload(stored("other/evil")),
    "upload-through-a-link": upload(stored("U/out/evil"), stored("U/link"),
                                    stored("U/dangling"), stored("U/out"))
    + response(104),
    "upload-onto-a-folder": upload(stored("U/00")) + response(0),
    "upload-onto-the-device-folder": upload(stored("U")) + response(0),
    "upload-with-a-zero-byte": upload(stored(b"U/a\0/../evil")),
    "upload-to-a-name-too-long": upload(stored("U/" + "a" * 2000)),
    "upload-to-a-component-too-long": upload(stored("U/" + "a" * 300))
    + response(104),
    "upload-without-its-folder": upload(stored("U/no/file"), stored("U/b"))
    + response(104),
    "upload-with-a-zero-hunk": message("DLMessageUploadFiles")
    + UPLOADS["zero-hunk"],
    "upload-with-a-huge-hunk": message("DLMessageUploadFiles")
    + UPLOADS["huge-hunk"],
    "upload-with-an-unknown-code": message("DLMessageUploadFiles")
    + UPLOADS["unknown-code"],
    "upload-cut-off": message("DLMessageUploadFiles") + stored("U/a"),
    "upload-of-nothing": upload() + response(0),
    "download-of-other-files": download("U/Status.plist", "../beside"),
    "download-through-a-link": download("U/link", "U/out/precious",
                                        "U/dangling") + response(103),
    "download-of-nothing": download() + response(0),
    "download-of-numbers": message("DLMessageDownloadFiles", [1, 2]),
    "move-out": move_one("U/Status.plist", "../evil"),
    "move-in": move_one("beside", "U/stolen"),
    "move-onto-the-folder-above": make("U/a/b") + move_one("U/a/b", "U/a")
    + move_one("U/a", "U") + response(0),
    "move-into-itself": move_one("U/00", "U/00/x") + move_one("U", "U/00")
    + response(0),
    "move-of-a-link": move_one("U/out", "U/out2") + make("U/out2/x")
    + response(0),
    "move-to-a-number": message("DLMessageMoveItems", {"U/00": 7})
    + response(0),
    "copy-into-itself": copy("U", "U/00") + copy("U/00", "U/00") + response(0),
    "copy-of-a-link": copy("U/out", "U/out2") + upload(stored("U/out2/x"))
    + response(0),
    "copy-out": copy("U/Status.plist", "U/../../evil"),
    "remove-others": remove("U/00", "../beside"),
    "remove-through-a-link": remove("U/out/precious", "U/out") + response(0),
    "remove-the-device-folder": remove("U") + make("U/again") + response(0),
    "list-others": listing(".."),
    "list-a-link": listing("U/out") + response(0),
    "names-not-in-ascii": make("U/\u00e9\U0001f600") + listing("U")
    + download("U/\u00e9") + response(0),
    "stamps": make("U-20240102-030405") + make("U-20240102-030405/a")
    + make("U-2024"),
    "parameters-of-wrong-types": message("DLMessageMoveItems", "U/00")
    + message("DLMessageRemoveItems", {"U/00": "U"})
    + message("DLMessageCreateDirectory", ["U/a"])
    + message("DLContentsOfDirectory") + message("DLMessageCopyItem", "U/00")
    + message("DLMessageDownloadFiles", "U/00") + response(0),
    "progress-of-all-kinds": b"".join(
        message("DLMessageMoveItems", {}, {}, p)
        for p in (0, 1, 100, 2**63, -1, 1e300, float("nan"), True,
                  datetime.datetime(2024, 1, 2))) + response(0),
    "end-without-a-result": message("DLMessageProcessMessage",
                                    {"MessageName": "Response"}),
    "end-that-is-no-number": message("DLMessageProcessMessage",
                                     {"ErrorCode": "0"}),
    "end-that-is-negative": response(-1, "words"),
    "message-without-a-name": message(1, 2, 3),
    "message-that-is-no-array": frame(plistlib.dumps(
        {"DLMessagePing": 1}, fmt=plistlib.FMT_BINARY)),
    "message-of-no-bytes": frame(b""),
    "message-too-long": b"\x7f\xff\xff\xff" + b"x",
    "message-cut-off": BACKUP[:50],
    "malformed-binary": frame(b"bplist00" + b"\xff" * 60),
    "malformed-xml": frame(b"<?xml version=\"1.0\"?><plist><array><string>"),
    "garbage": frame(b"garbage"),
    "deep-nesting": deep(3000),
    "deep-nesting-in-xml": frame(b"<plist>" + b"<array>" * 3000),
    "references-that-multiply": multiplying(60),
}

GREETINGS = {
    "greeting-of-a-newer-device": message("DLMessageVersionExchange", 401, 0),
    "greeting-without-a-version": message("DLMessageVersionExchange"),
    "greeting-with-an-odd-version": message("DLMessageVersionExchange",
                                            "300"),
    "greeting-of-another-kind": message("DLMessageDeviceReady"),
    "hello-refused": message("DLMessageVersionExchange", 300, 0)
    + message("DLMessageDeviceReady") + response(1),
}


RESTORES = {
    "restore": download("U/Manifest.plist") + download("U/Manifest.db")
    + download("U/Status.plist") + download("U/Info.plist") + listing("T")
    + FREE + download("U/00/" + ID) + response(0),
    "restore-of-many": download(*["U/00/" + ID] * 300) + response(0),
    "restore-lists": listing("U") + listing("U/00") + listing("U/out")
    + listing("U/link") + listing("T/00") + listing("U-20240102-030405")
    + response(0),
    "restore-through-links": download("U/out/" + ID, "U/link", "U/dangling",
                                      "U/out/precious", "U/00/../00/" + ID),
    "restore-of-what-is-no-backup": download(
        "U/00", "U", "U/00/" + ID + "0", "U/Snapshot/00/" + ID, "T/" + ID,
        "T-20240102-030405/Info.plist", "U/status.plist") + response(205),
    "restore-of-the-folder-above": download("../beside"),
    "restore-of-a-neighbour": download("other/Status.plist"),
    "restore-by-another-name": download("beside"),
    "restore-that-copies-first": listing("T") + FREE
    + copy("T", "T-20240102-030405") + copy("U", "U-20240102-030405")
    + upload(stored("T-20240102-030405/Info.plist")) + response(104),
    "restore-that-uploads": upload(
        stored("U/Status.plist", b"overwritten"), stored("U/00/" + ID),
        stored("U/new"), file("U/bad", hunk(DEVICE_FAILED, b"gone")))
    + download("U/Status.plist") + response(0),
    "restore-that-uploads-out": upload(stored("U/a"), stored("../evil")),
    "restore-that-changes": make("U/Snapshot") + make("T") + make("U")
    + move_one("U/00/" + ID, "U/00/x") + move_one("U/Status.plist", "T/x")
    + remove("U/00", "U", "T", "U/no") + copy("U/00", "U/01") + response(0),
    "restore-that-moves-out": move_one("U/Status.plist", "../evil"),
    "restore-that-removes-others": remove("beside"),
}


def main():
    for name, data in UPLOADS.items():
        put("upload", name, data, 3)
    for name, data in SESSIONS.items():
        put("session", name, HELLO + data)
    for name, data in GREETINGS.items():
        put("session", name, data)
    for name, data in RESTORES.items():
        put("session", name, HELLO + data, SERVED)
    put("session", "restore-byte-by-byte", HELLO + RESTORES["restore"],
        SERVED + 1)
    put("session", "backup-byte-by-byte", HELLO + BACKUP, 1)
    put("session", "backup-without-files", HELLO + BACKUP, NO_FILES)


if __name__ == "__main__":
    main()
