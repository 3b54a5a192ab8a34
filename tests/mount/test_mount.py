#!/usr/bin/python3
"""Coming and going as mount(8), fstab, other users and signals have it."""

import ctypes
import mmap

from harness import *

PLAIN = golden("db-plain")
ENCRYPTED = golden("db-encrypted")
HELLO = "AppDomain-com.example.app/Documents/hello.txt"


def refused(status, words, *args, at=None, **more):
    """It does not mount, and says why in one line."""
    at = at or new_dir("mnt")
    count = read("/proc/self/mountinfo").count(b"\n")
    done = larderfs(*args, at, **more)
    equal(done.returncode, status, done.stderr)
    equal(read("/proc/self/mountinfo").count(b"\n"), count, "mounts")
    line = one_line(done.stderr)
    assert words in line, line
    return line


def nobody_can(m, *argv):
    """What a program of another user prints, or None if it fails."""
    done = execute(*as_nobody(*argv))
    return done.stdout if done.returncode == 0 else None


def programs_for_nobody():
    """Copies that another user can reach, wherever the stage is."""
    folder = new_dir("programs")
    shutil.copy(LARDERFS, folder)
    os.chmod(folder, 0o755)
    return folder + "/larderfs"


def backup_for_nobody(original):
    out = new_path("backup")
    shutil.copytree(original, out)
    execute("chown", "-R", f"{NOBODY}:{NOBODY}", out)
    return out


# --- background, foreground, the end -----------------------------------------

@case
def the_parent_returns_when_the_mount_answers():
    at = new_dir("mnt")
    for _ in range(25):
        with mounted(PLAIN, at=at) as m:
            assert HELLO.split("/")[0] in os.listdir(m.path)
            equal(read(m.inside(HELLO)), b"hello")


@case
def in_the_foreground_it_stays_and_prints_nothing():
    with mounted(PLAIN, foreground=True) as m:
        equal(read(m.inside(HELLO)), b"hello")
        equal(m.process.poll(), None)
        equal(m.pids, [m.process.pid])
        equal(m.unmount(), 0)
        equal([line for line in m.lines() if "for one path" not in line], [])


@case
def with_d_every_request_is_printed():
    with mounted(PLAIN, debug=True) as m:
        equal(read(m.inside(HELLO)), b"hello")
        equal(m.unmount(), 0)
        assert any("opcode: LOOKUP" in line for line in m.lines()), m.lines()


SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@case_for(SIGNALS)
def the_signal_ends_it_with_no_mount_left(name):
    with mounted(PLAIN) as m:
        os.kill(m.pid, getattr(signal, name))
        m.ended()
    with mounted(PLAIN, foreground=True) as m:
        os.kill(m.process.pid, getattr(signal, name))
        equal(m.ended(), 0, "exit status")


@case_for(SIGNALS)
def the_signal_ends_it_while_a_file_is_open(name):
    with mounted(PLAIN) as m:
        fd = os.open(m.inside(HELLO), os.O_RDONLY)
        os.kill(m.pid, getattr(signal, name))
        m.ended()
        equal(error_of(os.close, fd), "ENOTCONN")


@case_for(("umount", "fusermount3 -u"))
def this_ends_it(command):
    with mounted(PLAIN) as m:
        equal(read(m.inside(HELLO)), b"hello")
        done = execute(*command.split(), m.path)
        equal((done.returncode, done.stderr), (0, ""))
        m.ended()
    with mounted(PLAIN, foreground=True) as m:
        execute(*command.split(), m.path)
        equal(m.ended(), 0, "exit status")


@case_for(("umount", "fusermount3 -u"))
def this_is_refused_while_a_file_is_open(command):
    with mounted(PLAIN) as m:
        with open(m.inside(HELLO), "rb", 0) as f:
            assert execute(*command.split(), m.path).returncode
            equal(f.read(), b"hello")
            assert is_mounted(m.path)
        done = execute(*command.split(), m.path)
        equal((done.returncode, done.stderr), (0, ""))
        m.ended()


