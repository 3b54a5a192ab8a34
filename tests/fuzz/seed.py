#!/usr/bin/python3
"""Write the first inputs of the corpus: sound ones and hand-made bad ones.

What a fuzzer found lies beside them under a name that says what it did.
"""
import os
import re
import sqlite3
import struct
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def vectors():
    """The examples of tests/unit/vectors.h, as bytes."""
    with open(os.path.join(HERE, "../unit/vectors.h")) as f:
        text = f.read().replace("\\\n", " ")
    return {name: bytes.fromhex("".join(re.findall(r'"([0-9a-f]*)"', rest)))
            for name, rest in re.findall(r"#define (\w+) +((?:\s*\"[0-9a-f]*\")+)",
                                         text)}


def put(target, name, data):
    path = os.path.join(HERE, "corpus", target, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def bplist(objects, root=0):
    """Objects are bytes; references in them are one byte wide."""
    out, offsets = b"bplist00", []
    for item in objects:
        offsets.append(len(out))
        out += item
    table = b"".join(struct.pack(">H", o) for o in offsets)
    return out + table + bytes(6) + b"\x02\x01" + struct.pack(
        ">QQQ", len(objects), root, len(out))


def string(s):
    return b"\xff\xff" if s is None else struct.pack(">H", len(s)) + s


def record(domain, path, mode=0o100644, size=0, target=None, props=b"",
           count=0):
    return (string(domain) + string(path) + string(target) + string(None) * 2
            + struct.pack(">HQIIIIIQBB", mode, 7, 501, 501, 1700000000,
                          1700000001, 1699999999, size, 3, count) + props)


MAGIC = b"mbdb\x05\x00"


def database(script):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "db")
        db = sqlite3.connect(path)
        db.executescript("PRAGMA page_size=512;" + script)
        db.commit()
        db.close()
        with open(path, "rb") as f:
            return f.read()


TABLE = ("CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, "
         "relativePath TEXT, flags INTEGER, file BLOB);")


def rows(blob):
    return "".join(
        f"INSERT INTO Files VALUES ('{n:040x}', '{domain}', '{path}', {flags},"
        f" x'{blob.hex()}');" for n, (domain, path, flags) in enumerate([
            ("HomeDomain", "", 2), ("HomeDomain", "a", 1),
            ("HomeDomain", "b", 0), ("D", "l", 4)]))


def afc(number, op, body=b"", **lies):
    """A reply of the media folder; @lies: whole, part, magic."""
    whole = lies.get("whole", 40 + len(body))
    return lies.get("magic", b"CFA6LPAA") + struct.pack(
        "<QQQQ", whole, lies.get("part", whole), number, op) + body


def afc_visit(*replies):
    """Numbered in a row; each an operation and a number, or bytes."""
    return b"".join(
        afc(number, op, body if isinstance(body, bytes)
            else struct.pack("<Q", body))
        for number, (op, body) in enumerate(replies, 1))


STATUS, DATA, OPENED = 1, 2, 14
OK, NOT_FOUND, IS_DIR, NO_SPACE, WOULD_BLOCK = (
    (STATUS, code) for code in (0, 8, 9, 18, 19))
LOCKED = [(OPENED, 7), OK]


