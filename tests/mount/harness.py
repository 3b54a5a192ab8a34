"""What the mount tests share: cases in TAP, programs, folders, mounts.

A test is a list of cases, functions whose names are sentences:

    from harness import *

    @case
    def a_mount_can_be_listed():
        with mounted(golden("db-plain")) as m:
            assert os.listdir(m.path)

    run()

Each case fails by an exception, and after a deadline.  `test_x.py WORD...`
runs only the cases whose names hold one of the words.

A test runs in a mount namespace of its own: what it mounts, binds and overlays
disturbs nobody, and is gone when its last process is.
"""

import collections
import contextlib
import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

sys.dont_write_bytecode = True

MOUNT_TESTS = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(MOUNT_TESTS)
sys.path.insert(0, TESTS)

import mkbackup                                         # noqa: E402

# what is expected of the programs is in plain English, on terminals too
os.environ |= {"LANGUAGE": "", "NO_COLOR": "1"}

PASSWORD = mkbackup.DEFAULT_PASSWORD
SHAPES = list(mkbackup.SHAPES)
NOBODY = 65534
CASE_SECONDS = 240


def skip_all(why):
    """By the plan for Meson (MESON_TAP), by the exit status for others."""
    print(f"1..0 # SKIP {why}")
    sys.exit(0 if "MESON_TAP" in os.environ else 77)


STAGE = os.environ.get("LARDER_STAGE")
if not STAGE:
    skip_all("run ./dev test")
STAGE = os.path.abspath(STAGE)
if os.geteuid():
    skip_all("needs root")
if not os.path.exists("/dev/fuse"):
    skip_all("needs /dev/fuse")
if "LARDER_TEST_NAMESPACE" not in os.environ:
    os.environ["LARDER_TEST_NAMESPACE"] = "1"
    try:
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private",
                              sys.executable, *sys.argv])
    except OSError as e:
        skip_all(f"unshare: {e.strerror}")

# who mounts: root, or, in a leg of its own, somebody without any rights
AS_NOBODY = "LARDER_AS_NOBODY" in os.environ
# the ways= of mounts whose tests name none, in a leg of its own
WAYS = os.environ.get("LARDER_TEST_WAYS")
BIN = STAGE + "/usr/local/bin"
LARDERFS = BIN + "/larderfs"
LARDER = BIN + "/larder"
with open(LARDERFS, "rb") as program:
    SANITIZED = re.search(b"__[at]san_init", program.read()) is not None

TMP = tempfile.mkdtemp(prefix="larder-test-")
os.chmod(TMP, 0o755)            # for tests as another user
REPORTS = TMP + "/sanitizer"
os.mkdir(REPORTS)
os.chmod(REPORTS, 0o1777)
PASSFILE = TMP + "/passfile"
MARK = "LARDER_TEST_RUN=" + uuid.uuid4().hex


def let_nobody_mount():
    """In our namespace: programs that everybody may run, a /dev/fuse that
    everybody may open, and mounts that we may look into."""
    global BIN, LARDERFS, LARDER
    shutil.copytree(BIN, TMP + "/bin")
    BIN = TMP + "/bin"
    LARDERFS, LARDER = BIN + "/larderfs", BIN + "/larder"
    device, conf = TMP + "/fuse", TMP + "/fuse.conf"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    os.chmod(device, 0o666)
    with open(conf, "w", encoding="ascii") as f:
        f.write("user_allow_other\n")
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)
    subprocess.run(["mount", "--bind", conf, "/etc/fuse.conf"], check=True)


if AS_NOBODY:
    let_nobody_mount()


# --- helpers -----------------------------------------------------------------

class Skip(Exception):
    """This case cannot run here; says why."""


def equal(got, want, what=""):
    if got != want:
        raise AssertionError(f"{what + ': ' if what else ''}got {got!r}, "
                             f"want {want!r}")


def error_of(function, *args, **more):
    """The name of the errno that a call fails with, or None."""
    try:
        function(*args, **more)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))


