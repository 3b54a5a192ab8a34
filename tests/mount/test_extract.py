#!/usr/bin/python3
"""larder extract: a tree of files, an archive, and what stands in their way.

What is extracted is compared with EXPECT listings, which come from the script
that makes the backups, and archives are read by Python's own tarfile.
"""

import base64
import fcntl
import hashlib
import random
import resource
import tarfile
import urllib.parse

from trees import *

MIB = 1 << 20
WORK = ".larder-extract"
DAMAGED = 26
FINISHED = {"event", "folder", "files", "folders", "links", "bytes", "kept",
            "damaged", "failed", "seconds"}


def extract(backup, *options, out=None, status=0, passfile=PASSFILE, **more):
    """larder extract --json; (folder, last event, all events)"""
    out = out or new_path("extracted")
    done = larder("extract", "--json", "--passfile", passfile, *options,
                  backup, out, **more)
    text = done.stdout + done.stderr
    equal(done.returncode, status, text)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    if status == 0:
        equal((set(events[-1]), done.stderr), (FINISHED, ""))
        assert not os.path.lexists(f"{out}/{WORK}"), "the work folder is left"
    elif events:
        equal((events[-1]["event"], events[-1]["status"]), ("error", status))
        equal(done.stderr, f"larder: {events[-1]['message']}\n")
    return out, events[-1] if events else None, events


def refused(backup, out, *options, status=1, passfile=PASSFILE):
    """The one line that it ends with."""
    done = larder("extract", "--quiet", "--passfile", passfile, *options,
                  backup, out)
    equal((done.returncode, done.stdout), (status, ""), done.stderr)
    return one_line(done.stderr)


def shows(expect, out):
    equal(differences(expect, out, "--extracted"), None)


def damaged_in(expect):
    return {line["path"] for line in expect_of(expect) if "error" in line}


# --- all of it ---------------------------------------------------------------

def golden_status(shape):
    """All golden backups have damaged files in them."""
    return DAMAGED


@case_for(SHAPES)
def the_golden_backup_extracted_is_what_it_is_to_be(shape):
    before = snapshot(golden(shape))
    out, _, events = extract(golden(shape), status=golden_status(shape))
    shows(golden_expect(shape), out)
    equal(changes(before, snapshot(golden(shape))), [])
    told = {e["path"] for e in events if e["event"] == "damaged"}
    missing = damaged_in(golden_expect(shape)) - told
    equal(missing, set(), "damage that was not told")
    # a plain payload that is shorter than recorded is shown as it is
    equal({path for path in told - damaged_in(golden_expect(shape))
           if mkbackup.SHAPES[shape].encrypted}, set())
    finished, = (e for e in events if e["event"] == "finished")
    equal(finished["damaged"], len(told))
    assert not os.path.lexists(f"{out}/{WORK}")


@case_for(SHAPES)
def twenty_thousand_files_are_extracted(shape):
    backup = new_path(shape)
    mkbackup.write_scale(mkbackup.Backup(shape, seed=11), backup, 20000, True,
                         backup + ".expect")
    out, last, _ = extract(backup)
    shows(backup + ".expect", out)
    equal((last["files"], last["kept"]), (20000, 0))
    equal(last["bytes"], sum(line.get("size", 0) for line
                             in expect_of(backup + ".expect")))
    shutil.rmtree(backup)
    shutil.rmtree(out)


def fill_large(b):
    """Files beyond the size from which they are taken in pieces."""
    b.parents("CameraRollDomain", "Media/DCIM/1.MOV")
    for name, size in (("1", 33 * MIB), ("2", 32 * MIB), ("3", 50 * MIB + 7),
                       ("4", 8 * MIB), ("5", 32 * MIB - 1)):
        b.file("CameraRollDomain", f"Media/DCIM/{name}.MOV",
               b.rng.randbytes(size), mode=0o640)
    b.file("CameraRollDomain", "Media/DCIM/marked.MOV",
           b.rng.randbytes(40 * MIB + 1), mode=0o400,
           xattrs={"com.example.note": b"\0bytes\xff"})


_large = {}


def large(shape):
    if shape not in _large:
        _large[shape] = made_backup(shape, fill_large)
    return _large[shape]


@case_for(("db-encrypted", "db-plain"))
def large_files_are_extracted_in_pieces(shape):
    backup, expect = large(shape)
    out, last, _ = extract(backup)
    shows(expect, out)
    equal(last["files"], 6)
    shutil.rmtree(out)


