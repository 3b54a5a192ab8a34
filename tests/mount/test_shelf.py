#!/usr/bin/python3
"""A folder of backups mounts as one tree: what it shows, what stays closed, and
what comes, changes and goes while it is mounted."""

import ctypes
import dataclasses
import datetime
import pty

from trees import *

OTHER = "battery staple"
OTHER_PASSFILE = save(new_path("other"), OTHER + "\n")
HELLO_PATH = "AppDomain-com.example.app/Documents/hello.txt"
NOTE = "HomeDomain/note"
DAY = 86400
NOW = mkbackup.NOW
FIRST = "00008110-000A1B2C3D4E5F67"
SECOND = "00008110-000000000000AAAA"
THIRD = "5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e"


def when(seconds):
    """What a folder is called."""
    return time.strftime("%Y-%m-%d %H.%M", time.gmtime(seconds))


def write_backup(out, udid=FIRST, name="Anna's iPhone", date=NOW, note="note",
                 shape="db-plain", state="finished", files=(), **more):
    """A small backup, that holds `note`."""
    def edit(plist):
        plist["Date"] = datetime.datetime.fromtimestamp(
            date, datetime.timezone.utc).replace(tzinfo=None)

    shape = dataclasses.replace(mkbackup.SHAPES[shape], udid=udid)
    b = mkbackup.Backup(shape, edit=edit, **more)
    b.device_name = name
    b.file("HomeDomain", "note", note.encode())
    for path, data in files:
        b.file("HomeDomain", path, data)
    b.write(out)
    if state != "finished":
        b.write_plists(out, state)
    return out


def some_devices(folder):
    """Three devices, one with three versions."""
    write_backup(f"{folder}/{FIRST}", date=NOW, note="first, new")
    write_backup(f"{folder}/{FIRST}-20240614-100000", date=NOW - DAY,
                 note="first, old")
    write_backup(f"{folder}/{FIRST}-20240613-100000", date=NOW - 2 * DAY,
                 note="first, older")
    write_backup(f"{folder}/{SECOND}", SECOND, "Ben", note="second")
    write_backup(f"{folder}/{THIRD}", THIRD, "Clara", note="third",
                 shape="mbdb-plain")


ANNA, BEN = "Anna's iPhone (00008110)", "Ben (00008110)"
CLARA = "Clara (5f3e1c0a)"


def shape_of(top):
    """{folder: names in it}, two levels."""
    return {name: sorted(os.listdir(f"{top}/{name}"))
            for name in sorted(os.listdir(top))}


def content(top):
    """{device/date: what its note says}"""
    return {f"{device}/{date}": read(f"{top}/{device}/{date}/{NOTE}", "r")
            for device, dates in shape_of(top).items() for date in dates
            if date != "latest"}


