"""What the restore tests share: backups to restore, and phones that take them.

What a phone has afterwards is looked up in the simulator's own folder.
"""

import base64
import functools
import plistlib

from harness import *

sys.path.append(TESTS + "/mount")

from trees import *                                     # noqa: E402

content = launch.content

OTHER = "00008120-00000000000000BB"
# a phone that is new, and one that has been used
EMPTY = {"udid": OTHER, "name": "Bob"}
USED = EMPTY | {"fill": {"kind": "small", "seed": 9}}

DEFAULTS = {"RestoreSystemFiles": True, "RestoreShouldReboot": True,
            "RestorePreserveSettings": False, "RemoveItemsNotRestored": True,
            "RestoreDontCopyBackup": True}
OF_A_PART = DEFAULTS | {"RestorePreserveSettings": True,
                        "RemoveItemsNotRestored": False}


class Source:
    """A backup, the files of the phone it is of, and how to open it."""

    def __init__(self, folder, entries, password):
        self.folder, self.entries, self.password = folder, entries, password
        self.passfile = save(new_path("password"), password + "\n") \
            if password else None
        self.unlock = ("--passfile", self.passfile) if password else ()

    def copy(self, name="backup"):
        """In a folder of its own, to be changed or guarded."""
        folder = f"{new_dir('copy')}/{name}"
        shutil.copytree(self.folder, folder)
        return Source(folder, self.entries, self.password)

    def mounted(self, *options):
        return mounted(self.folder, *options, passfile=self.passfile)

    @contextlib.contextmanager
    def edited(self, *options, upper="tmpfs"):
        with self.mounted(*options) as m, file_system(upper) as u, \
                overlay(m.path, u) as at:
            yield at


@functools.cache
def backup_of(password=None, kind="small"):
    """By larder backup, of a phone that is gone then."""
    with simulator({"fill": {"kind": kind}, "password": password}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        backup(sim, folder)
        return Source(f"{folder}/{UDID}", list(phone.content.entries()),
                      password)


def old_generation(shape):
    """The files of the same phone, as iOS 9 has backed them up."""
    with tempfile.TemporaryDirectory(dir=TMP) as place:
        phone = content.Content(place, create=True)
        content.fill_small(phone)
        b = mkbackup.Backup(shape)
        for item in phone.scan():
            entry = content.entry_of(item)
            entry.file_id = entry.canonical_id
            b.entries.append(entry)
            if entry.type == "f":
                entry.data = read(item.place)
                b._store(entry)
        b.write(folder := new_path(shape))
        return Source(folder, list(phone.entries()), b.password or None)


def restore(sim, source, *options, status=0, **more):
    """larder restore, with the status that it must have."""
    done = larder_on(sim, "restore", "--yes", *options, source, **more)
    if done.returncode != status:
        raise AssertionError(f"status {done.returncode}, want {status}\n"
                             f"{done.stdout}{done.stderr}")
    no_controls(done.stdout + done.stderr)
    return done


def has(phone, entries):
    """The phone has these files, with all that belongs to them, and no
    others."""
    equal(content.differences(entries, phone.content), [])


def tree_on(phone):
    """What a tree of the phone's files would show."""
    return {f"{e['domain']}/{e['path']}" if e["path"] else e["domain"]: Seen(
        e["type"], 0 if e["type"] == "l" else e["mode"], e["size"],
        e["sha256"] or "", e["target"] or "", e["mtime"],
        {"user." + name: base64.b64decode(value)
         for name, value in e["xattrs"].items()})
        for e in phone.content.entries()}


def name_of(entry):
    return f"{entry['domain']}/{entry['path']}" if entry["path"] \
        else entry["domain"]


def merged(old, new):
    """What a phone with old entries has when new ones come to them."""
    table = {name_of(e): e for e in old} | {name_of(e): e for e in new}
    return list(table.values())


def requests(phone):
    """The restores that it was asked for."""
    return [e["request"] for e in phone.events("restore-request")]


def options_of(phone):
    """Those of the one restore, without the password."""
    request, = requests(phone)
    return {name: value for name, value in request["Options"].items()
            if name != "Password"}


def plist_in(folder, name):
    with open(f"{folder}/{name}", "rb") as f:
        return plistlib.load(f)


def save_plist(folder, name, plist):
    save(f"{folder}/{name}", plistlib.dumps(plist))


# --- for all that can happen on the way --------------------------------------

class RestoreBench:
    """A phone in use, and a backup of another one to restore to it."""

    password = None

    def __init__(self):
        self.stack = contextlib.ExitStack()
        atexit.register(self.close)
        self.sim = self.stack.enter_context(simulator(USED))
        self.phone, = self.sim.phones
        self.old = list(self.phone.content.entries())

    def close(self):
        self.stack.close()

    def begin(self):
        self.source = backup_of(self.password).copy(UDID)
        self.parent = os.path.dirname(self.source.folder)
        self.before = snapshot(self.parent)
        self.phone.plug_again()
        self.phone.reset()

    def end(self):
        self.phone.reset()
        shutil.rmtree(self.parent)

    def argv(self, *options):
        return ("restore", "--yes", *self.source.unlock, *options,
                self.source.folder)

    def run(self, *options, status=0, words=(), **knobs):
        self.phone.set(**knobs)
        done = larder_on(self.sim, *self.argv(*options))
        self.judge(done.returncode, done.stdout + done.stderr, status, words)
        return done

    def judge(self, status, text, want, words=()):
        if status != want:
            raise AssertionError(f"status {status}, want {want}: {text}")
        for word in words:
            assert word in text, f"no {word!r} in {text!r}"
        no_controls(text)
        over(self.phone)

    def start(self, *options, **knobs):
        self.phone.set(**knobs)
        return start(self.sim, LARDER, *self.argv(*options))

    def intact(self, new=False):
        """Neither the backup nor what is beside it has changed, nor has the
        phone, unless it is to have the new files."""
        equal(changes(self.before, snapshot(self.parent)), [])
        has(self.phone, self.source.entries if new else self.old)

    def fails(self, status, *words, options=(), **knobs):
        """...and leaves everything as it was."""
        done = self.run(*options, status=status, words=words, **knobs)
        self.intact()
        equal(self.phone.violations(), [])
        return done


class EncryptedRestoreBench(RestoreBench):
    password = "secret"


_free = {}


@contextlib.contextmanager
def restore_bench(kind=RestoreBench):
    """One that is free, or a new one; it is not used again when its phone was
    restored."""
    free = _free.setdefault(kind, [])
    b = free.pop() if free else kind()
    b.begin()
    try:
        yield b
        same = not content.differences(b.old, b.phone.content)
        b.end()
    except BaseException:
        b.close()
        raise
    if same:
        free.append(b)
    else:
        b.close()


def each_restore(rows, check, kind=RestoreBench):
    """check(bench, row) for each row, several at a time; all that fail are
    reported, by their rows."""
    def one(row):
        try:
            with restore_bench(kind) as b:
                check(b, row)
        except Exception:
            return f"{row!r}: {traceback.format_exc()}"

    backup_of(kind.password)        # once, not by each thread
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        problems = list(filter(None, pool.map(one, rows)))
    if problems:
        raise AssertionError(f"{len(problems)} of {len(rows)}\n"
                             + "\n".join(problems))