@case_for(("btrfs", "xfs", "tmpfs", "exfat", "vfat"))
def other_file_systems_take_it_too(kind):
    backup, expect = backup_for_edits_with_expect("db-plain")
    place = tmpfs() if kind == "tmpfs" else image(kind)
    with place as at:
        if kind in ("exfat", "vfat"):
            done = larder("extract", backup, at + "/out")
            # no links there; everything else is
            equal(done.returncode, 1, done.stderr)
            assert "Documents/link: " in done.stderr, done.stderr
            equal(read(f"{at}/out/{HELLO}"), b"hello")
            return
        out, *_ = extract(backup, out=at + "/out")
        shows(expect, out)


def backup_for_edits_with_expect(shape):
    backup = backup_for_edits(shape)
    return backup, backup + ".expect"


@case
def plain_payloads_are_shared_where_the_file_system_can():
    backup, expect = large("db-plain")
    with image("btrfs", 1 << 30) as at:
        copy = shutil.copytree(backup, at + "/backup")
        os.sync()
        before = shutil.disk_usage(at).used
        out, *_ = extract(copy, out=at + "/out")
        os.sync()
        grown = shutil.disk_usage(at).used - before
        assert grown < 20 * MIB, f"{grown} bytes more"
        shows(expect, out)


@case
def the_view_of_a_device_is_that_of_a_mount():
    backup = backup_for_edits("db-encrypted")
    out, *_ = extract(backup, "--view", "device")
    with mounted(backup, "view=device") as m:
        equal(unlike(tree_of(out), tree_of(m.path)), [])


@case
def files_are_the_users_alone_to_come_to():
    out, *_ = extract(backup_for_edits("db-plain"))
    equal(stat.S_IMODE(os.stat(out).st_mode), 0o700)


@case
def an_unprivileged_user_can_extract():
    backup, expect = backup_for_edits_with_expect("db-plain")
    copy = shutil.copytree(backup, new_path("backup"))
    place = new_dir("place")
    os.chown(place, NOBODY, NOBODY)
    done = execute(*as_nobody(LARDER), "extract", "--quiet", copy,
                   place + "/out")
    equal((done.returncode, done.stderr), (0, ""))
    shows(expect, place + "/out")


@case
def folders_that_their_owner_may_not_enter_are_filled_and_gone_on_with():
    def fill(b):
        for mode in (0o000, 0o200, 0o500):
            b.dir("HomeDomain", f"closed {mode:o}", mode=mode)
            b.file("HomeDomain", f"closed {mode:o}/file", b"x" * 1000,
                   mode=mode & 0o444, xattrs={"com.example.a": b"b"})
        for i in range(40):
            b.file("HomeDomain", f"open/{i}", bytes(i))
    backup, expect = made_backup("db-plain", fill)
    place = new_dir("place")
    os.chown(place, NOBODY, NOBODY)
    out = place + "/out"
    assert killed_at(backup, out, ("utimensat", 12), user=as_nobody())
    done = execute(*as_nobody(LARDER), "extract", "--quiet", backup, out)
    equal((done.returncode, done.stderr), (0, ""))
    shows(expect, out)


# --- a part ------------------------------------------------------------------

@case
def only_what_is_selected_and_the_folders_above_it_are_extracted():
    backup = backup_for_edits("db-encrypted")
    with mounted(backup) as m:
        whole = tree_of(m.path)
    tests = {
        ("--only", "CameraRollDomain"):
            lambda p: p.split("/")[0] == "CameraRollDomain",
        ("--only", "CameraRollDomain/Media/DCIM/*/*.MOV"):
            lambda p: p.endswith(".MOV"),
        ("--app", "com.example.app"):
            lambda p: p.split("/")[0] in (APP, WIDGET, GROUP, SHARED),
        ("--exclude", "HomeDomain", "--exclude", APP + "/Documents/sizes"):
            lambda p: not (p + "/").startswith(("HomeDomain/",
                           APP + "/Documents/sizes/")),
        ("--only", APP, "--exclude", "*/*/link"):
            lambda p: p.startswith(APP + "/") and not p.endswith("/link"),
    }
    for options, chosen in tests.items():
        want = {path for path in whole if chosen(path)}
        want |= {path.rsplit("/", n)[0] for path in want
                 for n in range(1, path.count("/") + 1)}
        out, *_ = extract(backup, *options)
        equal(unlike(tree_of(out), {p: whole[p] for p in want}), [],
              str(options))
        equal(attributes_of(out, ours=True), {}, "a part passes for all")