@case_for(("umount -l", "fusermount3 -uz"))
def this_takes_it_away_and_an_open_file_keeps_it_alive(command):
    with mounted(PLAIN) as m:
        with open(m.inside(HELLO), "rb", 0) as f:
            equal(execute(*command.split(), m.path).returncode, 0)
            equal(is_mounted(m.path), False)
            equal(f.read(), b"hello")
            equal(len(m.pids), 1)
        m.ended()


@case
def killed_it_leaves_a_mount_that_umount_cleans_up():
    with mounted(PLAIN) as m:
        os.kill(m.pid, signal.SIGKILL)
        wait_until(lambda: not m.pids, "its end")
        assert error_of(os.listdir, m.path) in ("ENOTCONN", "ECONNABORTED")
        equal(execute("umount", m.path).returncode, 0)
        equal(os.listdir(m.path), [])


@case
def the_same_place_can_be_mounted_again_and_again():
    at = new_dir("mnt")
    for shape in SHAPES:
        with mounted(golden(shape), at=at) as m:
            equal(os.getxattr(m.path, "user.larder.source"),
                  os.fsencode(golden(shape)))


@case
def two_mounts_of_one_backup_do_not_mind_each_other():
    with mounted(ENCRYPTED) as one, mounted(ENCRYPTED) as two:
        equal(read(one.inside(HELLO)), b"hello")
        one.unmount()
        assert os.listdir(two.path)


@case
def names_may_be_relative():
    folder = new_dir("cwd")
    shutil.copytree(PLAIN, folder + "/backup")
    os.mkdir(folder + "/mnt")
    shutil.copy(PASSFILE, folder + "/pass")
    done = larderfs("backup", "mnt", "-o", "passfile=pass", cwd=folder)
    try:
        equal((done.returncode, done.stderr), (0, ""))
        at = folder + "/mnt"
        equal(read(f"{at}/{HELLO}"), b"hello")
        equal(mounts()[at][2], folder + "/backup")
    finally:
        equal(execute("umount", folder + "/mnt").returncode, 0)


# --- what the kernel is told -------------------------------------------------

@case
def mountinfo_shows_type_source_and_safe_options():
    with mounted(PLAIN) as m:
        options, kind, source, _ = mounts()[m.path]
        equal((kind, source), ("fuse.larderfs", PLAIN))
        equal({"ro", "nosuid", "nodev"} - set(options), set())


@case_for(("with, comma", "with space", "with \\ backslash", "tab\tand \\,",
           "\u00fc\u0308 \u65e5"))
def the_source_is_a_path_that(name):
    source = f"{new_dir('odd')}/{name}"
    shutil.copytree(PLAIN, source)
    with mounted(source) as m:
        equal(mounts()[m.path][1:3], ("fuse.larderfs", source))
        equal(os.getxattr(m.path, "user.larder.source"), source.encode())


@case_for(("with, comma", "with space", "with \\ backslash", "-o"))
def the_mountpoint_is_a_path_that(name):
    at = f"{new_dir('odd')}/{name}"
    os.mkdir(at)
    with mounted(PLAIN, at=at) as m:
        equal(read(m.inside(HELLO)), b"hello")


@case
def a_mountpoint_through_a_symlink_is_its_target():
    at, link = new_dir("mnt"), new_path("link")
    os.symlink(at, link)
    done = larderfs(PLAIN, link)
    equal((done.returncode, done.stderr), (0, ""))
    equal((is_mounted(at), is_mounted(link)), (True, False))
    equal(execute("umount", link).returncode, 0)


# --- owners and permissions --------------------------------------------------

def look(m, path):
    st = os.lstat(m.inside(path))
    return f"{st.st_uid}:{st.st_gid} {stat.S_IMODE(st.st_mode):04o}"


PRIVATE = "KeychainDomain/keychain-backup.plist"        # 0600 below 0700
LINK = "AppDomain-com.example.app/Documents/links/up"   # 0777


