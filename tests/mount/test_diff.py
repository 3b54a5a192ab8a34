#!/usr/bin/python3
"""larder diff, against what is known of two backups when they are made."""

import fcntl
import pty
import random
import resource
import termios

from trees import *

WORDS = ("type", "content", "size", "mode", "owner", "times", "target",
         "attributes", "protection")
KINDS = {"f": "file", "d": "folder", "l": "link"}
FINISHED = {"event", "added", "removed", "changed", "unchanged", "damaged",
            "added_bytes", "removed_bytes", "changed_bytes", "domains",
            "contents_compared", "bytes_compared", "seconds"}
NEW = mkbackup.NOW


# --- running it --------------------------------------------------------------

def passes(file=PASSFILE):
    return ("--passfile", file) if file else ()


def run_diff(*args, status=0, passfile=PASSFILE, **more):
    done = larder("diff", *passes(passfile), *args, **more)
    equal(done.returncode, status, done.stdout[-2000:] + done.stderr[-2000:])
    return done


class Result:
    """{(domain, path, type): event} and the rest of what --json says."""

    def __init__(self, done):
        self.events = [json.loads(line) for line in done.stdout.splitlines()]
        *rest, self.last = self.events
        equal(set(self.last), FINISHED)
        self.found, self.damaged, self.notes = {}, {}, []
        for event in rest:
            if event["event"] in ("progress", "note"):
                self.notes.append(event)
                continue
            key = event["domain"], event["path"]
            if event["event"] == "damaged":
                self.damaged.setdefault(key, []).append(event)
                continue
            key += (event["type"],)
            assert key not in self.found, f"twice: {event}"
            self.found[key] = event
        kinds = [event["event"] for event in self.found.values()]
        for kind in ("added", "removed", "changed"):
            equal(self.last[kind], kinds.count(kind), kind)
            equal(self.last[kind + "_bytes"], sum(
                event["size"] for event in self.found.values()
                if event["event"] == kind and event["type"] == "file"
                and (kind != "changed" or {"content", "type"}
                     & set(event["what"]))), kind + "_bytes")
        equal(self.last["damaged"], len(self.damaged))


def diff(a, b, *options, **more):
    return Result(run_diff("--json", *options, a, b, **more))


# --- what there must be ------------------------------------------------------

def text(name):
    """As JSON shows it: each byte that is no UTF-8 is U+FFFD."""
    return re.sub("[\udc80-\udcff]", "\ufffd",
                  name.decode("utf-8", "surrogateescape"))


def size_of(e):
    return {"f": len(e.data), "l": len(e.target or b""), "d": 0}[e.type]


def what_differs(a, b, whole):
    time = (lambda t: mkbackup.whole_seconds(t)) if whole \
        else mkbackup.nanoseconds
    files = a.type == b.type == "f"
    found = {
        "type": a.type != b.type,
        "content": files and a.data != b.data,
        "size": files and len(a.data) != len(b.data),
        "mode": a.mode != b.mode,
        "owner": (a.uid, a.gid) != (b.uid, b.gid),
        "times": time(a.mtime) != time(b.mtime),
        "target": a.type == b.type == "l" and a.target != b.target,
        "attributes": (a.xattrs or {}) != (b.xattrs or {}),
        "protection": a.pclass != b.pclass,
    }
    return [word for word in WORDS if found[word]]


def by_place(b):
    """{(domain, path): {is it a folder: Entry}}"""
    found = {}
    for e in b.entries:
        place = found.setdefault((e.domain, e.path), {})
        assert (e.type == "d") not in place, e.path
        place[e.type == "d"] = e
    return found


def expected(a, b, ignore=()):
    """What `Result.found` has to be, without what is no difference."""
    whole = not (a.shape.db and b.shape.db)
    ours, theirs = by_place(a), by_place(b)
    found = {}

    def only(event, e):
        found[text(e.domain), text(e.path), KINDS[e.type]] = {
            "event": event, "domain": text(e.domain), "path": text(e.path),
            "type": KINDS[e.type], "size": size_of(e)}

    def both(x, y):
        what = what_differs(x, y, whole)
        if not set(what) - set(ignore):
            return
        found[text(x.domain), text(x.path), KINDS[y.type]] = {
            "event": "changed", "domain": text(x.domain),
            "path": text(x.path), "type": KINDS[y.type],
            "size": size_of(y), "old_size": size_of(x),
            "what": [word for word in what if word not in ignore]} | (
                {"old_type": KINDS[x.type]} if x.type != y.type else {})

    for place in ours.keys() | theirs.keys():
        x, y = ours.get(place, {}), theirs.get(place, {})
        if len(x) == len(y) == 1:
            both(*x.values(), *y.values())
            continue
        for folder in (False, True):
            if folder in x and folder in y:
                both(x[folder], y[folder])
            elif folder in x:
                only("removed", x[folder])
            elif folder in y:
                only("added", y[folder])
    return found