@case
def parts_can_be_extracted_one_after_the_other():
    backup, expect = backup_for_edits_with_expect("db-plain")
    out = new_path("parts")
    extract(backup, "--only", "HomeDomain", out=out)
    extract(backup, "--only", APP, out=out)
    extract(backup, "--exclude", "HomeDomain", "--exclude", APP, out=out)
    shows(expect, out)


@case
def a_pattern_that_matches_nothing_leaves_nothing():
    out = new_path("none")
    line = refused(backup_for_edits("db-plain"), out, "--only", "NoDomain",
                   status=3)
    assert "nothing matches" in line
    assert not os.path.lexists(out)


# --- as a source -------------------------------------------------------------

@case_for(SHAPES)
def what_was_extracted_is_unchanged_to_pack(shape):
    want = sum("error" in line for line in expect_of(golden_expect(shape)))
    backup = golden(shape)
    out, *_ = extract(backup, status=DAMAGED)
    for base in ((), ("--base", backup)):
        done = larder("pack", "--json", "--passfile", PASSFILE, *base, out,
                      new_path("packed"))
        equal(done.returncode, 0, done.stdout + done.stderr)
        last = json.loads(done.stdout.splitlines()[-1])
        # what could not be read whole is another file; one is not there
        equal((last["changed"], last["added"], last["removed"]),
              (want - 1, 0, 1), f"{shape} {base}")


@case
def restore_sees_no_change_in_what_was_extracted():
    backup = backup_for_edits("db-encrypted")
    out, *_ = extract(backup)
    done = larder("restore", "--dry-run", "--json", "--passfile", PASSFILE,
                  out)
    equal(done.returncode, 0, done.stdout + done.stderr)
    plan, = (e for e in map(json.loads, done.stdout.splitlines())
             if "changed" in e)
    equal((plan["changed"], plan["added"], plan["removed"]), (0, 0, 0))


# --- archives ----------------------------------------------------------------

def members(path):
    """{name: (member, content)} of an archive"""
    found = {}
    with tarfile.open(path, errors="surrogateescape",
                      encoding="utf-8") as archive:
        for member in archive:
            assert member.name not in found, f"{member.name!r} twice"
            found[member.name] = member, archive.extractfile(member).read() \
                if member.isreg() else None
    return found


def check_archive(path, expect):
    found = members(path)
    lines = {line["path"]: line for line in expect_of(expect)}
    missing = {name for name in lines.keys() - found.keys()
               if lines[name].get("readable") != 0}
    equal((missing, found.keys() - lines.keys()), (set(), set()))
    for name, (m, data) in found.items():
        line = lines[name]
        kind = "f" if m.isreg() else "d" if m.isdir() else "l"
        equal(kind, line["type"], name)
        if kind == "l":
            equal(m.linkname, line["target"], name)
        else:
            equal(m.mode, line["mode"] & 0o777, name)
        if "mtime_ns" in line:
            # exactly, not as a float
            text = m.pax_headers.get("mtime", str(int(m.mtime)))
            whole, _, rest = text.partition(".")
            got = abs(int(whole)) * 10**9 + int(rest.ljust(9, "0") or 0)
            equal(-got if text.startswith("-") else got, line["mtime_ns"],
                  name)
        if kind == "f" and "error" in line:
            good = line["readable"]
            equal(len(data), line["size"], name)
            equal(hashlib.sha256(data[:good]).hexdigest(),
                  line["sha256_readable"], name)
            equal(data[good:], bytes(line["size"] - good), name)
        elif kind == "f":
            equal(hashlib.sha256(data).hexdigest(), line["sha256"], name)
        own = {k: base64.b64decode(v) for k, v in line.get("xattrs", {})
               .items() if not k.startswith("user.larder.")}
        # libarchive writes what is beyond ASCII in these names as URLs do
        got = {urllib.parse.unquote(k[13:]): v.encode("utf-8", "surrogateescape")
               for k, v in m.pax_headers.items()
               if k.startswith("SCHILY.xattr.")}
        if kind != "l":
            equal(got, own, name)


@case_for(SHAPES)
def the_golden_backup_as_an_archive_is_what_it_is_to_be(shape):
    out = new_path("tar")
    done = larder("extract", "--quiet", "--passfile", PASSFILE, "--tar", out,
                  golden(shape))
    equal(done.returncode, DAMAGED, done.stderr)
    check_archive(out, golden_expect(shape))
    equal(stat.S_IMODE(os.stat(out).st_mode), 0o600)


