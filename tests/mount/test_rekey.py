#!/usr/bin/python3
"""larder rekey: another password in place, and whole backups decrypted or
encrypted anew.  Who opens what is told by mkbackup, not by larder."""

import fcntl
import plistlib
import pty
import random
import struct
import termios

from trees import *

ENCRYPTED = [shape for shape in SHAPES if mkbackup.SHAPES[shape].encrypted]
NEW = "n\u00e4chstes Mal"
NEW_FILE = save(new_path("new-password"), NEW + "\n")
ASIDE = ".larder-rekey"


def copy_of(backup):
    """A copy with all times."""
    out = new_path("copy")
    shutil.copytree(backup, out, symlinks=True)
    return out


def rekey(backup, *options, old=PASSFILE, new=NEW_FILE, status=0, **more):
    """larder rekey --json in place; the last event"""
    done = larder("rekey", "--json", "--passfile", old, "--new-passfile", new,
                  *options, backup, **more)
    equal(done.returncode, status, done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def plist_of(folder):
    with open(folder + "/Manifest.plist", "rb") as f:
        return plistlib.load(f)


def tags_of(bag):
    """[[tag, value]] of a stored key bag, in their order."""
    found, at = [], 0
    while at < len(bag):
        length, = struct.unpack(">I", bag[at + 4:at + 8])
        found.append([bag[at:at + 4].decode(), bag[at + 8:at + 8 + length]])
        at += 8 + length
    return found


def number(value):
    return struct.unpack(">I", value)[0]


def key_of(bag, password):
    """What a password becomes for a stored key bag."""
    header, *_ = mkbackup.parse_keybag(bag)
    return mkbackup.passcode_key(
        password, header["SALT"], number(header["ITER"]), header.get("DPSL"),
        number(header.get("DPIC", bytes(4))))


def opens(folder, password):
    """Does a password open the classes of files, all of them or none?"""
    bag = plist_of(folder)["BackupKeyBag"]
    key = key_of(bag, password)
    _, *classes = mkbackup.parse_keybag(bag)
    opened = {mkbackup.unwrap(key, c["WPKY"]) is not None for c in classes
              if number(c["WRAP"]) == 2}
    equal(len(opened), 1, "classes that open")
    return opened.pop()


def one_password_opens(folder, *passwords):
    """The one that does; there must be one, and all can be read with it."""
    found = [p for p in passwords if opens(folder, p)]
    equal(len(found), 1, f"of {passwords}")
    assert any(content for *_, content in
               mkbackup.read_back(folder, found[0]))
    return found[0]


# --- in place ----------------------------------------------------------------

@case_for(ENCRYPTED)
def another_decryptor_opens_it_with_the_new_password_alone(shape):
    backup = copy_of(golden(shape))
    before, want = snapshot(backup), contents_of(backup)
    last = rekey(backup)
    equal(last, {"event": "finished", "backup": backup, "classes": 11,
                 "iterations": 10 if shape == "db-encrypted" else 0})
    equal(changes(before, snapshot(backup)), ["Manifest.plist"])
    equal(contents_of(backup, NEW), want)
    equal(one_password_opens(backup, PASSWORD, NEW, ""), NEW)
    with mounted(backup, passfile=NEW_FILE) as m:
        equal(differences(golden_expect(shape), m.path), None)
    equal(larder("info", "--passfile", PASSFILE, backup).returncode, 12)
    # and back, to what is another key all the same
    was = plist_of(golden(shape))["BackupKeyBag"]
    rekey(backup, old=NEW_FILE, new=PASSFILE)
    equal(contents_of(backup), want)
    assert key_of(plist_of(backup)["BackupKeyBag"], PASSWORD) \
        != key_of(was, PASSWORD)


def made_odd(shape):
    """A backup whose key bag and list hold what nobody knows."""
    b = mkbackup.Backup(shape)
    fill_for_edits(b)
    bag = b.keybag
    bag.header.insert(3, ["FUTR", b"of the header"])
    bag.header.append(["EMPT", b""])
    bag.classes[2].insert(2, ["FUTR", b"of a class"])
    bag.classes[4].append(["SALT", b"not this one, no20..."])
    # late in its class; the device's alone; without a key
    bag.classes[5].insert(1, bag.classes[5].pop())
    bag.classes.append([["UUID", bytes(16)], ["CLAS", mkbackup.be32(12)],
                        ["WRAP", mkbackup.be32(1)],
                        ["WPKY", b"the hardware's, and nobody else's key 40"]])
    bag.classes.append([["UUID", bytes(16)], ["CLAS", mkbackup.be32(13)],
                        ["WRAP", mkbackup.be32(3)]])
    bag.classes.reverse()
    b.edit = lambda plist: plist.update(
        Future={"a": [1, -2, 2**40, 2.5, True, b"bytes", "text \u00e4",
                      {"deep": []}], "when": plist["Date"]})
    out = new_path("odd")
    b.write(out)
    return out


@case_for(("db-encrypted", "mbdb-encrypted"))
def what_is_not_known_stays_in_its_place(shape):
    backup = made_odd(shape)
    was, want = plist_of(backup), contents_of(backup)
    equal(rekey(backup)["classes"], 11)
    now = plist_of(backup)
    old, new = was.pop("BackupKeyBag"), now.pop("BackupKeyBag")
    equal(now, was)
    equal(contents_of(backup, NEW), want)
    old_key, new_key = key_of(old, PASSWORD), key_of(new, NEW)
    changed = []
    for a, b in zip(tags_of(old), tags_of(new), strict=True):
        equal((b[0], len(b[1])), (a[0], len(a[1])))
        if a[1] == b[1]:
            continue
        changed.append(a[0])
        if a[0] == "WPKY":
            equal(mkbackup.unwrap(new_key, b[1]),
                  mkbackup.unwrap(old_key, a[1]))
            assert mkbackup.unwrap(old_key, b[1]) is None
    equal(sorted(changed), sorted(
        ["SALT"] + ["WPKY"] * 11 + ["DPSL"] * (shape == "db-encrypted")))


@case
def the_classes_of_the_device_keep_what_is_inside():
    backup = copy_of(golden("db-encrypted"))
    _, *old = mkbackup.parse_keybag(plist_of(backup)["BackupKeyBag"])
    old_key = key_of(plist_of(backup)["BackupKeyBag"], PASSWORD)
    rekey(backup)
    _, *new = mkbackup.parse_keybag(plist_of(backup)["BackupKeyBag"])
    new_key = key_of(plist_of(backup)["BackupKeyBag"], NEW)
    bound = 0
    for a, b in zip(old, new, strict=True):
        inside = mkbackup.unwrap(old_key, a["WPKY"])
        assert inside
        equal(mkbackup.unwrap(new_key, b["WPKY"]), inside)
        bound += number(a["WRAP"]) == 3
    assert bound


@case
def the_count_of_iterations_can_be_another():
    backup = copy_of(golden("db-encrypted"))
    equal(rekey(backup, "--iterations", "1234")["iterations"], 1234)
    header, *_ = mkbackup.parse_keybag(plist_of(backup)["BackupKeyBag"])
    equal(number(header["DPIC"]), 1234)
    equal(one_password_opens(backup, PASSWORD, NEW), NEW)


@case
def a_list_in_xml_is_read_as_well():
    backup = copy_of(golden("db-encrypted"))
    plist = plist_of(backup)
    save(backup + "/Manifest.plist", plistlib.dumps(plist))
    rekey(backup)
    now = plist_of(backup)
    assert now.pop("BackupKeyBag") != plist.pop("BackupKeyBag")
    equal(now, plist)
    equal(one_password_opens(backup, PASSWORD, NEW), NEW)


@case
def a_mount_goes_on_meanwhile():
    backup = copy_of(golden("db-encrypted"))
    with mounted(backup) as m:
        rekey(backup)
        equal(differences(golden_expect("db-encrypted"), m.path), None)


@case
def owner_and_mode_of_the_list_stay():
    backup = copy_of(golden("db-encrypted"))
    os.chmod(backup + "/Manifest.plist", 0o440)
    os.chown(backup + "/Manifest.plist", NOBODY, 12)
    rekey(backup)
    st = os.stat(backup + "/Manifest.plist")
    equal((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid),
          (0o440, NOBODY, 12))


@case
def who_may_not_write_there_changes_nothing():
    backup = copy_of(golden("db-encrypted"))
    os.chmod(PASSFILE, 0o644)
    os.chmod(NEW_FILE, 0o644)
    os.chmod(backup, 0o755)
    before = snapshot(backup)
    done = execute(*as_nobody(LARDER, "rekey", "--passfile", PASSFILE,
                              "--new-passfile", NEW_FILE, backup))
    equal((done.returncode, done.stdout), (1, ""))
    assert "Permission denied" in one_line(done.stderr), done.stderr
    # one whose list is another's cannot give it to them
    os.chown(backup, NOBODY, NOBODY)
    done = execute(*as_nobody(LARDER, "rekey", "--passfile", PASSFILE,
                              "--new-passfile", NEW_FILE, backup))
    equal(done.returncode, 1, done.stderr)
    assert "not permitted" in one_line(done.stderr), done.stderr
    equal(changes(before, snapshot(backup)), [])


# --- what is in its way ------------------------------------------------------

STEPS = [("mkdirat", 1), ("openat", 40), ("write", 1), ("write", 2),
         ("fsync", 1), ("fsync", 2), ("renameat2", 1), ("fsync", 3),
         ("fsync", 4), ("unlinkat", 1), ("unlinkat", 2), ("unlinkat", 3),
         ("fsync", 5)]


@case
def killed_at_any_step_one_of_the_passwords_opens_it():
    if not shutil.which("strace"):
        raise Skip("needs strace")
    if SANITIZED:
        raise Skip("the leak sanitizer and strace exclude each other")
    found = {PASSWORD: 0, NEW: 0}
    for call, when in STEPS:
        backup = copy_of(golden("db-encrypted"))
        done = execute(
            "strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
            f"inject={call}:signal=SIGKILL:when={when}", LARDER, "rekey",
            "--passfile", PASSFILE, "--new-passfile", NEW_FILE, backup)
        if "ptrace" in done.stderr:
            raise Skip(done.stderr.splitlines()[0])
        now = one_password_opens(backup, PASSWORD, NEW)
        found[now] += 1
        passfile = PASSFILE if now == PASSWORD else NEW_FILE
        # what was left disturbs nobody, and the next run takes it away
        with mounted(backup, passfile=passfile) as m:
            equal(differences(golden_expect("db-encrypted"), m.path), None)
        rekey(backup, old=passfile, new=PASSFILE)
        equal(os.path.lexists(f"{backup}/{ASIDE}"), False)
        equal(one_password_opens(backup, PASSWORD, NEW), PASSWORD)
    assert min(found.values()) > 2, found


@case
def killed_at_random_moments_one_of_the_passwords_opens_it():
    backup = copy_of(golden("db-encrypted"))
    rng, killed, now, files = random.Random(4), 0, PASSWORD, {
        PASSWORD: PASSFILE, NEW: NEW_FILE}
    began = time.monotonic()
    rekey(backup)
    whole = time.monotonic() - began
    rekey(backup, old=NEW_FILE, new=PASSFILE)
    for _ in range(80):
        other = NEW if now == PASSWORD else PASSWORD
        process = subprocess.Popen(
            [LARDER, "rekey", "--quiet", "--passfile", files[now],
             "--new-passfile", files[other], backup], env=environment(),
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 1.2 * whole))
        process.kill()
        killed += process.wait() != 0
        now = one_password_opens(backup, PASSWORD, NEW)
    assert killed > 20, killed
    rekey(backup, old=files[now])
    equal(os.path.lexists(f"{backup}/{ASIDE}"), False)


