#!/usr/bin/python3
"""larder mount, umount, mounts and lock: what a user does all day."""

import ctypes
import platform
import plistlib

from harness import *

BACKUP = golden("db-encrypted")
PLAIN = golden("db-plain")
UDID = mkbackup.SHAPES["db-encrypted"].udid
OLD_UDID = mkbackup.SHAPES["mbdb-plain"].udid
NAME = "Anna's iPhone"
WRONG = save(new_path("wrong"), "battery staple\n")
HELLO = "AppDomain-com.example.app/Documents/hello.txt"

# those of somebody else, as they were when this namespace was made
for _path, (_, _type, *_) in mounts().items():
    if _type == "fuse.larderfs":
        execute("umount", "-l", _path)


class User:
    """Somebody with a home and a folder that ends with the session."""

    def __init__(self, uid=0):
        self.uid = uid
        self.home, self.runtime = new_dir("home"), new_dir("runtime")
        os.chmod(self.runtime, 0o700)
        for path in (self.home, self.runtime):
            os.chown(path, uid, uid)
        self.place = self.runtime + "/larder"
        self.env = environment(HOME=self.home, XDG_RUNTIME_DIR=self.runtime)

    def argv(self, *args, program=LARDER):
        return (*((shutil.which("setpriv"), f"--reuid={self.uid}", f"--regid={self.uid}",
                   "--clear-groups") if self.uid else ()), program, *args)

    def __call__(self, *args, status=0, said="", **more):
        """Standard output."""
        done = execute(*self.argv(*args), env=self.env | more.pop("env", {}),
                       **more)
        equal((done.returncode, done.stderr), (status, said))
        return done.stdout

    def fails(self, status, *args, words=(), **more):
        done = execute(*self.argv(*args), env=self.env | more.pop("env", {}),
                       start_new_session=True, **more)
        equal((done.returncode, done.stdout), (status, ""), done.stderr)
        assert all(word in done.stderr for word in words), done.stderr
        return done.stderr

    def mount(self, backup=PLAIN, *args, **more):
        """Where it was mounted."""
        if backup == BACKUP:
            args += "--passfile", PASSFILE
        path = self("mount", *args, backup, **more)
        assert path.endswith("\n"), path
        assert is_mounted(path[:-1]), path
        return path[:-1]

    def folders(self):
        return sorted(os.listdir(self.place))


@contextlib.contextmanager
def user(uid=0):
    u = User(uid)
    try:
        yield u
    finally:
        kill_all(pid for pid in processes() if pid != os.getpid())
        for path in mounts():
            if path.startswith((u.place + "/", u.home + "/")):
                execute("umount", "-l", path)


@contextlib.contextmanager
def sleeping(**more):
    with subprocess.Popen(["sleep", "1000"], **more) as p:
        try:
            yield p
        finally:
            p.kill()


def gone(path):
    wait_until(lambda: not is_mounted(path), "unmounting")


def files_below(folder):
    return [os.path.join(top, name) for top, _, names in os.walk(folder)
            for name in names]


# --- mount -------------------------------------------------------------------