@case_for({
    "no option": ("0:0 0644", "0:0 0600", "0:0 0700"),
    "uid=1234": ("1234:0 0644", "1234:0 0600", "1234:0 0700"),
    "gid=77": ("0:77 0644", "0:77 0600", "0:77 0700"),
    "uid=1,gid=2,umask=027": ("1:2 0750", "1:2 0750", "1:2 0750"),
    "umask=0": ("0:0 0777", "0:0 0777", "0:0 0777"),
    "fmask=0137": ("0:0 0640", "0:0 0640", "0:0 0700"),
    "dmask=022": ("0:0 0644", "0:0 0600", "0:0 0755"),
    "umask=077,fmask=177": ("0:0 0600", "0:0 0600", "0:0 0700"),
    "fmask=133,dmask=022": ("0:0 0644", "0:0 0644", "0:0 0755"),
})
def these_are_owner_and_permissions(options, want):
    with mounted(PLAIN, *(() if "=" not in options else [options])) as m:
        equal((look(m, HELLO), look(m, PRIVATE), look(m, "KeychainDomain")),
              want)
        # also of what the backup has no record of
        equal(look(m, ".larder/Info.plist")[:-5], want[0][:-5])
        assert look(m, LINK).endswith("0777"), look(m, LINK)


@case
def another_user_is_kept_out():
    with mounted(PLAIN) as m:
        done = execute(*as_nobody("ls", m.path))
        assert done.returncode and "Permission denied" in done.stderr, done
        equal(nobody_can(m, "cat", m.inside(HELLO)), None)


@case
def with_allow_other_another_user_gets_what_the_modes_allow():
    with mounted(PLAIN, "allow_other") as m:
        assert HELLO.split("/")[0] in nobody_can(m, "ls", m.path)
        equal(nobody_can(m, "cat", m.inside(HELLO)), "hello")
        equal(nobody_can(m, "cat", m.inside(PRIVATE)), None)
        equal(nobody_can(m, "ls", m.inside("KeychainDomain")), None)
        # inside a folder of 0755 a file of 0400
        equal(nobody_can(m, "cat", m.inside(
            "CameraRollDomain/Media/Times/read-only")), None)
        equal(nobody_can(m, "cat", m.inside(
            "CameraRollDomain/Media/Times/epoch")), "tick")
        assert nobody_can(m, "ls", m.inside(".larder")) is not None
    with mounted(PLAIN, "allow_other", f"uid={NOBODY}", "umask=077") as m:
        assert nobody_can(m, "cat", m.inside(PRIVATE)) is not None
        equal(nobody_can(m, "setpriv", "true"), "")


@case
def the_setuid_bit_of_a_file_counts_for_nothing():
    with mounted(PLAIN, "allow_other") as m:
        path = m.inside("CameraRollDomain/Media/Times/setuid")
        equal(stat.S_IMODE(os.stat(path).st_mode), 0o4755)
        assert "nosuid" in mounts()[m.path][0]


# what uid 65534 does, with a /dev/fuse for everybody, in a namespace inside
# ours: mount, look, unmount
UNPRIVILEGED = """
mknod "$1" c 10 229 && chmod 666 "$1" && mount --bind "$1" /dev/fuse || exit 99
shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c '
	"$1" "$2" "$3" -o "passfile=$4" || exit
	cat "$3/$5" || exit
	stat -c " %u:%g %A" "$3/$5" || exit
	grep -c " $3 ro,.*nosuid,.*nodev.* fuse.larderfs $2 " /proc/self/mountinfo
	if cat "$3/missing" 2>/dev/null; then exit 98; fi
	shift 2
	fusermount3 -u "$1" || exit
	if grep " $1 " /proc/self/mountinfo; then exit 97; fi
' sh "$@"
"""


@case
def an_ordinary_user_mounts_through_fusermount3():
    at = new_dir("mnt")
    os.chown(at, NOBODY, NOBODY)
    done = execute(
        "unshare", "-m", "--propagation", "private", "sh", "-c", UNPRIVILEGED,
        "sh", new_path("fuse"), programs_for_nobody(),
        backup_for_nobody(ENCRYPTED), at,
        PASSFILE, HELLO)
    equal((done.returncode, done.stderr), (0, ""), done.stdout)
    equal(done.stdout, f"hello {NOBODY}:{NOBODY} -rw-r--r--\n1\n")
    wait_until(lambda: not processes(), "the end of the daemon")


