#!/usr/bin/python3
"""Where the password comes from, what it ends with, and where it never is."""

import fcntl
import pty
import termios

from harness import *

BACKUP = golden("db-encrypted")
HELLO = "AppDomain-com.example.app/Documents/hello.txt"
# one that can be found nowhere by chance
SECRET = "zq-Larder-\u00fcnlikely-7f3a"
FINE, FAILED, UNKNOWN, CANCELLED = 0, 1, 3, 5
WRONG, NEEDED, DAMAGED = 12, 13, 26

RIGHT = PASSFILE
BAD = save(new_path("wrong"), "correct horse battery\n")
EMPTY = save(new_path("empty"), "")
NO_FILE = new_path("none")


def try_mount(backup, *args, env=None, words=(), **more):
    """Exit status of a mount, which is undone; what is refused must be
    refused in one line, with no process going on."""
    at = new_dir("mnt")
    done = larderfs(backup, at, *args, env=environment(**env or {}),
                    start_new_session=True, **more)
    if done.returncode == 0:
        equal(done.stderr + done.stdout, "")
        equal(read(f"{at}/{HELLO}"), b"hello")
        equal(execute("umount", at).returncode, 0)
        wait_until(lambda: not processes(), "the end of the daemon")
        return 0
    equal(is_mounted(at), False)
    equal(processes(), [], "processes")
    line = one_line(done.stderr)
    assert all(word in line for word in words), line
    assert PASSWORD not in line, line
    return done.returncode


# --- sources -----------------------------------------------------------------

WAYS = {
    "passfile=": lambda file: (["-o", "passfile=" + file], {}),
    "extpass=": lambda file: (["-o", "extpass=cat " + file], {}),
    "LARDER_PASSFILE": lambda file: ([], {"LARDER_PASSFILE": file}),
    "--passfile": lambda file: (["--passfile", file], {}),
    "--extpass": lambda file: (["--extpass=cat " + file], {}),
}


@case_for(WAYS)
def right_wrong_empty_and_missing_by(way, arguments):
    for file, want in ((RIGHT, FINE), (BAD, WRONG), (EMPTY, NEEDED)):
        args, env = arguments(file)
        equal(try_mount(BACKUP, *args, env=env), want, file)
    args, env = arguments(NO_FILE)
    status = try_mount(BACKUP, *args, env=env) if "ext" not in way else FAILED
    equal(status, FAILED, "a file that is missing")


@case
def a_password_of_none_is_needed():
    for stdin in (subprocess.DEVNULL, subprocess.PIPE):
        equal(try_mount(BACKUP, stdin=stdin, words=["password needed"]),
              NEEDED)


@case
def a_plain_backup_needs_none_and_minds_none():
    equal(try_mount(golden("db-plain")), FINE)
    equal(try_mount(golden("mbdb-plain"), "-o", "passfile=" + BAD), FINE)


@case_for({
    "an end of line of Windows": (PASSWORD + "\r\n", FINE),
    "no end of line": (PASSWORD, FINE),
    "more lines": (PASSWORD + "\nanother\n", FINE),
    "a space behind it": (PASSWORD + " \n", WRONG),
    "an empty first line": ("\n" + PASSWORD + "\n", NEEDED),
    "a NUL": ("\0\n", WRONG),
    "4096 bytes": ("x" * 4096 + "\n", WRONG),
    "more than 4096 bytes": ("x" * 4097 + "\n", FAILED),
    "no end at all": ("x" * 1000000, FAILED),
})
def a_password_file_with(_, row):
    text, want = row
    file = save(new_path("pass"), text)
    equal(try_mount(BACKUP, "-o", "passfile=" + file), want)
    equal(try_mount(BACKUP, "-o", "extpass=cat " + file), want)


@case
def an_empty_password_is_not_to_be_had():
    # by design: an empty line is no password
    backup, _ = made_backup("db-encrypted", lambda b: b.file(
        "HomeDomain", "x", b"x"), password="")
    equal(try_mount(backup, "-o", "passfile=" + EMPTY), NEEDED)


