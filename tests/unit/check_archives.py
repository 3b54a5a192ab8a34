#!/usr/bin/python3
"""Archives that larder makes of records, as Python's plistlib reads them.

    check_archives.py ENCODE_ARCHIVES MKBACKUP_FOLDER

Records and the archives that they come from are made at random, in every form
that mkbackup.py knows; what is expected of the new archive is worked out here
and shares no code with core.
"""
import plistlib
import random
import subprocess
import sys
from plistlib import UID

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[2])
import mkbackup  # noqa: E402

CASES = 3000
MBFILE_CLASS = {"$classname": "MBFile", "$classes": ["MBFile", "NSObject"]}
DATA_CLASS = {"$classname": "NSMutableData",
              "$classes": ["NSMutableData", "NSData", "NSObject"]}
NAMES = ["a", "Library/\u00dcbung.txt", "x/\U0001f4f1", "p" * 14, "p" * 15,
         "long/" * 80 + "end"]

dice = random.Random(4)


def int32(value):
    return (value & 0xffffffff ^ 0x80000000) - 0x80000000


def some_int32():
    return dice.choice([0, 1, 255, 256, 501, 0x7fffffff, 0x80000000,
                        0xfffffffe, 0xffffffff])


def some_time():
    return dice.choice([0, 1, -1, -86400, -2**31, 2**31 - 1, 1700000000])


def some_bytes(count):
    return dice.randbytes(count)


def some_record():
    """A record as a dictionary of what an archive says of it."""
    path = dice.choice(NAMES)
    return {
        "RelativePath": path,
        "Target": dice.choice([None, "t", "\u20ac" * 20]),
        "Mode": dice.choice([0o100644, 0o040755, 0o120755]),
        "UserID": some_int32(), "GroupID": some_int32(),
        "Flags": some_int32(),
        "InodeNumber": dice.choice([0, 7, 2**31, 2**40, 2**63 - 1]),
        "Size": dice.choice([0, 5, 2**32 - 1, 2**32, 2**50]),
        "ProtectionClass": dice.randrange(5),
        "LastModified": some_time(), "LastStatusChange": some_time(),
        "Birth": some_time(),
        "EncryptionKey": dice.choice([None, some_bytes(44)]),
        "Digest": dice.choice([None, some_bytes(20), some_bytes(32)]),
        "ExtendedAttributes": dice.choice(
            [None, plistlib.dumps({"n": some_bytes(3)},
                                  fmt=plistlib.FMT_BINARY)]),
    }


def some_extras(put):
    """Keys that nobody knows, with values of every shape."""
    shared = put("shared")
    return {
        "XInteger": dice.choice([0, 2**63, -5]),
        "XText": put("text \u00fc"),
        "XShared": shared,
        "XObject": put({"inner": [1.5, shared, put({"deep": b"bytes"})],
                        "$class": put(dict(DATA_CLASS))}),
        "XDict": {"a": put("b"), "c": True},
    }


def make_base(rec, form, extras):
    """An archive of a record, in one of mkbackup's forms."""
    kind = {0o100000: "f", 0o040000: "d", 0o120000: "l"}[
        rec["Mode"] & 0o170000]
    xattrs = rec["ExtendedAttributes"]
    e = mkbackup.Entry(
        kind, b"", rec["RelativePath"].encode(), rec["Mode"] & 0o7777,
        mtime=rec["LastModified"], ctime=rec["LastStatusChange"],
        birth=rec["Birth"], uid=int32(rec["UserID"]),
        gid=int32(rec["GroupID"]), inode=rec["InodeNumber"],
        pclass=rec["ProtectionClass"], size=rec["Size"],
        target=rec["Target"].encode() if rec["Target"] else None,
        wrapped=rec["EncryptionKey"], digest=rec["Digest"],
        digest_form=dice.choice(["inline", "uid", "nsdata"]),
        xattrs=xattrs and plistlib.loads(xattrs), blob_form=form)
    archive = mkbackup.mbfile_objects(e)
    if form == "cf-uid":
        archive = from_dicts(archive)
    objects = archive["$objects"]
    main = objects[archive["$top"]["root"].data]
    if form != "minimal":
        main["Flags"] = int32(rec["Flags"])
    else:
        for key in ("UserID", "GroupID", "InodeNumber", "Size", "Flags",
                    "ProtectionClass", "LastModified", "LastStatusChange",
                    "Birth"):
            rec[key] = 0

    def put(obj):
        objects.append(obj)
        return UID(len(objects) - 1)

    if extras:
        main.update(some_extras(put))
    if form == "cf-uid":
        archive = mkbackup.uid_or_dict(archive)
    return plistlib.dumps(archive, fmt=plistlib.FMT_BINARY)


