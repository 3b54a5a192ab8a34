#!/usr/bin/python3
"""larder restore when the backup, the phone, the cable or the user does not
go along.

Whatever happens, the backup and its neighbours stay as they are, and so does
the phone until it has everything; the user hears what it was.
"""

from restoring import *

import faults                                           # noqa: E402
import restore_job                                      # noqa: E402

PART = ("--only", "*Domain*", "--remove")       # all of it, but staged
WAYS = ((), PART)
PHASES = [p for p in restore_job.PHASES if p != "copy"]
# behind this the phone has put the new data in place
LAST = "response"


# --- damaged backups ---------------------------------------------------------

def file_of(source, size=300):
    """A payload of some size."""
    return sorted(path for path in payload_files(source.folder)
                  if os.path.getsize(path) > size)[0]


def symlink_instead(path):
    os.rename(path, path + ".moved")
    os.symlink(path + ".moved", path)


DAMAGES = {
    "missing": os.unlink,
    "cut off": lambda path: os.truncate(path, 16 * 3 + 5),
    "empty": lambda path: os.truncate(path, 0),
    "a folder": lambda path: (os.unlink(path), os.mkdir(path)),
    "a link": symlink_instead,
}


@case_for(DAMAGES)
def damage_is_found_before_the_phone_is_asked(_what, damage):
    for password in (None, "secret"):
        source = backup_of(password).copy()
        path = file_of(source)
        damage(path)
        before = snapshot(source.folder)
        with phones(USED) as sim:
            phone, = sim.phones
            old = list(phone.content.entries())
            for options in ((), PART, ("--dry-run",)):
                done = restore(sim, source.folder, *source.unlock, "--json",
                               *options, status=26)
                found = [e for e in events(done) if e["event"] == "damaged"]
                equal(len(found), 1, done.stdout)
                equal(events(done)[-1]["event"], "error")
                done = restore(sim, source.folder, *source.unlock, *options,
                               status=26)
                assert found[0]["path"] in done.stderr + done.stdout, done
                assert "--force-damaged" in done.stderr, done.stderr
            over(phone)
            equal(requests(phone), [])
            # the device may refuse all of it, as this one does
            done = larder_on(sim, "restore", "--yes", *source.unlock,
                             "--force-damaged", source.folder)
            over(phone)
            equal(len(requests(phone)), 1, done.stderr)
            # without digests a phone cannot see what is too short
            if done.returncode == 0 and not password:
                assert content.differences(source.entries, phone.content)
            else:
                equal(done.returncode, 1, done.stderr)
                has(phone, old)
            equal(phone.violations(), [])
        equal(changes(before, snapshot(source.folder)), [])


@case
def damage_elsewhere_does_not_stand_against_a_part():
    source = backup_of("secret").copy()
    with source.mounted() as m:
        ident = os.getxattr(m.inside(
            "HomeDomain/Library/SMS/sms.db"), "user.larder.file-id").decode()
    os.unlink(f"{source.folder}/{ident[:2]}/{ident}")
    with phones(EMPTY) as sim:
        restore(sim, source.folder, *source.unlock, status=26)
        restore(sim, source.folder, *source.unlock, "--only",
                "CameraRollDomain")
        equal({e["domain"] for e in sim.phones[0].content.entries()},
              {"CameraRollDomain"})
        restore(sim, source.folder, *source.unlock, "--exclude",
                "HomeDomain/Library/SMS/sms.db")


@case_for({"Manifest.plist": 26, "Manifest.db": 26})
def a_manifest_that_is_damaged_is_reported(name, status):
    source = backup_of("secret").copy()
    save(f"{source.folder}/{name}", os.urandom(2048))
    with phones(EMPTY) as sim:
        restore(sim, source.folder, *source.unlock, status=status)
        equal(requests(sim.phones[0]), [])


# --- the phone says no -------------------------------------------------------