@case
def a_command_that_fails_gives_none():
    for command in ("exit 3", "false", "kill -9 $$", "no-such-command-here"):
        at = new_dir("mnt")
        done = larderfs(BACKUP, at, "-o", "extpass=" + command)
        equal((done.returncode, is_mounted(at)), (NEEDED, False), command)
        assert "password command" in done.stderr, done.stderr


@case
def a_command_may_hold_commas_and_quotes():
    file = save(new_path("a,b c"), PASSWORD + "\n")
    escaped = file.replace(",", r"\,")
    equal(try_mount(BACKUP, "-o", f'extpass=cat "{escaped}",ro'), FINE)
    equal(try_mount(BACKUP, "-o", f"passfile={escaped},nofail"), FINE)


@case
def a_command_that_goes_on_is_not_waited_for():
    start = time.monotonic()
    equal(try_mount(BACKUP, "-o", f"extpass=cat {RIGHT}; exec >&-; sleep 0"),
          FINE)
    equal(try_mount(BACKUP, "-o", f"extpass=cat {RIGHT}; yes"), FINE)
    assert time.monotonic() - start < 30


@case
def the_password_is_utf_8():
    password = "\u65e5\u672c\u8a9e p\u00e4ss \U0001f511"
    backup, expect = made_backup("db-encrypted", lambda b: b.file(
        "HomeDomain", "x", b"x"), password=password)
    with mounted(backup, passfile=save(new_path("pass"), password)) as m:
        equal(differences(expect, m.path), None)


# --- order and exit status ---------------------------------------------------

@case
def the_four_failures_are_told_apart_before_the_background():
    flaws = new_dir("flaws")
    subprocess.run(["/usr/bin/python3", TESTS + "/mkbad.py", flaws + "/x"],
                   check=True)
    equal(try_mount(BACKUP, "-o", "passfile=" + BAD, words=["password"]),
          WRONG)
    equal(try_mount(BACKUP, words=["password needed"]), NEEDED)
    equal(try_mount(flaws + "/x/keybag-truncated", "-o", "passfile=" + RIGHT,
                    words=["key bag"]), DAMAGED)
    equal(try_mount(flaws + "/x/not-a-backup-empty-folder",
                    words=["not a backup"]), UNKNOWN)
    # what is wrong with the backup is found before a password is wanted
    equal(try_mount(flaws + "/x/keybag-truncated"), DAMAGED)
    # and so is a bad mountpoint
    done = larderfs(BACKUP, new_path("missing"))
    equal(done.returncode, FAILED, done.stderr)


# --- key files ---------------------------------------------------------------

def make_key(backup=BACKUP, to=None, *args, **more):
    to = to or new_path("key")
    return to, larder("key", "--passfile", RIGHT, *args, backup, to, **more)


@case
def a_key_file_opens_the_backup_without_the_password():
    key, done = make_key()
    equal((done.returncode, done.stderr, done.stdout), (0, "", key + "\n"))
    for args in (["-o", "keyfile=" + key], ["--keyfile", key]):
        equal(try_mount(BACKUP, *args), FINE)
    assert PASSWORD.encode() not in read(key)
    # before any password
    equal(try_mount(BACKUP, "-o", f"keyfile={key},passfile={BAD}"), FINE)
    done = larder("info", "--json", "--keyfile", key, BACKUP)
    equal(json.loads(done.stdout)["locked"], False)


@case
def a_key_file_is_of_mode_0600_whatever_the_umask():
    for umask in (0, 0o22, 0o77):
        key = new_path("key")
        done = execute("sh", "-c", f'umask {umask:o}; exec "$@"', "sh", LARDER,
                       "key", "--passfile", RIGHT, BACKUP, key)
        equal(done.returncode, 0, done.stderr)
        equal(stat.S_IMODE(os.stat(key).st_mode), 0o600)


@case
def a_key_file_of_another_backup_is_a_wrong_password():
    other, _ = made_backup("db-encrypted", lambda b: b.file(
        "AppDomain-com.example.app", "Documents/hello.txt", b"hello"), seed=9)
    key, _ = make_key(other)
    equal(try_mount(BACKUP, "-o", "keyfile=" + key, words=[key]), WRONG)
    equal(try_mount(other, "-o", "keyfile=" + key), FINE)


