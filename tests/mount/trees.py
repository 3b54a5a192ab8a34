"""What the tests of pack and restore share: trees, overlays, records.

A tree is read with the calls that any program has, a manifest with mkbackup:
nothing here asks larder.
"""

import hashlib
import plistlib
import sqlite3
import struct
from typing import NamedTuple

from harness import *

TYPES = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}


# --- trees -------------------------------------------------------------------

class Seen(NamedTuple):
    """What a tree shows of an entry."""
    type: str
    mode: int                   # not of links: each file system has its own
    size: int                   # of files
    content: str                # digest, as far as it can be read
    target: str
    mtime: int                  # whole seconds
    attributes: dict            # the file's own, without user.larder.*


def content_of(path):
    digest, length = hashlib.sha256(), 0
    try:
        with open(path, "rb", 0) as f:
            while chunk := f.read(1 << 20):
                digest.update(chunk)
                length += len(chunk)
    except OSError as e:
        return f"{e.strerror} after {length}: {digest.hexdigest()}"
    return digest.hexdigest()


def attributes_of(path, ours=False):
    """User attributes; with `ours`, those that a mount adds, by what follows
    "user.larder."."""
    found = {name: os.getxattr(path, name, follow_symlinks=False)
             for name in os.listxattr(path, follow_symlinks=False)
             if name.startswith("user.")}
    if ours:
        return {name[12:]: value for name, value in found.items()
                if name.startswith("user.larder.")}
    return {name: value for name, value in found.items()
            if not name.startswith("user.larder.")}


def seen(path, st):
    kind = TYPES[stat.S_IFMT(st.st_mode)]
    return Seen(
        kind, 0 if kind == "l" else stat.S_IMODE(st.st_mode),
        st.st_size if kind == "f" else 0,
        content_of(path) if kind == "f" else "",
        os.readlink(path) if kind == "l" else "",
        st.st_mtime_ns // 10**9,
        {} if kind == "l" else attributes_of(path))


def tree_of(top):
    """{path below `top`: Seen}; without what is neither file, folder nor
    link."""
    found = {}
    for folder, folders, names in os.walk(top, onerror=raise_it):
        for name in folders + names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if stat.S_IFMT(st.st_mode) in TYPES:
                found[os.path.relpath(path, top)] = seen(path, st)
    assert found, f"{top} is empty"
    return found


def raise_it(error):
    raise error


def unlike(got, want, ignore=()):
    """What is not alike in two trees, as lines."""
    lines = []
    for path in sorted(got.keys() | want.keys()):
        a, b = got.get(path), want.get(path)
        if a is None or b is None:
            lines.append(f"{path!r}: {'missing' if a is None else 'too much'}")
            continue
        lines += [f"{path!r}: {name} {x!r}, want {y!r}"
                  for name, x, y in zip(Seen._fields, a, b)
                  if x != y and name not in ignore]
    return lines


def counts(before, after):
    """How many entries were changed, added and removed."""
    both = before.keys() & after.keys()
    return {"changed": sum(before[path] != after[path] for path in both),
            "added": len(after.keys() - both),
            "removed": len(before.keys() - both)}


# --- backups -----------------------------------------------------------------

def unlock(folder, password):
    """(Manifest.plist, Manifest.db in clear) of a backup."""
    with open(folder + "/Manifest.plist", "rb") as f:
        plist = plistlib.load(f)
    data = read(folder + "/Manifest.db")
    if "ManifestKey" not in plist:
        return plist, data
    header, *classes = mkbackup.parse_keybag(plist["BackupKeyBag"])
    number = lambda value: struct.unpack(">I", value)[0]
    kek = mkbackup.passcode_key(
        password, header["SALT"], number(header["ITER"]),
        header.get("DPSL"), number(header.get("DPIC", bytes(4))))
    stored = plist["ManifestKey"]
    wrapped, = [c["WPKY"] for c in classes if number(c["CLAS"]) == stored[0]]
    key = mkbackup.unwrap(mkbackup.unwrap(kek, wrapped), stored[4:])
    data = mkbackup.decrypt(key, data)
    return plist, data[:-data[-1]]