CODES = {1: 1, 2: 1, 3: 1, 4: 1, 11: 1, 13: 4, 14: 1, 25: 1, 100: 1, 104: 1,
         105: 1, 106: 1, 202: 5, 203: 1, 204: 1, 205: 1, 207: 12, 208: 4,
         210: 1, 211: 1, 212: 1, 300: 1, 999: 1}


@case
def each_error_of_the_phone_has_words_and_a_status():
    def check(b, row):
        code, status = row
        done = b.fails(status, "the device says: ", refuse={
            "code": code, "description": "Really\33[2Jno"})
        assert f"({code}, \"Really?[2Jno\")" in done.stderr, done.stderr

    each_restore(list(CODES.items()), check)


@case
def an_error_in_the_middle_is_reported():
    def check(b, row):
        phase, options = row
        new = phase == LAST
        b.run(*options, status=1, words=["(106, \"full\")"], fail_at={
            "code": 106, "description": "full", "at": phase})
        b.intact(new)
        equal(b.phone.violations(), [])

    each_restore([(p, w) for p in PHASES for w in WAYS], check)


@case
def a_full_phone_is_reported():
    with restore_bench() as b:
        b.fails(1, "(106, ", disk_usage={"AmountDataAvailable": 1000,
                                         "TotalDataAvailable": 10**9})


# --- the cable ---------------------------------------------------------------

@case_for({"in clear": RestoreBench, "encrypted": EncryptedRestoreBench})
def unplugged_at_any_moment_it_leaves_all_as_it_was(_how, kind):
    def check(b, row):
        phase, options = row
        b.run(*options, status=4, unplug_at=phase)
        b.intact(phase == LAST)

    each_restore([(p, w) for p in PHASES for w in WAYS], check, kind)


@case
def unplugged_in_the_middle_of_a_large_file_it_ends():
    with phones({"fill": {"kind": "bulk", "size": 256 << 20, "files": 2}},
                EMPTY) as sim:
        one, other = sim.phones
        folder = new_dir("backups")
        backup(sim, folder, "--udid", UDID)
        before = os.listdir(folder)
        process = start(sim, LARDER, "restore", "--yes", "--udid", OTHER,
                        f"{folder}/{UDID}")
        other.wait("phase", phase="payloads")
        other.unplug()
        out, err = process.communicate(timeout=30)
        equal(process.returncode, 4, err)
        equal(list(other.content.entries()), [])
        equal(os.listdir(folder), before)
        # and then as if nothing had been
        other.plug()
        restore(sim, f"{folder}/{UDID}", "--udid", OTHER)
        has(other, list(one.content.entries()))


@case_for(WAYS)
def a_phone_that_hangs_up_before_its_answer_has_failed(options):
    with restore_bench() as b:
        b.run(*options, status=4, hang_up="before")
        equal(changes(b.before, snapshot(b.parent)), [])


@case
def a_phone_that_says_nothing_is_given_up():
    def check(b, row):
        phase, options = row
        begun = time.monotonic()
        b.run("--timeout", "2", *options, status=4, words=["silent"],
              stall={"seconds": 60, "at": phase})
        assert time.monotonic() - begun < 12
        b.intact(phase == LAST)

    each_restore([("request", ()), ("payloads", ()), ("payloads", PART),
                  ("response", ())], check)


@contextlib.contextmanager
def phone_that_stops_reading(*options):
    """(bench, larder), which has most of the files still to send."""
    with restore_bench() as b:
        process = b.start(*options, stall={"seconds": 600,
                                           "at": "payloads:frame:0"})
        b.phone.wait("fault")
        yield b, process
        b.phone.unplug()        # it sleeps on
        over(b.phone)
        b.intact(False)
        equal(b.phone.violations(), [])


@case
def a_phone_that_stops_reading_is_given_up():
    with phone_that_stops_reading("--timeout", "2") as (_, process):
        out, err = process.communicate(timeout=12)
        equal(process.returncode, 4)
        assert "silent" in err, err


# --- Ctrl-C ------------------------------------------------------------------

