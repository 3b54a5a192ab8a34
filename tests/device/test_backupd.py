#!/usr/bin/python3
"""The backup daemon judges its clients: what they do wrong is noticed."""

import hashlib
import plistlib
import random
import socket
import struct

from harness import *

sys.path.insert(0, os.path.join(DEVICE_TESTS, "../sim"))

import backupd                                          # noqa: E402
import device_keys                                      # noqa: E402
import fastplist                                        # noqa: E402
import restore_job                                      # noqa: E402
import services                                         # noqa: E402
from devicelink import EMPTY, DeviceLink, MBError       # noqa: E402
from stream import EndOfStream, Stream                  # noqa: E402


class QuietPhone:
    """As much of a phone as DeviceLink wants."""

    def __init__(self):
        self.knobs = {name: default for name, (default, _)
                      in backupd.KNOBS.items()} | {"reply_timeout": 5}
        self.found, self.unplugged = [], threading.Event()
        self.violation = self.found.append

    def event(self, name, /, **details):
        pass


def message(*items):
    body = plistlib.dumps(list(items), fmt=plistlib.FMT_BINARY)
    return struct.pack(">I", len(body)) + body


def status(code=0, text=EMPTY, payload=EMPTY):
    return message("DLMessageStatusResponse", code, text, payload)


def frames(path, *data, end=b"\0\0\0\1\0"):
    path = path.encode()
    return struct.pack(">I", len(path)) + path + b"".join(
        struct.pack(">I", len(d) + 1) + b"\x0c" + d for d in data) + end


END = bytes(4)


def judged(answer, operation):
    """(violations, error) of an operation whose client says `answer`."""
    ours, theirs = socket.socketpair()
    phone = QuietPhone()
    with ours, theirs:
        def client():
            """Answer the first thing that comes, and hear all to the end."""
            theirs.recv(1)
            theirs.sendall(answer)
            theirs.shutdown(socket.SHUT_WR)
            while theirs.recv(1 << 16):
                pass

        thread = threading.Thread(target=client)
        thread.start()
        error = None
        try:
            operation(DeviceLink(Stream(ours), phone))
        except (MBError, EndOfStream) as e:
            error = type(e).__name__
        ours.shutdown(socket.SHUT_RDWR)
        thread.join()
    return phone.found, error


def accepted(answer, operation):
    equal(judged(answer, operation), ([], None))


def blamed(answer, operation, word):
    found, _ = judged(answer, operation)
    assert any(word in text for text in found), f"no {word!r} in {found}"


def create(link):
    link.create_directory("x")


def download(*paths):
    return lambda link: link.download(list(paths))


@case
def good_statuses_are_accepted():
    accepted(status(), create)
    accepted(status(-7, "File exists"), create)
    accepted(status((1 << 64) - 7, "File exists"), create)  # as libplist has it
    accepted(status(payload={}), create)
    accepted(status(payload=5 << 40), lambda link: link.free_space())
    accepted(status(payload={}), lambda link: link.list_directory("x"))


@case
def bad_statuses_are_noticed():
    blamed(message("DLMessageStatusResponse", 0, EMPTY), create, "3 elements")
    blamed(status("0"), create, "status code")
    blamed(status(0.0), create, "status code")
    blamed(status(0, 5), create, "status text")
    blamed(status(0, EMPTY, [1]), create, "payload")
    blamed(message("DLMessagePing", "x"), create, "answered by")
    blamed(struct.pack(">I", 3) + b"abc", create, "no property list")
    blamed(status(payload="5"), lambda link: link.free_space(), "free space")
    blamed(status(payload=[]), lambda link: link.list_directory("x"),
           "listing is")
    blamed(status(payload={"a": {"DLFileType": "file", "DLFileSize": 1}}),
           lambda link: link.list_directory("x"), "list x: a")


@case
def an_error_of_the_host_ends_the_operation():
    equal(judged(status(-15, "No space left on device"), create),
          ([], "MBError"))


@case
def good_downloads_are_accepted():
    accepted(frames("a", b"x" * 32768, b"y") + frames("b") + END
             + status(payload={}), download("a", "b"))
    refused = {"a": {"DLFileErrorString": "gone", "DLFileErrorCode": -6}}
    accepted(frames("a", end=b"\0\0\0\5\6gone") + END
             + status(-13, "Multi status", refused), download("a"))
    accepted(END + status(-13, "Multi status", refused), download("a"))
    accepted(END + status(payload={}), download())


@case
def bad_downloads_are_noticed():
    done = END + status(payload={})
    blamed(frames("b") + done, download("a"), "where 'a' is due")
    blamed(frames("a") + frames("a") + done, download("a"), "is due")
    blamed(frames("a", b"x" * 32769) + done, download("a"), "a frame of")
    blamed(frames("a", b"") + done, download("a"), "without data")
    blamed(frames("a", end=b"\0\0\0\2\0x") + done, download("a"), "behind")
    blamed(frames("a", end=b"\0\0\0\1\x77") + done, download("a"), "unknown")
    blamed(frames("a", end=b"\0\0\0\1\6") + done, download("a"),
           "without text")
    blamed(frames("a", end=b"\0\0\0\5\6gone") + done, download("a"),
           "no error in the status")
    blamed(done, download("a"), "neither sent nor refused")
    blamed(frames("a") + END + status(-13, "x", {}), download("a"), "-13")
    blamed(frames("a") + END + status(-13, "x", {"a": 5}), download("a"),
           "error a")
    blamed(frames("a") + END + status(-13, "x"), download("a"), "of -13")