@case
def where_fuse_is_forbidden_the_parent_says_so():
    at = new_dir("mnt")     # root's: fusermount3 refuses
    done = execute(*as_nobody(programs_for_nobody(), backup_for_nobody(PLAIN),
                              at))
    equal((done.returncode, is_mounted(at)), (1, False))
    assert "larderfs: cannot mount on " + at in done.stderr, done.stderr
    equal(wait_for_none(processes), [])


# --- mountpoints that are refused --------------------------------------------

@contextlib.contextmanager
def backup_with_folders():
    """A backup with a folder where something could be mounted."""
    backup = new_path("backup")
    shutil.copytree(PLAIN, backup)
    os.makedirs(backup + "/sub/deep")
    before = sorted(os.listdir(backup))
    yield backup
    equal(sorted(os.listdir(backup)), before)


@case
def a_mountpoint_inside_the_backup_is_refused():
    with backup_with_folders() as backup:
        for at in ("", "/", "/sub", "/sub/deep", "/sub/../sub", "/."):
            refused(1, "inside the backup", backup, at=backup + at)


@case
def a_mountpoint_inside_the_backup_by_a_symlink_is_refused():
    with backup_with_folders() as backup:
        to_sub, to_backup = new_path("to-sub"), new_path("to-backup")
        os.symlink(backup + "/sub", to_sub)
        os.symlink(backup, to_backup)
        refused(1, "inside the backup", backup, at=to_sub)
        refused(1, "inside the backup", backup, at=to_sub + "/deep")
        refused(1, "inside the backup", backup, at=to_backup + "/sub")
        refused(1, "inside the backup", to_backup, at=backup + "/sub")


@case
def a_mountpoint_inside_the_backup_by_a_bind_mount_is_refused():
    with backup_with_folders() as backup:
        bind = new_dir("bind")
        equal(execute("mount", "--bind", backup, bind).returncode, 0)
        try:
            for at in ("", "/sub", "/sub/deep"):
                refused(1, "inside the backup", backup, at=bind + at)
                refused(1, "inside the backup", bind, at=backup + at)
        finally:
            execute("umount", bind)


@case
def a_mountpoint_that_is_missing_or_no_folder_is_refused():
    refused(1, "No such file or directory", PLAIN, at=new_path("missing"))
    refused(1, "Not a directory", PLAIN, at=save(new_path("file"), b""))
    looping = new_path("loop")
    os.symlink(looping, looping)
    refused(1, "symbolic links", PLAIN, at=looping)
    done = larderfs(PLAIN, "")
    equal(done.returncode, 1)
    assert "mountpoint" in one_line(done.stderr)


@case
def a_mountpoint_above_the_backup_hides_but_reads_it():
    above = new_dir("above")
    shutil.copytree(PLAIN, above + "/backup")
    with mounted(above + "/backup", at=above) as m:
        equal(differences(golden_expect("db-plain"), m.path), None)


# --- the device's own view ---------------------------------------------------