def compare(got, want):
    lines = [f"{key}: {got.get(key)}, want {want.get(key)}"
             for key in sorted(got.keys() | want.keys())
             if got.get(key) != want.get(key)]
    assert not lines, "\n".join(lines[:20])


# --- two backups with known differences --------------------------------------

def fill(b):
    """The same in each backup, whatever its shape and seed."""
    rng = random.Random(7)

    def add(domain, path, data, **more):
        b.parents(domain, path, mtime=NEW - 99)
        return b.file(domain, path, data, **more)

    add("HomeDomain", "Library/SMS/sms.db", MARKER * 900, mode=0o600)
    add("HomeDomain", "Library/Preferences/a.plist", MARKER)
    add("HomeDomain", "Library/Preferences/b.plist", MARKER)
    add("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.JPG",
        rng.randbytes(20000), xattrs={"com.example.album": b"lake"})
    add("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0002.JPG",
        rng.randbytes(20000))
    add("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0003.MOV",
        rng.randbytes(3 << 20))
    add("KeychainDomain", "keychain-backup.plist", MARKER, uid=64, gid=64,
        pclass=4, mode=0o600)
    for i, size in enumerate(SIZES):
        add(APP, f"Documents/sizes/{size}", rng.randbytes(size),
            pclass=1 + i % 4)
    add(APP, "Documents/tree/deep/er/file", b"deep")
    add(APP, "Documents/tree/b", b"b")
    b.link(APP, "Documents/link", "sizes/16")
    b.dir(APP, "Documents/empty folder", mode=0o711)
    # no records of the folders above
    b.file(GROUP, "Library/Preferences/p.plist", b"group")


SMS = "HomeDomain", "Library/SMS/sms.db"
DCIM = "CameraRollDomain", "Media/DCIM/100APPLE"
PICTURE = DCIM[0], DCIM[1] + "/IMG_0002.JPG"
MOVIE = DCIM[0], DCIM[1] + "/IMG_0003.MOV"


def entry(b, domain, path):
    found, = (e for e in b.entries
              if (e.domain, e.path) == (domain.encode(), path.encode()))
    return found


def rewrite(b, place, data, **more):
    e = entry(b, *place)
    e.data, e.size, e.blocks, e.key, e.wrapped = data, len(data), None, None, \
        None
    for name, value in more.items():
        setattr(e, name, value)
    b._store(e)


def remove(b, domain, path):
    """An entry, and what is below it."""
    path = path.encode()
    kept = [e for e in b.entries if e.domain != domain.encode()
            or (e.path != path and not e.path.startswith(path + b"/"))]
    assert len(kept) < len(b.entries)
    b.entries[:] = kept


EDITS = {}
# of a second record of one path
OTHER_ID = "0123456789" * 4


def edit(function):
    EDITS[function.__name__.replace("_", " ")] = function
    return function


@edit
def nothing(b):
    pass


@edit
def files_are_added(b):
    b.file("HomeDomain", "Library/SMS/new", b"12345", mtime=NEW - 3)
    b.file("HomeDomain", "Library/zz/in a folder without a record", b"1")
    b.file("NewDomain", "f", b"")


@edit
def a_folder_is_added_with_what_is_in_it(b):
    b.dir(APP, "Documents/new")
    b.dir(APP, "Documents/new/er")
    b.file(APP, "Documents/new/er/file", b"new" * 1000)
    b.link(APP, "Documents/new/er/link", "file")


@edit
def files_links_and_folders_are_removed(b):
    remove(b, *PICTURE)
    remove(b, APP, "Documents/link")
    remove(b, APP, "Documents/tree")
    remove(b, APP, "Documents/empty folder")


@edit
def a_domain_is_removed(b):
    b.entries[:] = [e for e in b.entries if e.domain != b"KeychainDomain"]


@edit
def the_record_of_a_folder_is_added_and_another_removed(b):
    b.dir(GROUP, "Library/Preferences")
    b.entries[:] = [e for e in b.entries if e.path != b"Documents/tree"]


@edit
def content_grows_and_shrinks(b):
    rewrite(b, SMS, MARKER * 901)
    rewrite(b, (APP, "Documents/sizes/16"), b"x" * 15, ctime=NEW + 3)
    rewrite(b, (APP, "Documents/sizes/0"), b"x")


@edit
def content_of_the_same_size_and_another_time(b):
    old = entry(b, *PICTURE).data
    rewrite(b, PICTURE, old[:-1] + bytes([old[-1] ^ 1]), mtime=NEW + 1)


@edit
def content_of_the_same_size_and_time_but_another_time_of_change(b):
    rewrite(b, (APP, "Documents/sizes/4096"), bytes(4096), ctime=NEW + 9)


@edit
def the_last_byte_of_a_large_file(b):
    old = entry(b, *MOVIE).data
    rewrite(b, MOVIE, old[:-1] + bytes([old[-1] ^ 1]), inode=99999)


@edit
def times_alone(b):
    entry(b, *MOVIE).mtime = NEW + 5
    entry(b, *DCIM).mtime = NEW + 6
    entry(b, APP, "Documents/link").mtime = NEW + 7