class Row(NamedTuple):
    file_id: str
    flags: int
    archive: bytes
    record: dict                # the MBFile, by name


def rows_of(folder, password=PASSWORD):
    """{(domain, path): Row} of a Manifest.db; names as bytes."""
    found = {}
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.deserialize(unlock(folder, password)[1])
        db.text_factory = bytes
        for file_id, domain, path, flags, archive in db.execute(
                "SELECT fileID, domain, relativePath, flags, file FROM Files"
                " WHERE domain IS NOT NULL AND length(file) > 0"):
            found[domain, path] = Row(
                file_id.decode(), flags, archive,
                mkbackup.mbfile_by_name(plistlib.loads(archive))["root"])
    return found


def contents_of(folder, password=PASSWORD):
    """{(domain, path): content, None of what is no file}, decrypted without
    larder."""
    return {(domain, path): content for domain, path, content
            in mkbackup.read_back(folder, password)}


def numbers_are_honest(folder, password=PASSWORD):
    """A device takes entries of one domain and inode number for names of one
    file: they must have one content."""
    found, contents = {}, contents_of(folder, password)
    for (domain, path), row in rows_of(folder, password).items():
        number = row.record.get("InodeNumber")
        if contents[domain, path] is not None and number:
            found.setdefault((domain, number), {})[path] = \
                contents[domain, path]
    for key, names in found.items():
        assert len(set(names.values())) == 1, (key, sorted(names))


def agrees(folder, tree, password=PASSWORD):
    """The decryptor that is not larder's finds the files of a tree, whose
    names must not need escapes."""
    got = {os.fsdecode(domain + b"/" + path): hashlib.sha256(
               content).hexdigest()
           for (domain, path), content in
           contents_of(folder, password).items() if content is not None}
    equal(got, {path: entry.content for path, entry in tree.items()
                if entry.type == "f"})
    numbers_are_honest(folder, password)


# --- packed ------------------------------------------------------------------

FINISHED = {"event", "backup", "encrypted", "entries", "files", "bytes",
            "changed", "added", "removed", "payloads_shared",
            "payloads_copied", "payloads_written", "seconds"}


def pack(tree, *options, out=None, status=0, passfile=PASSFILE, warns=()):
    """larder pack --json; (the new backup, the last event).  `warns`: a word
    for each entry that is left out."""
    out = out or new_path("packed")
    done = larder("pack", "--json", "--passfile", passfile, *options, tree,
                  out)
    text = done.stdout + done.stderr
    equal(done.returncode, status, text)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    last = found[-1]
    left_out = [e["message"] for e in found if e["event"] == "warning"
                and "left out" in e["message"]]
    equal(len(left_out), len(warns), text)
    for word in warns:
        assert any(word in line for line in left_out), f"no {word!r}: {text}"
    if status:
        equal((last["event"], last["status"]), ("error", status), text)
        equal(done.stderr, f"larder: {last['message']}\n")
        equal(os.path.lexists(out), False, "a backup was left")
    else:
        equal((last["event"], last["backup"]), ("finished", out))
        equal((set(last), done.stderr), (FINISHED, ""))
    return out, last


def tree_in(backup, *options, **more):
    """What a mount of a backup shows."""
    with mounted(backup, *options, **more) as m:
        return tree_of(m.path)


def shows_tree(backup, tree, ignore=(), **more):
    equal(unlike(tree_in(backup, **more), tree, ignore), [])


# --- overlays ----------------------------------------------------------------

def file_system(kind):
    """A new folder with a file system of its own in it."""
    return tmpfs(kind=kind) if kind in ("tmpfs", "ramfs") else image(kind)


def overlay(lower, upper, *options):
    """A tree that can be edited, on top of one that can not; `upper`: where
    the changes go."""
    at, above, work = new_dir("edited"), upper + "/upper", upper + "/work"
    os.mkdir(above)
    os.mkdir(work)
    return there(at, "mount", "-t", "overlay", "overlay", at, "-o", ",".join(
        (f"lowerdir={lower}", f"upperdir={above}", f"workdir={work}",
         *options)))