@case_for(("db-encrypted", "mbdb-plain"))
def view_device_shows_the_devices_own_paths(shape):
    def fill(b):
        b.dir("HomeDomain", mode=0o711)
        b.dir("HomeDomain", "Library", mode=0o700)
        b.file("HomeDomain", "Library/SMS/sms.db", b"messages")
        b.dir("CameraRollDomain")
        b.dir("CameraRollDomain", "Media")
        b.file("CameraRollDomain", "Media/DCIM/1.JPG", b"picture")
        b.file("MediaDomain", "Media/Recordings/1.m4a", b"sound")
        b.file("WirelessDomain", "Library/x.db", b"radio")
        b.file("AppDomain-com.example.app", "Documents/a.txt", b"app")
        b.file("AppDomainGroup-group.com.example", "b.txt", b"group")

    backup, expect = made_backup(shape, fill)
    with mounted(backup, "view=device") as m:
        mobile = m.inside("private/var/mobile")
        equal(sorted(os.listdir(mobile))[-2:], ["Library", "Media"])
        equal(look(m, "private/var/mobile/Library"), "0:0 0700")
        equal(read(mobile + "/Library/SMS/sms.db"), b"messages")
        equal(read(mobile + "/Media/DCIM/1.JPG"), b"picture")
        equal(read(mobile + "/Media/Recordings/1.m4a"), b"sound")
        equal(sorted(os.listdir(mobile + "/Media")), ["DCIM", "Recordings"])
        equal(os.getxattr(mobile + "/Media/DCIM/1.JPG", "user.larder.domain"),
              b"CameraRollDomain")
        equal(os.getxattr(mobile + "/Library/SMS/sms.db",
                          "user.larder.path"), b"Library/SMS/sms.db")
        # nothing is lost and nothing doubled
        found = {}
        for folder, _, names in os.walk(m.path):
            for name in names:
                path = os.path.join(folder, name)
                found[read(path)] = os.getxattr(path, "user.larder.domain")
        equal(sorted(found), [b"app", b"group", b"messages", b"picture",
                              b"radio", b"sound"])
        equal([name for name in os.listdir(m.path) if "Domain" in name], [])
        equal(read(m.inside(".larder/Info.plist")),
              read(backup + "/Info.plist"))
    with mounted(backup, "view=domains") as m:
        equal(differences(expect, m.path), None)


@case_for(SHAPES)
def view_device_shows_every_entry_of_an_odd_backup(shape):
    lines = expect_of(golden_expect(shape))
    want = sorted(line["xattrs"]["user.larder.file-id"] for line in lines
                  if line["type"] == "f")
    with mounted(golden(shape), "view=device", notes=True) as m:
        got = []
        for folder, _, names in os.walk(os.fsencode(m.path)):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    got.append(mkbackup.base64.b64encode(os.getxattr(
                        path, "user.larder.file-id")).decode())
        equal(sorted(got), want)


# --- idleness ----------------------------------------------------------------

@case
def idle_1_unmounts_after_a_while():
    with mounted(PLAIN, "idle=1") as m:
        equal(read(m.inside(HELLO)), b"hello")
        m.ended()
    with mounted(PLAIN, "idle=1", foreground=True) as m:
        equal(m.ended(), 0, "exit status")


