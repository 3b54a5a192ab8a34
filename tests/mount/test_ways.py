#!/usr/bin/python3
"""The ways that bytes can take: each gives the same ones, is taken where it is
open, and is said to be, or why not."""

import functools
import glob
import hashlib
import mmap
import random
import sqlite3

from harness import *

RNG = random.Random(31)
MIB = 1 << 20
CONTENT = RNG.randbytes(7 * MIB + 12345)
FILES = {                       # path: length
    "Media/film.MOV": len(CONTENT),
    "Media/film that is none.bin": len(CONTENT),
    "Media/sound.m4a": 4 * MIB,
    "Media/short.mov": 4 * MIB - 1,
    "Media/one message.jpg": 128 << 10,
    "Media/two messages.jpg": (128 << 10) + 1,
    "Media/block.txt": 4096,
    "Media/odd.txt": 4097,
    "Media/letter.txt": 1,
    "Media/empty.txt": 0,
}
CUT = {                         # path: length, what is stored of it
    "Media/cut.MOV": (6 * MIB, 5 * MIB + 77),
    "Media/cut.bin": (2 * MIB, MIB + 5003),
    "Media/cut.txt": (20000, 9001),
}
DATABASE = "Media/database.mov"
NAMES = ("passthrough", "direct", "read-ahead", "ahead", "stat-ahead",
         "open-ahead", "store-at-open", "workers", "stay-awake",
         "silent-open", "io-uring")
DEFAULT = "default"
SETS = ("none", *NAMES[:-1], "direct:ahead", "read-ahead:ahead",
        "open-ahead:store-at-open", "silent-open:ahead:open-ahead", DEFAULT)
# what is not there is not tested as if it were
if "io-uring=yes" in execute(LARDERFS, "--capabilities", "-o",
                             "ways=io-uring").stdout:
    SETS += ("io-uring", "default:io-uring", "silent-open:io-uring")
SHAPES_READ = ("db-encrypted", "db-plain", "mbdb-encrypted")
LIBFUSE = re.search(r"libfuse3\S* => (\S+)", execute("ldd", LARDERFS).stdout)
LIBFUSE = tuple(map(int, re.findall(r"\d+", os.path.realpath(
    LIBFUSE[1]).rsplit(".so.", 1)[1]))) if LIBFUSE else ()
BACKUPS = {}


@functools.cache
def database():
    """A database of some MiB, in a file."""
    path = new_path("database")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB, w TEXT)")
        db.execute("CREATE INDEX i ON t (w)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", (
            (i, CONTENT[i:i + 2000], CONTENT[7 * i:7 * i + 20].hex())
            for i in range(2500)))
    return path


def fill(b):
    b.dir("CameraRollDomain")
    for path, size in FILES.items():
        b.file("CameraRollDomain", path, CONTENT[:size])
    b.file("CameraRollDomain", DATABASE, read(database()))
    for i in range(300):
        b.file("HomeDomain", f"many/{i // 40}/{i % 40}.bin",
               CONTENT[i:i + 17 * i])


def fill_cut(b):
    for path, (size, stored) in CUT.items():
        b.file("CameraRollDomain", path, CONTENT[:size], cut=stored)


def backup_of(shape, filler=fill):
    if (shape, filler) not in BACKUPS:
        BACKUPS[shape, filler] = made_backup(shape, filler)
    return BACKUPS[shape, filler]


def capabilities(m):
    """{name: (in use, note)} of a mount, or of what is printed."""
    text = m if isinstance(m, str) else os.getxattr(
        m.path, "user.larder.capabilities").decode()
    found = {}
    for line in text.splitlines():
        name, state, note = re.fullmatch(
            r"([a-z-]+)=(yes|no)(?: \((.+)\))?", line).groups()
        found[name] = (state == "yes", note or "")
    equal(tuple(found), NAMES)
    return found


def film(m):
    return m.inside("CameraRollDomain/Media/film.MOV")