@case
def a_backup_is_mounted_on_a_folder_named_after_the_device():
    with user() as u:
        path = u.mount(BACKUP)
        equal(path, f"{u.place}/{NAME}")
        equal(read(f"{path}/{HELLO}"), b"hello")
        equal(stat.S_IMODE(os.stat(u.place).st_mode), 0o700)
        # what is below the mount
        fd = os.open(u.place, os.O_RDONLY)
        with there(u.place, "mount", "--bind", u.place, u.place):
            equal(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        os.close(fd)
        equal(u("umount", NAME), "")
        equal((is_mounted(path), u.folders()), (False, []))


@case
def a_second_one_of_the_same_name_gets_a_number():
    with user() as u:
        paths = [u.mount() for _ in range(3)]
        equal(paths, [f"{u.place}/{NAME}{end}" for end in ("", " (2)",
                                                           " (3)")])
        u("umount", paths[1])
        equal(u.mount(), paths[1])
        u("umount", "--all")
        equal(u.folders(), [])


@case
def a_mountpoint_may_be_given():
    with user() as u:
        at = new_dir("mnt")
        equal(u("mount", PLAIN, at), at + "\n")
        assert is_mounted(at)
        u("umount", at + "/")
        assert os.path.isdir(at) and not is_mounted(at)
        u.fails(1, "mount", PLAIN, new_path("missing"), words=["mountpoint"])


@case
def options_of_larderfs_are_passed_on():
    with user() as u:
        backup, _ = made_backup("db-plain", lambda b: b.file(
            "HomeDomain", "x", b"x"))
        path = u.mount(backup, "-o", "view=device,umask=077")
        assert os.path.isdir(path + "/private/var/mobile")
        u("umount")
        u.fails(2, "mount", "-o", "colour=red", PLAIN, words=["colour"])
        equal(u.folders(), [])


@case_for({"wrong password": (12, ["--passfile", WRONG]),
           "no password": (13, []),
           "no password file": (1, ["--passfile", "/nothing"]),
           "key file of another": (1, ["--keyfile", WRONG])})
def after_a_failure_no_folder_is_left(_, row):
    status, args = row
    with user() as u:
        u.fails(status, "mount", *args, BACKUP)
        equal(u.folders(), [])


@case
def what_is_no_backup_is_told_before_a_folder_is_made():
    with user() as u:
        u.fails(3, "mount", new_dir("empty"), words=["not a backup"])
        equal(os.path.exists(u.place), False)


@case
def devices_are_found_by_their_names():
    with user() as u:
        for name in (UDID, UDID + "-20240101-000000"):
            shutil.copytree(PLAIN, f"{u.home}/Backup/{name}")
        shutil.copytree(golden("mbdb-plain"), f"{u.home}/Backup/{OLD_UDID}")
        source = lambda path: mounts()[path][2]
        for word in (UDID, UDID.lower()):
            equal(source(u.mount(word)), f"{u.home}/Backup/{UDID}")
        kept = UDID + "-20240101-000000"
        equal(source(u.mount(kept)), f"{u.home}/Backup/{kept}")
        # two devices of one name
        said = u.fails(2, "mount", NAME, words=[UDID, OLD_UDID, "2 backups"])
        assert kept not in said, said
        shutil.rmtree(f"{u.home}/Backup/{OLD_UDID}")
        equal(source(u.mount(NAME)), f"{u.home}/Backup/{UDID}")
        u.fails(3, "mount", "Ben's iPad", words=["Ben's iPad"])
        # a folder of this name comes first
        os.mkdir(u.home + "/" + NAME)
        u.fails(3, "mount", NAME, cwd=u.home, words=["not a backup"])
        u("umount", "--all")


@case_for({
    "one that leads up": ("../../x", "..%2F..%2Fx"),
    "two dots": ("..", "%2E%2E"),
    "with a slash": ("a/b", "a%2Fb"),
    "of two lines": ("two\nlines", "two\nlines"),
    "of 400 bytes": ("\u00e4" * 200, None),
    "like an option": ("-o", "-o"),
    "empty": ("", "backup"),
})
def a_device_may_have_any_name(_, row):
    name, shown = row
    backup, _ = made_backup("db-plain", lambda b: b.file(
        "HomeDomain", "x", b"x"))
    info = backup + "/Info.plist"
    plist = plistlib.loads(read(info))
    plist["Device Name"] = plist["Display Name"] = name
    save(info, plistlib.dumps(plist))
    if not name:
        os.rename(backup, os.path.dirname(backup) + "/backup")
        backup = os.path.dirname(backup) + "/backup"
    with user() as u:
        for number in ("", " (2)"):
            u("mount", backup)
            ours, = [p for p in mounts() if p.startswith(u.runtime)
                     and p.endswith(number)] if number else \
                [p for p in mounts() if p.startswith(u.runtime)]
            equal(os.path.dirname(ours), u.place)
            if shown:
                equal(os.path.basename(ours), shown + number)
        u("umount", "--all")
        equal(u.folders(), [])
    if not name:
        shutil.rmtree(backup)


@case
def json_says_what_the_text_says():
    with user() as u:
        o = json.loads(u("mount", "--json", PLAIN))
        path = f"{u.place}/{NAME}"
        equal(o, {"mountpoint": path, "backup": PLAIN, "device_name": NAME})
        equal([json.loads(line) for line in
               u("mounts", "--json").splitlines()],
              [{"mountpoint": path, "backup": PLAIN, "device_name": NAME,
                "udid": UDID, "date": "2024-06-15T09:46:40Z"}])
        equal(u("mounts"),
              f"{PLAIN} on {path} ({NAME}, 2024-06-15 09:46:40 +0000)\n")
        equal(json.loads(u("umount", "--json")),
              {"mountpoint": path, "backup": PLAIN})
        equal((u("mounts"), u("mounts", "--json")), ("", ""))


@case
def open_calls_the_file_manager_and_waits_for_nothing():
    with user() as u:
        programs, told = new_dir("bin"), new_path("told")
        save(programs + "/xdg-open",
             f'#!/bin/sh\nprintf %s "$1" >{told}.new\n'
             f'mv {told}.new {told}\nexec sleep 1000\n')
        os.chmod(programs + "/xdg-open", 0o755)
        begin = time.monotonic()
        path = u.mount(PLAIN, "--open", env={
            "PATH": programs + ":" + os.environ["PATH"]})
        assert time.monotonic() - begin < 10
        wait_until(lambda: os.path.exists(told), "xdg-open")
        equal(read(told, "r"), path)
        u("umount")
        # without one it is mounted all the same
        u("mount", "--open", PLAIN, env={"PATH": programs + "x"}, said=
          "larder: cannot open a file manager: xdg-open: "
          "No such file or directory\n")
        u("umount")


@case
def ctrl_c_leaves_no_folder():
    with user() as u:
        with subprocess.Popen(
                u.argv("mount", "--extpass", "sleep 100", BACKUP), env=u.env,
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                process_group=0) as p:
            wait_until(lambda: os.path.isdir(u.place) and u.folders()
                       and len(processes()) > 2, "asking")
            os.killpg(p.pid, signal.SIGINT)
            equal(p.wait(10), 5)
        equal(u.folders(), [])


# --- folders that are left ---------------------------------------------------

ENDINGS = {
    "umount": lambda path: execute("umount", path),
    "fusermount3": lambda path: execute("fusermount3", "-u", path),
    "a signal": lambda path: os.kill([
        pid for pid in processes() if b"larderfs" in
        read(f"/proc/{pid}/cmdline")][0], signal.SIGTERM),
}


@case_for(ENDINGS)
def the_folder_of_a_mount_that_was_ended_goes_with_the_next_command_by(
        _, end):
    with user() as u:
        for command in (["mounts"], ["umount", "--all"], ["mount", PLAIN]):
            path = u.mount()
            end(path)
            gone(path)
            equal(u.folders(), [NAME])
            u(*command)
            equal(u.folders(), [NAME] if command[0] == "mount" else [])
        u("umount")


@case
def so_does_that_of_one_that_was_idle():
    with user() as u:
        path = u.mount(PLAIN, "-o", "idle=1")
        gone(path)
        u("mounts")
        equal(u.folders(), [])


@case
def what_is_not_ours_stays():
    with user() as u:
        os.makedirs(u.place + "/" + NAME)
        os.chmod(u.place, 0o755)
        save(f"{u.place}/{NAME}/letter", "Dear diary")
        save(f"{u.place}/{NAME} (2)", "text")
        os.symlink(u.home, f"{u.place}/{NAME} (3)")
        path = u.mount()
        equal(path, f"{u.place}/{NAME} (4)")
        u("umount")
        equal(u.folders(), [NAME, NAME + " (2)", NAME + " (3)"])
        equal(read(f"{u.place}/{NAME}/letter"), b"Dear diary")
        equal(stat.S_IMODE(os.stat(u.place).st_mode), 0o700)


@case
def a_folder_that_is_about_to_be_mounted_on_is_left_alone():
    with user() as u:
        go = new_path("go")
        command = f"while ! [ -e {go} ]; do sleep 0.05; done; cat {PASSFILE}"
        with subprocess.Popen(u.argv("mount", "--extpass", command, BACKUP),
                              env=u.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE) as p:
            wait_until(lambda: os.path.isdir(u.place) and u.folders(),
                       "the folder")
            u("mounts")
            u("umount", "--all")
            equal(u.mount(), f"{u.place}/{NAME} (2)")
            save(go, "")
            equal(p.communicate(timeout=60)[0], f"{u.place}/{NAME}\n".encode())
            equal(p.returncode, 0)
        u("umount", "--all")
        equal(u.folders(), [])


@case
def many_at_the_same_time_do_not_meet():
    with user() as u:
        started = [subprocess.Popen(u.argv("mount", PLAIN), env=u.env,
                                    stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE)
                   for _ in range(12)]
        paths = []
        for p in started:
            paths.append(p.communicate(timeout=60)[0])
            equal(p.returncode, 0)
        equal(len(set(paths)), 12)
        u("umount", "--all")
        equal(u.folders(), [])


@case
def somebody_else_s_folder_is_not_used():
    with user() as u:
        os.mkdir(u.place)
        os.chown(u.place, NOBODY, NOBODY)
        u.fails(1, "mount", PLAIN, words=["another user"])
        os.rmdir(u.place)
        os.symlink(u.home, u.place)
        u.fails(1, "mount", PLAIN, words=[u.place])
        equal(os.listdir(u.home), [])
        # nor is the session of another, as sudo leaves it
        os.unlink(u.place)
        os.chown(u.runtime, NOBODY, NOBODY)
        with there("/run", "mount", "-t", "tmpfs", "tmpfs", "/run"):
            equal(u("mount", PLAIN), f"/run/larder/{NAME}\n")
            u("umount")
            equal(os.listdir("/run/larder"), [])


# --- umount ------------------------------------------------------------------

@case
def a_mount_is_named_in_many_ways():
    with user() as u:
        link = new_path("link")
        os.symlink(u.place, link)
        for word in (f"{u.place}/{NAME}", f"{link}/{NAME}/", PLAIN,
                     PLAIN + "/.", NAME, NAME.upper(), UDID):
            path = u.mount()
            u("umount", word)
            equal((is_mounted(path), u.folders()), (False, []), word)
        path = u.mount()
        u("umount", NAME, cwd=u.place)
        u.mount()
        u("umount", ".", cwd=u.place + "/..", status=1, said=
          "larder: .: no backup is mounted there, or of this name\n")
        u("umount")


@case
def what_is_not_mounted_cannot_be_unmounted():
    with user() as u:
        u.fails(1, "umount", words=["nothing is mounted"])
        equal(u("umount", "--all"), "")
        u.fails(1, "umount", "/", words=["no backup is mounted there"])
        u.fails(1, "umount", "Ben's iPad", words=["Ben's iPad"])
        u.fails(2, "umount", "--all", "/")
        # the others are
        path = u.mount()
        u("umount", "/", path, status=1, said=
          "larder: /: no backup is mounted there, or of this name\n")
        equal(is_mounted(path), False)


@case
def of_several_it_must_be_said_which():
    with user() as u:
        one, two = u.mount(), u.mount(BACKUP)
        for args in ((), (UDID,)):
            u.fails(2, "umount", *args, words=[one, two, "several"])
        equal((is_mounted(one), is_mounted(two)), (True, True))
        u("umount", BACKUP)
        equal((is_mounted(one), is_mounted(two)), (True, False))
        u("umount")


@case
def one_that_is_in_use_says_by_whom_and_goes_when_it_may():
    with user() as u:
        path = u.mount()
        with sleeping(cwd=path + "/HomeDomain", env=u.env) as p:
            u.fails(1, "umount", words=[path, "busy", f"sleep ({p.pid})"])
        with open(f"{path}/{HELLO}", "rb") as f:
            u.fails(1, "umount", words=["busy", f"({os.getpid()})"])
            equal(f.read(), b"hello")
        with there(path + "/HomeDomain", "mount", "--bind", u.home,
                   path + "/HomeDomain"):
            u.fails(1, "umount", words=["is mounted on", "HomeDomain"])
        with open(f"{path}/{HELLO}", "rb") as f:
            u("umount", "--lazy")
            equal((is_mounted(path), u.folders()), (False, []))
            equal(f.read(), b"hello")
        wait_until(lambda: not processes(), "the end of the daemon")


@case
def one_whose_process_was_killed_can_be_unmounted():
    with user() as u:
        path = u.mount()
        kill_all(processes())
        wait_until(lambda: error_of(os.stat, path) == "ENOTCONN", "its end")
        assert path in u("mounts")
        u("umount", path)
        equal((is_mounted(path), u.folders()), (False, []))


@case
def one_that_hangs_can_be_listed_and_unmounted():
    with user() as u:
        path = u.mount()
        pid, = processes()
        os.kill(pid, signal.SIGSTOP)
        try:
            assert path in u("mounts", timeout=20)
            u("umount", "--lazy", path, timeout=20)
            equal(is_mounted(path), False)
        finally:
            os.kill(pid, signal.SIGCONT)


@case
def a_mount_whose_backup_is_gone_is_listed():
    with user() as u:
        backup = new_path("backup")
        shutil.copytree(PLAIN, backup)
        path = u.mount(backup)
        os.rename(backup, backup + "x")
        equal(u("mounts"), f"{backup} on {path}\n")
        u("umount", NAME)


# --- another user ------------------------------------------------------------

@case
def a_user_mounts_and_unmounts_without_root():
    with user() as u, user(NOBODY) as n:
        theirs = u.mount()
        path = n.mount(BACKUP)
        equal(path, f"{n.place}/{NAME}")
        equal([line.split(" on ")[0] for line in n("mounts").splitlines()],
              [BACKUP])
        equal([line.split(" on ")[0] for line in u("mounts").splitlines()],
              [PLAIN])
        n.fails(1, "umount", theirs, words=["no backup is mounted there"])
        with sleeping(env=n.env, preexec_fn=lambda: (
                os.setresgid(NOBODY, NOBODY, NOBODY),
                os.setresuid(NOBODY, NOBODY, NOBODY), os.chdir(path))) as p:
            n.fails(1, "umount", words=[f"({p.pid})"])
        n("umount")
        equal((is_mounted(path), n.folders()), (False, []))
        # root may end theirs, but not by chance
        path = n.mount()
        u("umount", "--all")
        assert is_mounted(path) and not is_mounted(theirs)
        u("umount", path)
        equal(is_mounted(path), False)
        n("mounts")
        equal(n.folders(), [])


# --- remembered keys ---------------------------------------------------------

# Another identity each time: its keyring is empty, and of no one else.
_uids = iter(range(100000 + os.getpid() * 64 % 1000000000, 1 << 31))
ADD_KEY, KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}.get(
    platform.machine(), (0, 0))