def exchange(one, other):
    """In one step, as larder backup does."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def open_files(m):
    """What the daemon has open."""
    found = []
    for name in os.listdir(f"/proc/{m.pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{m.pid}/fd/{name}"))
    return found


# --- what it shows -----------------------------------------------------------

@case
def devices_and_versions_are_folders_and_the_newest_is_latest():
    folder = new_dir("backups")
    some_devices(folder)
    with mounted(folder, passfile=None) as m:
        equal(shape_of(m.path), {
            ANNA: [when(NOW - 2 * DAY), when(NOW - DAY), when(NOW), "latest"],
            BEN: [when(NOW), "latest"], CLARA: [when(NOW), "latest"]})
        equal(content(m.path), {
            f"{ANNA}/{when(NOW)}": "first, new",
            f"{ANNA}/{when(NOW - DAY)}": "first, old",
            f"{ANNA}/{when(NOW - 2 * DAY)}": "first, older",
            f"{BEN}/{when(NOW)}": "second", f"{CLARA}/{when(NOW)}": "third"})
        equal(os.readlink(m.inside(ANNA, "latest")), when(NOW))
        equal(read(m.inside(ANNA, "latest", NOTE)), b"first, new")
        for path, want in ((m.path, NOW), (m.inside(ANNA), NOW),
                           (m.inside(ANNA, when(NOW - DAY)), NOW - DAY)):
            st = os.stat(path)
            equal((int(st.st_mtime), st.st_mode), (want, 0o40755), path)
        equal(mounts()[m.path][2], folder)
        equal(error_of(os.mkdir, m.inside("x")), "EROFS")
        for path in ("x", f"{ANNA}/x", f"{ANNA}/{when(NOW)}/x"):
            equal(error_of(os.stat, m.inside(path)), "ENOENT")


@case
def a_date_is_in_the_time_of_who_mounts():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}")
    with mounted(folder, passfile=None, env=environment(TZ="Asia/Tokyo")) as m:
        equal(os.listdir(m.inside(ANNA))[0], when(NOW + 9 * 3600))


@case
def each_backup_is_what_a_mount_of_it_alone_shows():
    folder = new_dir("backups")
    for shape in SHAPES:
        shutil.copytree(golden(shape), f"{folder}/{shape}")
    with mounted(folder) as m:
        paths = {os.getxattr(path, "user.larder.source").decode(): path
                 for device in os.listdir(m.path)
                 for date in os.listdir(m.inside(device))
                 if date != "latest" for path in [m.inside(device, date)]}
        equal(sorted(paths), sorted(f"{folder}/{shape}" for shape in SHAPES))
        for shape in SHAPES:
            path = paths[f"{folder}/{shape}"]
            equal(differences(golden_expect(shape), path), None, shape)
            with mounted(golden(shape)) as alone:
                for name in ("udid", "encrypted"):
                    equal(os.getxattr(path, "user.larder." + name),
                          os.getxattr(alone.path, "user.larder." + name))
                equal(read(f"{path}/.larder/Manifest.plist"),
                      read(alone.inside(".larder/Manifest.plist")))
                equal(sorted(os.listdir(path)), sorted(os.listdir(alone.path)))
                equal(os.statvfs(path).f_files,
                      os.statvfs(alone.path).f_files)
        equal(os.statvfs(m.path).f_files, sum(
            os.statvfs(path).f_files for path in paths.values()))
        assert b"passthrough=" in os.getxattr(m.path,
                                              "user.larder.capabilities")


@case
def each_backup_tells_desktops_its_name():
    folder = new_dir("backups")
    some_devices(folder)
    with mounted(folder, passfile=None) as m:
        told = read(m.inside(BEN, when(NOW), ".xdg-volume-info"), "r")
        equal(told.splitlines()[:2], ["[Volume Info]", "Name=Ben"])


@case
def the_view_and_the_owner_are_those_of_each():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}")
    with mounted(folder, "view=device", "uid=12", "umask=027",
                 passfile=None) as m:
        path = m.inside(ANNA, "latest", "private/var/mobile/note")
        equal(read(path), b"note")
        for each in (path, m.path, m.inside(ANNA), m.inside(ANNA, "latest")):
            st = os.stat(each)
            equal((st.st_uid, st.st_mode & 0o777),
                  (12, 0o750), each)


@case
def hostile_names_are_shown_escaped():
    folder = new_dir("backups")
    names = ["../../etc", "..", "a\nb", "\u00e4" * 200, "latest",
             ".larder", "%2F", " ", "a" * 300]
    for i, name in enumerate(names):
        write_backup(f"{folder}/{i}", f"{i:08}-0", name, note=name)
    with mounted(folder, passfile=None) as m:
        shown = os.listdir(m.path)
        equal(len(shown), len(names))
        assert all("/" not in name and name not in (".", "..")
                   and len(os.fsencode(name)) <= 255 for name in shown), shown
        equal(sorted(content(m.path).values()), sorted(names))


@case
def those_that_say_nothing_about_themselves_have_the_name_of_their_folder():
    folder = new_dir("backups")
    write_backup(f"{folder}/copy")
    for name in ("Info.plist", "Manifest.plist", "Status.plist"):
        os.unlink(f"{folder}/copy/{name}")
    with mounted(folder, passfile=None) as m:
        equal(list(content(m.path)), ["copy/undated"])


@case
def an_interrupted_one_is_not_the_latest():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}", date=NOW, state="uploading")
    write_backup(f"{folder}/{FIRST}-20240614-100000", date=NOW - DAY)
    write_backup(f"{folder}/{THIRD}", THIRD, "Clara", state="uploading")
    with mounted(folder, passfile=None) as m:
        equal(shape_of(m.path), {ANNA: [when(NOW - DAY), when(NOW), "latest"],
                                 CLARA: [when(NOW)]})
        equal(os.readlink(m.inside(ANNA, "latest")), when(NOW - DAY))


# --- what is damaged, and what is no backup ----------------------------------

@case
def damage_is_told_where_it_is_and_harms_nobody_else():
    folder = new_dir("backups")
    some_devices(folder)
    save(f"{folder}/{THIRD}/Manifest.plist", "no list")
    save(f"{folder}/{FIRST}/Manifest.db",
         b"SQLite format 3\0" + bytes(5000))
    with mounted(folder, passfile=None) as m:
        equal(read(m.inside(BEN, "latest", NOTE)), b"second")
        equal(read(m.inside(ANNA, when(NOW - DAY), NOTE)), b"first, old")
        clara = [name for name in os.listdir(m.path) if THIRD[:8] in name]
        damaged = [m.inside(ANNA, when(NOW))] + [
            m.inside(clara[0], name) for name in os.listdir(
                m.inside(clara[0])) if name != "latest"]
        equal(len(damaged), 2)
        for path, word in zip(damaged, ("Manifest.db", "Manifest.plist")):
            equal(os.listdir(path), ["damaged"])
            text = read(path + "/damaged", "r")
            equal(os.stat(path + "/damaged").st_size, len(text))
            assert word in text and "larder salvage" in text, text
            equal(stat.S_IMODE(os.stat(path + "/damaged").st_mode), 0o444)
            equal(error_of(os.open, path + "/damaged", os.O_RDWR), "EROFS")
            equal(error_of(os.stat, path + "/locked"), "ENOENT")


@case
def what_is_mended_is_shown():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}")
    write_backup(f"{folder}/{SECOND}", SECOND, "Ben")
    good = read(f"{folder}/{FIRST}/Manifest.plist")
    save(f"{folder}/{FIRST}/Manifest.plist", "no list")
    with mounted(folder, passfile=None) as m:
        name, = (name for name in os.listdir(m.path) if name != BEN)
        path = m.inside(name, os.listdir(m.inside(name))[0])
        equal(os.listdir(path), ["damaged"])
        save(f"{folder}/{FIRST}/Manifest.plist", good)
        equal(read(m.inside(ANNA, when(NOW), NOTE)), b"note")


@case
def salvage_shows_what_there_is_of_each():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}")
    save(f"{folder}/{FIRST}/Info.plist", "no list")
    save(f"{folder}/{FIRST}/Manifest.db",
         b"SQLite format 3\0" + bytes(5000))
    with mounted(folder, "salvage", passfile=None) as m:
        path = m.inside(ANNA, when(NOW), "lost+found")
        assert any(read(os.path.join(top, name)) == b"note"
                   for top, _, names in os.walk(path) for name in names)


@case
def nothing_else_is_shown_and_no_link_is_followed():
    folder, elsewhere = new_dir("backups"), new_dir("elsewhere")
    write_backup(f"{folder}/{FIRST}")
    write_backup(f"{elsewhere}/{THIRD}", THIRD)
    os.symlink(f"{elsewhere}/{THIRD}", f"{folder}/{THIRD}")
    shutil.copytree(f"{elsewhere}/{THIRD}", f"{folder}/.larder-x")
    os.makedirs(f"{folder}/pictures/deep")
    save(f"{folder}/file", "x")
    save(f"{folder}/pictures/Manifest.plist", "of something else")
    with mounted(folder, passfile=None) as m:
        equal(os.listdir(m.path), [ANNA])
        # a link that takes the place of what was listed
        os.rename(f"{folder}/{FIRST}", f"{elsewhere}/{FIRST}")
        os.symlink(f"{elsewhere}/{FIRST}", f"{folder}/{FIRST}")
        equal(os.listdir(m.path), [])


@case
def a_folder_that_lets_nobody_in_is_listed():
    if not AS_NOBODY:
        raise Skip("root is let in everywhere")
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}")
    write_backup(f"{folder}/{THIRD}", THIRD)
    os.chmod(f"{folder}/{THIRD}", 0)
    with mounted(folder, passfile=None) as m:
        equal(sorted(os.listdir(m.path)), sorted([ANNA, THIRD]))
        path = m.inside(THIRD, os.listdir(m.inside(THIRD))[0])
        assert "Permission denied" in read(path + "/damaged", "r")
        os.chmod(f"{folder}/{THIRD}", 0o755)
        wait_until(lambda: len(os.listdir(m.path)) == 2 and THIRD not in
                   os.listdir(m.path), "being let in")


# --- passwords ---------------------------------------------------------------

def closed_and_open(folder):
    """A plain backup and two encrypted ones of different passwords."""
    write_backup(f"{folder}/{FIRST}", note="plain")
    write_backup(f"{folder}/{SECOND}", SECOND, "Ben", note="second",
                 shape="db-encrypted", seed=2)
    write_backup(f"{folder}/{THIRD}", THIRD, "Clara", note="third",
                 shape="db-encrypted", password=OTHER, seed=3)
    return [f"{device}/{when(NOW)}" for device in (ANNA, BEN, CLARA)]


@case
def what_no_password_opens_is_closed_and_says_how_to_open_it():
    folder = new_dir("it's a folder")
    plain, second, third = closed_and_open(folder)
    with mounted(folder, passfile=None) as m:
        equal(read(m.inside(plain, NOTE)), b"plain")
        for path, udid in ((second, SECOND), (third, THIRD)):
            equal(os.listdir(m.inside(path)), ["locked"])
            text = read(m.inside(path, "locked"), "r")
            assert "no password was given" in text, text
            command, = re.findall("^    (larder mount .*)", text, re.M)
            done = execute("bash", "-c", f"printf '%s\\n' {command}")
            equal(done.stdout.splitlines()[-1], f"{folder}/{udid}")
            equal(error_of(os.stat, m.inside(path, "HomeDomain")), "ENOENT")
            equal(error_of(os.stat, m.inside(path, ".larder")), "ENOENT")
            equal(os.getxattr(m.inside(path), "user.larder.encrypted"), b"yes")
            assert "user.larder.source" in os.listxattr(m.inside(path))
        # all of it can be walked and copied
        out = new_path("copy")
        equal(execute("cp", "-r", m.path, out).returncode, 0)
        equal(read(f"{out}/{plain}/{NOTE}"), b"plain")


@case_for(["passfile", "extpass", "environment"])
def a_password_opens_those_that_it_fits(way):
    folder = new_dir("backups")
    plain, second, third = closed_and_open(folder)
    options, env = {
        "passfile": (["passfile=" + PASSFILE], environment()),
        "extpass": (["extpass=cat " + PASSFILE], environment()),
        "environment": ([], environment(LARDER_PASSFILE=PASSFILE)),
    }[way]
    with mounted(folder, *options, passfile=None, env=env) as m:
        equal(read(m.inside(plain, NOTE)), b"plain")
        equal(read(m.inside(second, NOTE)), b"second")
        equal(os.listdir(m.inside(third)), ["locked"])
        text = read(m.inside(third, "locked"), "r")
        assert "does not fit" in text, text
        # and one that comes later
        write_backup(f"{folder}/later", "later", "Dora", note="fourth",
                     shape="db-encrypted", seed=4)
        equal(read(m.inside("Dora (later)", "latest", NOTE)), b"fourth")


@case
def a_key_file_opens_its_backup():
    folder, key = new_dir("backups"), new_path("key")
    plain, second, third = closed_and_open(folder)
    equal(larder("key", "--passfile", OTHER_PASSFILE, f"{folder}/{THIRD}",
                 key).returncode, 0)
    os.chmod(key, 0o644)
    with mounted(folder, "keyfile=" + key, passfile=None) as m:
        equal(read(m.inside(third, NOTE)), b"third")
        equal(os.listdir(m.inside(second)), ["locked"])
    with mounted(folder, "keyfile=" + key) as m:
        equal(read(m.inside(third, NOTE)), b"third")
        equal(read(m.inside(second, NOTE)), b"second")


@case
def a_password_that_does_not_fit_is_tried_once():
    folder, calls = new_dir("backups"), save(new_path("calls"), "")
    os.chmod(calls, 0o666)
    # two versions that one derivation is for
    write_backup(f"{folder}/{FIRST}", shape="db-encrypted", date=NOW)
    shutil.copytree(f"{folder}/{FIRST}", f"{folder}/{FIRST}-20240614-100000")
    with mounted(folder, f"extpass=echo x >>{calls}; echo wrong",
                 passfile=None) as m:
        end = time.monotonic() + 5      # more than it takes to be tried again
        while time.monotonic() < end:
            for name in os.listdir(m.inside(ANNA)):
                equal(os.listdir(m.inside(ANNA, name)), ["locked"])
        equal(read(calls), b"x\n")


@case
def a_new_password_file_is_tried():
    folder, passfile = new_dir("backups"), save(new_path("pass"), "wrong\n")
    write_backup(f"{folder}/{FIRST}", shape="db-encrypted")
    with mounted(folder, passfile=passfile) as m:
        equal(os.listdir(m.inside(ANNA, "latest")), ["locked"])
        save(passfile, PASSWORD + "\n")
        wait_until(lambda: os.listdir(m.inside(ANNA, "latest")) ==
                   ["HomeDomain"], "opening")
        equal(read(m.inside(ANNA, "latest", NOTE)), b"note")
        equal(error_of(os.stat, m.inside(ANNA, "latest", "locked")), "ENOENT")


@case
def a_password_that_is_long_in_coming_holds_up_nobody_else():
    folder, go = new_dir("backups"), new_path("go")
    write_backup(f"{folder}/{FIRST}", note="plain")
    for i in range(3):
        write_backup(f"{folder}/slow{i}", f"slow{i}", f"Slow {i}", seed=i,
                     shape="db-encrypted", note="slow")
    wait = f"echo >>{go}.asked; until [ -e {go} ]; do sleep 0.01; done"
    os.chmod(save(go + ".asked", ""), 0o666)
    with mounted(folder, f"extpass={wait}; cat {PASSFILE}",
                 passfile=None) as m:
        done = []

        def enter(i):
            done.append(read(m.inside(f"Slow {i} (slow{i})", "latest", NOTE)))

        # more than there are workers
        threads = [threading.Thread(target=enter, args=(i,))
                   for i in range(3)]
        for t in threads:
            t.start()
        wait_until(lambda: read(go + ".asked"), "the question")
        equal(read(m.inside(ANNA, "latest", NOTE)), b"plain")
        equal(len(os.listdir(m.path)), 4)
        equal((done, read(go + ".asked")), ([], b"\n"))
        save(go, "")
        for t in threads:
            t.join()
        equal(done, [b"slow"] * 3)


@case_for({"right": (PASSWORD, 0, ["HomeDomain"]), "none": ("", 0, ["locked"]),
           "wrong": ("wrong", 12, None)})
def the_terminal_is_asked_once_for_all(_, row):
    text, status, want = row
    if AS_NOBODY:
        raise Skip("root does it")
    folder, at = new_dir("backups"), new_dir("mnt")
    closed_and_open(folder)
    for i in range(3):
        write_backup(f"{folder}/{i}", f"{i:08}", f"More {i}", seed=5 + i,
                     shape="db-encrypted")
    master, slave = pty.openpty()
    with subprocess.Popen(
            [LARDERFS, folder, at], stdin=slave, stdout=slave, stderr=slave,
            env=environment(), start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR))
            ) as p:
        os.close(slave)
        said = b""
        while b": " not in said:
            said += os.read(master, 1000)
        os.write(master, text.encode() + b"\n")
        with contextlib.suppress(OSError):
            while more := os.read(master, 1000):
                said += more
        equal(p.wait(60), status, said)
    os.close(master)
    equal(said.count(b"Password of"), 1, said)
    equal(is_mounted(at), want is not None)
    if want:
        paths = [f"{at}/{name}/latest" for name in os.listdir(at)
                 if name.startswith(("Ben", "More"))]
        equal([os.listdir(path) for path in paths], [want] * 4)
        equal(os.listdir(f"{at}/{CLARA}/latest"), ["locked"])
        equal(execute("umount", at).stderr, "")
    wait_until(lambda: not processes(), "the end of the daemon")


# --- what comes, changes and goes --------------------------------------------

@case
def a_backup_that_comes_or_goes_is_noticed_at_once():
    folder, aside = new_dir("backups"), new_dir("aside")
    some_devices(folder)
    with mounted(folder, passfile=None) as m:
        equal(len(os.listdir(m.path)), 3)
        os.rename(f"{folder}/{SECOND}", f"{aside}/{SECOND}")
        equal(sorted(os.listdir(m.path)), [ANNA, CLARA])
        equal(error_of(os.stat, m.inside(BEN, when(NOW))), "ENOENT")
        os.rename(f"{aside}/{SECOND}", f"{folder}/{SECOND}")
        equal(read(m.inside(BEN, "latest", NOTE)), b"second")
        shutil.rmtree(f"{folder}/{FIRST}")
        equal(os.listdir(m.inside(ANNA)),
              [when(NOW - 2 * DAY), when(NOW - DAY), "latest"])
        equal(read(m.inside(ANNA, "latest", NOTE)), b"first, old")
        write_backup(f"{folder}/{FIRST}", date=NOW + DAY, note="another")
        equal(read(m.inside(ANNA, "latest", NOTE)), b"another")
        equal(os.readlink(m.inside(ANNA, "latest")), when(NOW + DAY))
        for name in os.listdir(folder):
            shutil.rmtree(f"{folder}/{name}")
        equal(os.listdir(m.path), [])
        write_backup(f"{folder}/{THIRD}", THIRD, "Clara")
        equal(os.listdir(m.path), [CLARA])


@case
def a_new_backup_in_the_place_of_an_old_one_is_another():
    folder, beside = new_dir("backups"), new_dir("beside")
    size = 3 << 20
    old, new = (os.urandom(size) for _ in range(2))
    write_backup(f"{folder}/{FIRST}", note="old", files=[("big", old)])
    write_backup(f"{beside}/{FIRST}", note="new", files=[("big", new)])
    path = f"{ANNA}/{when(NOW)}"
    with mounted(folder, passfile=None) as m:
        big = m.inside(path, "HomeDomain/big")
        with open(big, "rb", 0) as f:
            top = os.open(m.inside(path, "HomeDomain"), os.O_RDONLY)
            numbers = [os.stat(p).st_ino for p in (big, m.inside(path))]
            data = f.read(100000)
            exchange(f"{folder}/{FIRST}", f"{beside}/{FIRST}")
            equal(read(m.inside(path, NOTE)), b"new")
            equal(read(big), new)
            assert not set(numbers) & {os.stat(p).st_ino for p in
                                       (big, m.inside(path))}
            shutil.rmtree(f"{beside}/{FIRST}")
            while more := f.read(100000):
                data += more
            equal(data == old, True, "the old one is read to its end")
            # nothing more is opened of what is gone
            equal(error_of(os.open, "note", os.O_RDONLY, dir_fd=top), "ESTALE")
            os.close(top)
        # and it is closed when nobody has it open any more
        os.stat(m.inside(path))
        wait_until(lambda: os.listdir(m.path) and not any(
            "(deleted)" in name for name in open_files(m)), "closing")


@case
def a_version_that_is_kept_goes_on_where_it_was():
    folder, beside = new_dir("backups"), new_dir("beside")
    write_backup(f"{folder}/{FIRST}", note="old", date=NOW - DAY)
    write_backup(f"{beside}/{FIRST}", note="new", date=NOW)
    with mounted(folder, passfile=None) as m:
        old = m.inside(ANNA, when(NOW - DAY))
        top = os.open(old, os.O_RDONLY)
        number = os.stat(f"{old}/{NOTE}").st_ino
        os.rename(f"{folder}/{FIRST}", f"{folder}/{FIRST}-20240614-100000")
        os.rename(f"{beside}/{FIRST}", f"{folder}/{FIRST}")
        equal(content(m.path), {f"{ANNA}/{when(NOW - DAY)}": "old",
                                f"{ANNA}/{when(NOW)}": "new"})
        equal(os.stat(f"{old}/{NOTE}").st_ino, number)
        fd = os.open(NOTE, os.O_RDONLY, dir_fd=top)
        equal(os.read(fd, 10), b"old")
        os.close(fd)
        os.close(top)
        equal(os.getxattr(old, "user.larder.source"),
              os.fsencode(f"{folder}/{FIRST}-20240614-100000"))
        equal(os.readlink(m.inside(ANNA, "latest")), when(NOW))


@case
def a_backup_that_is_written_in_place_is_another():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}", note="old")
    path = f"{ANNA}/{when(NOW)}"
    with mounted(folder, passfile=None) as m:
        equal(read(m.inside(path, NOTE)), b"old")
        number = os.stat(m.inside(path)).st_ino
        shutil.rmtree(f"{folder}/{FIRST}")
        write_backup(f"{folder}/{FIRST}", note="new, and longer")
        equal(read(m.inside(path, NOTE)), b"new, and longer")
        assert os.stat(m.inside(path)).st_ino != number
        # a device that has another name now
        write_backup(new_path("x"), name="Other")
        shutil.rmtree(f"{folder}/{FIRST}")
        write_backup(f"{folder}/{FIRST}", name="Other name")
        equal(os.listdir(m.path), ["Other name (00008110)"])
        equal(error_of(os.stat, m.inside(ANNA)), "ENOENT")


@case
def a_folder_is_walked_while_it_changes():
    folder, beside = new_dir("backups"), new_dir("beside")
    for name in (folder, beside):
        write_backup(f"{name}/{FIRST}", note="same", files=[
            (f"{i}", b"x" * i) for i in range(200)])
    write_backup(f"{folder}/{THIRD}", THIRD, "Clara")
    stop, seen = threading.Event(), []

    def swap():
        while not stop.is_set():
            exchange(f"{folder}/{FIRST}", f"{beside}/{FIRST}")

    with mounted(folder, passfile=None) as m:
        thread = threading.Thread(target=swap)
        thread.start()
        try:
            end = time.monotonic() + 5
            while time.monotonic() < end:
                equal(read(m.inside(CLARA, "latest", NOTE)), b"note")
                try:
                    for i in range(0, 200, 20):
                        data = read(m.inside(ANNA, when(NOW), "HomeDomain",
                                             str(i)))
                        equal(data, b"x" * i)
                    seen.append(True)
                except OSError as e:
                    assert e.errno in (errno.ESTALE, errno.ENOENT,
                                       errno.EIO), e
        finally:
            stop.set()
            thread.join()
        wait_until(lambda: os.path.exists(m.inside(ANNA, when(NOW), NOTE)),
                   "rest")
        equal(read(m.inside(ANNA, when(NOW), NOTE)), b"same")


# where no events are to be had; a namespace of its own has its own limit
POLLED = """
import os, subprocess, sys, time
larderfs, folder, at, more = sys.argv[1:]
with open("/proc/sys/user/max_inotify_instances", "w") as f:
    f.write("0")