def wait_until(condition, what, seconds=30):
    """Poll until it is true, and return what it gave."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} seconds")
        time.sleep(0.01)
    return result


def read(path, mode="rb"):
    with open(path, mode, **{} if "b" in mode else {
            "encoding": "utf-8", "errors": "surrogateescape"}) as f:
        return f.read()


def save(path, data):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else os.fsencode(data))
    return path


_numbers = iter(range(1, 1 << 30))


def new_path(name="x"):
    """A path below TMP where nothing is."""
    return f"{TMP}/{next(_numbers)}-{name}"


def new_dir(name="x"):
    path = new_path(name)
    os.mkdir(path)
    return path


def snapshot(folder):
    """{path: (mode, content or target, time, inode)} of a whole folder."""
    found = {}
    for top, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(top, name)
            st = os.lstat(path)
            if os.path.islink(path):
                entry = st.st_mode, os.readlink(path), 0, 0
            elif name in folders:
                entry = st.st_mode, None, 0, 0
            else:
                entry = st.st_mode, hash(read(path)), st.st_mtime_ns, st.st_ino
            found[os.path.relpath(path, folder)] = entry
    return found


def changes(before, after):
    """The names that differ in two snapshots."""
    return sorted(name for name in before.keys() | after.keys()
                  if before.get(name) != after.get(name))


save(PASSFILE, PASSWORD + "\n")


# --- backups -----------------------------------------------------------------

def golden(shape):
    kept = f"{TESTS}/golden/{shape}/backup"
    if not AS_NOBODY:
        return kept
    copy = f"{TMP}/golden-{shape}"
    if not os.path.exists(copy):
        shutil.copytree(kept, copy)
    return copy


def expect_of(path):
    """The lines of an EXPECT file."""
    with open(path, encoding="ascii") as f:
        return [json.loads(line) for line in f]


def golden_expect(shape):
    return f"{TESTS}/golden/{shape}/EXPECT"


def made_backup(shape, fill, **more):
    """(folder, EXPECT file) of a new backup that `fill`(backup) has filled."""
    b = mkbackup.Backup(shape, **more)
    fill(b)
    out = new_path(shape)
    b.write(out)
    mkbackup.write_expect(out + ".expect", b.expect())
    return out, out + ".expect"


def differences(expect, path, *options):
    """What compare.py has to say, None if nothing."""
    done = subprocess.run(
        ["/usr/bin/python3", MOUNT_TESTS + "/compare.py", *options, expect,
         path], capture_output=True, text=True, errors="replace")
    if done.returncode == 0 and done.stdout.endswith(" 0 differences\n"):
        return None
    return done.stdout + done.stderr


# --- programs ----------------------------------------------------------------

def environment(**more):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("LARDER_")}
    env |= {"TZ": "UTC", "LC_ALL": "C.UTF-8", "HOME": TMP}
    name, value = MARK.split("=")
    env[name] = value
    # a daemon has no standard error: reports go to files
    for name, options in (
            ("ASAN_OPTIONS", "halt_on_error=1:abort_on_error=1"),
            ("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1"),
            ("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1")):
        env[name] = ":".join(filter(None, (
            options, env.get(name), f"log_path={REPORTS}/report")))
    for name, value in more.items():
        env[name] = value
    return env


def execute(*argv, env=None, timeout=120, **more):
    """Run to the end; output as text."""
    more = {"stdin": subprocess.DEVNULL, "capture_output": True} | more
    return subprocess.run(argv, env=env or environment(), timeout=timeout,
                          encoding="utf-8", errors="surrogateescape", **more)


def larder(*args, **more):
    return execute(LARDER, *args, **more)


def larderfs(*args, **more):
    return execute(LARDERFS, *args, **more)


def as_nobody(*argv):
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
            "--clear-groups", *argv)


def one_line(text):
    """The message, if it is a single whole line."""
    assert text.endswith("\n") and text.count("\n") == 1, \
        f"not one line: {text!r}"
    return text[:-1]


def processes(mark=MARK):
    """Process IDs of those that were started with `mark` in the environment."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if os.fsencode(mark) in read(f"/proc/{name}/environ").split(b"\0"):
                found.append(int(name))
    return found


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def processor_seconds(pid):
    """What a process has computed so far: it is at work, not only there."""
    fields = read(f"/proc/{pid}/stat", "r").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- mounts ------------------------------------------------------------------