def still_there(m):
    """That nothing happens can only be waited for: thrice the time."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert is_mounted(m.path), "it has unmounted itself"
        time.sleep(0.05)


@case
def idle_1_waits_for_an_open_file_and_for_a_working_folder():
    with mounted(PLAIN, "idle=1") as m, mounted(PLAIN, "idle=1") as other:
        with subprocess.Popen(
                ["cat"], cwd=other.inside("HomeDomain"),
                stdin=subprocess.PIPE) as cat, \
                open(m.inside(HELLO), "rb", 0) as f:
            still_there(m)
            assert is_mounted(other.path), "in spite of a working folder"
            equal(f.read(), b"hello")
            equal(read(f"/proc/{cat.pid}/cwd/Library/Both/thing/below"),
                  b"below a file")
        m.ended()
        other.ended()


@case
def idle_1_waits_for_a_file_that_is_mapped_and_closed():
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                          ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    with mounted(PLAIN, "idle=1") as m:
        fd = os.open(m.inside(HELLO), os.O_RDONLY)
        at = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        os.close(fd)
        assert at != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno())
        still_there(m)
        equal(ctypes.string_at(at, 5), b"hello")
        equal(libc.munmap(at, 4096), 0)
        m.ended()


@case
def idle_1_leaves_alone_what_has_been_mounted_there_since():
    with mounted(PLAIN, "idle=1") as m, mounted(PLAIN, "idle=1") as other:
        with subprocess.Popen(["cat"], cwd=other.inside("HomeDomain"),
                              stdin=subprocess.PIPE):
            equal(execute("umount", "-l", other.path).returncode, 0)
            for path in (m.path, other.path):
                execute("mount", "-t", "tmpfs", "tmpfs", path)
            still_there(m)
            for path in (m.path, other.path):
                equal(mounts()[path][1], "tmpfs")
                execute("umount", path)
        m.ended()
        other.ended()


# --- options -----------------------------------------------------------------

@case_for(("bogus", "bogus=1", "uid=x", "uid=-1", "uid=4294967295", "uid=",
           "umask=8", "umask=1777", "fmask=rw", "idle=soon", "view=other",
           "view", "nofail,bogus", "password=secret"))
def an_unknown_option_is_a_usage_error(option):
    line = refused(2, "option", PLAIN, "-o", option)
    assert option.split(",")[-1] in line, line


@case_for(("nofail,_netdev,user,noauto", "x-systemd.automount,x-gvfs-show",
           "defaults", "rw", "ro", "comment=systemd.automount",
           "noatime,nodiratime,async,users,auto,exec,noexec,suid,dev",
           "x-systemd.idle-timeout=60,X-mount.mkdir", ",,", "allow_root",
           "default_permissions", "auto_unmount", "nonempty"))
def these_options_are_accepted(options):
    done = execute("fusermount3", "--" + options.replace("_", "-"), "--help")
    if options == "auto_unmount" and "unrecognized" in done.stderr \
            and b"libfuse3.so.3" not in read(LARDERFS):
        raise Skip("the system's fusermount3 is older than libfuse")
    with mounted(PLAIN, options) as m:
        equal(read(m.inside(HELLO)), b"hello")
        equal(error_of(os.mkdir, m.inside("x")), "EROFS")
        assert "ro" in mounts()[m.path][0]


@case_for(("defaults,rw", "suid,dev"))
def no_mount_is_other_than_nosuid_nodev_and_ro(options):
    with mounted(PLAIN, options) as m:
        equal({"nosuid", "nodev", "ro"} - set(mounts()[m.path][0]), set())


@case
def a_label_is_left_to_the_kernel():
    at = new_dir("mnt")
    # which refuses all where nothing has labels, and one like this elsewhere
    done = larderfs(PLAIN, at, "-o", "context=label")
    equal((done.returncode, is_mounted(at)), (1, False))
    assert f"cannot mount on {at}\n" in done.stderr, done.stderr


@case
def words_missing_or_too_many_are_a_usage_error():
    for args in ([], [PLAIN], [PLAIN, TMP, TMP], ["-x", PLAIN, TMP],
                 [PLAIN, TMP, "-o"], ["--bogus", PLAIN, TMP]):
        done = larderfs(*args)
        equal((done.returncode, done.stdout), (2, ""), str(args))
        assert done.stderr, args
        equal(is_mounted(TMP), False)


# --- mount(8) and fstab ------------------------------------------------------

# a namespace in which all is where it will be
INSTALLED = """
set -e
mount -t overlay overlay -o "lowerdir=$1/usr/local/bin:/usr/local/bin" \
	/usr/local/bin
mount -t overlay overlay -o "lowerdir=$1/sbin:/usr/sbin" /usr/sbin
if [ "$2" ]; then mount --bind "$2" /etc/fstab; fi
script=$3
shift 3
. "$script"
"""


def installed(script, *args, fstab=""):
    return execute(
        "unshare", "-m", "--propagation", "private", "sh", "-c", INSTALLED,
        "sh", STAGE, fstab and save(new_path("fstab"), fstab),
        save(new_path("script"), script), *args)


def succeeds(done, stdout):
    equal((done.returncode, done.stderr, done.stdout), (0, "", stdout))
    wait_until(lambda: not processes(), "the end of the daemon")


@case
def mount_t_larderfs_mounts_and_umount_unmounts():
    succeeds(installed("""