@case
def a_status_before_the_end_of_an_upload_is_noticed():
    def upload(link):
        def heard(where, number, sender):
            if number == 1:
                sender.flush()
                link.stream.wait_readable(5)    # the client has spoken
        link.upload([("d", f"h{n}", b"x") for n in range(3)], 3, 0, heard)

    blamed(status(payload={}) * 2, upload, "still sending")


@case
def a_message_out_of_turn_is_noticed():
    def twice(link):
        create(link)
        link.stream.wait_readable(5)
        create(link)

    blamed(status() * 3, twice, "without being asked")


@case
def an_end_without_disconnect_is_noticed():
    def end(link):
        link.respond(0)
        link.await_disconnect()

    accepted(message("DLMessageDisconnect", EMPTY), end)
    blamed(b"", end, "without Disconnect")
    blamed(status(), end, "after the final response")
    blamed(message("DLMessageDisconnect"), end, "another form")


@case
def silence_is_noticed():
    ours, theirs = socket.socketpair()
    phone = QuietPhone()
    phone.knobs["reply_timeout"] = 0.05
    with ours, theirs:
        equal(error_of_link(lambda: create(DeviceLink(Stream(ours), phone))),
              "EndOfStream")
    equal(phone.found, ["mobilebackup2: create x: no status within 0.05 "
                        "seconds"])


def error_of_link(function):
    try:
        function()
    except (MBError, EndOfStream) as e:
        return type(e).__name__
    return None


@case
def fast_property_lists_are_right():
    value = ["DLMessageMoveItems", {f"a{n}": f"b{n}" for n in range(300)},
             {}, 12.5, 7, "x" * 20, [1 << 40, 0.0]]
    equal(plistlib.loads(fastplist.dumps(value)), value)
    equal(plistlib.loads(fastplist.encode(["\u00fc", -1])), ["\u00fc", -1])
    import datetime
    date = datetime.datetime(2024, 6, 15)
    listing = {name: {"DLFileType": kind, "DLFileSize": size,
                      "DLFileModificationDate": date}
               for name, kind, size in (
                   ("00", "DLFileTypeDirectory", 0),
                   ("a" * 40, "DLFileTypeRegular", 1 << 33),
                   ("\u00fc", "DLFileTypeUnknown", 300))}
    equal(fastplist.read_listing(status(payload=listing)[4:]),
          {name: (e["DLFileType"], e["DLFileSize"])
           for name, e in listing.items()})


def judged_payload(stored, key=None, digest=None, step=16384):
    """(content, error) of a payload that arrives in pieces."""
    place = new_path("payload")
    sink = restore_job.FileSink(place, key, digest, restore_job.Rooms())
    for at in range(0, len(stored), step):
        sink.write(memoryview(stored)[at:at + step])
    sink.close()
    return read(place), sink.error


@case
def payloads_are_kept_whole_however_they_are_cut():
    key, encrypt = bytes(range(32)), launch.content.mkbackup.encrypt
    pad = launch.content.mkbackup.pad
    for size in (0, 1, 15, 16, 17, 65535, 65536, 65537, 300000):
        data = random.Random(size).randbytes(size)
        stored = encrypt(key, pad(data))
        for step in (1000, 16384, 1 << 20):
            equal(judged_payload(data, step=step) == (data, None), True)
            equal(judged_payload(stored, key, step=step) == (data, None),
                  True, f"{size} bytes by {step}")
            for name in ("sha1", "sha256"):
                digest = hashlib.new(name, stored).digest()
                equal(judged_payload(stored, key, digest, step)[1], None)


@case
def damaged_payloads_are_noticed():
    key, encrypt = bytes(range(32)), launch.content.mkbackup.encrypt
    good = encrypt(key, launch.content.mkbackup.pad(b"x" * 70000))
    for bad in (b"", good[:-16], good[:-1], good + b"\0",
                encrypt(key, bytes(16)), encrypt(key, b"\x11" * 32),
                encrypt(key, b"\2" * 15 + b"\3"), good[:-17] + b"?" * 17):
        equal(judged_payload(bad, key)[1], "bad padding", len(bad))
    equal(judged_payload(b"abc", None, bytes(20))[1], "wrong digest")
    equal(judged_payload(b"abc", None, bytes(32))[1], "wrong digest")


@case
def what_is_to_be_installed_comes_before_the_restore():
    path = b"/iTunesRestore/RestoreApplications.plist\0"
    ours, theirs = socket.socketpair()
    phone = QuietPhone()
    phone.state = pathlib.Path(new_dir("state"))
    os.makedirs(phone.state / "afc/iTunesRestore")
    with ours, theirs:
        afc = services.Afc(Stream(ours), phone)
        for restoring, words in ((None, []), (object(), ["during the"])):
            phone.restoring = restoring
            phone.found.clear()
            # open to write, and to read
            for mode in (4, 1):
                theirs.sendall(struct.pack(
                    "<8sQQQQQ", services.MAGIC, 48 + len(path),
                    48 + len(path), 1, 0x0d, mode) + path)
                afc.one()
                theirs.recv(100)
            equal([word in text for word, text in zip(words, phone.found)],
                  [True] * len(words))
            equal(len(phone.found), len(words))


@case
def keys_are_wrapped_many_at_a_time():
    device_keys.self_test()


run()