def unescape(field):
    """\\040 and the like of /proc/self/mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), field)


def mounts():
    """{mountpoint: (options, type, source, options of the file system)}"""
    found = {}
    for line in read("/proc/self/mountinfo", "r").splitlines():
        front, back = line.split(" - ", 1)
        front, back = front.split(" "), back.split(" ")
        found[unescape(front[4])] = (front[5].split(","), back[0],
                                     unescape(back[1]), back[2].split(","))
    return found


def is_mounted(path):
    return path in mounts()


class Mount:
    """A mount of ours: `path`; `log`, the file behind standard error;
    `process`, in the foreground."""

    def __init__(self, path, mark):
        self.path, self.mark = path, mark
        self.process = None
        self.log = path + ".log"

    def inside(self, *names):
        return os.path.join(self.path, *names)

    @property
    def pids(self):
        return processes(self.mark)

    @property
    def pid(self):
        pid, = self.pids
        return pid

    def lines(self):
        return read(self.log, "r").splitlines()

    def ended(self):
        """Wait until it is unmounted and its processes are gone; the exit
        status if it was in the foreground."""
        wait_until(lambda: not is_mounted(self.path), "unmounting")
        status = self.process.wait(30) if self.process else None
        wait_until(lambda: not self.pids, "the end of the daemon")
        return status

    def unmount(self):
        equal(execute("umount", self.path).stderr, "", "umount")
        return self.ended()

    def clean_up(self):
        """Whatever state it is in. Returns complaints."""
        complaints = []
        if is_mounted(self.path):
            done = execute("umount", self.path)
            if done.returncode:
                complaints.append(done.stderr.strip())
                execute("umount", "-l", self.path)
        try:
            self.ended()
        except (AssertionError, subprocess.TimeoutExpired) as e:
            complaints.append(str(e))
            kill_all(self.pids)
            if self.process:
                self.process.wait()
        return complaints


def requests(m, road=r"\w+"):
    """Requests so far of a mount with -d, by name; libfuse 3.18 says by which
    road they came: "dev", or "cqe" for a ring."""
    return collections.Counter(re.findall(
        rf"^(?:{road} )?unique: \d+, opcode: (\w+)", read(m.log, "r"), re.M))


@contextlib.contextmanager
def there(place, *argv):
    """While what a command mounts there is; skipped if it cannot be."""
    done = execute(*argv)
    if done.returncode:
        raise Skip(done.stderr.strip())
    try:
        yield place
    finally:
        execute("umount", "-l", place)


def tmpfs(*options, kind="tmpfs"):
    """A file system in memory, of its own."""
    place = new_dir(kind)
    return there(place, "mount", "-t", kind, "-o",
                 ",".join(options) or "defaults", kind, place)


# for a kernel that has them not
FUSE_DRIVERS = {"exfat": "exfat-fuse", "ntfs": "ntfs-3g"}


@contextlib.contextmanager
def image(kind, size=600 << 20):
    """A file system in a file."""
    if not shutil.which("mkfs." + kind):
        raise Skip(f"needs mkfs.{kind}")
    file, place = new_path(kind), new_dir(kind)
    with open(file, "xb") as f:
        f.truncate(size)
    how = ("--quick", "--force") if kind == "ntfs" else ()
    done = execute("mkfs." + kind, *how, file)
    if done.returncode:
        raise Skip(done.stderr.strip())
    mount = ["mount", "-o", "loop"]
    if kind in FUSE_DRIVERS and \
            kind not in read("/proc/filesystems", "r").split():
        mount += ["-t", FUSE_DRIVERS[kind]]
    try:
        with there(place, *mount, file, place):
            yield place
    finally:
        os.unlink(file)


@contextlib.contextmanager
def mounted(backup, *options, at=None, foreground=False, debug=False,
            passfile=PASSFILE, program=(LARDERFS,), env=None, notes=False,
            **more):
    """Mount a backup, unmount it in the end, whatever happens meanwhile.
    Notes on standard error are a failure, but for `notes`."""
    m = Mount(at or new_dir("mnt"), "LARDER_TEST_MOUNT=" + uuid.uuid4().hex)
    if AS_NOBODY and program == (LARDERFS,):
        program = as_nobody(LARDERFS)
        options = [*options, "allow_other"]
        os.chown(m.path, NOBODY, NOBODY)
    name, value = m.mark.split("=")
    env = (env or environment()) | {name: value}
    if WAYS and not any("ways=" in option for option in options):
        options = [*options, "ways=" + WAYS]
    options = list(options) + ([f"passfile={passfile}"] if passfile else [])
    argv = [*program, backup, m.path]
    if options:
        argv += ["-o", ",".join(options)]
    if foreground or debug:
        argv.append("-d" if debug else "-f")
    try:
        if foreground or debug:
            with open(m.log, "wb") as log:
                m.process = subprocess.Popen(
                    argv, env=env, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=log, **more)
            wait_until(lambda: is_mounted(m.path)
                       or m.process.poll() is not None, "mounting", 60)
            if m.process.poll() is not None:
                raise AssertionError(f"exit status {m.process.returncode}: "
                                     + read(m.log, "r"))
        else:
            done = execute(*argv, env=env, **more)
            if done.returncode or done.stdout or done.stderr and not notes:
                raise AssertionError(f"exit status {done.returncode}: "
                                     + done.stdout + done.stderr)
        yield m
    finally:
        failing = sys.exc_info()[0]
        complaints = m.clean_up()
        if complaints and not failing:
            raise AssertionError("; ".join(complaints))


# --- cases -------------------------------------------------------------------

_cases = []


def case(function):
    _cases.append((function.__name__.replace("_", " "), function))
    return function


def case_for(values):
    """A case for each of some values, which it gets as its argument; or for
    each of a dict's, with the value as a second one."""
    rows = [(key, value) for key, value in values.items()] \
        if isinstance(values, dict) else [(value,) for value in values]

    def register(function):
        name = function.__name__.replace("_", " ")
        for row in rows:
            _cases.append((f"{row[0]}: {name}", lambda row=row:
                           function(*row)))
        return function
    return register