@edit
def what_a_restored_phone_has_is_no_difference(b):
    for i, e in enumerate(b.entries):
        e.ctime, e.birth, e.inode = NEW + 77, NEW + 78, 500000 + i


@edit
def modes_and_owners(b):
    entry(b, *SMS).mode = 0o640
    entry(b, *DCIM).mode = 0o1700
    entry(b, APP, "Documents/sizes/17").uid = 0
    entry(b, APP, "Documents/tree").gid = 20


@edit
def protection_classes(b):
    entry(b, APP, "Documents/empty folder").pclass = 4
    e = entry(b, *SMS)
    e.pclass = 1
    if e.keyed:
        e.wrapped = b.keybag.wrap_key(1, e.key)


@edit
def targets(b):
    entry(b, APP, "Documents/link").target = b"sizes/17"


@edit
def attributes(b):
    entry(b, DCIM[0], DCIM[1] + "/IMG_0001.JPG").xattrs = {
        "com.example.album": b"sea"}
    entry(b, *PICTURE).xattrs = {"com.example.album": b""}
    entry(b, APP, "Documents/tree").xattrs = {"b": b"1", "a": b"2"}


@edit
def a_folder_in_place_of_a_file(b):
    remove(b, *SMS)
    b.dir(*SMS, mtime=NEW - 99)
    b.file(SMS[0], SMS[1] + "/below", b"now a folder")


@edit
def a_file_in_place_of_a_folder(b):
    remove(b, APP, "Documents/tree")
    b.file(APP, "Documents/tree", b"now a file", mode=0o755)


@edit
def a_link_in_place_of_a_file_and_of_a_folder(b):
    remove(b, *SMS)
    b.link(*SMS, "elsewhere")
    remove(b, APP, "Documents/sizes")
    b.link(APP, "Documents/sizes", "elsewhere")


@edit
def a_file_becomes_a_folder_too(b):
    b.file("HomeDomain", "Library/Preferences/a.plist/below", b"below a file")
    b.dir("HomeDomain", "Library/Preferences/b.plist", file_id=OTHER_ID)
    b.file("HomeDomain", "Library/Preferences/b.plist/below", b"too")


@edit
def everything_at_once(b):
    for name, function in EDITS.items():
        if name.startswith(("files are", "a folder is", "content", "targets",
                            "attributes", "protection", "modes")):
            function(b)


_made = {}


def made(shape, name="nothing", **more):
    """(Backup, folder); made once."""
    key = shape, name, tuple(sorted(more.items()))
    if key not in _made:
        b = mkbackup.Backup(shape, **more)
        fill(b)
        EDITS[name](b)
        out = new_path(shape)
        b.write(out)
        _made[key] = b, out
    return _made[key]


OTHER_PASSWORD = "another one"
OTHER_PASSFILE = save(new_path("other"), OTHER_PASSWORD + "\n")

# from what to what: encrypted or not, old and new, under another password
WAYS = {
    "encrypted": ("db-encrypted", {}, "db-encrypted", {}),
    "another password": ("db-encrypted", {}, "db-encrypted",
                         {"password": OTHER_PASSWORD, "seed": 2}),
    "plain": ("db-plain", {}, "db-plain", {"seed": 2}),
    "plain to encrypted": ("db-plain", {}, "db-encrypted", {}),
    "encrypted to plain": ("db-ios10", {}, "db-plain", {}),
    "old to new": ("mbdb-encrypted", {}, "db-encrypted", {}),
    "new to old": ("db-plain", {}, "mbdb-plain", {}),
    "old": ("mbdb-encrypted", {}, "mbdb-encrypted", {"seed": 2}),
}


@case_for({f"{way}, {name}": (WAYS[way], name)
           for name in EDITS for way in WAYS})
def what_is_known_is_found(_, row):
    (old, old_more, new, new_more), name = row
    (a, a_path), (b, b_path) = made(old, **old_more), made(new, name,
                                                           **new_more)
    options = ()
    if new_more.get("password"):
        options = ("--other-passfile", OTHER_PASSFILE)
    result = diff(a_path, b_path, *options)
    compare(result.found, expected(a, b))
    equal(result.damaged, {})
    # and the other way round, with every content
    options = ("--content",)
    if new_more.get("password"):
        options += ("--other-passfile", PASSFILE)
    result = diff(b_path, a_path, *options, passfile=OTHER_PASSFILE
                  if new_more.get("password") else PASSFILE)
    compare(result.found, expected(b, a))


@case_for(("db-encrypted", "mbdb-plain"))
def times_can_be_left_aside(shape):
    (a, a_path), (b, b_path) = made(shape), made(shape, "times alone")
    equal(len(diff(a_path, b_path).found), 3)
    result = diff(a_path, b_path, "--ignore-times")
    compare(result.found, {})
    equal(result.last["unchanged"], len(b.entries))
    (c, c_path) = made(shape, "content of the same size and another time")
    compare(diff(a_path, c_path, "--ignore-times").found,
            expected(a, c, ignore=["times"]))


