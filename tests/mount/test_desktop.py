#!/usr/bin/python3
"""What file managers and the tools of a shell do with a mount."""

import concurrent.futures
import ctypes
import hashlib
import plistlib

from harness import *

DOCUMENTS = "AppDomain-com.example.app/Documents"
HELLO = DOCUMENTS + "/hello.txt"
PROBES = (".Trash", ".Trash-0", ".Trash-1000", ".hidden", ".directory",
          "autorun.inf", "AUTORUN.INF", "BDMV", "VIDEO_TS",
          "DCIM", ".git", ".hg", ".svn", ".bzr", "CVS", "lost+found",
          ".DS_Store", "System Volume Information")


def fill(b):
    """A backup without damage, to be copied with plain tools."""
    rng = b.rng
    b.dir("HomeDomain", mtime=1700000000)
    b.dir("HomeDomain", "Library", mode=0o700)
    for i in range(30):
        b.file("HomeDomain", f"Library/f{i:02d}.bin",
               rng.randbytes(i * i * 97), mode=0o640, mtime=1600000000 + i)
    b.file("HomeDomain", "Library/empty")
    b.file("HomeDomain", "Library/fraction", b"tick",
           mtime=mkbackup.Stamp(1700000000.25, "date"))
    b.file("HomeDomain", "Library/grew", b"x" * 5000, size=10)
    b.dir("MediaDomain", "Media/\u00dcbung", mode=0o755)
    for name in ("line\nbreak", "back\\slash", "-rf", "u\u0308", "\u00fc",
                 "a b", "*", ".hidden", "$(x)"):
        b.file("MediaDomain", "Media/\u00dcbung/" + name, name.encode())
    b.link("MediaDomain", "Media/relative", "\u00dcbung/a b")
    b.link("MediaDomain", "Media/dangling", "/no/such/file")
    b.dir("EmptyDomain", mode=0o750)
    b.file(".xdg-volume-info", "x", b"not the mount's")
    b.file("AppDomain-com.example.app", "Documents/tagged", b"tagged",
           xattrs={"com.example.note": b"abc"})


BACKUP, EXPECT = made_backup("db-encrypted", fill)


def requests_of(m, action):
    before = requests(m)
    action()
    return requests(m) - before


def repeated(m, action, *uncounted):
    """Requests of a repetition, the least of a few: the kernel drops what it
    keeps whenever it reclaims memory, but what it may not keep it asks for
    each time."""
    least = None
    for _ in range(5):
        again = requests_of(m, action)
        for name in uncounted:
            del again[name]
        if least is None or sum(again.values()) < sum(least.values()):
            least = again
        if not sum(least.values()):
            break
    return least


def succeeds(*argv, **more):
    done = execute(*argv, **more)
    equal((done.returncode, done.stderr), (0, ""), argv[0])
    return done.stdout


# --- file managers -----------------------------------------------------------

def attributes(text):
    return dict(re.findall(r"^  ([\w:.-]+): (.*)$", text, re.M))


@case
def gio_lists_and_describes():
    if not shutil.which("gio"):
        raise Skip("gio is not installed")
    with mounted(golden("db-encrypted")) as m:
        rows = [line.split("\t") for line in succeeds(
            "gio", "list", "-h", "-l", m.inside(DOCUMENTS)).splitlines()]
        kinds = {row[0]: (row[1], row[2]) for row in rows}
        equal(kinds["hello.txt"], ("5", "(regular)"))
        equal(kinds["sizes"][1], "(directory)")
        equal(kinds["links"][1], "(directory)")
        equal(set(kinds), set(os.listdir(m.inside(DOCUMENTS))))
        info = attributes(succeeds("gio", "info", m.inside(HELLO)))
        equal((info["standard::type"], info["standard::size"],
               info["standard::content-type"], info["time::modified"],
               info["standard::display-name"]),
              ("1", "5", "text/plain", str(mkbackup.NOW), "hello.txt"))
        equal((info["access::can-read"], info["unix::mode"],
               info["xattr::com.example.note"]),
              ("TRUE", str(0o100644), "abc"))
        info = attributes(succeeds("gio", "info", m.inside(DOCUMENTS)))
        equal((info["standard::type"], info["standard::content-type"]),
              ("2", "inode/directory"))
        info = attributes(succeeds("gio", "info", "--nofollow-symlinks",
                                   m.inside(DOCUMENTS + "/links/relative")))
        equal((info["standard::is-symlink"],
               info["standard::symlink-target"]), ("TRUE", "../hello.txt"))
        equal(succeeds("gio", "cat", m.inside(HELLO)), "hello")