def forget(path):
    """What the kernel has kept of a file."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def check_sequential(path, size, block):
    with open(path, "rb", 0) as f:
        off = 0
        while piece := f.read(block):
            equal(piece == CONTENT[off:min(off + len(piece), size)], True,
                  f"{block} bytes at {off} of {path}")
            off += len(piece)
        equal(off, size, path)


def check_scattered(path, size, count=150):
    with open(path, "rb", 0) as f:
        for _ in range(count):
            off = RNG.randrange(size + 100)
            n = RNG.choice((1, 16, 4095, 4096, 70000, MIB, 3 * MIB + 1))
            equal(os.pread(f.fileno(), n, off) ==
                  CONTENT[off:min(off + n, size)][:n] if off < size else
                  os.pread(f.fileno(), n, off) == b"", True,
                  f"{n} bytes at {off} of {path}")


def check_mapped(path, size):
    with open(path, "rb") as f:
        for flags in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
            with mmap.mmap(f.fileno(), 0, flags, mmap.PROT_READ) as view:
                equal(len(view), size)
                for _ in range(20):
                    off = RNG.randrange(size)
                    equal(view[off:off + 5000] ==
                          CONTENT[off:min(off + 5000, size)], True,
                          f"mapped at {off} of {path}")
                equal(view[:] == CONTENT[:size], True, f"mapped: {path}")
        equal(f.read() == CONTENT[:size], True, f"after that: {path}")


def check_bytes(m):
    for path, size in FILES.items():
        path = m.inside("CameraRollDomain", path)
        equal(os.stat(path).st_size, size)
        for block in (MIB, 128 << 10, 100001, 4096):
            check_sequential(path, size, block)
            forget(path)
        if size:
            check_scattered(path, size)
            forget(path)
            check_mapped(path, size)


@functools.cache
def told_by_sqlite(path, mapped):
    """Pages here and there, or mapped."""
    done = execute("sqlite3", f"file:{path}?immutable=1",
                   f"PRAGMA mmap_size={mapped}", "PRAGMA integrity_check",
                   "SELECT w, k, hex(substr(v, 991, 20)) FROM t ORDER BY w")
    equal((done.returncode, done.stderr), (0, ""))
    assert "\nok\n" in done.stdout, done.stdout[:1000]
    return hashlib.sha256(done.stdout.encode()).hexdigest()


def check_database(path):
    for mapped in (0, 1 << 30):
        equal(told_by_sqlite(path, mapped), told_by_sqlite(database(), mapped))
        forget(path)


def read_to_the_end(path, block):
    """What can be read, and the name of the error that ended it."""
    got = b""
    with open(path, "rb", 0) as f:
        try:
            while piece := f.read(block):
                got += piece
        except OSError as e:
            return got, errno.errorcode[e.errno]
    return got, None


def check_cut(m):
    """All that is stored, to the last whole block, and then an error."""
    for path, (size, stored) in CUT.items():
        end = stored - stored % 16
        path = m.inside("CameraRollDomain", path)
        equal(os.stat(path).st_size, size)
        for block in (4096, 100001, MIB):
            got, error = read_to_the_end(path, block)
            equal((got == CONTENT[:end], error), (True, "EIO"), path)
            forget(path)
        with open(path, "rb") as f:
            equal(os.pread(f.fileno(), 100, end - 90), CONTENT[end - 90:end])
            equal(error_of(os.pread, f.fileno(), 100, end), "EIO")
            equal(error_of(os.pread, f.fileno(), 100, size - 100), "EIO")
        equal(os.stat(path).st_size, size)


def check_parallel(m):
    """Readers of all kinds at once, of the same files and of others."""
    wrong = []
    paths = [(m.inside("CameraRollDomain", path), size)
             for path, size in FILES.items() if size]

    def reader(seed):
        rng = random.Random(seed)
        try:
            for _ in range(6):
                path, size = rng.choice(paths[:3] if seed % 2 else paths)
                what = rng.randrange(4)
                if what < 2:
                    check_sequential(path, size, rng.choice(
                        (4096, 32768, 128 << 10, 333333, MIB)))
                elif what == 2:
                    check_scattered(path, size, 40)
                else:
                    check_mapped(path, size)
                if rng.random() < 0.3:
                    forget(path)
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=reader, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [])


# --- the same bytes ----------------------------------------------------------

@case_for(SETS)
def these_ways_give_the_same_bytes(ways):
    for shape in SHAPES_READ:
        backup, expect = backup_of(shape)
        with mounted(backup, "ways=" + ways) as m:
            check_bytes(m)
            check_database(m.inside("CameraRollDomain", DATABASE))
            equal(differences(expect, m.path), None, shape)


@case_for(("none", DEFAULT, "silent-open:ahead:open-ahead"))
def eight_readers_of_all_kinds_at_once_get_the_right_bytes(ways):
    for shape in SHAPES_READ:
        with mounted(backup_of(shape)[0], "ways=" + ways) as m:
            check_parallel(m)


# without messages for opens, damage takes its page along
AUDIBLE = [ways for ways in SETS if "silent-open" not in ways]


@case_for(AUDIBLE)
def these_ways_give_every_good_byte_of_a_damaged_file(ways):
    for shape in ("db-encrypted", "mbdb-encrypted"):
        backup, expect = backup_of(shape, fill_cut)
        with mounted(backup, "ways=" + ways) as m:
            check_cut(m)
            equal(differences(expect, m.path), None, shape)


@case_for(AUDIBLE)
def a_golden_backup_is_as_expected_by_these_ways(ways):
    for shape in SHAPES:
        with mounted(golden(shape), "ways=" + ways) as m:
            for _ in range(2):
                equal(differences(golden_expect(shape), m.path), None, shape)


@case
def without_messages_for_opens_damage_is_an_error_and_never_other_bytes():
    damaged, good = 0, 0
    with mounted(golden("db-encrypted"), "ways=silent-open") as m:
        for line in expect_of(golden_expect("db-encrypted")):
            path = os.path.join(os.fsencode(m.path), os.fsencode(line["path"]))
            if line["type"] != "f":
                continue
            got, error = read_to_the_end(path, 1 << 16)
            if "error" in line:
                damaged += 1
                equal(error, line["error"], line["path"])
                assert len(got) <= line.get("readable", 0), line
            elif "sha256" in line:
                good += 1
                equal((hashlib.sha256(got).hexdigest(), error),
                      (line["sha256"], None), line["path"])
    assert damaged > 3 and good > 10, (damaged, good)


# --- which are taken ---------------------------------------------------------

@case
def no_way_is_taken_that_is_not_named():
    with mounted(backup_of("db-encrypted")[0], "ways=none") as m:
        check_sequential(film(m), len(CONTENT), MIB)
        found = capabilities(m)
        equal([name for name, (used, _) in found.items() if used], [])
        equal(found["ahead"][1], "not among those of ways=")
        equal(os.stat(film(m)).st_blksize, 4096)


@case
def what_is_in_use_is_said_by_an_attribute_that_is_not_listed():
    with mounted(backup_of("db-encrypted")[0]) as m:
        equal(capabilities(m)["store-at-open"], (True, "not tried so far"))
        read(m.inside("CameraRollDomain/Media/letter.txt"))
        equal(capabilities(m)["store-at-open"], (True, ""))
        assert "user.larder.capabilities" not in os.listxattr(m.path)
        equal(os.getxattr(m.inside(".larder"), "user.larder.capabilities"),
              os.getxattr(m.path, "user.larder.capabilities"))


def direct_is_open(m):
    used, why = capabilities(m)["direct"]
    if not used:
        raise Skip("direct: " + why)


@case_for(SHAPES_READ)
def a_film_is_read_past_the_page_cache_and_nothing_else(shape):
    with mounted(backup_of(shape)[0], "ways=direct:ahead", debug=True) as m:
        direct_is_open(m)
        for name, cached in (("film.MOV", False), ("sound.m4a", False),
                             ("short.mov", True),
                             ("film that is none.bin", True)):
            path = m.inside("CameraRollDomain/Media", name)
            equal(os.stat(path).st_blksize, 4096 if cached else MIB, name)
            size = os.stat(path).st_size
            check_sequential(path, size, MIB)
            before = requests(m)["READ"]
            check_sequential(path, size, MIB)
            asked = requests(m)["READ"] - before
            # a buffer that begins within a page takes two for 1 MiB
            needed = 0 if cached else -(-size // MIB)
            assert needed <= asked <= 2 * needed + (not cached), (
                name, asked)


@case
def the_kernel_is_told_to_read_further_ahead():
    with mounted(backup_of("db-encrypted")[0], "ways=read-ahead") as m:
        dev = os.stat(m.path).st_dev
        place = f"/sys/class/bdi/{os.major(dev)}:{os.minor(dev)}/read_ahead_kb"
        equal(read(place), b"128\n")
        read(film(m))
        used, note = capabilities(m)["read-ahead"]
        if not used:
            raise Skip("read-ahead: " + note)
        equal((read(place), note), (b"4096\n", "4096 KiB"))


@case
def a_small_file_comes_with_the_answer_to_open():
    with mounted(backup_of("db-encrypted")[0], "ways=store-at-open",
                 debug=True) as m:
        for name in ("one message.jpg", "block.txt", "letter.txt"):
            size = FILES["Media/" + name]
            path = m.inside("CameraRollDomain/Media", name)
            check_sequential(path, size, MIB)
            equal(requests(m)["READ"], 0, name)
        # what the kernel has dropped it asks for
        forget(path)
        check_sequential(path, size, MIB)
        equal(requests(m)["READ"], 1)
        check_sequential(m.inside("CameraRollDomain/Media/two messages.jpg"),
                         (128 << 10) + 1, MIB)
        assert requests(m)["READ"] > 1


@case
def without_messages_for_opens_there_is_one():
    with mounted(backup_of("db-encrypted")[0], "ways=silent-open",
                 debug=True) as m:
        for _ in range(3):
            for path, size in FILES.items():
                check_sequential(m.inside("CameraRollDomain", path), size, MIB)
        equal((requests(m)["OPEN"], requests(m)["RELEASE"]), (1, 0))
        equal(capabilities(m)["silent-open"], (True, ""))


def check_ring(m):
    """Everything behind the handshake comes through it."""
    for path in ("Media/film.MOV", "Media/letter.txt"):
        check_sequential(m.inside("CameraRollDomain", path), FILES[path], MIB)
    by_device = requests(m, "dev")
    equal({name for name in by_device if "FORGET" not in name}, {"INIT"})
    assert requests(m, "cqe")["LOOKUP"] > 2, requests(m, "cqe")
    threads = [read(path, "r").strip() for path in
               glob.glob(f"/proc/{m.pid}/task/*/comm")]
    assert any(name.startswith("fuse-ring") for name in threads), threads
    equal(capabilities(m)["io-uring"], (True, ""))


def check_no_ring(m):
    check_sequential(film(m), len(CONTENT), MIB)
    equal(requests(m, "cqe"), {})
    return capabilities(m)["io-uring"]


def needs_ring():
    used, why = capabilities(larderfs(
        "--capabilities", "-o", "ways=io-uring").stdout)["io-uring"]
    if not used:
        raise Skip("io-uring: " + why)


if LIBFUSE >= (3, 18):
    @case_for(("io-uring", "default:io-uring"))
    def messages_come_through_a_ring(ways):
        needs_ring()
        with mounted(backup_of("db-encrypted")[0], "ways=" + ways,
                     debug=True) as m:
            check_ring(m)

    @case
    def no_ring_is_taken_that_is_not_named():
        env = environment(FUSE_URING_ENABLE="1")
        with mounted(backup_of("db-encrypted")[0], "ways=default", env=env,
                     debug=True) as m:
            equal(check_no_ring(m)[0], False)

    @case
    def where_no_ring_can_be_had_messages_come_as_ever():
        needs_ring()
        refused = ("strace", "-f", "-o", "/dev/null", "-e",
                   "trace=io_uring_setup", "-e",
                   "inject=io_uring_setup:error=EPERM", LARDERFS)
        with mounted(backup_of("db-encrypted")[0], "ways=io-uring",
                     program=refused, debug=True) as m:
            equal(check_no_ring(m),
                  (False, "libfuse could not set up its ring"))


def needs_passthrough():
    used, why = capabilities(larderfs(
        "--capabilities", backup_of("db-plain")[0]).stdout)["passthrough"]
    if not used:
        raise Skip("passthrough: " + why)


@case
def a_plain_file_is_read_by_the_kernel_alone():
    needs_passthrough()
    with mounted(backup_of("db-plain")[0], debug=True) as m:
        check_bytes(m)
        check_parallel(m)
        equal(requests(m)["READ"], 0)
        equal(capabilities(m)["passthrough"], (True, ""))


@case
def of_an_encrypted_backup_nothing_passes_through():
    with mounted(backup_of("db-encrypted")[0]) as m:
        read(film(m))
        equal(capabilities(m)["passthrough"][0], False)


@case
def where_the_kernel_refuses_files_are_read_by_messages():
    needs_passthrough()
    backup = backup_of("db-plain")[0]
    # an overlay of an overlay is more than it takes
    with tmpfs() as top:
        for name in ("a", "b", "c", "one", "two"):
            os.mkdir(f"{top}/{name}")
        over = lambda lower, at: there(at, "mount", "-t", "overlay", "overlay",
                                       "-o", f"lowerdir={lower}", at)
        with over(f"{backup}:{top}/a", f"{top}/one"), \
                over(f"{top}/one:{top}/b", f"{top}/two"), \
                mounted(f"{top}/two", foreground=True) as m:
            check_bytes(m)
            used, why = capabilities(m)["passthrough"]
            equal(used, False)
            assert why, "no reason"
            equal(len([line for line in m.lines()
                       if "files are read by messages" in line]), 1)


# what uid 65534 gets, in a namespace with a /dev/fuse for everybody
UNPRIVILEGED = """
mknod "$1" c 10 229 && chmod 666 "$1" && mount --bind "$1" /dev/fuse || exit 99
exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '
	"$1" "$2" "$3" -o "passfile=$4" || exit
	sha256sum "$3/$5" || exit
	dd "if=$3/$5" bs=1M status=none | sha256sum || exit
	getfattr --absolute-names --only-values -n user.larder.capabilities "$3"
	fusermount3 -u "$3"