@case
def fractions_of_a_second_count_where_both_have_them():
    def times(b):
        b.file("HomeDomain", "f", b"x", mtime=mkbackup.Stamp(NEW + .5, "date"))

    (a, a_path), (b, b_path), (old, old_path) = (
        (b, path) for shape, function in (
            ("db-plain", times),
            ("db-plain", lambda b: b.file("HomeDomain", "f", b"x")),
            ("mbdb-plain", lambda b: b.file("HomeDomain", "f", b"x")))
        for b, path in [built(shape, function)])
    equal([e["what"] for e in diff(a_path, b_path).found.values()],
          [["times"]])
    compare(diff(a_path, old_path).found, {})


def built(shape, function, **more):
    b = mkbackup.Backup(shape, **more)
    function(b)
    out = new_path(shape)
    b.write(out)
    return b, out


# --- what is not read --------------------------------------------------------

@case_for(SHAPES)
def a_backup_is_as_it_is_and_nothing_is_read_to_see_it(shape):
    path, log = golden(shape), new_path("strace")
    before = snapshot(path)
    if SANITIZED or not shutil.which("strace"):
        result = diff(path, path)
    else:
        done = execute("strace", "-f", "-qq", "-e", "trace=openat,openat2,open",
                       "-o", log, LARDER, "diff", "--json", *passes(), path,
                       path)
        equal(done.returncode, 0, done.stderr)
        result = Result(done)
        opened = re.findall(r'"(?:\w\w/)?([0-9a-f]{40})"', read(log, "r"))
        equal(opened, [], "payloads that were opened")
    compare(result.found, {})
    equal((result.damaged, result.last["contents_compared"],
           result.last["bytes_compared"]), ({}, 0, 0))
    entries = [line for line in expect_of(golden_expect(shape))
               if "xattrs" in line or "mtime_ns" in line]
    equal(result.last["unchanged"], len(entries))
    equal(changes(before, snapshot(path)), [])


@case
def only_files_whose_records_differ_are_read():
    (a, a_path), (b, b_path) = made("db-encrypted"), made(
        "db-encrypted", "content of the same size and another time")
    result = diff(a_path, b_path)
    equal(result.last["contents_compared"], 1)
    (b, b_path) = made("db-encrypted", "content grows and shrinks")
    # another length is enough
    equal(diff(a_path, b_path).last["bytes_compared"], 0)


@case_for(("db-encrypted", "db-plain", "mbdb-plain"))
def what_hides_behind_equal_records_is_found_by_content(shape):
    """Nothing in the records tells, as no device would leave it."""
    def hidden(b):
        fill(b)
        old = entry(b, *PICTURE).data
        rewrite(b, PICTURE, bytes(len(old)))

    (a, a_path), (b, b_path) = made(shape), built(shape, hidden)
    compare(diff(a_path, b_path).found, {})
    compare(diff(a_path, b_path, "--content").found, expected(a, b))


@case_for(("db-encrypted", "mbdb-plain"))
def a_digest_that_differs_has_the_content_read(shape):
    def with_digest(data):
        return lambda b: b.file("HomeDomain", "f", data, digest=True)

    a, a_path = built(shape, with_digest(b"1" * 100))
    b, b_path = built(shape, with_digest(b"2" * 100))
    result = diff(a_path, b_path)
    compare(result.found, expected(a, b))
    equal(result.last["contents_compared"], 1)


@case
def another_recorded_size_alone_is_no_difference():
    a, a_path = built("db-encrypted",
                      lambda b: b.file("HomeDomain", "f", b"x" * 99))
    b, b_path = built("db-encrypted",
                      lambda b: b.file("HomeDomain", "f", b"x" * 99, size=7))
    compare(diff(a_path, b_path).found, {})
    compare(diff(b_path, a_path).found, {})


# --- lengths -----------------------------------------------------------------

PIECE = 256 << 10


@case_for(("db-encrypted", "db-plain"))
def the_last_byte_counts_at_each_length(shape):
    lengths = [1, 15, 16, 17, 4096, PIECE - 1, PIECE, PIECE + 1, 4 * PIECE,
               4 * PIECE + 1, 4 * PIECE + 16, 9 * PIECE + 5, 300 * PIECE + 3]

    def files(last):
        def add(b):
            for n in lengths:
                for place in ("same", "first", "last"):
                    data = bytearray(n)
                    data[0] ^= last and place == "first"
                    data[-1] ^= last and place == "last"
                    b.file("HomeDomain", f"{place}/{n}", bytes(data),
                           ctime=NEW + last)
        return add

    a, a_path = built(shape, files(0))
    b, b_path = built("db-encrypted", files(1), seed=5)
    result = diff(a_path, b_path)
    compare(result.found, expected(a, b))
    equal(result.last["contents_compared"], 3 * len(lengths))
    equal(result.last["changed"], 2 * len(lengths))


# --- names -------------------------------------------------------------------