@case_for(("SIGINT", "SIGTERM"))
def the_signal_ends_it_at_any_moment(name):
    def check(b, row):
        phase, options = row
        process = b.start(*options, stall={"seconds": 60, "at": phase})
        b.phone.wait("fault")
        status, seconds, text = interrupted(process, getattr(signal, name))
        b.judge(status, text, 5, ["cancelled"])
        assert seconds < 3, seconds
        b.intact(phase == LAST)
        # the phone was told, and is free for others
        names = {e["event"] for e in b.phone.events()}
        assert "client-left" in names, names
        equal(b.phone.violations(), [])

    each_restore([(p, w) for p in PHASES for w in WAYS], check,
                 EncryptedRestoreBench)


@case
def the_signal_ends_it_while_the_phone_does_not_read():
    with phone_that_stops_reading() as (_, process):
        status, seconds, text = interrupted(process)
        equal(status, 5, text)
        assert seconds < 3, seconds


@case
def cancelled_on_the_phone_it_is_cancelled():
    def check(b, phase):
        b.run(status=5, words=["cancelled on the device"], cancel_at=phase)
        b.intact(phase == LAST)

    each_restore(PHASES, check)


@case
def killed_it_leaves_what_the_next_run_cleans_up():
    with restore_bench(EncryptedRestoreBench) as b:
        process = b.start(*PART, stall={"seconds": 60, "at": "payloads"})
        b.phone.wait("fault")
        process.kill()
        process.communicate()
        over(b.phone)
        left = changes(b.before, snapshot(b.parent))
        assert left, "nothing was staged"
        assert not any(name.startswith(UDID) for name in left), left
        b.phone.reset()
        b.run(*PART)
        b.intact(new=True)


# --- waiting -----------------------------------------------------------------

@case
def a_locked_phone_is_waited_for():
    with restore_bench() as b:
        b.run(words=["waiting: unlock the device"], locked_sessions=2)
        b.intact(new=True)


@case
def the_passcode_is_waited_for():
    with restore_bench() as b:
        b.run(words=["passcode"], passcode=1)
        b.intact(new=True)


@case
def another_program_that_syncs_is_waited_for_or_named():
    with restore_bench() as b:
        b.run(sync_lock=2)
        b.intact(new=True)


@case
def a_phone_without_the_small_services_is_restored_all_the_same():
    services = ("com.apple.mobile.notification_proxy", "com.apple.afc")
    for name in services:
        with restore_bench() as b:
            b.run("--no-apps", refuse_services={name: "InvalidService"})
            b.intact(new=True)


# --- which phone -------------------------------------------------------------

@case
def of_several_phones_one_has_to_be_chosen():
    source = backup_of()
    third = USED | {"udid": "00008101-00000000000000CC", "name": "Cara"}
    with phones(USED, third) as sim:
        bob, cara = sim.phones
        old = list(cara.content.entries())
        done = restore(sim, source.folder, status=2)
        for text in (OTHER, "Bob", "Cara", "--udid"):
            assert text in done.stderr, done.stderr
        restore(sim, source.folder, "--udid", OTHER.lower())
        has(bob, source.entries)
        has(cara, old)
        equal(requests(cara), [])


@case
def a_phone_on_the_network_is_restored():
    config = USED | {"usb": False, "network": "127.72.0.9"}
    with phones(config) as sim:
        restore(sim, backup_of().folder, "--network")
        has(sim.phones[0], backup_of().entries)


# --- a phone that means harm -------------------------------------------------

OUTSIDE = ("/etc/passwd", "../secret", "<id>/../secret", "<id>/../../secret",
           "secret", "<id>x/secret", "..", "", "<id>/./../secret",
           "//etc/passwd", "<id>//../secret", "<id>-20240101-000000/x",
           OTHER + "/../secret")
INSIDE = ("<id>/secret", "<id>/secret.plist", "<id>/.larder",
          "<id>/ab/secret", "<id>/link", "<id>/ab/" + "0" * 40 + "/x",
          "<id>/Manifest.db/x", "<id>/Snapshot/secret",
          "<id>/secret\0", OTHER + "/Info.plist")