done = subprocess.run([larderfs, folder, at])
assert done.returncode == 0, done
try:
    def wait(count):
        end = time.monotonic() + 20
        while len(os.listdir(at)) != count:
            assert time.monotonic() < end, os.listdir(at)
    wait(1)
    os.rename(more, folder + "/more")
    wait(2)
    os.rename(folder + "/more", more)
    wait(1)
    events = [name for pid in os.listdir("/proc") if pid.isdigit()
              and open(f"/proc/{pid}/comm").read() == "larderfs\\n"
              for name in os.listdir(f"/proc/{pid}/fd")
              if "inotify" in os.readlink(f"/proc/{pid}/fd/{name}")]
    assert not events, events
finally:
    subprocess.run(["umount", at])
"""


@case
def where_no_events_come_the_folder_is_polled():
    if AS_NOBODY:
        raise Skip("root does it")
    folder, more = new_dir("backups"), new_path("more")
    write_backup(f"{folder}/{FIRST}")
    write_backup(more, THIRD, "Clara")
    done = execute("unshare", "-Urmpf", "--mount-proc", "/usr/bin/python3",
                   "-c", POLLED, LARDERFS, folder, new_dir("mnt"), more)
    if "unshare failed" in done.stderr:
        raise Skip(done.stderr)
    equal((done.returncode, done.stderr), (0, ""))


# --- many --------------------------------------------------------------------

@case
def forty_are_listed_without_opening_one_and_few_stay_open():
    folder, count = new_dir("backups"), 40
    for i in range(count):
        write_backup(f"{folder}/{i:08}", f"{i:08}", f"Device {i:02}",
                     note=str(i))
    with mounted(folder, passfile=None) as m:
        few = len(open_files(m))
        equal(len(shape_of(m.path)), count)
        equal(execute("ls", "-lR", "--ignore=Home*", m.path).returncode, 0)
        paths = [m.inside(f"Device {i:02} ({i:08})", "latest")
                 for i in range(count)]
        first = open(paths[0] + "/" + NOTE, "rb", 0)
        with first:
            for i, path in enumerate(paths):
                equal(read(f"{path}/{NOTE}"), str(i).encode())
            # what nobody is in is closed again
            databases = lambda: sum(name.endswith("Manifest.db")
                                    for name in open_files(m))
            wait_until(lambda: databases() <= 10, "closing")
            equal(first.read(), b"0")
        for i, path in enumerate(paths):
            equal(read(f"{path}/{NOTE}"), str(i).encode())
    with mounted(folder, passfile=None) as m:
        # the listing alone: nothing of any backup is held open
        equal(len(shape_of(m.path)), count)
        equal(len(open_files(m)), few)


@case
def who_stands_in_a_backup_keeps_it_open():
    folder = new_dir("backups")
    for i in range(20):
        write_backup(f"{folder}/{i:08}", f"{i:08}", f"Device {i:02}",
                     note=str(i))
    with mounted(folder, passfile=None) as m:
        inside = os.open(m.inside("Device 00 (00000000)/latest/HomeDomain"),
                         os.O_RDONLY)
        number = os.stat("note", dir_fd=inside).st_ino
        for i in range(1, 20):
            equal(read(m.inside(f"Device {i:02} ({i:08})", "latest", NOTE)),
                  str(i).encode())
        equal(os.stat("note", dir_fd=inside).st_ino, number)
        fd = os.open("note", os.O_RDONLY, dir_fd=inside)
        equal(os.read(fd, 10), b"0")
        os.close(fd)
        os.close(inside)


@case
def it_is_unmounted_when_idle():
    folder = new_dir("backups")
    write_backup(f"{folder}/{FIRST}")
    with mounted(folder, "idle=1", passfile=None) as m:
        equal(read(m.inside(ANNA, "latest", NOTE)), b"note")
        m.ended()


run()