ODD = ["x/", "x%2F", "x%2F%2", "x%2F%3", "y\0", "y%00", "y%00%2", "..",
       "%2E%2E", "%2E%2E%2", ".", "%2E", "%", "%%", "n" * 300, "n" * 299 + "m",
       "n" * 238, "a", "a%file", "a%file%2", "a%2", "a%", "aa", "a!", "a\x01",
       "line\nbreak", "tab\tx", "\u00fc", b"caf\xe9", "//two",
       "/one", "z//d", "z"]


def scatter(seed):
    """A backup with some of them, as files, folders, links, or both."""
    def add(b):
        rng = random.Random(seed)
        done = set()

        def put(domain, path, depth):
            kind = rng.choice("ffffdlmb")
            if kind in "fb":
                b.file(domain, path, rng.choice([b"1", b"22", b"33"]),
                       ctime=NEW + rng.randrange(3))
            if kind == "l":
                b.link(domain, path, rng.choice(["p", "q"]))
            if kind in "db":
                b.dir(domain, path, mode=rng.choice([0o700, 0o755]),
                      file_id=rng.randbytes(20).hex() if kind == "b" else None)
            if kind in "dmb" and depth < 2:     # m: a folder without a record
                for name in rng.sample(ODD, rng.randrange(1, 6)):
                    below(domain, path, name, depth + 1)

        def below(domain, path, name, depth):
            name, path = mkbackup.to_bytes(name), mkbackup.to_bytes(path)
            path = path + b"/" + name if path else name
            # what is one name here must be one there
            if (domain, path) in done or mkbackup.split_path(path)[-1] != name:
                return
            done.add((domain, path))
            put(domain, path, depth)

        for domain in rng.sample(["A/b", "A%2Fb", "A%2Fb%2", "..", "%2E%2E",
                                  "", "%", ".larder", "%2Elarder", "HomeDomain",
                                  "d" * 300], 8):
            for name in rng.sample(ODD, rng.randrange(len(ODD))):
                below(domain, b"", name, 0)
    return add


@case_for(range(12))
def odd_names_find_each_other_whatever_they_are_shown_as(seed):
    shapes = random.Random(seed).choices(SHAPES, k=2)
    pair = [built(shape, scatter(1000 * seed + i))
            for i, shape in enumerate(shapes)]
    (a, a_path), (b, b_path) = pair
    compare(diff(a_path, b_path).found, expected(a, b))
    compare(diff(b_path, a_path, "--content").found, expected(b, a))
    compare(diff(a_path, a_path).found, {})


@case
def deep_paths_of_such_names_take_no_time():
    """Folders without a record, thousands of them in each other."""
    def deep(own):
        def add(b):
            for i in range(5):
                above = f"{i}%/" + "%/a/" * 8000
                b.file("HomeDomain", above + "%/" * 15000 + own, b"")
                b.file("HomeDomain", above + "%2F/x", own.encode())
                b.file("HomeDomain", above + "//x", b"in both")
                b.link("HomeDomain", above + "%%/%/%/x", own)
        return add

    (a, a_path), (b, b_path) = (built("mbdb-plain", deep(own))
                                for own in ("ours", "theirs"))
    start = time.monotonic()
    compare(diff(a_path, b_path, "--content").found, expected(a, b))
    assert time.monotonic() - start < 20


@case
def text_names_what_json_names():
    (a, a_path), (b, b_path) = (built("db-encrypted", scatter(seed))
                                for seed in (77, 78))
    lines = run_diff(a_path, b_path).stdout.splitlines()
    result = diff(a_path, b_path)
    equal(len(lines), len(result.found))
    shown = {}
    for at, path in ((1, b_path), (0, a_path)):
        for line in larder("ls", "-R", "--json", *passes(),
                           path).stdout.splitlines():
            e = json.loads(line)
            shown.setdefault((at, e["domain"], e["path"], e["type"]),
                             e["name"])
    quoted = lambda name: re.sub(
        "[\0-\x1f\x7f]", lambda m: f"\\{ord(m[0]):03o}", name)
    want = []
    for event in result.found.values():
        side = 0 if event["event"] == "removed" else 1
        mark = {"added": "+", "removed": "-", "changed": "M"}[event["event"]]
        want.append(mark + " " + quoted(shown[
            side, event["domain"], event["path"], event["type"]]))
    # bytes that are no UTF-8 are escaped by the one, replaced by the other
    got = [line.split("\t")[0] for line in lines]
    equal(sorted(line for line in got if "caf" not in line),
          sorted(line for line in want if "caf" not in line))


# --- damage ------------------------------------------------------------------

def payload(folder, b, place):
    e = entry(b, *place)
    return f"{folder}/{e.file_id[:2]}/{e.file_id}" if b.shape.db \
        else f"{folder}/{e.file_id}"