@case
def an_archive_streams_to_standard_output():
    backup, expect = large("db-encrypted")
    out = new_path("tar")
    with open(out, "wb") as f:
        done = execute(LARDER, "extract", "--passfile", PASSFILE, "--tar", "-",
                       backup, capture_output=False, stdout=f,
                       stderr=subprocess.PIPE)
    equal(done.returncode, 0, done.stderr)
    assert done.stderr.startswith("6 files, "), done.stderr
    check_archive(out, expect)
    # and GNU tar has no complaint
    listing = execute("tar", "-tf", out)
    equal((listing.returncode, listing.stderr), (0, ""))


@case
def a_part_can_be_archived():
    out = new_path("tar")
    done = larder("extract", "--passfile", PASSFILE, "--only",
                  APP + "/Documents/hello.txt", "--tar", out,
                  backup_for_edits("db-encrypted"))
    equal(done.returncode, 0, done.stderr)
    equal(sorted(members(out)), [APP, APP + "/Documents", HELLO])


def only_small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))


@case
def an_archive_replaces_nothing_unless_told_and_leaves_nothing_half_done():
    backup, place = backup_for_edits("db-plain"), new_dir("place")
    out = save(place + "/tar", b"stays")
    line = one_line(larder("extract", "--tar", out, backup).stderr)
    assert "is there already" in line, line
    equal(read(out), b"stays")
    done = larder("extract", "--overwrite", "--tar", out, backup)
    equal(done.returncode, 0, done.stderr)
    assert members(out)
    os.unlink(out)
    killed = larder("extract", "--passfile", PASSFILE, "--tar", out,
                    large("db-plain")[0],
                    preexec_fn=only_small_files)
    equal(killed.returncode, 1, killed.stderr)
    assert "File too large" in killed.stderr, killed.stderr
    equal(os.listdir(place), [])


@case
def a_device_or_pipe_is_written_to_and_never_replaced():
    backup, place = backup_for_edits("db-plain"), new_dir("place")
    os.mknod(place + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.symlink("null", place + "/link")
    os.symlink("nothing", place + "/dangling")
    os.mkfifo(place + "/pipe")
    before = snapshot_of_links(place)
    for options in ((), ("--overwrite",)):
        for name in ("null", "link"):
            done = larder("extract", "--quiet", *options, "--tar",
                          f"{place}/{name}", backup)
            equal((done.returncode, done.stderr), (0, ""))
        equal(larder("extract", "--quiet", *options, "--tar",
                     f"{place}/dangling", backup).returncode, 1)
        with subprocess.Popen([LARDER, "extract", "--quiet", *options, "--tar",
                               place + "/pipe", backup],
                              env=environment()) as process:
            data = read(place + "/pipe")
            equal(process.wait(30), 0)
        assert HELLO in members(save(new_path("tar"), data))
    after = snapshot_of_links(place)
    equal({name: entry[::2] for name, entry in before.items()},
          {name: entry[::2] for name, entry in after.items()})


@case
def a_reader_that_goes_away_ends_it():
    argv = [LARDER, "extract", "--quiet", "--tar", "-", large("db-plain")[0]]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(),
                          stderr=subprocess.PIPE) as process:
        process.stdout.read(100000)
        process.stdout.close()
        message = process.stderr.read().decode()
        status = process.wait(30)
    # by the signal, or by what writing says
    assert status in (1, -signal.SIGPIPE), (status, message)


# --- what is in the way ------------------------------------------------------

@case
def what_is_there_is_left_alone_and_named():
    backup = backup_for_edits("db-plain")
    for put in (lambda path: save(path, b"mine"),
                lambda path: os.symlink("/etc/passwd", path),
                lambda path: os.symlink("nowhere", path),
                lambda path: os.mkfifo(path)):
        out = new_dir("there")
        os.makedirs(f"{out}/{APP}/Documents")
        put(f"{out}/{HELLO}")
        before = snapshot_of_links(out)
        line = refused(backup, out)
        assert HELLO in line and "is there already" in line, line
        equal(snapshot_of_links(out), before)


def snapshot_of_links(folder):
    """Without reading what may be a FIFO."""
    return {os.path.join(top, name): (
                os.lstat(os.path.join(top, name)).st_mode,
                os.lstat(os.path.join(top, name)).st_mtime_ns,
                os.lstat(os.path.join(top, name)).st_ino)
            for top, folders, names in os.walk(folder)
            for name in folders + names}