mount -t larderfs -o "passfile=$3,nofail,x-systemd.automount,_netdev" "$1" "$2"
findmnt -rno FSTYPE,SOURCE "$2"
cat "$2/$4"
echo
umount "$2"
findmnt "$2" || echo gone
mount -vt larderfs -o "passfile=$3" "$1" "$2" >/dev/null
cat "$2/$4"
umount "$2"
""", ENCRYPTED, new_dir("mnt"), PASSFILE, HELLO),
             f"fuse.larderfs {ENCRYPTED}\nhello\ngone\nhello")


@case
def a_line_of_fstab_mounts():
    at, backup = new_dir("mnt"), f"{new_dir('with space')}/a backup"
    shutil.copytree(ENCRYPTED, backup)
    line = f"{backup} {at}".replace("with space", r"with\040space") \
        .replace("a backup", r"a\040backup")
    succeeds(installed(
        """
mount "$1"
findmnt -rno FSTYPE "$1"
cat "$1/$2"
stat -c ' %u:%g %a' "$1/$2"
umount "$1"
findmnt "$1" || echo gone
""", at, HELLO, fstab=f"{line} larderfs passfile={PASSFILE},user,noauto,nofail,"
        "_netdev,x-systemd.automount,x-systemd.idle-timeout=60,uid=12,gid=34,"
        "umask=022 0 0\n"), "fuse.larderfs\nhello 12:34 755\ngone\n")


@case
def mount_a_mounts_a_line_of_defaults():
    at = new_dir("mnt")
    succeeds(installed("""
mount -a -t larderfs
cat "$1/$2"
umount "$1"
""", at, HELLO, fstab=f"{PLAIN} {at} larderfs defaults 0 0\n"), "hello")


@case
def mount_a_leaves_alone_what_is_mounted_already():
    at = new_dir("mnt")
    link = new_path("link")
    os.symlink(PLAIN, link)
    succeeds(installed("""
mount -a
mount -a
findmnt -rno SOURCE "$1"
umount -a -t fuse.larderfs
findmnt "$1" || echo gone
""", at, fstab=f"{link} {at} larderfs defaults 0 0\n"),
             f"{PLAIN}\ngone\n")


@case
def mount_a_goes_on_without_a_backup_that_may_be_missing():
    at, other, missing = new_dir("mnt"), new_dir("mnt"), new_path("missing")
    line = f"{missing} {at} larderfs %s 0 0\n"
    script = """
set +e
mount -a 2>&1
echo $?
mount "$1" 2>&1
echo $?
findmnt "$1"
if findmnt -rno TARGET "$2"; then umount "$2"; fi
"""
    says = f"larderfs: {missing}: No such file or directory\n"
    succeeds(installed(script, at, other, fstab=line % "nofail"),
             f"{says}0\n{says}0\n")
    succeeds(installed(script, at, other, fstab=line % "defaults"),
             f"{says}32\n{says}3\n")
    both = f"{PLAIN} {other} larderfs defaults 0 0\n"
    succeeds(installed(script, at, other, fstab=line % "nofail" + both),
             f"{says}0\n{says}0\n{other}\n")
    succeeds(installed(script, at, other, fstab=line % "defaults" + both),
             f"{says}64\n{says}3\n{other}\n")


@case
def nofail_is_for_what_is_missing_alone():
    at = new_dir("mnt")
    says = f"larderfs: {ENCRYPTED}: password needed, and none was given\n"
    succeeds(installed("""
set +e
mount "$1" 2>&1
echo $?
""", at, fstab=f"{ENCRYPTED} {at} larderfs nofail 0 0\n"), says + "13\n")
    done = larderfs(new_path("missing"), at, "-o", "nofail")
    equal((done.returncode, is_mounted(at)), (3, False))


@case
def a_user_mounts_and_unmounts_what_fstab_allows():
    at = new_dir("mnt")
    os.chown(at, NOBODY, NOBODY)
    done = installed("""
mknod "$5" c 10 229
chmod 666 "$5"
mount --bind "$5" /dev/fuse
setpriv --reuid=65534 --regid=65534 --clear-groups sh -ec '
	mount "$1"
	cat "$1/$2"
	umount "$1"
	if findmnt "$1"; then exit 9; fi