@case
def gio_is_told_that_the_file_system_is_read_only():
    if not shutil.which("gio"):
        raise Skip("gio is not installed")
    with mounted(golden("db-encrypted")) as m:
        info = attributes(succeeds("gio", "info", "-f", m.path))
        equal(info["filesystem::readonly"], "TRUE")
        equal(info["filesystem::type"], "fuse")
        # a size without free space is none to gio
        equal(info.get("filesystem::free", "0"), "0")
        done = execute("gio", "trash", m.inside(HELLO))
        assert done.returncode, done
        equal(read(m.inside(HELLO)), b"hello")


@case
def statfs_tells_the_size_and_the_number_of_entries():
    with mounted(golden("db-plain")) as m:
        info = json.loads(larder("info", "--json",
                                 golden("db-plain")).stdout)
        st = os.statvfs(m.path)
        equal((st.f_files, st.f_ffree), (info["records"], 0))
        equal(st.f_blocks, -(-info["bytes"] // st.f_frsize))
        equal((st.f_bfree, st.f_bavail, st.f_namemax), (0, 0, 255))
        assert st.f_flag & os.ST_RDONLY and st.f_flag & os.ST_NOSUID
        equal(os.statvfs(m.inside(HELLO)), os.statvfs(m.path))
        assert " 100% " in succeeds("df", m.path)


@case
def getfattr_dumps_what_the_manifest_says():
    with mounted(golden("db-encrypted")) as m:
        root = succeeds("getfattr", "-d", "-m", "-", "--absolute-names",
                        m.path)
        equal(root.splitlines()[1:], [
            'user.larder.encrypted="yes"',
            f'user.larder.source="{golden("db-encrypted")}"',
            f'user.larder.udid="{mkbackup.SHAPES["db-encrypted"].udid}"', ""])
        names = {line.split("=")[0] for line in succeeds(
            "getfattr", "-d", "-m", "-", "--absolute-names",
            m.inside(HELLO)).splitlines()[1:] if line}
        equal(names, {"user.com.example.note"} | {
            "user.larder." + name for name in (
                "domain", "path", "file-id", "protection-class", "uid", "gid",
                "inode", "birthtime", "digest")})
        # a symlink's attributes are its target's
        equal(os.getxattr(m.inside(DOCUMENTS + "/links/relative"),
                          "user.larder.path"), b"Documents/hello.txt")
        for name in ("user.none", "security.selinux", "security.capability",
                     "system.posix_acl_access", "user.", "user.larder.",
                     "trusted.x"):
            assert error_of(os.getxattr, m.inside(HELLO), name) in (
                "ENODATA", "EOPNOTSUPP", "EINVAL"), name
        # what an overlay hides of the root can be found there
        equal(sorted(os.listxattr(m.inside(".larder"))),
              sorted(os.listxattr(m.path)))
        equal(os.listxattr(m.inside(".larder/Info.plist")), [])
        # what nobody may read is not listed
        equal(os.listxattr(m.inside(DOCUMENTS + "/links/relative"),
                           follow_symlinks=False), [])
    with mounted(golden("mbdb-plain")) as m:
        equal(os.getxattr(m.path, "user.larder.encrypted"), b"no")


@case
def a_buffer_too_small_for_an_attribute_is_erange():
    with mounted(golden("db-encrypted")) as m:
        libc = ctypes.CDLL(None, use_errno=True)
        path, name = os.fsencode(m.inside(HELLO)), b"user.larder.file-id"
        equal(libc.getxattr(path, name, None, 0), 40)
        equal(libc.getxattr(path, name, ctypes.create_string_buffer(39), 39),
              -1)
        equal(ctypes.get_errno(), errno.ERANGE)
        equal(libc.listxattr(path, ctypes.create_string_buffer(5), 5), -1)
        equal(ctypes.get_errno(), errno.ERANGE)


@case
def probes_for_what_is_not_there_are_answered_once():
    with mounted(golden("db-plain"), debug=True) as m:
        places = [m.path, m.inside("HomeDomain"), m.inside(DOCUMENTS)]
        os.listdir(places[2])

        def probe():
            for place in places:
                for name in PROBES:
                    equal(error_of(os.lstat, f"{place}/{name}"), "ENOENT",
                          name)

        first = requests_of(m, probe)
        assert first["LOOKUP"] >= len(PROBES), first
        equal(dict(repeated(m, probe)), {})


@case
def probes_cost_no_access_to_the_backup():
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    with mounted(BACKUP, foreground=True) as m:
        places = [m.path, m.inside("HomeDomain"), m.inside("MediaDomain")]
        for place in places:
            os.listdir(place)               # a file manager is there already
        trace = new_path("trace")
        tracer = subprocess.Popen(
            ["strace", "-f", "-y", "-s", "300", "-o", trace, "-p", str(m.pid)],
            stderr=subprocess.PIPE, text=True)
        assert "attached" in tracer.stderr.readline()
        for place in places:
            for name in PROBES:
                equal(error_of(os.lstat, f"{place}/{name}"), "ENOENT", name)
        equal(read(m.inside("HomeDomain/Library/fraction")), b"tick")
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
        # what is asked comes through the device, then a file is opened
        asked, opened = read(trace, "r").split(r"fraction\0", 1)
        for name in PROBES:
            assert name + r"\0" in asked, name
        equal((BACKUP in asked, BACKUP in opened), (False, True))


@case
def desktops_are_told_the_name_and_the_icon_of_the_device():
    def fill_one(b):
        b.file("HomeDomain", "x", b"x")

    for name, shown in (("Anna's iPhone", None), ("", "Backup"),
                        (" a\\b\nc", r"\sa\\b\nc")):
        backup, _ = made_backup("db-plain", fill_one)
        path = backup + "/Info.plist"
        info = plistlib.loads(read(path))
        info["Device Name"] = info["Display Name"] = name
        save(path, plistlib.dumps(info))
        with mounted(backup) as m:
            volume = m.inside(".xdg-volume-info")
            equal(read(volume, "r"), "[Volume Info]\nName="
                  f"{shown or name}\nIcon=phone\n")
            equal(os.stat(volume).st_size, len(read(volume)))
            equal(os.listdir(m.path), ["HomeDomain"])
            equal(error_of(open, volume, "wb"), "EROFS")
            equal(os.listxattr(volume), [])
    with mounted(BACKUP) as m:
        equal(read(m.inside("%2Exdg-volume-info/x")), b"not the mount's")


@case
def thumbnailers_read_headers_in_parallel():
    with mounted(BACKUP) as m:
        files = {line["path"]: line for line in expect_of(EXPECT)
                 if line["type"] == "f"}

        def thumbnail(path):
            with open(m.inside(path), "rb", 0) as f:
                head = f.read(4096)
                equal(os.fstat(f.fileno()).st_size, files[path]["size"], path)
                equal(len(head), min(4096, files[path]["size"]), path)
                if len(head) < 4096:
                    equal(hashlib.sha256(head).hexdigest(),
                          files[path]["sha256"], path)
            return path

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for path in pool.map(thumbnail, sorted(files) * 20):
                assert path


# --- .larder -----------------------------------------------------------------

@case_for(SHAPES)
def the_property_lists_are_there_and_not_listed(shape):
    with mounted(golden(shape)) as m:
        assert ".larder" not in os.listdir(m.path)
        assert ".larder" not in succeeds("ls", "-a", m.path).splitlines()
        own = m.inside(".larder")
        equal(sorted(os.listdir(own)),
              ["Info.plist", "Manifest.plist", "Status.plist"])
        for name in os.listdir(own):
            original = f"{golden(shape)}/{name}"
            equal(read(f"{own}/{name}"), read(original), name)
            st = os.stat(f"{own}/{name}")
            equal((st.st_size, st.st_mtime_ns, stat.S_IMODE(st.st_mode)),
                  (os.stat(original).st_size, os.stat(original).st_mtime_ns,
                   0o444), name)
        equal(error_of(read, own + "/Manifest.db"), "ENOENT")
        equal(error_of(read, own + "/../Manifest.plist"), "ENOENT")
        equal(error_of(open, own + "/Info.plist", "wb"), "EROFS")
        equal(os.path.samefile(own + "/..", m.path), True)
        # the domain of that name is another folder
        equal(read(m.inside("%2Elarder/Info.plist")), b"not the backup's")


@case
def a_property_list_that_is_missing_is_not_there():
    backup = new_path("backup")
    shutil.copytree(golden("db-plain"), backup)
    os.remove(backup + "/Status.plist")
    with mounted(backup) as m:
        equal(sorted(os.listdir(m.inside(".larder"))),
              ["Info.plist", "Manifest.plist"])
        equal(error_of(read, m.inside(".larder/Status.plist")), "ENOENT")


# --- tools of the shell ------------------------------------------------------

@case
def find_ls_and_du_agree_on_what_is_there():
    lines = expect_of(EXPECT)
    with mounted(BACKUP) as m:
        found = succeeds("find", m.path, "-mindepth", "1", "-printf",
                         r"%P\t%y\t%s\t%m\0").split("\0")[:-1]
        rows = {row[0]: row[1:] for row in (r.split("\t") for r in found)}
        equal(sorted(rows), sorted(line["path"] for line in lines))
        for line in lines:
            kind, size, mode = rows[line["path"]]
            equal((kind, mode), (line["type"], f"{line['mode']:o}"))
            if line["type"] == "f":
                equal(int(size), line["size"])
        succeeds("ls", "-lR", m.path)
        # `total` counts every file's blocks
        size = sum(line["size"] for line in lines if line["type"] == "f")
        assert size <= int(succeeds("du", "-sb", m.path).split()[0]) \
            <= size + 5000
        kib = int(succeeds("du", "-sk", m.path).split()[0])
        assert size // 1024 <= kib <= size // 1024 + len(lines), (size, kib)
        leaf = succeeds("find", m.path, "-type", "d", "-links", "2").split()
        equal(leaf, [], "link counts that mislead")


@case
def grep_through_everything_finds_what_is_there():
    with mounted(BACKUP) as m:
        equal(succeeds("grep", "-rlI", "^tagged$", m.path).strip(),
              m.inside(DOCUMENTS + "/tagged"))


COPIES = {
    "cp -a": 'cp -a "$1/." "$2"',
    "tar": 'tar -C "$1" --format=posix -cf - . | tar -C "$2" -xpf -',
    "rsync -a": 'rsync -a "$1/" "$2"',
}


@case_for(COPIES)
def a_copy_of_the_tree_is_equal_by(tool, script):
    if not shutil.which(tool.split()[0]):
        raise Skip(f"{tool.split()[0]} is not installed")
    lines = expect_of(EXPECT)
    for line in lines:
        if line["type"] == "l":                     # Linux has no other
            line["mode"] = 0o777
    expect = new_path("EXPECT")
    mkbackup.write_expect(expect, lines)
    with mounted(BACKUP) as m:
        to = new_dir("copy")
        equal(succeeds("sh", "-ec", script, "sh", m.path, to), "")
        equal(differences(expect, to, "--no-xattrs"), None)
        equal(succeeds("diff", "-r", "--no-dereference", m.path, to), "")


@case
def cp_takes_the_extended_attributes_along():
    with mounted(BACKUP) as m:
        to = new_path("tagged")
        succeeds("cp", "-a", m.inside(DOCUMENTS + "/tagged"), to)
        try:
            equal(os.getxattr(to, "user.com.example.note"), b"abc")
        except OSError as e:
            raise Skip(f"{TMP} keeps no attributes: {e.strerror}") from e
        equal(os.getxattr(to, "user.larder.path"), b"Documents/tagged")


# --- the kernel's caches -----------------------------------------------------

SCALE = new_path("scale")


@case_for({"find -ls": ["find", "-ls"], "ls -lR": ["ls", "-lR"],
           "du": ["du", "-a"]})
def a_second_walk_sends_nearly_no_requests(_, argv):
    if not os.path.exists(SCALE):
        mkbackup.write_scale(mkbackup.Backup("db-plain"), SCALE, 3000, True,
                             None)
    with mounted(SCALE, debug=True) as m:
        walk = lambda: succeeds(argv[0], m.path, *argv[1:])
        first = requests_of(m, walk)
        # `ls -l` asks for access control lists, which FUSE does not cache
        second = repeated(m, walk, "STATFS", "GETXATTR")
        assert first["READDIRPLUS"] > 300, first
        # attributes come with the listing
        assert first["LOOKUP"] + first["GETATTR"] < 400, first
        assert sum(second.values()) <= 5, second


@case
def a_second_read_of_a_file_is_answered_by_the_kernel():
    with mounted(BACKUP, "ways=none", debug=True) as m:
        path = m.inside("HomeDomain/Library/f29.bin")
        reading = lambda: read(path)
        first = requests_of(m, reading)
        assert first["READ"], first
        equal(repeated(m, reading, "OPEN", "RELEASE", "FLUSH", "GETATTR",
                       "GETXATTR", "LOOKUP", "STATFS")["READ"], 0)


@case
def a_link_is_read_once():
    with mounted(BACKUP, debug=True) as m:
        reading = lambda: os.readlink(m.inside("MediaDomain/Media/relative"))
        equal(requests_of(m, reading)["READLINK"], 1)
        equal(repeated(m, reading)["READLINK"], 0)


# --- inode numbers and names -------------------------------------------------

@case
def inode_numbers_are_different_and_stay():
    def numbers(m):
        found = {}
        for folder, folders, names in os.walk(os.fsencode(m.path)):
            for name in folders + names:
                path = os.path.join(folder, name)
                found[path] = os.lstat(path).st_ino
            with os.scandir(folder) as entries:
                for entry in entries:
                    equal(entry.inode(), found[entry.path], entry.path)
        return found

    with mounted(golden("db-encrypted")) as m:
        first = numbers(m)
        equal(len(set(first.values())), len(first))
        execute("sh", "-c", "echo 3 >/proc/sys/vm/drop_caches")
        equal(numbers(m), first)


@case
def a_listing_can_be_left_and_gone_on_with():
    # a folder so large that its listing takes many requests
    def fill_one(b):
        for i in range(3000):
            b.file("HomeDomain", f"one/name-of-a-file-{i:05d}", b"", cut=0)

    backup, _ = made_backup("db-plain", fill_one)
    with mounted(backup) as m:
        names = [f"name-of-a-file-{i:05d}" for i in range(3000)]
        equal(sorted(os.listdir(m.inside("HomeDomain/one"))), names)
        with os.scandir(m.inside("HomeDomain/one")) as entries:
            some = [next(entries).name for _ in range(1500)]
            equal(sorted(os.listdir(m.inside("HomeDomain/one"))), names)
            some += [entry.name for entry in entries]
        equal(sorted(some), names)


run()