@case
def a_link_in_place_of_a_folder_leads_nowhere():
    backup = backup_for_edits("db-plain")
    for overwrite in (False, True):
        out, outside = new_dir("out"), new_dir("outside")
        os.mkdir(f"{out}/{APP}")
        os.symlink(outside, f"{out}/{APP}/Documents")
        os.symlink(outside, f"{out}/HomeDomain")
        if overwrite:
            extract(backup, "--overwrite", out=out)
            equal(read(f"{out}/{HELLO}"), b"hello")
            assert not os.path.islink(f"{out}/HomeDomain")
        else:
            assert "is there already" in refused(backup, out)
            assert os.path.islink(f"{out}/HomeDomain")
        equal(os.listdir(outside), [])


@case
def overwriting_writes_into_no_file_that_others_share():
    backup, expect = backup_for_edits_with_expect("db-plain")
    out, outside = new_dir("out"), new_dir("outside")
    os.makedirs(f"{out}/{APP}/Documents/mine")
    save(outside + "/precious", b"precious")
    os.link(outside + "/precious", f"{out}/{HELLO}")
    save(outside + "/target", b"target")
    os.symlink(outside + "/target", f"{out}/{APP}/Documents/dangling")
    save(f"{out}/{APP}/Documents/mine/own", b"own")
    save(f"{out}/{APP}/Documents/link", b"no link")
    extract(backup, "--overwrite", out=out)
    equal(read(outside + "/precious"), b"precious")
    equal(read(outside + "/target"), b"target")
    equal(read(f"{out}/{APP}/Documents/mine/own"), b"own")
    shutil.rmtree(f"{out}/{APP}/Documents/mine")
    # the folder that something was removed from has another time now
    os.utime(f"{out}/{APP}/Documents", ns=mtime_of(expect, APP + "/Documents"))
    shows(expect, out)
    # and once more, over itself
    extract(backup, "--overwrite", out=out)
    shows(expect, out)


def mtime_of(expect, path):
    line, = (line for line in expect_of(expect) if line["path"] == path)
    return 2 * (line["mtime_ns"],)


@case
def overwriting_replaces_nothing_but_files_and_links():
    backup, out = backup_for_edits("db-plain"), new_dir("out")
    os.makedirs(f"{out}/{APP}/Documents")
    os.mkfifo(f"{out}/{HELLO}")
    os.mkfifo(f"{out}/HomeDomain")
    before = snapshot_of_links(out)
    _, _, events = extract(backup, "--overwrite", out=out, status=1)
    equal({e["path"] for e in events if e["event"] == "failed"},
          {HELLO, "HomeDomain"})
    after = snapshot_of_links(out)
    for path in (f"{out}/{HELLO}", f"{out}/HomeDomain"):
        equal(after[path], before[path])


@case
def a_folder_in_place_of_a_file_stays_and_the_rest_is_extracted():
    backup, out = backup_for_edits("db-plain"), new_dir("out")
    os.makedirs(f"{out}/{HELLO}/in it")
    _, last, events = extract(backup, "--overwrite", out=out, status=1)
    failed, = (e for e in events if e["event"] == "failed")
    equal((failed["path"], failed["message"]),
          (HELLO, "a folder is in its place"))
    assert os.path.isdir(f"{out}/{HELLO}/in it")
    equal(read(f"{out}/{APP}/Documents/sizes/16"),
          contents_of(backup)[APP.encode(), b"Documents/sizes/16"])


@case
def nothing_is_written_into_the_backup():
    backup = shutil.copytree(backup_for_edits("db-plain"), new_path("backup"))
    before = snapshot(backup)
    os.symlink(backup, backup + "-link")
    with there_bound(backup) as bound:
        for out in (backup, backup + "/new", payload_files(backup)[0][:-41],
                    backup + "-link/new", bound, bound + "/new"):
            line = refused(backup, out)
            assert "is in the backup" in line, line
    equal(changes(before, snapshot(backup)), [])


def there_bound(folder):
    at = new_dir("bound")
    return there(at, "mount", "--bind", folder, at)


@case
def a_domain_named_as_the_backup_beside_it_goes_not_into_it():
    parent = new_dir("parent")

    def fill(b):
        b.file("backup", "planted", b"planted")
        b.file("HomeDomain", "fine", b"fine")
    backup = parent + "/backup"
    os.rename(made_backup("db-plain", fill)[0], backup)
    before = snapshot(backup)
    _, _, events = extract(backup, out=parent, status=1)
    failed, = (e for e in events if e["event"] == "failed")
    equal((failed["path"], failed["message"]),
          ("backup", "this is the backup itself"))
    equal(changes(before, snapshot(backup)), [])
    equal(read(parent + "/HomeDomain/fine"), b"fine")