# the leak sanitizer met a thread that was just ending: nothing is wrong
NO_REPORT = re.compile("Unable to get registers from thread")


def sanitizer_reports():
    texts = []
    for name in sorted(os.listdir(REPORTS)):
        texts += [line for line in read(f"{REPORTS}/{name}", "r")
                  .splitlines(keepends=True) if not NO_REPORT.search(line)]
        os.unlink(f"{REPORTS}/{name}")
    return texts


def nothing_is_left():
    left = [path for path in mounts() if path.startswith(TMP + "/")]
    pids = wait_for_none(processes)
    names = []
    for pid in pids:
        with contextlib.suppress(OSError):
            names.append(read(f"/proc/{pid}/cmdline", "r"))
    equal((left, names), ([], []), "mounts and processes")


def wait_for_none(condition):
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not condition(), "", 5)
    return condition()


class Watchdog:
    """Ends what a case started when it takes too long: calls into a mount
    that does not answer return then."""

    def __init__(self, seconds):
        self.fired = False
        self.timer = threading.Timer(seconds, self.fire)
        self.timer.daemon = True

    def fire(self):
        self.fired = True
        kill_all(processes())

    def __enter__(self):
        self.timer.start()
        return self

    def __exit__(self, *_):
        self.timer.cancel()


def run_case(function):
    """None, or what went wrong."""
    with Watchdog(CASE_SECONDS) as watchdog:
        try:
            function()
            problem = ""
        except Skip:
            raise
        except Exception:
            problem = traceback.format_exc()
    if watchdog.fired:
        problem += f"still running after {CASE_SECONDS} seconds\n"
    return problem + "".join(sanitizer_reports())


def run():
    words = sys.argv[1:]
    chosen = [(name, function) for name, function in _cases
              if not words or any(word in name for word in words)]
    chosen.append(("no mount and no process is left", nothing_is_left))
    print(f"1..{len(chosen)}", flush=True)
    failed = False
    for number, (name, function) in enumerate(chosen, 1):
        name = name.replace("#", "number ")
        try:
            problem = run_case(function)
        except Skip as e:
            why = " ".join(str(e).split())      # TAP wants one line
            print(f"ok {number} - {name} # SKIP {why}", flush=True)
            continue
        for line in problem.encode("ascii", "backslashreplace") \
                .decode().splitlines():
            print("# " + line)
        failed |= bool(problem)
        print(f"{'not ok' if problem else 'ok'} {number} - {name}", flush=True)
    kill_all(processes())
    for path in mounts():
        if path.startswith(TMP + "/"):
            execute("umount", "-l", path)
    shutil.rmtree(TMP, ignore_errors=True)
    sys.exit(1 if failed else 0)