WRITING = ("upload", "create", "move", "remove", "copy")


class HostileBench(RestoreBench):
    """With secrets in the backup's folder and beside it."""

    def begin(self):
        super().begin()
        folder = self.source.folder
        os.makedirs(folder + "/ab", exist_ok=True)
        os.mkdir(folder + "/Snapshot")
        for name in ("secret", "secret.plist", "ab/secret",
                     "Snapshot/secret", "../secret"):
            save(f"{folder}/{name}", b"SECRET")
        os.symlink("/etc/passwd", folder + "/link")
        self.before = snapshot(self.parent)

    def tries(self, op, path, at="payloads", **more):
        """It is not done, whatever else comes of it."""
        self.phone.set(hostile=[{"op": op, "path": path, "at": at} | more])
        done = larder_on(self.sim, *self.argv())
        over(self.phone)
        no_controls(done.stdout + done.stderr)
        what = f"{op} {path!r}: status {done.returncode}, {done.stderr}"
        seen, = self.phone.events("hostile")
        equal([v for v in self.phone.violations() if "was done" in v], [],
              what)
        equal(changes(self.before, snapshot(self.parent)), [], what)
        assert done.returncode in (0, 1), what
        has(self.phone, self.source.entries if done.returncode == 0
            else self.old)
        return done, seen


def tried(op, paths, broken, **more):
    """`broken`: it is a breach of the protocol, which ends the restore."""
    problems = []

    def check(b, path):
        done, _ = b.tries(op, path, **more)
        if broken is not None and (done.returncode == 1) != broken:
            problems.append((path, done.returncode, done.stderr))

    each_restore(paths, check, HostileBench)
    equal(problems, [], op)


@case_for(("download", "list"))
def a_phone_cannot_read_outside_of_the_backup(op):
    tried(op, OUTSIDE, None)


@case_for(("download", "list"))
def of_the_backups_folder_a_phone_sees_what_belongs_to_a_backup(op):
    tried(op, INSIDE, False if op == "download" else None)


@case_for(WRITING)
def a_phone_cannot_change_anything(op):
    tried(op, ("<id>/Manifest.plist", "<id>/new", "<id>", "<id>/ab/new",
               "../new", "/tmp/new", OTHER, OTHER + "/new",
               "<id>-20240101-000000"), None)


@case
def a_phone_that_asks_for_secrets_never_gets_them():
    """All at once, in each phase; and what it got is looked at."""
    with restore_bench(HostileBench) as b:
        b.phone.set(hostile=[{"op": "download", "path": path, "at": "payloads"}
                             for path in INSIDE])
        done = larder_on(b.sim, *b.argv())
        over(b.phone)
        equal([v for v in b.phone.violations() if "was done" in v], [])
        equal([e["outcome"] for e in b.phone.events("hostile")
               if "SECRET" in e["outcome"]], [])
        equal(done.returncode, 0, done.stderr)
        for folder, _, names in os.walk(b.phone.state):
            for path in (os.path.join(folder, name) for name in names):
                assert os.path.islink(path) or b"SECRET" not in read(path), \
                    path


@case
def messages_that_make_no_sense_end_it():
    def check(b, kind):
        b.phone.set(malformed={"kind": kind, "at": "payloads"},
                    quick_timeout=8, reply_timeout=10)
        done = larder_on(b.sim, *b.argv("--timeout", "4"))
        no_controls(done.stdout + done.stderr)
        # of some it cannot be known that nothing more will come
        late = kind in ("upload-short", "huge-frame")
        equal(done.returncode, 4 if late and "silent" in done.stderr else 1,
              done.stderr)
        b.intact()
        over(b.phone)
        if not late:
            equal(b.phone.violations(), [])

    each_restore(sorted(faults.MALFORMED), check)


@case
def unknown_messages_and_pings_are_answered():
    with restore_bench() as b:
        b.run(unknown_message={"name": "DLMessageWhatever", "at": "payloads"},
              ping_at="payloads")
        b.intact(new=True)
        equal(b.phone.violations(), [])


run()