@contextlib.contextmanager
def editable(backup, *options, upper="tmpfs", how=(), **more):
    """An overlay on a mount of a backup; with these options of the mount."""
    with mounted(backup, *options, **more) as m, file_system(upper) as u, \
            overlay(m.path, u, *how) as at:
        yield at


# --- a backup to edit --------------------------------------------------------

APP = "AppDomain-com.example.app"
WIDGET = "AppDomainPlugin-com.example.app.widget"
GROUP = "AppDomainGroup-group.com.example.app"
SHARED = "AppDomainGroup-group.com.example.app.shared"
OTHER = "AppDomain-com.example.application"
MARKER = b"this must never be seen in clear"
HELLO = APP + "/Documents/hello.txt"
SIZES = (0, 1, 15, 16, 17, 4096, 65537)


def fill_for_edits(b):
    """Of everything something, and nothing that is damaged."""
    rng = b.rng

    def add(domain, path, data, owner=501, **more):
        b.parents(domain, path, uid=owner, gid=owner, mtime=mkbackup.NOW - 99)
        return b.file(domain, path, data, uid=owner, gid=owner, **more)

    add("HomeDomain", "Library/SMS/sms.db", MARKER * 900, mode=0o600)
    add("HomeDomain", "Library/Preferences/a.plist", MARKER, digest=True)
    one = add("HomeDomain", "Library/Links/one", b"one file", inode=4242)
    add("HomeDomain", "Library/Links/two", one.data, inode=4242, key=one.key,
        wrapped=one.wrapped)
    for i in range(4):
        add("CameraRollDomain", f"Media/DCIM/100APPLE/IMG_{i:04d}.JPG",
            MARKER + rng.randbytes(20000), mtime=mkbackup.NOW - 50 + i,
            xattrs={"com.example.album": b"lake"} if i else None)
    add("CameraRollDomain", "Media/DCIM/101APPLE/IMG_0100.MOV",
        rng.randbytes(300000))
    add("KeychainDomain", "keychain-backup.plist", MARKER, owner=64, pclass=4,
        mode=0o600)
    add("WirelessDomain", "Library/usage.db", MARKER, owner=25, pclass=1)
    add(APP, "Documents/hello.txt", b"hello", digest=True,
        xattrs={"com.example.note": b"abc", "com.example.empty": b""})
    for i, size in enumerate(SIZES):
        add(APP, f"Documents/sizes/{size}", rng.randbytes(size),
            pclass=1 + i % 4)
    b.link(APP, "Documents/link", "hello.txt", mtime=mkbackup.NOW - 7)
    b.link(APP, "Documents/dangling", "/private/var/none")
    b.dir(APP, "Documents/empty folder", mode=0o711)
    add(OTHER, "Documents/not the app", b"another")
    for domain in (WIDGET, GROUP, SHARED):
        add(domain, "Library/Preferences/p.plist", domain.encode())


_made = {}


def backup_for_edits(shape):
    """The folder of such a backup; made once."""
    if shape not in _made:
        _made[shape] = made_backup(shape, fill_for_edits)[0]
    return _made[shape]


def edit_marked(at):
    """New plaintext, in names as well."""
    save(f"{at}/{APP}/Documents/IMG_0001 new", MARKER * 3)
    save(f"{at}/HomeDomain/Library/SMS/sms.db", MARKER * 3000)


# --- payloads ----------------------------------------------------------------

def payload_files(folder):
    return [os.path.join(top, name) for top, _, names in os.walk(folder)
            for name in names if len(name) == 40]


def clean(*folders):
    """Nothing of what is encrypted can be read in any file there."""
    for folder in folders:
        for top, _, names in os.walk(folder):
            for name in names:
                data = read(os.path.join(top, name))
                for text in (MARKER, b"Library/Preferences", b"IMG_0001"):
                    assert text not in data, (name, text)