@case
def a_key_file_that_is_none_is_refused():
    key, _ = make_key()
    text = read(key)
    for what, spoiled in (("empty", b""), ("text", b"hello\n"),
                          ("cut", text[:-9]), ("longer", text + b"more\n"),
                          ("large", text * 1000), ("zeros", bytes(200))):
        equal(try_mount(BACKUP, "-o", "keyfile=" + save(new_path("key"),
                                                        spoiled)),
              FAILED, what)
    # of this backup, and another key
    flipped = text[:-3] + (b"0" if text[-3:-2] != b"0" else b"1") + text[-2:]
    equal(try_mount(BACKUP, "-o", "keyfile=" + save(new_path("key"), flipped)),
          WRONG)
    equal(try_mount(BACKUP, "-o", "keyfile=" + NO_FILE), FAILED)


@case
def larder_key_overwrites_key_files_and_nothing_else():
    foreign = save(new_path("letter"), "Dear diary\n")
    _, done = make_key(to=foreign)
    equal((done.returncode, read(foreign)), (FAILED, b"Dear diary\n"))
    assert foreign in one_line(done.stderr)
    link = new_path("link")
    os.symlink(foreign, link)
    _, done = make_key(to=link)
    equal((done.returncode, read(foreign)), (FAILED, b"Dear diary\n"))
    folder = new_dir("folder")
    _, done = make_key(to=folder)
    equal((done.returncode, os.listdir(folder)), (FAILED, []))
    key, _ = make_key(golden("mbdb-encrypted"))
    _, done = make_key(to=key)
    equal(done.returncode, 0, done.stderr)
    equal(try_mount(BACKUP, "-o", "keyfile=" + key), FINE)
    equal([name for name in os.listdir(TMP)
           if name.startswith(os.path.basename(key))], [os.path.basename(key)])


@case
def larder_key_with_a_wrong_password_writes_nothing():
    key = new_path("key")
    done = larder("key", "--passfile", BAD, BACKUP, key)
    equal((done.returncode, os.path.exists(key)), (WRONG, False))
    done = larder("key", BACKUP, key, start_new_session=True)
    equal((done.returncode, os.path.exists(key)), (NEEDED, False))
    done = larder("key", "--passfile", RIGHT, golden("db-plain"), key)
    equal((done.returncode, os.path.exists(key)), (FAILED, False))


@case
def ten_million_rounds_are_derived_and_a_key_file_saves_them():
    backup, expect = made_backup("db-encrypted", lambda b: b.file(
        "HomeDomain", "x", b"x"), dpic=10_000_000, iterations=10_000)
    start = time.monotonic()
    with mounted(backup) as m:
        slow = time.monotonic() - start
        equal(differences(expect, m.path), None)
    key, done = make_key(backup)
    equal(done.returncode, 0, done.stderr)
    start = time.monotonic()
    with mounted(backup, "keyfile=" + key, passfile=None) as m:
        fast = time.monotonic() - start
        equal(differences(expect, m.path), None)
    assert fast < slow / 3, (fast, slow)


@case
def a_signal_while_the_key_is_derived_ends_it():
    backup, _ = made_backup("db-encrypted", lambda b: b.file(
        "HomeDomain", "x", b"x"), dpic=100_000_000)
    at = new_dir("mnt")
    with subprocess.Popen([LARDERFS, backup, at, "-o", "passfile=" + RIGHT],
                          env=environment(), stderr=subprocess.PIPE) as p:
        # it computes, once it has run for a while
        ticks = lambda: int(read(f"/proc/{p.pid}/stat", "r").rsplit(
            ")", 1)[1].split()[11])
        wait_until(lambda: ticks() > 20, "computing")
        p.send_signal(signal.SIGINT)
        assert p.wait(5) in (CANCELLED, -signal.SIGINT), p.returncode
    equal(is_mounted(at), False)


# --- the terminal ------------------------------------------------------------