def from_dicts(obj):
    """The inverse of mkbackup.uid_or_dict."""
    if isinstance(obj, dict):
        if set(obj) == {"CF$UID"}:
            return UID(obj["CF$UID"])
        return {k: from_dicts(v) for k, v in obj.items()}
    if isinstance(obj, list):
        return [from_dicts(v) for v in obj]
    return obj


def resolve(blob):
    archive = from_dicts(plistlib.loads(blob))
    return mkbackup.mbfile_by_name(archive)["root"]


def line_of(rec, base):
    hexed = [rec[k].encode() if isinstance(rec[k], str) else rec[k]
             for k in ("RelativePath", "Target", "ExtendedAttributes",
                       "EncryptionKey", "Digest")]
    words = [b.hex() if b else "-" for b in [base] + hexed]
    words += [str(rec[k]) for k in
              ("Mode", "UserID", "GroupID", "InodeNumber", "Size", "Flags",
               "ProtectionClass", "LastModified", "LastStatusChange",
               "Birth")]
    return " ".join(words)


def value_of(key, value, old):
    """What stands in an archive for a value that is new in it."""
    holder = {"NS.data": value, "$class": DATA_CLASS}
    if key in ("Mode", "UserID", "GroupID", "Flags"):
        return int32(value)
    if key == "EncryptionKey":
        return holder
    if key == "Digest" and isinstance(old, dict):
        return holder
    return value


def expect(rec, was, old):
    """@was: the record that the base was made of; @old: the base itself."""
    want = dict(old)
    for key, value in rec.items():
        if was and value == was[key]:
            continue
        want.pop(key, None)
        if value is not None:
            want[key] = value_of(key, value, old.get(key))
    if not was:
        want["$class"] = MBFILE_CLASS
    return want


def some_case():
    rec = some_record()
    form = dice.choice([None, "usual", "nsdata-uid", "root-last", "cf-uid",
                        "minimal"])
    if not form:
        return line_of(rec, None), expect(rec, None, {}), None
    was = some_record()
    base = make_base(was, form, dice.random() < .7)
    if was["ExtendedAttributes"]:
        was["ExtendedAttributes"] = resolve(base)["ExtendedAttributes"]
    # some values stay, so that the two are mixed
    for key in rec:
        if dice.random() < .5:
            rec[key] = was[key]
    return line_of(rec, base), expect(rec, was, resolve(base)), base


def main():
    cases = [some_case() for _ in range(CASES)]
    run = subprocess.run([sys.argv[1]], input="\n".join(c[0] for c in cases),
                         capture_output=True, text=True)
    got = run.stdout.split()
    failed = 0
    if run.returncode or len(got) != CASES:
        print(f"# {len(got)} archives, status {run.returncode}: {run.stderr}")
        failed = 1
    for (line, want, base), blob in zip(cases, got):
        have = resolve(bytes.fromhex(blob))
        if have == want:
            continue
        failed += 1
        if failed < 5:
            print(f"# of {line}")
            for key in sorted(set(have) | set(want)):
                if have.get(key) != want.get(key):
                    print(f"#   {key}: {have.get(key)!r} instead of "
                          f"{want.get(key)!r}")
    print(f"{'not ok' if failed else 'ok'} 1 - {CASES} archives are what "
          "plistlib expects")
    print("1..1")
    return failed > 0


sys.exit(main())