def cut(path):
    with open(path, "r+b") as f:
        f.truncate(os.path.getsize(path) // 2 // 16 * 16 + 5)


DAMAGES = {"missing": os.unlink, "cut off": cut,
           "a folder": lambda path: (os.unlink(path), os.mkdir(path))}


@case_for({f"{name} in {side}": (function, side)
           for name, function in DAMAGES.items() for side in "AB"})
def a_damaged_payload_is_named_and_counts_as_nothing_else(_, row):
    damage, side = row
    place = PICTURE
    a, a_path = built("db-encrypted", fill)
    b, b_path = built("db-encrypted", lambda b: (fill(b), EDITS[
        "content grows and shrinks"](b), rewrite(
            b, place, bytes(20000), ctime=NEW + 8, mode=0o666)))
    path, made_of = (a_path, a) if side == "A" else (b_path, b)
    damage(payload(path, made_of, place))
    result = diff(a_path, b_path, status=26)
    want = expected(a, b)
    want[(*place, "file")]["what"].remove("content")
    compare(result.found, want)
    (key, (event,)), = result.damaged.items()
    equal((key, event["backup"]), (place, path))
    done = run_diff(a_path, b_path, "--exit-code", status=26)
    line, = (line for line in done.stderr.splitlines() if path in line)
    assert line.startswith(f"larder: {path}: {'/'.join(place)}: "), line


@case
def damage_in_both_is_named_twice():
    a, a_path = built("db-encrypted", fill)
    for path in (a_path,):
        os.unlink(payload(path, a, SMS))
    b, b_path = built("db-encrypted", lambda b: (fill(b), EDITS[
        "what a restored phone has is no difference"](b)))
    cut(payload(b_path, b, SMS))
    result = diff(a_path, b_path, status=26)
    compare(result.found, {})
    equal([e["backup"] for e in result.damaged[SMS]], [a_path, b_path])
    equal(result.last["unchanged"], len(b.entries) - 1)


@case
def what_was_added_and_removed_is_looked_at_too():
    a, a_path = built("db-encrypted", fill)
    b, b_path = built("db-encrypted", lambda b: (
        fill(b), b.file("HomeDomain", "new", b"x" * 100, missing=True),
        remove(b, *SMS)))
    os.unlink(payload(a_path, a, SMS))
    result = diff(a_path, b_path, status=26)
    compare(result.found, expected(a, b))
    equal({key: e["backup"] for key, (e,) in result.damaged.items()},
          {("HomeDomain", "new"): b_path, SMS: a_path})


@case
def behind_equal_records_damage_is_found_by_content():
    a, a_path = built("db-encrypted", fill)
    b, b_path = built("db-encrypted", fill)
    cut(payload(b_path, b, MOVIE))
    equal(diff(a_path, b_path).damaged, {})
    result = diff(a_path, b_path, "--content", status=26)
    equal(list(result.damaged), [MOVIE])
    compare(result.found, {})


@case_for(SHAPES)
def of_a_damaged_backup_each_damage_is_named_by_content(shape):
    path = golden(shape)
    damaged = [line["path"] for line in expect_of(golden_expect(shape))
               if "error" in line]
    result = diff(path, path, "--content", status=26)
    compare(result.found, {})
    found = {"/".join(key) for key in result.damaged}
    equal([name for name in damaged if name not in found], [])
    # where all can be read, something else is wrong with it, and is said
    for events in result.damaged.values():
        equal(len(events), 2)


@case
def a_record_that_is_damaged_is_never_equal():
    def spoilt(b):
        fill(b)
        e = entry(b, *SMS)
        e.blob = b"no archive"

    a, a_path = built("db-plain", spoilt)
    result = diff(a_path, a_path, status=26)
    equal(list(result.damaged), [SMS])
    compare(result.found, {})


# --- hostile backups ---------------------------------------------------------

FLAWS_DIR = new_path("flaws")
subprocess.run(["/usr/bin/python3", TESTS + "/mkbad.py", FLAWS_DIR],
               check=True)
FLAWS = json.loads(read(FLAWS_DIR + "/EXPECT.json"))
LIMITED = ("prlimit", f"--as={1536 << 20}") if not SANITIZED else ()


@case_for(list(FLAWS))
def a_flawed_backup_ends_it_well(name):
    bad, (_, good) = f"{FLAWS_DIR}/{name}", made("db-encrypted")
    for pair in ((bad, good), (good, bad), (bad, bad)):
        done = execute(*LIMITED, LARDER, "diff", "--content", *passes(), *pair,
                       timeout=60)
        assert done.returncode in {0, 1, 3, 12, 13, 26}, \
            (pair, done.returncode, done.stderr)
        if done.returncode not in (0, 26):
            line = done.stderr.splitlines()[-1]
            assert line.startswith("larder: "), line
        assert not re.search("[\0-\x08\x0b-\x1f\x7f]",
                             done.stdout + done.stderr), done


# --- passwords ---------------------------------------------------------------

def other_backup(**more):
    return made("db-encrypted", "targets", password=OTHER_PASSWORD, seed=3,
                **more)[1]


def key_of(backup, passfile):
    key = new_path("key")
    equal(larder("key", *passes(passfile), backup, key).returncode, 0)
    return key


@case
def each_backup_can_have_a_password_of_its_own():
    a, b = made("db-encrypted")[1], other_backup()
    ways = {"passfile": lambda file, of: file,
            "extpass": lambda file, of: "cat " + file,
            "keyfile": lambda file, of: key_of(of, file)}
    for first, mine in ways.items():
        for second, theirs in ways.items():
            equal(len(diff(a, b, f"--{first}", mine(PASSFILE, a),
                           f"--other-{second}", theirs(OTHER_PASSFILE, b),
                           passfile=None).found), 1)
    done = run_diff(a, b, "--other-passfile", OTHER_PASSFILE, passfile=None,
                    env=environment(LARDER_PASSFILE=PASSFILE))
    equal(len(done.stdout.splitlines()), 1)


@case
def a_password_that_does_not_fit_is_said_of_the_backup():
    a, b = made("db-encrypted")[1], other_backup()
    for options, status, named, word in (
            ([], 12, b, "wrong password"),
            (["--other-passfile", PASSFILE], 12, b, "wrong password"),
            (["--keyfile", key_of(a, PASSFILE)], 12, b, "another backup")):
        done = run_diff(a, b, *options, status=status)
        line = one_line(done.stderr)
        assert named in line and word in line, line
    done = run_diff(a, b, passfile=OTHER_PASSFILE, status=12)
    assert a in one_line(done.stderr), done.stderr
    done = run_diff(a, b, passfile=None, status=13)
    assert a in one_line(done.stderr), done.stderr
    done = run_diff(made("db-plain")[1], b, passfile=None, status=13)
    assert b in one_line(done.stderr), done.stderr


@case
def two_with_one_key_bag_ask_once():
    a = made("db-encrypted")[1]
    b = made("db-encrypted", "targets")[1]
    log = new_path("asked")
    count = f"echo x >>{log}; cat {PASSFILE}"
    equal(len(diff(a, b, "--extpass", count, passfile=None).found), 1)
    equal(read(log), b"x\n")
    other = made("db-encrypted", "targets", seed=4)[1]
    equal(len(diff(a, other, "--extpass", count, passfile=None).found), 1)
    equal(read(log), b"x\nx\nx\n")
    # a derived key of one opens the other
    equal(len(diff(a, b, "--keyfile", key_of(a, PASSFILE),
                   passfile=None).found), 1)


@case
def a_key_bag_that_kept_its_identity_can_have_another_password():
    def same_identity(b):
        fill(b)
        for field in b.keybag.header:
            if field[0] == "UUID":
                field[1] = ident

    ident = b"identity of both"
    a = built("db-encrypted", same_identity)[1]
    b = built("db-encrypted", same_identity, password=OTHER_PASSWORD,
              seed=9)[1]
    # with the second one's own
    compare(diff(a, b, "--other-passfile", OTHER_PASSFILE).found, {})
    log = new_path("asked")
    command = (f"echo x >>{log}; if [ $(wc -l <{log}) = 1 ]; then"
               f" cat {PASSFILE}; else cat {OTHER_PASSFILE}; fi")
    compare(diff(a, b, "--extpass", command, passfile=None).found, {})
    equal(read(log), b"x\nx\n")
    run_diff(a, b, status=12)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *argv):
        self.master, slave = pty.openpty()

        def own():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own,
            env=environment())
        os.close(slave)
        self.seen = ""

    def wait_for(self, text, seconds=30):
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            try:
                self.seen += os.read(self.master, 4096).decode(
                    errors="replace")
            except OSError:
                assert text in self.seen, f"no {text!r} in {self.seen!r}"

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        with contextlib.suppress(OSError):
            while chunk := os.read(self.master, 4096):
                self.seen += chunk.decode(errors="replace")
        os.close(self.master)
        return self.process.wait(30)