class Terminal:
    """A program on a terminal of its own, which we type on."""

    def __init__(self, *argv):
        self.output = ""
        # the slave stays open: its state can be asked for when all is over
        self.fd, self.slave = pty.openpty()
        os.set_blocking(self.fd, False)
        self.process = subprocess.Popen(
            argv, env=environment(), stdin=self.slave, stdout=self.slave,
            stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY))
        self.pid = self.process.pid

    def pump(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while text := os.read(self.fd, 4096):
                self.output += text.decode()
        return self.output

    def wait_for(self, text):
        wait_until(lambda: text in self.pump(), f"{text!r} in {self.output!r}")

    def echo(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Exit status, or minus the signal."""
        wait_until(lambda: (self.pump(), self.process.poll())[1] is not None,
                   "the end")
        self.pump()
        equal(self.echo(), True, "echo afterwards")
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.fd)


PROMPT = "Backup password of Anna's iPhone: "


@contextlib.contextmanager
def asked(*argv, prompt=PROMPT):
    with contextlib.closing(Terminal(*argv)) as t:
        t.wait_for(prompt)
        wait_until(lambda: not t.echo(), "echo off")
        yield t


@case
def on_a_terminal_it_asks_without_echo():
    at = new_dir("mnt")
    with asked(LARDERFS, BACKUP, at) as t:
        t.type(PASSWORD + "\n")
        equal(t.end(), 0, t.output)
        assert PASSWORD not in t.output, t.output
        equal(read(f"{at}/{HELLO}"), b"hello")
        equal(execute("umount", at).returncode, 0)


@case
def what_is_typed_wrong_is_a_wrong_password():
    at = new_dir("mnt")
    with asked(LARDERFS, BACKUP, at) as t:
        t.type("battery staple\n")
        equal((t.end(), is_mounted(at)), (WRONG, False))
        assert "battery" not in t.output, t.output


@case
def nothing_typed_is_no_password():
    for typed in ("\n", "\x04"):
        with asked(LARDERFS, BACKUP, new_dir("mnt")) as t:
            t.type(typed)
            equal(t.end(), NEEDED)


@case
def ctrl_c_cancels_and_restores_the_terminal():
    at = new_dir("mnt")
    with asked(LARDERFS, BACKUP, at) as t:
        t.type("half of the pass\x03")
        equal((t.end(), is_mounted(at)), (CANCELLED, False))
    with asked(LARDER, "key", BACKUP, new_path("key")) as t:
        t.type("\x03")
        equal(t.end(), CANCELLED)


@case_for(("SIGTERM", "SIGHUP", "SIGQUIT"))
def it_restores_the_terminal_after(name):
    with asked(LARDERFS, BACKUP, new_dir("mnt")) as t:
        os.kill(t.pid, getattr(signal, name))
        equal(t.end(), CANCELLED)


@case
def larder_asks_too():
    key = new_path("key")
    with asked(LARDER, "key", BACKUP, key) as t:
        t.type(PASSWORD + "\n")
        equal(t.end(), 0, t.output)
    equal(try_mount(BACKUP, "-o", "keyfile=" + key), FINE)
    with asked(LARDER, "ls", BACKUP) as t:
        t.type(PASSWORD + "\n")
        equal(t.end(), 0, t.output)
        assert "HomeDomain" in t.output, t.output


@case
def a_name_with_control_characters_does_not_reach_the_terminal():
    # binary: XML has no escapes for these
    b = mkbackup.Backup("db-encrypted", edit=lambda plist: plist[
        "Lockdown"].update(DeviceName="evil\x1b[2Jname"))
    b.file("HomeDomain", "x", b"x")
    backup = new_path("backup")
    b.write(backup)
    os.remove(backup + "/Info.plist")
    with asked(LARDERFS, backup, new_dir("mnt"),
               prompt="Backup password of evil?[2Jname: ") as t:
        assert "\x1b" not in t.output, t.output
        t.type("\x03")
        equal(t.end(), CANCELLED)


# --- where it never is -------------------------------------------------------

@contextlib.contextmanager
def secret_backup(secret=SECRET):
    backup, expect = made_backup("db-encrypted", lambda b: b.file(
        "HomeDomain", "x", b"x"), password=secret)
    with mounted(backup, passfile=save(new_path("pass"), secret)) as m:
        yield m
        equal(differences(expect, m.path), None)


@case
def the_password_is_in_no_argument_environment_or_output():
    with secret_backup() as m:
        for what in ("cmdline", "environ", "comm"):
            assert SECRET.encode() not in read(f"/proc/{m.pid}/{what}"), what
    # nor while it is derived
    backup, _ = made_backup("db-encrypted", lambda b: b.file(
        "HomeDomain", "x", b"x"), password=SECRET, dpic=3_000_000)
    file = save(new_path("pass"), SECRET)
    at = new_dir("mnt")
    with subprocess.Popen([LARDERFS, backup, at, "-f", "-o",
                           f"extpass=cat {file}"], env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as p:
        looks = 0
        while p.poll() is None and not is_mounted(at):
            for pid in processes():
                for what in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        assert SECRET.encode() not in read(
                            f"/proc/{pid}/{what}"), what
                        looks += 1
        assert looks > 5, looks
        execute("umount", at)
        equal(p.communicate()[0], "")
        equal(p.returncode, 0)


def memory_of(pid):
    """The writable memory of a process."""
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in read(f"/proc/{pid}/maps", "r").splitlines():
            where, permissions = line.split()[:2]
            begin, end = (int(n, 16) for n in where.split("-"))
            if permissions[1] != "w" or end - begin > 1 << 30:
                continue
            with contextlib.suppress(OSError, OverflowError, ValueError):
                mem.seek(begin)
                yield mem.read(end - begin)


@case
def the_password_is_not_kept_in_memory():
    # so long that not all of it is overwritten by chance
    secret = "".join(f"zq7f-{i:04d};" for i in range(400))
    piece = re.compile(rb"zq7f-\d{4};zq7f-\d{4};")
    with secret_backup(secret) as m:
        seen = 0
        for part in memory_of(m.pid):
            seen += len(part)
            equal(piece.search(part), None)
        assert seen > 100000, seen
    assert any(piece.search(part) for part in memory_of(os.getpid())), \
        "not even in ours"


@case
def no_core_file_can_be_written():
    with mounted(BACKUP) as m:
        line, = [line for line in read(f"/proc/{m.pid}/limits", "r")
                 .splitlines() if line.startswith("Max core file size")]
        equal(line.split()[4:6], ["0", "0"])


def opened_for_writing(trace):
    """Paths from the lines of strace -f."""
    for line in read(trace, "r").splitlines():
        match = re.search(r"\b(open|openat|openat2|creat)\(", line)
        if not match or "ENOENT" in line:
            continue
        if match[1] == "creat" or re.search(
                r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE", line):
            path = re.search(r'"((?:[^"\\]|\\.)*)"', line)
            yield path[1] if path else line


@case_for(("background", "foreground"))
def no_plaintext_goes_to_a_disk(where):
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    trace = new_path("trace")
    env = environment()
    # LeakSanitizer does not work under ptrace
    env["ASAN_OPTIONS"] += ":detect_leaks=0"
    calls = "open,openat,openat2,creat,memfd_create,mknod,mknodat"
    # -D: strace is no parent, which would wait; it holds our pipes
    more = {"foreground": True} if where == "foreground" else {
        "capture_output": False, "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL}
    with mounted(BACKUP, env=env, program=(
            "strace", "-D", "-f", "-qq", "-o", trace, "-e", "trace=" + calls,
            LARDERFS), **more) as m:
        done = execute("find", m.path, "-ls")
        equal((done.returncode, done.stderr), (0, ""))
        for folder, _, names in os.walk(m.path):
            for name in names:
                error_of(read, os.path.join(folder, name))
        execute("umount", m.path)
        m.ended()
    text = read(trace, "r")
    assert '"Manifest.db"' in text and "O_RDONLY" in text, "a trace"
    # and where the kernel lets itself be told how far to read ahead
    equal([path for path in opened_for_writing(trace)
           if not path.startswith(("/dev/", "/proc/")) and not re.fullmatch(
               r"/sys/class/bdi/\d+:\d+/read_ahead_kb", path)], [])
    equal(re.findall("memfd_create|mknod", text), [])


run()
