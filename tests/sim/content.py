#!/usr/bin/python3
"""The files of a simulated phone.

    content.py fill DIR --kind small|many|bulk|sample [options]
    content.py edit DIR [--change N] [--add N] [--remove N]
    content.py list DIR             one JSON object a line
    content.py compare DIR DIR      differences, exit status 1 if any

A Content is a folder:

    files/<domain>/<path>   the files, folders and symlinks as they are
    meta.json               what a file system of the host does not keep

Type, permission bits, modification time, size and link text are those of the
file itself, so a test may also edit `files` with ordinary means.  The rest is
in meta.json, "<domain>/<path>" -> {"mode", "uid", "gid", "birth", "pclass",
"xattrs"}, only where it differs from the default.  Another process may change
both at any time: each scan() looks anew.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import stat
import sys
import tempfile
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import mkbackup                                         # noqa: E402

MOBILE = 501                    # owner of most files of a phone
CHUNK = 1 << 20
KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
DEFAULT_MODE = {"f": 0o644, "d": 0o755, "l": 0o755}
DEFAULT_CLASS = {"f": 3, "d": 0, "l": 0}


class Item(NamedTuple):
    """A file, folder or symlink, without its content."""
    domain: str
    path: str                   # "" for the root of the domain
    kind: str                   # "f", "d", "l"
    mode: int                   # permission bits, & 07777
    uid: int
    gid: int
    mtime: int
    birth: int
    size: int                   # 0 unless a regular file
    inode: int
    pclass: int
    target: str                 # of a symlink, else None
    xattrs: tuple               # of (name, bytes), sorted
    mtime_ns: int
    place: str                  # on the host

    @property
    def name(self):
        return f"{self.domain}/{self.path}" if self.path else self.domain


def check_path(domain, path):
    """Domain and path as a phone can have them."""
    name = f"/{domain}/{path}/" if path else f"/{domain}/"
    if "//" in name or "/./" in name or "/../" in name or "\0" in name \
            or "/" in domain:
        raise ValueError(f"not a path of a phone: {domain!r} {path!r}")


def sha256_of(place):
    with open(place, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


class Content:
    def __init__(self, path, create=False):
        self.path = pathlib.Path(path)
        self.files = str(self.path / "files")
        self._meta_file = str(self.path / "meta.json")
        self._meta, self._meta_stamp = {}, None
        if create:
            os.makedirs(self.files, exist_ok=True)
        elif not os.path.isdir(self.files):
            raise FileNotFoundError(self.files)

    # metadata

    def _load(self):
        """meta.json if somebody wrote it since."""
        try:
            st = os.stat(self._meta_file)
            stamp = st.st_ino, st.st_mtime_ns, st.st_size
        except FileNotFoundError:
            stamp = None
        if stamp != self._meta_stamp:
            self._meta = {}
            if stamp:
                with open(self._meta_file, encoding="ascii") as f:
                    self._meta = json.load(f)
            self._meta_stamp = stamp

    def _save(self):
        fd, aside = tempfile.mkstemp(dir=self.path)
        with open(fd, "w", encoding="ascii") as f:
            json.dump(self._meta, f, separators=(",", ":"))
            f.flush()
            st = os.fstat(f.fileno())
        os.replace(aside, self._meta_file)
        self._meta_stamp = st.st_ino, st.st_mtime_ns, st.st_size

    @contextlib.contextmanager
    def editing(self):
        """Many changes, saved once."""
        self._load()
        save, self._save = self._save, lambda: None
        load, self._load = self._load, lambda: None
        try:
            yield self
        finally:
            self._save, self._load = save, load
            self._save()

    # reading

    def place(self, domain, path=""):
        check_path(domain, path)
        return f"{self.files}/{domain}/{path}" if path \
            else f"{self.files}/{domain}"

    def scan(self):
        """All Items, each folder before what is in it."""
        self._load()
        items = []
        for name in sorted(os.listdir(self.files)):
            place = f"{self.files}/{name}"
            items.append(self._item(name, "", place, os.lstat(place)))
            self._scan_folder(items, name, "", place)
        return items

    def _scan_folder(self, items, domain, prefix, place):
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda e: e.name)
        for entry in found:
            path = prefix + entry.name
            st = entry.stat(follow_symlinks=False)
            item = self._item(domain, path, entry.path, st)
            items.append(item)
            if item.kind == "d":
                self._scan_folder(items, domain, path + "/", entry.path)

    def _item(self, domain, path, place, st):
        kind = KINDS[stat.S_IFMT(st.st_mode)]
        meta = self._meta.get(f"{domain}/{path}" if path else domain)
        mtime = st.st_mtime_ns // 10**9
        mode = DEFAULT_MODE["l"] if kind == "l" else stat.S_IMODE(st.st_mode)
        target = os.readlink(place) if kind == "l" else None
        size = st.st_size if kind == "f" else 0
        if not meta:
            return Item(domain, path, kind, mode, MOBILE, MOBILE, mtime, mtime,
                        size, st.st_ino, DEFAULT_CLASS[kind], target, (),
                        st.st_mtime_ns, place)
        get = meta.get
        return Item(domain, path, kind, get("mode", mode), get("uid", MOBILE),
                    get("gid", MOBILE), mtime, get("birth", mtime), size,
                    st.st_ino, get("pclass", DEFAULT_CLASS[kind]), target,
                    tuple((name, base64.b64decode(value)) for name, value
                          in get("xattrs", {}).items()),
                    st.st_mtime_ns, place)

    def item(self, domain, path=""):
        self._load()
        place = self.place(domain, path)
        return self._item(domain, path, place, os.lstat(place))

    def entries(self):
        """All that must survive a backup and a restore, as dicts in order of
        domain and path."""
        for item in sorted(self.scan(), key=lambda i: (i.domain, i.path)):
            yield {
                "domain": item.domain, "path": item.path, "type": item.kind,
                "mode": item.mode, "uid": item.uid, "gid": item.gid,
                "mtime": item.mtime, "birth": item.birth, "size": item.size,
                "sha256": sha256_of(item.place) if item.kind == "f" else None,
                "target": item.target, "pclass": item.pclass,
                "xattrs": {name: base64.b64encode(value).decode()
                           for name, value in item.xattrs}}

    def expect(self, shape="db-plain"):
        """The EXPECT lines (see mkbackup.py) of a mount of a backup of this,
        as dicts, sorted."""
        lines = []
        for item in self.scan():
            record = entry_of(item)
            if item.kind == "f":
                record.stored, record.keyed = b"", False
            record.file_id = record.canonical_id
            line = mkbackup.expect_entry(os.fsencode(item.name), record,
                                         mkbackup.SHAPES[shape])
            if item.kind == "f":
                line |= {"size": item.size, "sha256": sha256_of(item.place)}
            lines.append(line)
        return sorted(lines, key=lambda line: line["path"])

    # changing

    def set(self, domain, path="", **meta):
        """Metadata: mode, mtime (seconds or "..._ns"), uid, gid, birth,
        pclass, xattrs ({name: bytes})."""
        self._load()
        place = self.place(domain, path)
        kind = KINDS[stat.S_IFMT(os.lstat(place).st_mode)]
        mode, mtime = meta.pop("mode", None), meta.pop("mtime", None)
        if mode is not None and kind != "l":
            os.chmod(place, mode)
        elif mode is not None:
            meta["mode"] = mode
        if mtime is not None:
            os.utime(place, (mtime, mtime), follow_symlinks=False)
        if "xattrs" in meta:
            meta["xattrs"] = {
                name: base64.b64encode(value).decode() for name, value
                in sorted((meta["xattrs"] or {}).items())}
        defaults = {"uid": MOBILE, "gid": MOBILE, "xattrs": {},
                    "pclass": DEFAULT_CLASS[kind], "birth": mtime,
                    "mode": DEFAULT_MODE["l"]}
        key = f"{domain}/{path}" if path else domain
        kept = self._meta.get(key, {}) | meta
        kept = {name: value for name, value in kept.items()
                if value != defaults[name]}
        if kept or key in self._meta:
            self._meta[key] = kept
            self._save()

    def settle(self, signature, mtime_ns):
        """Give what is there all that the first fields of an Item say, and
        this time."""
        domain, path, kind, mode, uid, gid, mtime, birth, _, _, pclass, _, \
            xattrs = signature
        place = self.place(domain, path)
        if uid == gid == MOBILE and birth == mtime and not xattrs \
                and pclass == DEFAULT_CLASS[kind] \
                and (kind != "l" or mode == DEFAULT_MODE["l"]):
            if kind != "l":
                os.chmod(place, mode)       # most need no more than this
        else:
            self.set(domain, path, mode=mode, uid=uid, gid=gid, mtime=mtime,
                     birth=birth, pclass=pclass, xattrs=dict(xattrs))
        os.utime(place, ns=(mtime_ns, mtime_ns), follow_symlinks=False)

    def _above(self, domain, path):
        folder = os.path.dirname(self.place(domain, path)) if path \
            else self.files
        os.makedirs(folder, exist_ok=True)

    def write(self, domain, path, data=b"", **meta):
        """A regular file; `data` may be an iterable of chunks.  What exists is
        replaced, as applications replace their files."""
        check_path(domain, path)
        self._above(domain, path)
        place = self.place(domain, path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        with open(place, "xb") as f:
            for chunk in (data,) if isinstance(data, bytes) else data:
                f.write(chunk)
        self.set(domain, path, **{"mode": DEFAULT_MODE["f"]} | meta)

    def mkdir(self, domain, path="", **meta):
        place = self.place(domain, path)
        os.makedirs(place, exist_ok=True)
        self.set(domain, path, **{"mode": DEFAULT_MODE["d"]} | meta)

    def symlink(self, domain, path, target, **meta):
        self._above(domain, path)
        os.symlink(target, self.place(domain, path))
        self.set(domain, path, **meta)

    def hardlink(self, domain, path, existing):
        """`path` as another name of the file `existing` of the domain."""
        self._above(domain, path)
        os.link(self.place(domain, existing), self.place(domain, path))
        self._load()
        meta = self._meta.get(f"{domain}/{existing}")
        if meta:
            self._meta[f"{domain}/{path}"] = dict(meta)
            self._save()

    def remove(self, domain, path=""):
        self._load()
        place = self.place(domain, path)
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place)
        else:
            os.unlink(place)
        key = f"{domain}/{path}" if path else domain
        gone = [k for k in self._meta if k == key or k.startswith(key + "/")]
        for k in gone:
            del self._meta[k]
        if gone:
            self._save()

    def change(self, domain, path, data):
        """New content for a file: it keeps its birth and all but its time."""
        old = self.item(domain, path)
        self.write(domain, path, data, mode=old.mode,
                   mtime=max(old.mtime + 1, mkbackup.NOW))
        self.set(domain, path, birth=old.birth)

    def clear(self):
        shutil.rmtree(self.files)
        os.mkdir(self.files)
        self._meta = {}
        self._save()


def entry_of(item):
    """The record of an Item as mkbackup knows it."""
    return mkbackup.Entry(
        item.kind, os.fsencode(item.domain), os.fsencode(item.path), item.mode,
        mtime=item.mtime, ctime=item.mtime, birth=item.birth, uid=item.uid,
        gid=item.gid, inode=item.inode, pclass=item.pclass, size=item.size,
        target=None if item.target is None else os.fsencode(item.target),
        xattrs=dict(item.xattrs) or None)


def differences(one, other, ignore=()):
    """What is not alike in two Contents, or lists of entries, as text."""
    def table(content):
        entries = content.entries() if isinstance(content, Content) else content
        return {(e["domain"], e["path"]): e for e in entries}

    one, other = table(one), table(other)
    found = []
    for key in sorted(one.keys() | other.keys()):
        a, b = one.get(key), other.get(key)
        if a is None or b is None:
            found.append(f"{'/'.join(key)}: only in the "
                         f"{'second' if a is None else 'first'}")
            continue
        found += [f"{'/'.join(key)}: {name}: {a[name]!r}, {b[name]!r}"
                  for name in a if a[name] != b[name] and name not in ignore]
    return found


# --- contents ----------------------------------------------------------------

APP = "AppDomain-com.example.app"


def fill_small(content, seed=1):
    """A few files of each sort: all classes, owners, odd sizes and names."""
    rng = random.Random(seed)
    start = mkbackup.NOW - 40 * 86400
    with content.editing() as c:
        c.write("HomeDomain", "Library/SMS/sms.db", rng.randbytes(40000),
                mtime=start + 5, birth=start, mode=0o600)
        c.write("HomeDomain", "Library/Preferences/com.apple.springboard.plist",
                rng.randbytes(300), mtime=start + 9, birth=start)
        c.write("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.JPG",
                rng.randbytes(200000), mtime=start + 10, birth=start + 10,
                xattrs={"com.apple.assetsd.favorite": b"\1",
                        "com.example.empty": b""})
        c.write("KeychainDomain", "keychain-backup.plist", rng.randbytes(700),
                uid=64, gid=64, mode=0o600, pclass=4, mtime=start)
        c.write("WirelessDomain", "Library/Databases/CellularUsage.db",
                rng.randbytes(4096), uid=25, gid=25, mtime=start)
        for i, size in enumerate((0, 1, 15, 16, 17, 32767, 32768, 32769,
                                  65536, (1 << 20) + 3)):
            c.write(APP, f"Documents/sizes/{size}", rng.randbytes(size),
                    pclass=1 + i % 4, mtime=start + i, birth=start)
        for name in ("u\u0308bung.txt", "\u00fcbung.txt", "\U0001f600 \u65e5",
                     "a b", "line\nbreak", "back\\slash", "100%", "-rf",
                     ".hidden", "n" * 250):
            c.write("MediaDomain", "Media/names/" + name, name.encode() * 3,
                    mtime=start)
        c.write("MediaDomain", "d" * 200 + "/" + "e" * 200 + "/f", b"deep",
                mtime=start)
        c.write("HomeDomain", "Library/old", b"old", mtime=-86400,
                birth=-86401)
        c.write("HomeDomain", "Library/setuid", b"x", mode=0o4755, mtime=start)
        c.symlink(APP, "Documents/link", "sizes/16", mtime=start)
        c.symlink(APP, "Documents/dangling", "/private/var/none", mtime=start,
                  birth=start - 9, uid=0, gid=0)
        c.write(APP, "Documents/linked", b"one inode", mtime=start)
        c.hardlink(APP, "Documents/linked too", "Documents/linked")
        c.mkdir("AppDomainGroup-group.com.example.shared", mode=0o711)
        c.mkdir("AppDomainPlugin-com.example.app.widget", "empty", mode=0o700,
                xattrs={"com.example.dir": b"d"}, pclass=3)
    settle_folders(content, start)


def fill_many(content, count=20000, size=900, seed=1):
    """`count` files of up to `size` bytes, in a tree of ten a folder."""
    rng = random.Random(seed)
    stock = [rng.randbytes(rng.randrange(size + 1)) for _ in range(256)]
    os.umask(0o022)
    for n, (domain, path, is_dir) in enumerate(mkbackup.scale_paths(count)):
        place = f"{content.files}/{domain}/{path}" if path \
            else f"{content.files}/{domain}"
        if is_dir:
            os.mkdir(place)
            continue
        with open(place, "xb", 0) as f:
            f.write(stock[n * 7 % 256])
        mtime = mkbackup.NOW - 10**8 + n * 97 % 10**8
        os.utime(place, (mtime, mtime))
    settle_folders(content, mkbackup.NOW - 10**8)


def fill_bulk(content, size=1 << 30, seed=1, files=8):
    """`size` bytes in a few large files, that no file system compresses."""
    block = random.Random(seed).randbytes(CHUNK)

    def chunks(number, left):
        mark = number << 40
        while left > 0:
            yield ((mark + left).to_bytes(8, "big") + block)[:min(left, CHUNK)]
            left -= CHUNK

    with content.editing() as c:
        for i in range(files):
            share = size // files + (i < size % files)
            c.write("CameraRollDomain", f"Media/DCIM/100APPLE/IMG_{i:04d}.MOV",
                    chunks(i, share), mtime=mkbackup.NOW - 1000 + i)
    settle_folders(content, mkbackup.NOW - 2000)


class SampleAdapter(mkbackup.Backup):
    """Takes what mkbackup.fill_sample adds and keeps it in a Content."""

    def __init__(self, content, seed):
        super().__init__("db-plain", seed=seed)
        self.content = content

    def keep_in_content(self):
        with self.content.editing() as c:
            for e in self.entries:
                domain, path = os.fsdecode(e.domain), os.fsdecode(e.path)
                meta = {"uid": e.uid, "gid": e.gid, "mode": e.mode,
                        "birth": e.birth, "pclass": e.pclass,
                        "xattrs": e.xattrs}
                if e.type == "f":
                    c.write(domain, path, e.data, mtime=e.mtime, **meta)
                elif e.type == "d":
                    c.mkdir(domain, path, **meta)
                else:
                    c.symlink(domain, path, os.fsdecode(e.target),
                              mtime=e.mtime, **meta)
        times = {(e.domain, e.path): e.mtime for e in self.entries
                 if e.type == "d"}
        for domain, path in times:
            os.utime(self.content.place(os.fsdecode(domain), os.fsdecode(path)),
                     (times[domain, path],) * 2)


def fill_sample(content, seed=1):
    """Pictures, messages, notes of an invented family (mkbackup's sample)."""
    sample = SampleAdapter(content, seed)
    mkbackup.fill_sample(sample, 0)
    sample.keep_in_content()


def settle_folders(content, mtime):
    """Folders get a time that does not depend on when this ran."""
    for item in content.scan():
        if item.kind == "d":
            os.utime(item.place, (mtime, mtime))


FILLS = {"small": fill_small, "many": fill_many, "bulk": fill_bulk,
         "sample": fill_sample}


def edit(content, change=1, add=1, remove=1, seed=1):
    """Change, add and remove some files; returns {"changed": [names], ...}."""
    rng = random.Random(seed)
    files = [i for i in content.scan() if i.kind == "f"]
    chosen = rng.sample(files, min(change + remove, len(files)))
    done = {"changed": [], "added": [], "removed": []}
    with content.editing() as c:
        for item in chosen[:change]:
            c.change(item.domain, item.path,
                     rng.randbytes(rng.randrange(1, 3000)))
            done["changed"].append(item.name)
        for item in chosen[change:]:
            c.remove(item.domain, item.path)
            done["removed"].append(item.name)
        for _ in range(add):
            path = f"Documents/new/{rng.randrange(1 << 40):x}"
            c.write(APP, path, rng.randbytes(rng.randrange(3000)),
                    mtime=mkbackup.NOW + rng.randrange(1000))
            done["added"].append(f"{APP}/{path}")
    return done


# --- command line ------------------------------------------------------------

def main():
    parser = argparse.ArgumentParser(description="A simulated phone's files.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    fill = verbs.add_parser("fill", help="fill a new Content")
    fill.add_argument("dir")
    fill.add_argument("--kind", choices=FILLS, default="small")
    fill.add_argument("--count", type=int, default=20000,
                      help="many: number of files (20000)")
    fill.add_argument("--size", type=int,
                      help="many: largest file (900); bulk: bytes (1 GiB)")
    fill.add_argument("--seed", type=int, default=1)
    change = verbs.add_parser("edit", help="change, add, remove files")
    change.add_argument("dir")
    for name in ("change", "add", "remove"):
        change.add_argument("--" + name, type=int, default=0)
    change.add_argument("--seed", type=int, default=1)
    verbs.add_parser("list", help="all entries").add_argument("dir")
    compare = verbs.add_parser("compare", help="two Contents")
    compare.add_argument("dir")
    compare.add_argument("other")
    args = parser.parse_args()

    if args.verb == "fill":
        more = {"seed": args.seed}
        if args.kind == "many":
            more["count"] = args.count
        if args.size is not None:
            more["size"] = args.size
        FILLS[args.kind](Content(args.dir, create=True), **more)
        return 0
    content = Content(args.dir)
    if args.verb == "edit":
        print(json.dumps(edit(content, args.change, args.add, args.remove,
                              args.seed)))
    elif args.verb == "list":
        for entry in content.entries():
            print(json.dumps(entry))
    else:
        found = differences(content, Content(args.other))
        print(*found[:50], f"{len(found)} differences", sep="\n")
        return bool(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