' sh "$2" "$3" "$4" "$5" "$6"
"""


@case_for(("db-encrypted", "db-plain"))
def another_user_gets_the_same_bytes_and_reasons(shape):
    folder, at = new_dir("programs"), new_dir("mnt")
    shutil.copy(LARDERFS, folder)
    os.chmod(folder, 0o755)
    backup = new_path("backup")
    shutil.copytree(backup_of(shape)[0], backup)
    execute("chown", "-R", f"{NOBODY}:{NOBODY}", backup, at)
    done = execute(
        "unshare", "-m", "--propagation", "private", "sh", "-c", UNPRIVILEGED,
        "sh", new_path("fuse"), folder + "/larderfs", backup, at, PASSFILE,
        "CameraRollDomain/Media/film.MOV")
    equal((done.returncode, done.stderr), (0, ""), done.stdout)
    lines = done.stdout.splitlines()
    want = hashlib.sha256(CONTENT).hexdigest()
    equal([line.split()[0] for line in lines[:2]], [want, want])
    found = capabilities("\n".join(lines[2:]))
    equal((found["passthrough"][0], found["read-ahead"][0]), (False, False))
    equal(found["ahead"][0], True)
    wait_until(lambda: not processes(), "the end of the daemon")


# --- what is printed ---------------------------------------------------------

@case
def capabilities_are_printed_without_a_mount_or_a_password():
    for args in ((), (backup_of("db-plain")[0],),
                 (backup_of("db-encrypted")[0],)):
        done = larderfs("--capabilities", *args)
        equal((done.returncode, done.stderr), (0, ""))
        found = capabilities(done.stdout)
        for name, (used, note) in found.items():
            assert used or note, f"{name}: no reason"
        if LIBFUSE < (3, 18):
            ring = capabilities(larderfs(
                "--capabilities", *args, "-o", "ways=io-uring").stdout
                )["io-uring"]
            assert "3.18 is needed" in ring[1], ring
        if LIBFUSE < (3, 17):
            assert "3.17 is needed" in found["passthrough"][1], found
        elif args and "encrypted" in args[0]:
            assert "decrypted" in found["passthrough"][1], found
    equal(larderfs("--capabilities", new_dir("empty")).returncode, 3)
    equal(larderfs("--capabilities", TMP, TMP).returncode, 2)


@case_for(("db-encrypted", "db-plain"))
def files_are_opened_in_any_order(shape):
    """One after the other, backwards, every third, by several at once."""
    backup, expect = backup_of(shape)
    want = {line["path"]: line["sha256"] for line in expect_of(expect)
            if "sha256" in line}
    paths = sorted(want)
    shuffled = RNG.sample(paths, len(paths))
    for ways in (DEFAULT, "open-ahead:store-at-open", "open-ahead"):
        for orders in ([paths, paths], [paths[::-1]], [shuffled],
                       [paths[i::3] for i in range(3)]):
            with mounted(backup, "ways=" + ways) as m:
                running = [subprocess.Popen(
                    ["sha256sum", "-z", *order], cwd=m.path, text=True,
                    stdout=subprocess.PIPE) for order in orders]
                for process, order in zip(running, orders):
                    out, _ = process.communicate()
                    equal({line[66:]: line[:64]
                           for line in out.split("\0")[:-1]},
                          {path: want[path] for path in order}, ways)


@case
def of_a_folder_that_is_read_in_order_each_file_takes_two_messages():
    with mounted(backup_of("db-encrypted")[0], debug=True) as m:
        folder = m.inside("HomeDomain/many/3")
        names = sorted(os.listdir(folder))
        before = requests(m)
        for name in names:
            read(f"{folder}/{name}")
        asked = requests(m) - before
        equal(asked["READ"], 0)
        assert asked["OPEN"] <= len(names), asked


@case
def what_comes_next_is_with_the_kernel_before_it_is_opened():
    if os.cpu_count() == 1:
        raise Skip("nobody works ahead on a single processor")
    backup, expect = backup_of("db-encrypted")
    want = {line["path"]: line["sha256"] for line in expect_of(expect)
            if "sha256" in line}
    with mounted(backup, debug=True) as m:
        folder = "HomeDomain/many/3"
        names = sorted(entry.name for entry in os.scandir(m.inside(folder))
                       if entry.stat().st_size)
        for count, name in enumerate(names, 1):
            content = read(m.inside(folder, name))
            equal(hashlib.sha256(content).hexdigest(), want[f"{folder}/{name}"])
            if count == 4:
                wait_until(lambda: len(re.findall("NOTIFY: code=4",
                                                  read(m.log, "r"))) > 4,
                           "what has not been opened yet")
        equal(requests(m)["READ"], 0)


# --- walks -------------------------------------------------------------------

@case_for(("db-encrypted", "mbdb-plain"))
def looking_ahead_changes_nothing_of_what_is_seen(shape):
    backup, expect = backup_of(shape)
    seen = []
    for ways in ("none", "stat-ahead"):
        with mounted(backup, "ways=" + ways) as m:
            equal(execute("sh", "-c", 'cd "$0"; for i in 1 2 3 4; do '
                          'find . -ls >/dev/null & ls -lR >/dev/null & done; '
                          'wait', m.path).returncode, 0)
            seen.append(execute("find", ".", "-printf", "%P %s %m %T@\n",
                                cwd=m.path).stdout)
            equal(differences(expect, m.path), None, ways)
    equal(seen[0], seen[1])


@case
def a_domain_that_nobody_enters_stays_unread():
    if SANITIZED:
        raise Skip("the memory is mostly the sanitizer's")
    with mounted(golden("db-encrypted")) as m:
        before = resident_kib(m)
        for _ in range(3):
            execute("ls", "-l", m.path)
        assert resident_kib(m) - before < 2000


@case
def idle_waits_for_an_open_file_whichever_way_it_is_read():
    ways = ("none", "direct", "passthrough", "silent-open", DEFAULT)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(mounted(backup_of("db-plain")[0], "idle=1",
                                            "ways=" + way)) for way in ways]
        with contextlib.ExitStack() as files:
            opened = [files.enter_context(open(film(m), "rb", 0))
                      for m in held]
            for f in opened:
                equal(f.read(MIB) == CONTENT[:MIB], True, f.name)
            end = time.monotonic() + 3      # nothing may happen
            while time.monotonic() < end:
                equal([way for way, m in zip(ways, held)
                       if not is_mounted(m.path)], [], "unmounted")
                time.sleep(0.05)
            for f in opened:
                equal(os.pread(f.fileno(), MIB, 5 * MIB) ==
                      CONTENT[5 * MIB:6 * MIB], True, f.name)
        for m in held:
            m.ended()


def resident_kib(m):
    return int(re.search(r"VmRSS:\s+(\d+)",
                         read(f"/proc/{m.pid}/status", "r"))[1])


@case_for(("SIGTERM", "SIGKILL"))
def whoever_reads_when_it_ends_gets_an_error(name):
    backup = backup_of("db-encrypted")[0]
    for _ in range(8):
        with mounted(backup) as m:
            readers = [subprocess.Popen(
                ["sh", "-c", 'while cat "$0" >/dev/null; do echo; done',
                 m.inside("CameraRollDomain/Media", path)],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                for path in ("film.MOV", "film that is none.bin")]
            for reader in readers:      # in the midst of it
                reader.stdout.readline()
            os.kill(m.pid, getattr(signal, name))
            for reader in readers:
                reader.wait(20)
            execute("umount", m.path)
            m.ended()


run()