def media():
    """What fuzz_media.c reads as the answers of a device."""
    put("media", "all-goes-well", afc_visit(
        *LOCKED, (OPENED, 8), NOT_FOUND, (OPENED, 9),
        (DATA, b"hello"), (DATA, b"x" * 500), (DATA, b""), (DATA, b"x" * 500),
        (DATA, b""), OK, OK, OK, (OPENED, 10), OK, OK, OK, OK, OK))
    put("media", "lock-that-another-has", afc_visit(
        (OPENED, 7), WOULD_BLOCK, NOT_FOUND, NOT_FOUND, NOT_FOUND, OK,
        (OPENED, 8), NO_SPACE, OK, NOT_FOUND, OK))
    put("media", "folder-and-a-file-that-is-too-long", afc_visit(
        *LOCKED, (OPENED, 8), (OPENED, 9), IS_DIR, IS_DIR,
        (DATA, b"x" * 1001), OK, OK))
    put("media", "files-that-cannot-be-closed", afc_visit(
        *LOCKED, *[(OPENED, n) for n in (8, 9, 10)], *[(DATA, b"")] * 3,
        IS_DIR, IS_DIR, IS_DIR, OK))
    put("media", "more-data-than-asked-for", afc_visit(
        *LOCKED, (OPENED, 8), NOT_FOUND, NOT_FOUND, (DATA, b"x" * 1002)))
    put("media", "data-for-an-open", afc_visit((DATA, b"12345678")))
    put("media", "success-without-a-handle", afc_visit(OK))
    put("media", "handle-for-a-status", afc_visit((OPENED, 7), (OPENED, 7)))
    put("media", "handle-of-four-bytes", afc(1, OPENED, bytes(4)))
    put("media", "status-without-a-code", afc(1, STATUS))
    put("media", "unknown-operation", afc(1, 0x13, bytes(8)))
    put("media", "reply-to-another-request", afc(2, OPENED, bytes(8)))
    put("media", "length-of-2-to-the-64", afc(1, DATA, whole=2**64 - 1))
    put("media", "length-of-2-to-the-63", afc(1, DATA, whole=2**63, part=40))
    put("media", "length-below-the-head", afc(1, DATA, whole=39))
    put("media", "part-longer-than-all", afc(1, STATUS, bytes(8), part=49))
    put("media", "part-below-the-head", afc(1, STATUS, bytes(8), part=39))
    put("media", "cut-off-in-the-head", afc_visit(*LOCKED)[:70])
    put("media", "cut-off-in-the-data", afc_visit(
        *LOCKED, (OPENED, 8), NOT_FOUND, NOT_FOUND, (DATA, b"hello"))[:-2])
    put("media", "another-protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n")


def log_sum(data, s=(0, 0)):
    a, b = s
    words = struct.unpack(f"<{len(data) // 4}I", data)
    for i in range(0, len(words), 2):
        a = (a + words[i] + b) & 0xffffffff
        b = (b + words[i + 1] + a) & 0xffffffff
    return a, b


def log(frames, page=512):
    """A write-ahead log of (number, content, pages after it or 0)."""
    head = struct.pack(">IIIIII", 0x377f0682, 3007000, page, 0, 1, 2)
    s = log_sum(head)
    out = head + struct.pack(">II", *s)
    for number, content, commit in frames:
        front = struct.pack(">II", number, commit)
        s = log_sum(front + content, s)
        out += front + struct.pack(">IIII", 1, 2, *s) + content
    return out


def wal():
    """The length of a database, it, its log."""
    def put_pair(name, main, beside):
        put("wal", name, struct.pack("<H", len(main)) + main + beside)

    old = database("CREATE TABLE t (i INTEGER PRIMARY KEY, x TEXT);"
                   "CREATE INDEX x ON t(x); INSERT INTO t VALUES (1, 'a');")
    new = database("CREATE TABLE t (i INTEGER PRIMARY KEY, x TEXT);"
                   "CREATE INDEX x ON t(x); INSERT INTO t VALUES (1, 'b'),"
                   "(2, hex(zeroblob(300))), (3, 'd');")
    pages = [new[at:at + 512] for at in range(0, len(new), 512)]
    frames = [(n, page, 0) for n, page in enumerate(pages, 1)]
    frames[-1] = frames[-1][:2] + (len(pages),)
    put_pair("whole", old, log(frames))
    put_pair("without-end", old, log(frames[:-1]))
    put_pair("twice", old, log(frames + frames[1:]))
    put_pair("cut-off", old, log(frames)[:-100])
    put_pair("one-page", old, log([(1, pages[0], 1)]))
    put_pair("far-page", old, log([(0xffffffff, pages[0], 0xffffffff)]))
    put_pair("page-0", old, log([(0, pages[0], 3)]))
    put_pair("other-page-length", old, log([(1, bytes(1024), 1)], 1024))
    put_pair("no-database", b"", log(frames))
    put_pair("no-log", old, b"")
    put_pair("wal-mode", old[:18] + b"\x02\x02" + old[20:], log(frames))
    put_pair("page-garbled", old[:512] + bytes(range(256)) * 2 + old[1024:],
             b"")
    put_pair("unknown-things", database(
        "CREATE TABLE t (a TEXT COLLATE NOCASE, b); CREATE VIEW v AS SELECT"
        " unheard(a) FROM t; CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT"
        " unheard(1); END;"), b"")