@case
def an_entry_named_as_our_own_folder_takes_no_part_in_the_work():
    def fill(b):
        b.file(WORK, "state", b"larder-extract 1\n")
        b.file(WORK, "new-1", b"x")
        b.file("HomeDomain", "fine", b"fine")
    backup, _ = made_backup("db-plain", fill)
    out, _, events = extract(backup, status=1)
    failed, = (e for e in events if e["event"] == "failed")
    equal(failed["path"], WORK)
    equal(os.listdir(out), ["HomeDomain"])


@case
def a_wrong_password_leaves_nothing():
    wrong = save(new_path("wrong"), b"battery staple\n")
    out = new_path("out")
    refused(golden("db-encrypted"), out, status=12, passfile=wrong)
    assert not os.path.lexists(out)


@case
def a_second_run_at_the_same_time_is_refused():
    backup, out = backup_for_edits("db-plain"), new_dir("out")
    os.mkdir(f"{out}/{WORK}")
    fd = os.open(f"{out}/{WORK}", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    refused(backup, out)
    os.close(fd)
    extract(backup, out=out)


@case
def a_planted_work_folder_leads_nowhere():
    backup, outside = backup_for_edits("db-plain"), new_dir("outside")
    save(outside + "/state", b"x")
    before = snapshot(outside)
    for plant in (lambda path: os.symlink(outside, path),
                  lambda path: save(path, b"")):
        out = new_dir("out")
        plant(f"{out}/{WORK}")
        refused(backup, out)
    equal(changes(before, snapshot(outside)), [])


# --- broken off --------------------------------------------------------------

def killed_at(backup, out, step, *options, user=()):
    """Killed by SIGKILL at the n-th of a system call of one of its threads;
    False if it came to its end before."""
    if not shutil.which("strace"):
        raise Skip("needs strace")
    if SANITIZED:
        raise Skip("the leak sanitizer and strace exclude each other")
    name, number = step
    done = execute(
        *user, "strace", "-f", "-qq", "-o", "/dev/null", "-e",
        f"trace={name}", "-e",
        f"inject={name}:signal=SIGKILL:when={number}", LARDER, "extract",
        "--quiet", "--passfile", PASSFILE, *options, backup, out)
    if "ptrace" in done.stderr:
        raise Skip(done.stderr.splitlines()[0])
    return done.returncode not in (0, DAMAGED)


def fill_many(b):
    rng = b.rng
    for i in range(30):
        b.parents("HomeDomain", f"folder {i}/x", mtime=mkbackup.NOW - i)
        for j in range(10):
            b.file("HomeDomain", f"folder {i}/{j}", rng.randbytes(
                rng.randrange(5000)), mtime=mkbackup.NOW - 1000 * j,
                xattrs={"com.example.n": b"%d" % j} if j == 3 else None)
        b.link("HomeDomain", f"folder {i}/link", "0")
    b.file("HomeDomain", "folder 3/large", rng.randbytes(40 * MIB))


STEPS = [("mkdirat", 1), ("mkdirat", 2), ("mkdirat", 20), ("openat", 60),
         ("openat", 300), ("pwrite64", 1), ("pwrite64", 77),
         ("pwrite64", 240), ("utimensat", 5), ("utimensat", 150),
         ("fsetxattr", 2), ("symlinkat", 9), ("unlinkat", 1), ("rename", 1),
         ("renameat", 1), ("fsync", 1), ("fsync", 2)]


@case_for(("db-encrypted", "db-plain"))
def killed_at_any_step_the_same_command_goes_on(shape):
    backup, expect = made_backup(shape, fill_many)
    killed = 0
    for step in STEPS:
        out = new_path("out")
        if not killed_at(backup, out, step):
            continue
        killed += 1
        whole = whole_files(out, expect)
        _, last, _ = extract(backup, out=out)
        shows(expect, out)
        assert last["kept"] >= whole, (step, last["kept"], whole)
        shutil.rmtree(out)
    assert killed >= 8, f"only {killed} of {len(STEPS)} came early enough"


def whole_files(out, expect):
    """How many have the recorded size and time."""
    count = 0
    for line in expect_of(expect):
        with contextlib.suppress(OSError):
            st = os.lstat(f"{out}/{line['path']}")
            count += line["type"] == "f" and stat.S_ISREG(st.st_mode) and \
                (st.st_size, st.st_mtime_ns) == (line["size"],
                                                 line["mtime_ns"])
    return count


@case
def killed_again_and_again_at_random_it_comes_to_its_end():
    backup, expect = made_backup("db-encrypted", fill_many)
    rng, out, rounds = random.Random(5), new_path("out"), 0
    while killed_at(backup, out, (rng.choice(("openat", "pwrite64", "close")),
                                  rng.randrange(20, 150))):
        rounds += 1
        if rounds == 12:
            extract(backup, out=out)
            break
    assert rounds >= 3, rounds
    shows(expect, out)


@case
def killed_while_it_replaces_it_leaves_old_or_new_and_goes_on():
    backup, expect = made_backup("db-plain", fill_many)
    out, *_ = extract(backup)
    old = {}
    for i in range(30):
        for j in range(10):
            path = f"{out}/HomeDomain/folder {i}/{j}"
            st = os.stat(path)
            os.unlink(path)
            # as long, and as old, as what is to come
            old[path] = save(path, b"o" * st.st_size)
            os.utime(path, ns=2 * (st.st_mtime_ns,))
    assert killed_at(backup, out, ("renameat", 60), "--overwrite")
    for i in range(1, 5):       # as an earlier one could have left them
        save(f"{out}/{WORK}/new-{i}", b"left")
    extract(backup, "--overwrite", out=out)
    shows(expect, out)


@case
def after_a_reboot_nothing_is_believed_by_its_look():
    backup, expect = made_backup("db-plain", fill_many)
    out = new_path("out")
    assert killed_at(backup, out, ("utimensat", 80))
    state = f"{out}/{WORK}/state"
    text = read(state, "r")
    save(state, re.sub("boot .", "boot x", text))
    spoilt = 0
    for line in expect_of(expect):
        path = f"{out}/{line['path']}"
        with contextlib.suppress(OSError):
            st = os.lstat(path)
            if line["type"] == "f" and line["size"] and spoilt < 20 and \
                    st.st_mtime_ns == line["mtime_ns"]:
                with open(path, "r+b") as f:
                    f.write(bytes(st.st_size))
                os.utime(path, ns=2 * (st.st_mtime_ns,))
                spoilt += 1
    assert spoilt == 20
    _, last, _ = extract(backup, out=out)
    shows(expect, out)
    assert last["kept"] > 20, last


@case
def what_was_begun_otherwise_is_not_gone_on_with():
    backup, expect = made_backup("db-plain", fill_many)
    other = backup_for_edits("db-plain")
    out = new_path("out")
    assert killed_at(backup, out, ("utimensat", 60))
    before = snapshot(out)
    for options in ((other,), (backup, "--only", "HomeDomain"),
                    (backup, "--view", "device")):
        line = refused(options[0], out, *options[1:])
        assert WORK in line, line
    equal(changes(before, snapshot(out)), [])
    extract(backup, out=out)
    shows(expect, out)


@case
def the_note_holds_no_name_and_no_secret():
    backup, out = backup_for_edits("db-encrypted"), new_path("out")
    assert killed_at(backup, out, ("utimensat", 2), "--only", "HomeDomain")
    equal(os.listdir(f"{out}/{WORK}"), ["state"])
    text = read(f"{out}/{WORK}/state", "r")
    for word in (PASSWORD, "HomeDomain", "Domain", "sms"):
        assert word not in text, text
    equal(stat.S_IMODE(os.stat(f"{out}/{WORK}/state").st_mode), 0o600)


@case
def a_full_disk_is_told_and_can_be_gone_on_from():
    backup, expect = large("db-encrypted")
    with tmpfs("size=100m") as at:
        out = at + "/out"
        done = larder("extract", "--quiet", "--passfile", PASSFILE, backup,
                      out)
        equal(done.returncode, 1, done.stderr)
        assert "No space left" in one_line(done.stderr), done.stderr
        # no half of a file is left in the way
        for top, folders, names in os.walk(out):
            for name in names:
                if WORK not in top:
                    assert whole_files(out, expect), name
        equal(execute("mount", "-o", "remount,size=400m", at).returncode, 0)
        _, last, _ = extract(backup, out=out)
        shows(expect, out)


@case
def ctrl_c_ends_it_and_the_same_command_goes_on():
    backup, expect = large("db-encrypted")
    out = new_path("out")
    fifo = new_path("fifo")
    os.mkfifo(fifo)
    argv = [LARDER, "extract", "--json", "--passfile", PASSFILE, backup, out]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment(),
                          stderr=subprocess.PIPE) as process:
        wait_until(lambda: any(
            os.path.getsize(os.path.join(top, name))
            for top, _, names in os.walk(out) for name in names
            if WORK not in top), "a file")
        process.send_signal(signal.SIGINT)
        output, message = process.communicate(timeout=30)
    if process.returncode == 0:
        raise Skip("it was faster")
    equal(process.returncode, 5, message)
    assert "the same command goes on" in one_line(message.decode())
    equal(json.loads(output.splitlines()[-1])["status"], 5)
    extract(backup, out=out)
    shows(expect, out)