@case
def on_a_terminal_it_asks_for_each_and_says_which():
    a, b = made("db-encrypted")[1], other_backup()
    t = Terminal(LARDER, "diff", a, b)
    t.wait_for(f"Backup password of Anna's iPhone ({a}): ")
    t.type(PASSWORD + "\n")
    t.wait_for(f"Backup password of Anna's iPhone ({b}): ")
    t.type(OTHER_PASSWORD + "\n")
    equal(t.end(), 0, t.seen)
    assert f"M {APP}/Documents/link\t(target)" in t.seen.replace("\r", ""), \
        t.seen
    for secret in (PASSWORD, OTHER_PASSWORD):
        assert secret not in t.seen, "it was shown"
    # one that opens both
    t = Terminal(LARDER, "diff", a, made("db-encrypted", "targets")[1])
    t.wait_for("Backup password of")
    t.type(PASSWORD + "\n")
    equal((t.end(), t.seen.count("Backup password of")), (0, 1), t.seen)


# --- the rest ----------------------------------------------------------------

@case_for({
    "only a domain": ["--only", "HomeDomain"],
    "only a folder": ["--only", APP + "/Documents/sizes"],
    "all but": ["--exclude", APP, "--exclude", "*Domain/*/Preferences"],
    "an app": ["--app", "com.example.app"],
    "some of it": ["--only", "CameraRollDomain", "--only", "HomeDomain",
                   "--exclude", "*/Media/DCIM/*/*.JPG"],
})
def a_part_can_be_chosen(_, options):
    (a, a_path), (b, b_path) = made("db-encrypted"), made(
        "db-encrypted", "everything at once", seed=2)
    chosen = lambda domain, path: {
        "--only HomeDomain": domain == "HomeDomain",
        "--only " + APP + "/Documents/sizes": domain == APP and (
            path + "/").startswith("Documents/sizes/"),
        "--exclude " + APP: domain != APP and not (
            domain.endswith("Domain")
            and "Preferences" == (path.split("/") + ["", ""])[1]),
        "--app com.example.app": domain in (APP, GROUP),
        "--only CameraRollDomain": domain in ("CameraRollDomain",
                                              "HomeDomain")
        and not path.endswith(".JPG"),
    }[" ".join(options[:2])]
    want = {key: event for key, event in expected(a, b).items()
            if chosen(*key[:2])}
    assert want and len(want) < len(expected(a, b))
    compare(diff(a_path, b_path, *options).found, want)