def main():
    v = vectors()
    wide = bytes([0x6f, 0x10, 20]) + "bung \U0001f4f1 \ud800xx".encode(
        "utf-16-be", "surrogatepass").ljust(40, b"\0")
    put("bplist", "archive-of-an-encrypted-file", v["MBFILE_ENCRYPTED"])
    put("bplist", "array-that-contains-itself", bplist([b"\xa1\x00"]))
    put("bplist", "references-that-multiply", bplist(
        [bytes([0xa2, i + 1, i + 1]) for i in range(40)] + [b"\x09"]))
    put("bplist", "count-of-2-to-the-63", bplist(
        [b"\xaf\x13\x80" + bytes(7)]))
    put("bplist", "every-type", bplist(
        [bytes([0xaa, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), b"\x00", b"\x09",
         b"\x12\xff\xff\xff\xff", b"\x14" + b"\xff" * 16, b"\x22\x3f\xc0\0\0",
         b"\x33" + struct.pack(">d", 1e8), b"\x42ab", b"\x53abc", wide,
         b"\x80\x05"]))

    put("mbfile", "regular-file", v["MBFILE_FILE"])
    put("mbfile", "folder", v["MBFILE_DIR"])
    put("mbfile", "symbolic-link", v["MBFILE_LINK"])
    put("mbfile", "encrypted-file-with-attributes", v["MBFILE_ENCRYPTED"])
    put("mbfile", "uids-in-a-circle", v["MBFILE_LINK"].replace(
        b"\x80\x02\x80\x03", b"\x80\x01\x80\x01"))

    records = v["MBDB"][6:]
    put("mbdb", "four-records", records)
    put("mbdb", "cut-off-within-a-property", records[:75 + 135])
    put("mbdb", "255-empty-properties",
        record(b"D", b"p", props=b"\xff\xff" * 510, count=255))
    put("mbdb", "null-domain", record(None, b"p"))

    put("keybag", "two-derivations", v["KEYBAG_MODERN"])
    put("keybag", "one-derivation", v["KEYBAG_LEGACY"])
    put("keybag", "length-past-the-end", b"SALT\xff\xff\xff\xff")
    put("keybag", "sixty-five-classes", v["KEYBAG_LEGACY"] +
        (b"UUID" + struct.pack(">I", 16) + bytes(16)) * 61)

    head = b'<?xml version="1.0"?><!DOCTYPE plist PUBLIC "a" "b"><plist>'
    put("plist", "info.xml", head + b"<dict><key>Device Name</key><string>a"
        b"&amp;b</string><key>Last Backup Date</key><date>2023-11-14T22:13:20Z"
        b"</date><key>IsEncrypted</key><true/><key>a</key><data>AAEC</data>"
        b"</dict></plist>")
    put("plist", "manifest.xml", head + b"<dict><key>IsEncrypted</key><false/>"
        b"<key>Version</key><string>10.0</string><key>BackupKeyBag</key><data>"
        b"VkVSUw==</data><key>Lockdown</key><dict><key>DeviceName</key>"
        b"<string>x</string></dict></dict></plist>")
    put("plist", "status.xml", head + b"<dict><key>SnapshotState</key><string>"
        b"moving</string></dict></plist>")
    put("plist", "archive.bin", v["MBFILE_ENCRYPTED"])
    put("plist", "nesting-hidden-in-comments.xml",
        head + b"<array><!-- </array> -->" * 500)
    put("plist", "nesting-hidden-in-cdata.xml",
        head + b"<array><string><![CDATA[</array>]]></string>" * 500)
    put("plist", "references-that-multiply.bin", bplist(
        [bytes([0xa2, i + 1, i + 1]) for i in range(40)] + [b"\x09"]))

    blob = v["MBFILE_FILE"]
    index = "CREATE INDEX FilesDomainIdx ON Files(domain);"
    put("manifest_db", "usual-schema", database(TABLE + index + rows(blob)))
    put("manifest_db", "no-index", database(TABLE + rows(blob)))
    put("manifest_db", "utf-16", database(
        "PRAGMA encoding='UTF-16le';" + TABLE + index + rows(blob)))
    put("manifest_db", "files-is-a-view", database(
        "CREATE TABLE T (domain); CREATE VIEW Files AS SELECT * FROM T;"))
    put("manifest_db", "rows-of-wrong-types", database(
        "CREATE TABLE Files (fileID, domain, relativePath, flags, file);" +
        index + "INSERT INTO Files VALUES (1, 2, 3, 'x', 5), (x'00', 'D', "
        "x'2f', NULL, 'text'), (NULL, 'D', NULL, 9.5, x'00');"))
    put("manifest_db", "computed-column", database(
        "CREATE TABLE Files (fileID, domain, relativePath, flags, "
        "file AS (zeroblob(9)));"))
    put("manifest_db", "half-a-surrogate-pair", database(
        "PRAGMA encoding='UTF-16le';" + TABLE + index +
        "INSERT INTO Files VALUES ('a', CAST(x'ffdf' AS TEXT), 'x', 1, "
        "x'00');"))

    sound = database(TABLE + index + rows(blob * 2) + "DELETE FROM Files"
                     " WHERE domain = 'D';")
    cell = sound.rindex(b"\x5d", 0, sound.rindex(b"HomeDomain"))
    put("salvage", "rows-with-overflow-pages", sound)
    put("salvage", "header-of-zeros", bytes(100) + sound[100:])
    put("salvage", "every-page-of-a-damaged-kind", b"".join(
        b"\x07" + sound[at + 1:at + 512] for at in range(0, len(sound), 512)))
    put("salvage", "overflow-chain-in-circles", b"".join(
        struct.pack(">I", at // 512 + 1) + sound[at + 4:at + 512]
        if sound[at] == 0 else sound[at:at + 512]
        for at in range(0, len(sound), 512)))
    put("salvage", "free-list-in-circles", sound[:32] + struct.pack(
        ">II", 2, 9) + sound[40:512] + struct.pack(">III", 2, 1, 3)
        + sound[524:])
    put("salvage", "column-of-2-to-the-60", sound[:cell + 1]
        + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + sound[cell + 10:])
    put("salvage", "four-records-of-mbdb", v["MBDB"])
    put("salvage", "mbdb-with-a-hole", MAGIC + b"".join(
        record(b"HomeDomain", b"f%d" % i) for i in range(4)) + bytes(300)
        + b"".join(record(b"AppDomain-x", b"f%d" % i) for i in range(4)))

    put("manifest_mbdb", "four-records", v["MBDB"])
    put("manifest_mbdb", "another-version", b"mbdb\x06\x00")
    put("manifest_mbdb", "cut-off", v["MBDB"][:300])
    put("manifest_mbdb", "mode-without-a-type",
        MAGIC + record(b"D", b"p", mode=0))

    key = v["FILE_KEY"]
    for name, flag, recorded, off, length, data in [
            ("hundred-bytes", 1, 100, 30, 50, v["CIPHER_100"]),
            ("cut-off", 1, 100, 90, 50, v["CIPHER_100"][:-3]),
            ("no-padding", 1, 33, 0, 16, v["CIPHER_100"][:48]),
            ("plain", 0, 5, 2, 10, b"hello"),
            ("negative-size", 1, -1, 0, 1, v["CIPHER_100"][:32])]:
        put("payload", name,
            key + struct.pack("<BqIH", flag, recorded, off, length) + data)

    put("names", "usual", b"Library/SMS/sms.db")
    put("names", "slashes", b"//a///b//")
    put("names", "dots-and-nul", b"../.././a\0b/..")
    put("names", "exploit", b"SysContainerDomain-../../../../var/mobile")
    put("names", "long", b"x" * 300 + b"/" + "\u20ac".encode() * 100)
    put("names", "not-utf-8", b"\xff" * 260 + b"/\xe2\x82")

    put("tree", "four-records", v["MBDB"])
    put("tree", "file-that-is-also-a-folder", MAGIC + record(b"D", b"a") +
        record(b"D", b"a/b") + record(b"D", b"a%file"))
    put("tree", "duplicates", MAGIC + record(b"D", b"a") * 3 +
        record(b"D", b"a", mode=0o40755) * 2 +
        record(b"D", b"", mode=0o40755) * 2)
    put("tree", "names-that-come-out-equal", MAGIC + record(b"D", b".") +
        record(b"D", b"%2E") + record(b"D", b"%2E%2") + record(b".", b"x") +
        record(b"%2E", b"x"))
    put("tree", "larder-in-the-root", MAGIC + record(b".larder", b".larder") +
        record(b"%2Elarder", b"x"))
    put("tree", "deep", MAGIC + record(b"D", b"d/" * 2000 + b"f") +
        record(b"D", b"d/" * 1000))
    put("tree", "domains-that-merge-on-the-device", MAGIC +
        record(b"HomeDomain", b"Media/a") + record(b"MediaDomain", b"Media/a")
        + record(b"CameraRollDomain", b"Media", mode=0o40755) +
        record(b"AppDomain-..", b"../..") + record(b"", b""))

    media()
    wal()


if __name__ == "__main__":
    main()