def only_files_below_45_mib():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (45 * MIB, 45 * MIB))


@case_for(("db-encrypted", "db-plain"))
def a_file_that_is_too_large_is_left_out_and_the_rest_extracted(shape):
    backup, expect = large(shape)
    out, _, events = extract(backup, status=1,
                             preexec_fn=only_files_below_45_mib)
    failed, = (e for e in events if e["event"] == "failed")
    equal((failed["path"], failed["message"]),
          ("CameraRollDomain/Media/DCIM/3.MOV", "File too large"))
    os.utime(f"{out}/CameraRollDomain/Media/DCIM",
             ns=mtime_of(expect, "CameraRollDomain/Media/DCIM"))
    equal(differences(expect, out, "--extracted"),
          f"{failed['path'].encode()!r}: missing\n"
          f"{len(expect_of(expect))} entries, 1 differences\n")


# --- hostile backups ---------------------------------------------------------

@case
def flawed_backups_end_with_a_documented_status_and_stay_inside():
    import mkbad
    place = new_dir("place")
    for name, (make, want) in mkbad.FLAWS.items():
        backup, out = f"{place}/{name}", f"{place}/out/{name}"
        make(backup)
        os.makedirs(place + "/out", exist_ok=True)
        beside = sorted(os.listdir(place))
        done = larder("extract", "--passfile", PASSFILE, backup, out,
                      timeout=100)
        text = f"{name}: {done.returncode} {done.stderr[-500:]}"
        assert done.returncode in {0, 1, 3, 12, 13, DAMAGED}, text
        if want["mounts"] and 0 in want["exit"]:
            assert done.returncode in (0, 1, DAMAGED), text
            for path, what in (want.get("reads") or {}).items():
                if "sha256" in what:
                    equal(hashlib.sha256(read(f"{out}/{path}")).hexdigest(),
                          what["sha256"], name)
                elif "errors" in what:
                    equal(done.returncode, DAMAGED, text)
        assert all(line.isprintable() for line in done.stderr.splitlines()), \
            text
        equal(sorted(os.listdir(place)), beside, name)
        execute("rm", "-rf", out)
        equal(os.listdir(place + "/out"), [], name)
        execute("rm", "-rf", backup)