@case
def a_pattern_counts_that_matches_in_either():
    (a, a_path), (b, b_path) = made("db-plain"), made(
        "db-plain", "files are added", seed=2)
    for pair in ((a_path, b_path), (b_path, a_path)):
        equal(diff(*pair, "--only", "NewDomain").last["unchanged"], 0)
    done = run_diff(a_path, b_path, "--only", "NewDomain/none", status=3)
    equal(done.stderr, "larder: --only NewDomain/none: nothing matches\n")


@case
def the_exit_status_tells_only_if_it_is_asked():
    (_, a), (_, b) = made("db-plain"), made("db-plain", "targets", seed=2)
    run_diff(a, b)
    run_diff("--exit-code", a, b, status=1)
    run_diff("--exit-code", "--summary", a, b, status=1)
    run_diff("--exit-code", a, a)
    run_diff("--exit-code", "--only", "HomeDomain", a, b)
    equal(run_diff("--quiet", a, a).stderr, "")


@case
def sums_are_of_what_is_listed():
    (a, a_path), (b, b_path) = made("db-encrypted"), made(
        "mbdb-plain", "everything at once")
    whole, result = diff(a_path, b_path), Result.__new__(Result)
    events = [json.loads(line) for line in run_diff(
        "--json", "--summary", a_path, b_path).stdout.splitlines()]
    *domains, last = events
    equal({e["event"] for e in domains}, {"domain"})
    for name in FINISHED - {"event", "seconds"}:
        equal(last[name], whole.last[name], name)
    for e in domains:
        mine = [x for x in whole.found.values()
                if x["domain"] == e["domain"]]
        for kind in ("added", "removed", "changed"):
            equal(e[kind], sum(x["event"] == kind for x in mine), kind)
    equal(sum(e["added_bytes"] for e in domains), last["added_bytes"])
    equal({e["domain"] for e in domains},
          {x["domain"] for x in whole.found.values()})


@case
def versions_and_links_to_backups_can_be_named():
    (_, a), (_, b) = made("db-plain"), made("db-plain", "targets", seed=2)
    link = new_path("link")
    os.symlink(a, link)
    equal(len(diff(link, b + "/Manifest.db").found), 1)


def huge(changed):
    def add(b):
        for i in range(3):
            b.file("HomeDomain", f"huge{i}", b"", ctime=NEW + changed)
    return add


@case
def an_interrupt_ends_it():
    paths = []
    for changed in (0, 1):
        b, path = built("db-plain", huge(changed))
        for i in range(3):
            with open(payload(path, b, ("HomeDomain", f"huge{i}")), "wb") as f:
                f.truncate(1 << 40)
        paths.append(path)
    for sig in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [LARDER, "diff", *paths], env=environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        wait_until(lambda: processor_seconds(process.pid) > 0.3, "comparing")
        equal(process.poll(), None)
        process.send_signal(sig)
        start = time.monotonic()
        _, messages = process.communicate(timeout=20)
        equal((process.returncode, messages), (5, "larder: cancelled\n"))
        assert time.monotonic() - start < 3


@case
def a_folder_of_very_many_odd_names_takes_little_memory():
    def many(b):
        for i in range(20000):
            b.file("HomeDomain", f"names/{i}%", b"", missing=True)

    if SANITIZED:
        raise Skip("sanitizers need memory of their own")
    paths = [built("mbdb-plain", many)[1] for _ in range(2)]
    done = execute("/usr/bin/python3", "-c", (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"),
        LARDER, "diff", "--quiet", *paths)
    equal(done.stderr, "")
    assert int(done.stdout) < (64 << 10) + 2 * 20000 * 100 // 1024, done.stdout


@case
def results_that_cannot_be_written_are_said():
    (_, a), (_, b) = made("db-plain"), made("db-plain", "targets", seed=2)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = execute(LARDER, "diff", a, b, capture_output=False,
                       stdout=full, stderr=subprocess.PIPE)
    equal(done.returncode, 1)
    assert "cannot write the output" in done.stderr, done.stderr


run()