@case
def on_a_full_disk_nothing_changes():
    with tmpfs("size=4m") as place:
        backup = f"{place}/backup"
        shutil.copytree(golden("db-encrypted"), backup)
        with open(place + "/rest", "wb", 0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError as e:
                equal(e.errno, errno.ENOSPC)
        before = snapshot(backup)
        done = larder("rekey", "--passfile", PASSFILE, "--new-passfile",
                      NEW_FILE, backup)
        equal((done.returncode, done.stdout), (1, ""))
        assert "No space left on device" in one_line(done.stderr)
        equal(changes(before, snapshot(backup)), [])
        equal(one_password_opens(backup, PASSWORD, NEW), PASSWORD)
        os.truncate(place + "/rest", 0)
        rekey(backup)
        equal(one_password_opens(backup, PASSWORD, NEW), NEW)


@case_for(("vfat", "exfat", "ntfs", "ext4"))
def where_files_cannot_change_places_it_is_renamed(kind):
    with image(kind, 64 << 20) as place:
        backup = f"{place}/backup"
        shutil.copytree(golden("db-encrypted"), backup)
        rekey(backup)
        equal(os.path.lexists(f"{backup}/{ASIDE}"), False)
        equal(one_password_opens(backup, PASSWORD, NEW), NEW)


@case
def of_several_at_a_time_one_wins():
    backup = copy_of(golden("db-encrypted"))
    files = {f"number {i}": save(new_path("new"), f"number {i}\n")
             for i in range(6)}
    runs = {password: subprocess.Popen(
        [LARDER, "rekey", "--quiet", "--passfile", PASSFILE,
         "--new-passfile", file, backup], env=environment(),
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for password, file in files.items()}
    won = []
    for password, run in runs.items():
        _, text = run.communicate(timeout=60)
        assert run.returncode in (0, 1, 12), (run.returncode, text)
        if run.returncode == 0:
            won.append(password)
    equal(won, [one_password_opens(backup, PASSWORD, *files)])
    equal(os.path.lexists(f"{backup}/{ASIDE}"), False)


@case
def while_a_device_makes_another_version_it_waits_for_its_turn():
    folder = new_dir("backups")
    backup = shutil.copytree(golden("db-encrypted"), folder + "/UDID")
    before = snapshot(backup)
    os.mkdir(folder + "/.larder-UDID")
    fd = os.open(folder + "/.larder-UDID", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    equal(rekey(backup, status=1)["message"],
          f"{backup}: another larder makes a backup of it")
    equal(changes(before, snapshot(backup)), [])
    os.close(fd)
    rekey(backup)
    equal(os.listdir(folder + "/.larder-UDID"), [])


# --- the terminal ------------------------------------------------------------

PROMPTS = ("Backup password of Anna's iPhone: ", "New backup password: ",
           "The same again: ")


def typed(backup, *answers):
    """(exit status, what was shown) of a rekey that is answered so."""
    at, slave = pty.openpty()
    process = subprocess.Popen(
        [LARDER, "rekey", backup], env=environment(), stdin=slave,
        stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY))
    os.close(slave)
    shown = ""

    def pump():
        nonlocal shown
        try:
            shown += os.read(at, 4096).decode()
        except OSError:         # its end
            return False
        return True

    for prompt, answer in zip(PROMPTS, answers):
        while prompt not in shown and pump():
            pass
        assert prompt in shown, shown
        wait_until(lambda: not termios.tcgetattr(at)[3] & termios.ECHO,
                   "echo off")
        os.write(at, (answer + "\n").encode())
    while pump():
        pass
    os.close(at)
    return process.wait(20), shown


@case
def on_a_terminal_the_old_one_is_asked_for_and_the_new_one_twice():
    backup = copy_of(golden("db-encrypted"))
    status, shown = typed(backup, PASSWORD, NEW, NEW)
    equal(status, 0, shown)
    assert PASSWORD not in shown and NEW not in shown, shown
    assert backup in shown and "key files" in shown, shown
    equal(one_password_opens(backup, PASSWORD, NEW), NEW)


@case
def what_is_typed_wrong_changes_nothing():
    backup = copy_of(golden("db-encrypted"))
    before = snapshot(backup)
    status, shown = typed(backup, "wrong")
    equal(status, 12, shown)
    assert PROMPTS[1] not in shown, shown
    status, shown = typed(backup, PASSWORD, NEW, "another")
    equal(status, 1, shown)
    assert "differ" in shown, shown
    equal(typed(backup, PASSWORD, "")[0], 13)
    equal(changes(before, snapshot(backup)), [])


@case
def ctrl_c_while_the_keys_are_derived_changes_nothing():
    backup = copy_of(golden("db-encrypted"))
    before = snapshot(backup)
    process = subprocess.Popen(
        [LARDER, "rekey", "--passfile", PASSFILE, "--new-passfile", NEW_FILE,
         "--iterations", "150000000", backup], env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    wait_until(lambda: processor_seconds(process.pid) > 0.3, "deriving")
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    equal(process.wait(10), 5)
    equal(changes(before, snapshot(backup)), [])


@case
def ctrl_c_in_the_end_comes_too_late():
    if not shutil.which("strace") or SANITIZED:
        raise Skip("needs strace, without sanitizers")
    backup = copy_of(golden("db-encrypted"))
    done = execute(
        "strace", "-f", "-o", "/dev/null", "-e", "trace=renameat2", "-e",
        "inject=renameat2:signal=SIGINT:when=1", LARDER, "rekey", "--quiet",
        "--passfile", PASSFILE, "--new-passfile", NEW_FILE, backup)
    if "ptrace" in done.stderr:
        raise Skip(done.stderr.splitlines()[0])
    equal((done.returncode, done.stderr), (0, ""))
    equal(one_password_opens(backup, PASSWORD, NEW), NEW)
    equal(os.path.lexists(f"{backup}/{ASIDE}"), False)


# --- as another backup -------------------------------------------------------

def convert(option, backup, *more, status=0, passfile=PASSFILE):
    """The new backup, and the last event."""
    out = new_path("converted")
    done = larder("rekey", "--json", option, out, "--passfile", passfile,
                  *more, backup)
    equal(done.returncode, status, done.stdout + done.stderr)
    last = json.loads(done.stdout.splitlines()[-1])
    if not status:
        equal((done.stderr, set(last)), ("", FINISHED | {"payloads_left_out"}))
    return out, last


def marks_of(top):
    """What a mount says of each entry beside what every tree has."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            marks = {} if os.path.islink(path) else attributes_of(path, True)
            # of what is stored, which is other now
            marks.pop("digest", None)
            found[os.path.relpath(path, top)] = marks
    return found


def seen_in(backup, passfile):
    with mounted(backup, passfile=passfile) as m:
        return tree_of(m.path), marks_of(m.path)


@case_for(ENCRYPTED)
def decrypted_and_encrypted_again_nothing_differs(shape):
    backup = backup_for_edits(shape)
    before = snapshot(backup)
    tree, marks = seen_in(backup, PASSFILE)
    open_, last = convert("--decrypt-to", backup)
    equal((last["encrypted"], last["payloads_shared"],
           last["payloads_left_out"]), (False, 0, 0))
    agrees(open_, tree, "")
    closed, last = convert("--encrypt-to", open_, "--new-passfile", NEW_FILE,
                           "--iterations", "1000")
    equal((last["encrypted"], last["payloads_left_out"]), (True, 0))
    agrees(closed, tree, NEW)
    clean(closed)
    for made, passfile in ((open_, None), (closed, NEW_FILE)):
        got, its_marks = seen_in(made, passfile)
        equal(unlike(got, tree), [])
        equal([path for path in marks if its_marks[path] != marks[path]], [])
    equal(changes(before, snapshot(backup)), [])
    equal(opens(closed, PASSWORD), False)


@case
def an_encrypted_one_gets_other_keys_altogether():
    backup = backup_for_edits("db-encrypted")
    out, _ = convert("--encrypt-to", backup, "--new-passfile", NEW_FILE,
                     "--iterations", "1000")
    agrees(out, tree_in(backup), NEW)
    clean(out)
    old, new = rows_of(backup), rows_of(out, NEW)
    for key, row in new.items():
        if "EncryptionKey" in row.record:
            assert row.record["EncryptionKey"]["NS.data"] \
                != old[key].record["EncryptionKey"]["NS.data"], key
    a, b = (mkbackup.parse_keybag(plist_of(x)["BackupKeyBag"])
            for x in (backup, out))
    assert a[0]["UUID"] != b[0]["UUID"]
    assert not {c["UUID"] for c in a[1:]} & {c["UUID"] for c in b[1:]}


@case
def sizes_that_were_not_true_are_right_in_clear():
    def fill(b):
        b.parents("HomeDomain", "Library/x")
        for i, (recorded, true) in enumerate(
                ((300, 0), (300, 100), (5, 300), (4096, 4080))):
            b.file("HomeDomain", f"Library/x/{i}", bytes([i]) * true,
                   size=recorded)

    backup, expect = made_backup("db-encrypted", fill)
    out, last = convert("--decrypt-to", backup)
    equal(last["payloads_left_out"], 0)
    with mounted(out, passfile=None) as m:
        equal(differences(expect, m.path, "--no-xattrs"), None)
    again, _ = convert("--encrypt-to", out, "--new-passfile", NEW_FILE,
                       "--iterations", "1000")
    with mounted(again, passfile=NEW_FILE) as m:
        equal(differences(expect, m.path, "--no-xattrs"), None)


@case_for(ENCRYPTED)
def damage_is_left_out_and_told(shape):
    out = new_path("converted")
    done = larder("rekey", "--json", "--decrypt-to", out, "--passfile",
                  PASSFILE, golden(shape))
    equal(done.returncode, 26, done.stderr)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    told = [e["message"] for e in events if e["event"] == "warning"
            and "left without content" in e["message"]]
    equal(len(told), events[-1]["payloads_left_out"])
    damaged = {line["path"] for line in expect_of(golden_expect(shape))
               if "error" in line}
    equal(len(told), len(damaged))
    for line in told:
        name = line.split(": ")[0].replace("-", "/", 1)
        assert any(name.endswith(path.split("/", 1)[1]) for path in damaged)
    # the others are there
    want = {line["path"]: line["sha256"]
            for line in expect_of(golden_expect(shape)) if "sha256" in line}
    with mounted(out, passfile=None) as m:
        for path, digest in want.items():
            equal(content_of(f"{m.path}/{path}"), digest, path)


@case
def many_files_by_two_threads():
    def fill(b):
        for i in range(3000):
            path = f"Library/{i % 40}/{i}"
            if i < 40:
                b.parents(f"AppDomain-com.example.{i % 3}", path)
            b.file(f"AppDomain-com.example.{i % 3}", path,
                   b.rng.randbytes(b.rng.choice((0, 1, 16, 500, 70000))))

    backup, _ = made_backup("db-encrypted", fill)
    want = contents_of(backup)
    open_, last = convert("--decrypt-to", backup)
    equal((last["files"], last["payloads_written"]), (3000, 3000))
    equal(contents_of(open_), want)
    closed, _ = convert("--encrypt-to", open_, "--new-passfile", NEW_FILE,
                        "--iterations", "1000")
    equal(contents_of(closed, NEW), want)
    keys = [row.record["EncryptionKey"]["NS.data"]
            for row in rows_of(closed, NEW).values()
            if "EncryptionKey" in row.record]
    equal((len(keys), len(set(keys))), (3000, 3000))


@case
def a_conversion_that_fails_leaves_nothing():
    backup = backup_for_edits("db-encrypted")
    with tmpfs("size=300k") as place:
        done = larder("rekey", "--passfile", PASSFILE, "--decrypt-to",
                      place + "/out", backup)
        equal(done.returncode, 1)
        assert "No space left on device" in done.stderr, done.stderr
        equal(os.listdir(place), [])


run()