READ, LINK, SEARCH = 11, 8, 10

# What a process of this user sees: the lines of /proc/keys, and the contents.
KEYRING = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    return libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a
                          for a in args)), ctypes.get_errno()
call(%(KEYCTL)d, %(LINK)d, -4, -2)
if sys.argv[1:]:
    print(call(%(ADD_KEY)d, b"user", sys.argv[1].encode(),
               bytes.fromhex(sys.argv[2]), len(sys.argv[2]) // 2, -4)[0])
for line in open("/proc/keys"):
    if " larder:" in line:
        out = ctypes.create_string_buffer(100)
        n, _ = call(%(KEYCTL)d, %(READ)d, int(line[:8], 16), out, 100)
        print(line.strip(), out.raw[:max(n, 0)].hex())
""" % globals()

READER = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
out = ctypes.create_string_buffer(100)
n = libc.syscall(%(KEYCTL)d, %(READ)d, ctypes.c_long(int(sys.argv[1], 16)),
                 out, ctypes.c_long(100))
print(n, ctypes.get_errno())
""" % globals()


def new_backup(dpic=10, password=PASSWORD):
    """Of a key bag that there is once."""
    b = mkbackup.Backup("db-encrypted", password=password, dpic=dpic,
                        seed=uuid.uuid4().int & 0xffffffff)
    b.file("HomeDomain", "hello.txt", b"hello")
    path = new_path("backup")
    b.write(path)
    return path


def keybag_of(backup):
    return mkbackup.parse_keybag(plistlib.loads(
        read(backup + "/Manifest.plist"))["BackupKeyBag"])[0]


def key_of(backup, password=PASSWORD):
    bag = keybag_of(backup)
    number = lambda tag: int.from_bytes(bag[tag], "big")
    return mkbackup.passcode_key(password, bag["SALT"], number("ITER"),
                                 bag["DPSL"], number("DPIC"))


def name_of(backup):
    return "larder:" + keybag_of(backup)["UUID"].hex()


class Remembering(User):
    def __init__(self, _=0):
        if not ADD_KEY:
            raise Skip("the numbers of system calls are not known here")
        super().__init__(next(_uids))
        # fusermount3 wants a name; this is seen in this namespace alone
        if not is_mounted("/etc/passwd"):
            file = save(new_path("passwd"), read("/etc/passwd"))
            execute("mount", "--bind", file, "/etc/passwd")
        with open("/etc/passwd", "a", encoding="ascii") as f:
            f.write(f"larder{self.uid}:x:{self.uid}:{self.uid}::/:/bin/sh\n")

    def keyring(self, *put):
        """[(number, permissions, time, uid, name, content)]"""
        done = execute(*self.argv("-c", KEYRING, *put,
                                  program="/usr/bin/python3"))
        equal(done.stderr, "")
        found = []
        for line in done.stdout.splitlines():
            fields = line.split()
            # those that are invalid are on their way out
            if len(fields) > 8 and "i" not in fields[1]:
                found.append((fields[0], fields[4], fields[3], fields[5],
                              fields[8].rstrip(":"), fields[-1]))
        return found

    def try_to_read(self, number):
        return execute(*self.argv("-c", READER, number,
                                  program="/usr/bin/python3")).stdout.split()


@contextlib.contextmanager
def remembering():
    u = Remembering()
    try:
        yield u
    finally:
        execute(*u.argv("umount", "--all"), env=u.env)
        execute(*u.argv("lock"), env=u.env)
        wait_until(lambda: not processes(), "the end of daemons")


@case
def the_derived_key_is_remembered_and_nothing_else():
    backup = new_backup()
    with remembering() as u:
        u("ls", "--remember", "--passfile", PASSFILE, backup)
        (number, permissions, left, uid, name, content), = u.keyring()
        equal((permissions, uid, name, content),
              ("3f000000", str(u.uid), name_of(backup),
               key_of(backup).hex()))
        assert left in ("7h", "8h"), left
        keys = read("/proc/keys", "r")
        assert PASSWORD not in keys and "correct" not in keys
        # everybody else is kept out, root included
        for other in (User(), User(NOBODY)):
            equal(Remembering.try_to_read(other, number),
                  ["-1", str(errno.EACCES)])
        User(NOBODY).fails(13, "ls", backup)


@case
def what_is_remembered_is_needed_no_more():
    backup = new_backup()
    with remembering() as u:
        u.fails(13, "ls", backup)
        path = u("mount", "--remember", "--passfile", PASSFILE, backup)[:-1]
        equal(u("ls", backup), "HomeDomain\n")
        equal(json.loads(u("info", "--json", backup))["locked"], False)
        again = u("mount", backup)[:-1]
        key = new_dir("key")
        os.chown(key, u.uid, u.uid)
        u("key", backup, key + "/key")
        for at in (path, again):
            # root has no business in there
            equal(execute(*u.argv(at + "/HomeDomain/hello.txt",
                                  program="cat")).stdout, "hello")
        # what is given comes first
        u.fails(12, "ls", "--passfile", WRONG, backup)
        u.fails(12, "ls", backup, env={"LARDER_PASSFILE": WRONG})


@case
def another_session_of_the_user_has_it_too():
    backup = new_backup()

    def join_new_session():
        number = ctypes.CDLL(None).syscall(KEYCTL, ctypes.c_long(1), None)
        assert number > 0

    with remembering() as u:
        u("ls", "--remember", "--passfile", PASSFILE, backup,
          preexec_fn=join_new_session)
        equal(u("ls", backup), "HomeDomain\n")
        equal(u("ls", backup, preexec_fn=join_new_session), "HomeDomain\n")


@case
def ten_million_rounds_are_needed_once():
    backup = new_backup(dpic=10_000_000)
    with remembering() as u:
        begin = time.monotonic()
        u("mount", "--remember", "--passfile", PASSFILE, backup)
        slow = time.monotonic() - begin
        begin = time.monotonic()
        u("mount", backup)
        fast = time.monotonic() - begin
        print(f"# {slow:.2f} s, then {fast * 1000:.0f} ms", flush=True)
        assert fast < 1 and fast < slow / 3 or SANITIZED, (slow, fast)


@case
def larderfs_remembers_too():
    backup = new_backup()
    with remembering() as u:
        at = new_dir("mnt")
        os.chown(at, u.uid, u.uid)
        for options, low, high in ((f"remember,passfile={PASSFILE}", 7, 8),
                                   ("remember=2h", 1, 2)):
            done = execute(*u.argv("-o", options, backup, at,
                                   program=LARDERFS), env=u.env)
            equal((done.returncode, done.stderr), (0, ""))
            u("umount", at)
            left = u.keyring()[0][2]
            assert left in (f"{low}h", f"{high}h"), left
        for bad in ("remember=", "remember=x", "remember=0", "remember=31d"):
            done = execute(*u.argv("-o", bad, backup, at, program=LARDERFS),
                           env=u.env)
            equal(done.returncode, 2, bad)


@case
def it_is_for_a_time():
    backup = new_backup()
    with remembering() as u:
        for text, shown in (("90", ("90s", "89s", "1m")), ("30m", ("29m", "30m")),
                            ("3h", ("2h", "3h")), ("2d", ("1d", "2d"))):
            u("ls", "--remember=" + text, "--passfile", PASSFILE, backup)
            (_, _, left, *_), = u.keyring()
            assert left in shown, (text, left)
        # from now on, also without the password
        u("ls", "--remember=2s", backup)
        u("ls", backup)
        wait_until(lambda: execute(
            *u.argv("ls", backup), env=u.env,
            start_new_session=True).returncode, "the end of the time", 10)
        u.fails(13, "ls", backup)
        for bad in ("", "x", "0", "-1", "1w", "8hh", "31d", "99999999999h"):
            u.fails(2, "ls", "--remember=" + bad, backup)


@case
def lock_forgets():
    one, two, plain = new_backup(), new_backup(), PLAIN
    with remembering() as u:
        remember = lambda b: u("ls", "--remember", "--passfile", PASSFILE, b)
        remember(one), remember(two)
        equal(json.loads(u("lock", "--json", one)),
              {"forgotten": 1, "login": False})
        u.fails(13, "ls", one)
        equal(u("ls", two), "HomeDomain\n")
        equal([name for *_, name, _ in u.keyring()], [name_of(two)])
        u("lock", one, plain, said="larder: 0 keys are forgotten\n")
        u("lock", "--quiet", two)
        u.fails(13, "ls", two)
        for args in ((), ("--all",)):
            remember(one), remember(two)
            # a key of another program
            u.keyring("other:key", "00")
            u("lock", *args, said="larder: 2 keys are forgotten\n")
            equal(u.keyring(), [])
            u.fails(13, "ls", one)
        u.fails(2, "lock", "--all", one)
        u.fails(3, "lock", "/", words=["not a backup"])


@case
def a_wrong_password_is_not_remembered():
    backup = new_backup()
    with remembering() as u:
        u.fails(12, "ls", "--remember", "--passfile", WRONG, backup)
        u.fails(12, "mount", "--remember", "--passfile", WRONG, backup)
        equal(u.keyring(), [])
        # a plain one has nothing to remember
        u("ls", "--remember", PLAIN)
        equal(u.keyring(), [])


@case_for({"one of before": bytes(32), "one that is cut off": bytes(8),
           "one that is longer": bytes(64)})
def a_key_that_does_not_fit_is_passed_over(what, content):
    backup = new_backup()
    with remembering() as u:
        u.keyring(name_of(backup), content.hex())
        u.fails(13, "ls", backup, words=["password needed"])
        if what == "one of before":
            equal(u.keyring(), [])
        u("ls", "--remember", "--passfile", PASSFILE, backup)
        equal(u("ls", backup), "HomeDomain\n")


def without_keyrings():
    """As in many containers: a seccomp filter says EPERM."""
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    import struct
    code = b"".join(struct.pack("HBBI", *row) for row in (
        (0x20, 0, 0, 0), (0x15, 1, 0, ADD_KEY), (0x15, 0, 1, KEYCTL),
        (0x06, 0, 0, 0x50000 | errno.EPERM), (0x06, 0, 0, 0x7fff0000)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)
    memory = ctypes.create_string_buffer(code)
    program = Program(5, ctypes.addressof(memory))
    if libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


@case
def without_keyrings_it_says_so_and_goes_on():
    backup = new_backup()
    with remembering() as u:
        done = execute(*u.argv("ls", "--remember", "--passfile", PASSFILE,
                               backup), env=u.env, preexec_fn=without_keyrings)
        equal((done.returncode, done.stdout), (0, "HomeDomain\n"))
        equal(done.stderr, "larder: not remembered: the kernel does not keep "
                           "the key: Operation not permitted\n")
        done = execute(*u.argv("ls", backup), env=u.env,
                       start_new_session=True, preexec_fn=without_keyrings)
        equal(done.returncode, 13)
        done = execute(*u.argv("lock"), env=u.env,
                       preexec_fn=without_keyrings)
        equal((done.returncode, done.stderr),
              (0, "larder: 0 keys are forgotten\n"))


DESKTOP = r"""
printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null
t() { "$@" 2>>err; echo "= $?"; }
t larder ls --remember=login --passfile "$PASS" "$BACKUP"
t larder ls "$BACKUP"
t secret-tool lookup application larder keybag "$BAG" && echo
t larder mount "$BACKUP"
t larder umount
t larder ls --passfile "$WRONG" "$BACKUP"
t larder lock --json "$OTHER"
t larder ls "$BACKUP"
t larder lock --json "$BACKUP"
t larder ls "$BACKUP"
t larder mount --remember=login --passfile "$PASS" "$BACKUP"
t larder umount
t larder lock --json
t larder ls "$BACKUP"
printf %064d 7 | secret-tool store --label=stale application larder keybag "$BAG"
t larder ls "$BACKUP"
t secret-tool lookup application larder keybag "$BAG"
"""


@case
def the_desktop_keeps_a_key_beyond_the_session():
    for name in ("dbus-run-session", "gnome-keyring-daemon", "secret-tool"):
        if not shutil.which(name):
            raise Skip("needs " + name)
    backup = new_backup()
    with remembering() as u:
        done = execute(
            *u.argv("--", "sh", "-c", DESKTOP, program="dbus-run-session"),
            env=u.env | {
                "PATH": BIN + ":" + os.environ["PATH"], "PASS": PASSFILE,
                "WRONG": WRONG, "BACKUP": backup, "OTHER": new_backup(),
                "BAG": name_of(backup)[7:]}, cwd=u.home,
            start_new_session=True)
        at = f"{u.place}/{NAME}"
        none = '{"forgotten":0,"login":false}'
        one = '{"forgotten":0,"login":true}'
        equal(done.stdout.split("\n"), [
            "HomeDomain", "= 0", "HomeDomain", "= 0",
            key_of(backup).hex() + "= 0", "", at, "= 0", "= 0", "= 12",
            none, "= 0", "HomeDomain", "= 0", one, "= 0", "= 13",
            at, "= 0", "= 0", one, "= 0", "= 13", "= 13", "= 1", ""])
        assert PASSWORD not in read(u.home + "/err", "r")
        # nothing of it is with the kernel
        equal(u.keyring(), [])
        for path in files_below(u.home):
            content = read(path)
            assert PASSWORD.encode() not in content, path
            assert key_of(backup) not in content, path
            assert key_of(backup).hex().encode() not in content, path


@case
def without_a_desktop_it_says_so_and_goes_on():
    backup = new_backup()
    with remembering() as u:
        u("ls", "--remember=login", "--passfile", PASSFILE, backup, said=
          "larder: not remembered: no session bus leads to a secret service\n")
        u("ls", "--remember=login", "--passfile", PASSFILE, backup, said=
          "larder: not remembered: secret-tool: No such file or directory\n",
          env={"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nothing",
               "PATH": "/nothing"})
        u.fails(13, "ls", backup, env={
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nothing"})


# --- a folder of backups ------------------------------------------------------

@case
def a_folder_of_backups_is_mounted_by_its_name():
    folder = new_dir("Backup")
    os.rename(new_backup(), folder + "/one")
    with user() as u:
        path = u("mount", folder).rstrip("\n")
        equal(path, f"{u.place}/{os.path.basename(folder)}")
        equal(len(os.listdir(path)), 1)
        listed, = (json.loads(line) for line in
                   u("mounts", "--json").splitlines())
        equal((listed["mountpoint"], listed["backup"], listed["device_name"]),
              (path, folder, None))
        equal(u("mounts"), f"{folder} on {path}\n")
        equal(u("umount", folder), "")
        equal(u.folders(), [])
        u.fails(3, "mount", new_dir("empty"), words=["not a backup"])


@case
def a_closed_one_of_several_opens_when_its_key_is_remembered():
    folder = new_dir("Backup")
    for name in ("one", "two"):
        os.rename(new_backup(), f"{folder}/{name}")
    with remembering() as u:
        path = u("mount", folder).rstrip("\n")

        def closed():
            names = shell(u, f"printf '%s\\n' '{path}'/*/*/*").splitlines()
            return [name for name in names if name.endswith("/locked")]

        # two versions, and "latest"
        equal(len(closed()), 3)
        u("mount", "--remember", "--passfile", PASSFILE, folder + "/one")
        wait_until(lambda: len(closed()) < 3, "opening")
        hello = shell(u, f"cat \"{path}\"/*/*/HomeDomain/hello.txt")
        equal(set(re.findall("hello", hello)), {"hello"})


def shell(u, command):
    """What a shell of this user prints."""
    done = execute(*u.argv("-c", command, program="/bin/sh"), env=u.env)
    equal((done.returncode, done.stderr), (0, ""))
    return done.stdout.strip()


run()