' sh "$@"
""", at, HELLO, "", "", new_path("fuse"),
                     fstab=f"{backup_for_nobody(ENCRYPTED)} {at} larderfs "
                     f"passfile={PASSFILE},user,noauto 0 0\n")
    succeeds(done, "hello")


@case
def mount_f_mounts_nothing_but_finds_what_is_wrong():
    succeeds(installed("""
mount -f -t larderfs -o "passfile=$3" "$1" "$2"
findmnt "$2" || echo nothing
mount.larderfs "$1" "$2" -f -o "passfile=$3"
findmnt "$2" || echo nothing
mount.larderfs "$1" "$2" -f -o passfile=/dev/null 2>/dev/null || echo $?
""", ENCRYPTED, new_dir("mnt"), PASSFILE), "nothing\nnothing\n13\n")


@case
def the_helper_takes_the_words_of_mount_8():
    at = new_dir("mnt")
    succeeds(installed("""
mount.larderfs "$1" "$2" -s -n -v -o rw,noexec -t fuse.larderfs \\
	-N /proc/self/ns/mnt
findmnt -rno FSTYPE "$2"
umount "$2"
mount -s -t larderfs -o bogus,bogus=1 "$1" "$2"
findmnt -rno FSTYPE "$2"
umount "$2"
mount -s -t larderfs -o idle=soon "$1" "$2" 2>/dev/null || echo $?
""", PLAIN, at), "fuse.larderfs\nfuse.larderfs\n2\n")


@case
def mount_N_mounts_in_another_namespace():
    at = new_dir("mnt")
    succeeds(installed("""
unshare -m --propagation private sleep 1000 &
while [ "$(readlink /proc/$!/ns/mnt)" = "$(readlink /proc/$$/ns/mnt)" ]; do :; done
mount -N $! -t larderfs "$1" "$2"
findmnt "$2" || echo not here
nsenter -t $! -m findmnt -rno FSTYPE "$2"
nsenter -t $! -m umount "$2"
kill $!
mount.larderfs "$1" "$2" -N /proc/self/ns/net 2>&1 || echo $?
""", PLAIN, at), "not here\nfuse.larderfs\nlarderfs: mount namespace "
             "/proc/self/ns/net: Invalid argument\n1\n")


@case
def mount_o_remount_changes_nothing_and_says_so():
    succeeds(installed("""
set +e
mount -t larderfs "$1" "$2"
findmnt -rno OPTIONS "$2" >"$2.before"
mount -o remount,rw,exec "$2" 2>&1
echo $?
findmnt -rno OPTIONS "$2" | cmp - "$2.before" && echo as before
umount "$2"
""", PLAIN, new_dir("mnt")), "larderfs: a mount cannot be changed: unmount it, "
             "and mount it again\n2\nas before\n")


@case
def the_type_fuse_larderfs_does_as_well():
    if not shutil.which("mount.fuse3"):
        raise Skip("needs mount.fuse3")
    at = new_dir("mnt")
    # mount.fuse3 adds suid and dev by itself
    succeeds(installed("""
mount -a
mount -a
findmnt -rno FSTYPE,SOURCE,OPTIONS "$1" | sed 's/,relatime.*//'
cat "$1/$2"
umount -a -t fuse.larderfs
findmnt "$1" || echo gone
""", at, HELLO, fstab=f"{ENCRYPTED} {at} fuse.larderfs passfile={PASSFILE},"
        "umask=022,nofail,_netdev,x-systemd.automount,comment=x 0 0\n"),
             f"fuse.larderfs {ENCRYPTED} ro,nosuid,nodev\nhellogone\n")


@case
def mount_fails_with_the_status_and_the_line_of_the_helper():
    done = installed("""
set +e
mount -t larderfs -o "passfile=$3" "$1" "$2"
echo $?
mount -t larderfs -o bogus "$1" "$2"
echo $?
""", ENCRYPTED, new_dir("mnt"), save(new_path("wrong"), "wrong\n"))
    equal(done.stdout.split(), ["12", "2"], done.stderr)
    equal(done.stderr.count("\n"), 2, done.stderr)


run()
