"""What a phone has beside its backup: apps with icons, the media partition."""

import plistlib
import struct
import zlib

LOCK_FILE = "com.apple.itunes.lock_sync"


def png(rgb, side=60):
    """A square of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))
    line = b"\0" + bytes(rgb) * side
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0,
                                         0))
            + chunk(b"IDAT", zlib.compress(line * side))
            + chunk(b"IEND", b""))


def app(bundle, name, rgb, number):
    return {
        "CFBundleIdentifier": bundle,
        "ApplicationSINF": b"sinf" + bundle.encode() + bytes(range(64)),
        "iTunesMetadata": plistlib.dumps(
            {"itemName": name, "itemId": number, "bundleDisplayName": name,
             "softwareVersionBundleId": bundle},
            fmt=plistlib.FMT_BINARY),
        "icon": png(rgb),
    }


def default_apps():
    return [
        app("org.example.notes", "Notes and More", (240, 200, 40), 100001),
        app("org.example.maps", "Träumkarten", (60, 160, 90), 100002),
        app("org.example.chat", "聊天", (40, 90, 220), 100003),
        # from no store: without SINF and metadata
        {"CFBundleIdentifier": "org.example.beta"},
    ]


FILES = {
    "Books/iBooksData2.plist": plistlib.dumps({"Books": []}),
    "iTunes_Control/iTunes/iTunesPrefs": b"frpd" + bytes(124),
    "iTunes_Control/iTunes/iTunesPrefs.plist": plistlib.dumps(
        {"iPodPrefs": b"frpd"}),
    "iTunes_Control/iTunes/IC-Info.sidv": bytes(range(256)),
    "DCIM/100APPLE/IMG_0001.JPG": b"\xff\xd8\xff\xe0 not much of a picture",
}


def fill(root):
    """The media partition of a new phone."""
    if root.exists():
        return
    for name, data in FILES.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