@case
def thousands_of_levels_are_extracted_with_few_descriptors():
    levels = 1500

    b, backup, out = mkbackup.Backup("db-plain"), new_path(), new_path("out")
    b.file("HomeDomain", "/".join(["d"] * levels) + "/deep", b"deep")
    b.file("HomeDomain", "d/d/d/shallow", b"shallow")
    b.file("HomeDomain", "d/d/z", b"z")
    b.write(backup)
    done = larder("extract", "--json", backup, out,
                  preexec_fn=lambda: resource.setrlimit(
                      resource.RLIMIT_NOFILE, (256, 256)))
    equal(done.returncode, 0, done.stderr)
    equal(json.loads(done.stdout.splitlines()[-1])["files"], 3)
    equal(read(f"{out}/HomeDomain/d/d/d/shallow"), b"shallow")
    equal(read(f"{out}/HomeDomain/d/d/z"), b"z")
    fd = os.open(out + "/HomeDomain", os.O_RDONLY)
    for _ in range(levels):
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    equal(os.listdir(fd), ["deep"])
    os.close(fd)
    execute("rm", "-rf", out)


@case
def memory_is_bounded():
    if SANITIZED:
        raise Skip("sanitizers need more")
    backup, _ = large("db-encrypted")
    # in a process of its own: a child begins with the figure of its parent
    done = execute(sys.executable, "-c", """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)""",
                   LARDER, "extract", "--quiet", "--passfile", PASSFILE,
                   backup, new_path("out"))
    equal(done.returncode, 0, done.stderr)
    assert int(done.stdout) < 32 << 10, f"{done.stdout} KiB"


run()
