#!/usr/bin/python3
"""larder backup when the phone, the cable or the disk does not go along.

Whatever happens, the backup before stays as it is, to the byte; the user hears
what it was, and the status says which kind of thing it was.
"""

import functools

from harness import *

import backup_job                                       # noqa: E402
import faults                                           # noqa: E402

NP = "com.apple.mobile.notification_proxy"
AFC = "com.apple.afc"
APPS = "com.apple.mobile.installation_proxy"
ICONS = "com.apple.springboardservices"


# --- what takes long ---------------------------------------------------------

class InBackground:
    """A backup with knobs that delay it, on its way while other cases run."""

    def __init__(self, **knobs):
        self.bench = Bench()
        self.bench.begin()
        self.begun = time.monotonic()
        self.process = self.bench.start(**knobs)

    def ended(self, status):
        out, err = self.process.communicate(timeout=100)
        equal(self.process.returncode, status, err)
        over(self.bench.phone)
        return err


@functools.cache
def long_silence():
    """40 seconds, in the middle of a frame."""
    return InBackground(stall={"seconds": 40, "at": "upload:frame:1"})


@functools.cache
def long_lock():
    return InBackground(sync_lock=-1)


@case
def what_takes_long_begins():
    long_lock()
    if not SANITIZED:
        long_silence()


# --- the phone says no -------------------------------------------------------

CODES = {1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 10: 1, 11: 1, 13: 4, 14: 1, 17: 1,
         25: 1, 100: 1, 101: 1, 102: 1, 103: 1, 104: 1, 105: 1, 106: 1,
         202: 5, 203: 1, 204: 1, 205: 1, 207: 13, 208: 4, 210: 1, 211: 1,
         212: 1, 223: 1, 300: 1, 307: 1, 999: 1}
ADVICE = {13: "unlock it and try again", 14: "another backup or restore",
          105: "free space, or choose another folder",
          202: "cancelled on the device", 204: "--full", 205: "--full",
          207: "larder password on", 208: "unlock it, enter the passcode",
          211: "Find My", 300: "network error", 307: "iCloud",
          999: "an error that larder does not know"}


@case
def each_error_of_the_phone_has_words_and_a_status():
    def check(b, row):
        code, status = row
        done = b.fails(status, ADVICE.get(code, "the device says: "),
                       refuse={"code": code, "description": "Really\33[2Jno"})
        if code != 207:
            assert f"({code}, \"Really?[2Jno\")" in done.stderr, done.stderr
            assert "the device says: " in done.stderr, done.stderr

    each(list(CODES.items()), check)


@case
def a_failure_at_the_very_end_is_one():
    with bench() as b:
        b.fails(1, "(1, \"no\")", final={"code": 1, "description": "no"})
        b.recovers()


@case
def success_without_a_finished_status_is_none():
    with bench() as b:
        b.fails(1, "the new backup is not good", no_finish=True)
        b.recovers()


@case
def a_policy_wants_a_password_first():
    with bench() as b:
        b.fails(13, "larder password on", requires_encryption=True)


# --- locked, not trusted, passcode -------------------------------------------

@case
def a_locked_phone_is_waited_for():
    with bench() as b:
        done = b.succeeds("waiting: unlock the device", locked_sessions=2)
        equal(done.stderr.count("unlock the device"), 1)


@case
def a_phone_that_stays_locked_is_given_up():
    with bench() as b:
        b.run("--timeout", "3", status=4, words=["still locked"],
              locked_sessions=-1)
        b.intact()


@case
def the_trust_dialog_is_waited_for():
    with phones({"knobs": {"trust": "dialog", "trust_after": 1}}) as sim:
        folder = new_dir("backups")
        done = backup(sim, folder, "--json")
        equal([e["reason"] for e in events(done) if e["event"] == "waiting"],
              ["trust"])
        equal(os.listdir(folder), [UDID])


@case_for({"denied": "\"Don't Trust\" was tapped", "locked": "still locked",
           "dialog": "nobody answered"})
def the_phone_does_not_trust_this_computer(trust, text):
    with phones({"knobs": {"trust": trust, "trust_after": -1}}) as sim:
        folder = new_dir("backups")
        # a pairing makes keys, which takes its time
        done = backup(sim, folder, "--timeout", "5", status=4)
        assert text in done.stderr, done.stderr
        equal(os.listdir(folder), [])


@case
def the_passcode_is_asked_for():
    with bench() as b:
        done = b.succeeds("waiting: enter the passcode on the device",
                          options=["--timeout", "4"], passcode=1)
        assert "the device goes on" in done.stderr, done.stderr


@case
def without_notifications_the_passcode_is_guessed_at():
    with bench() as b:
        b.succeeds("if it asks for its passcode, enter it", passcode=4,
                   refuse_services={NP: "InvalidService"})


@case
def a_passcode_that_never_comes_ends_it():
    def check(b, row):
        status, words, knobs = row
        b.fails(status, words, options=["--timeout", "3"], passcode="never",
                **knobs)

    each([(4, "silent for too long", {}),
          (4, "unlock it, enter the passcode", {"passcode_timeout": 1})],
         check)


# --- silence -----------------------------------------------------------------

STALLS = ["request", "upload:files:1", "upload:frame:1", "move"]


@case
def three_seconds_of_silence_are_too_long_for_two():
    each(STALLS, lambda b, at: b.fails(
        4, "silent for too long", options=["--timeout", "2"],
        stall={"seconds": 5, "at": at}))


@case
def three_seconds_of_silence_are_nothing_otherwise():
    each(STALLS, lambda b, at: b.succeeds(stall={"seconds": 3, "at": at}))


@case
def services_that_say_nothing_do_not_hold_it_up_for_ever():
    def check(b, row):
        service, words = row
        b.succeeds(words, options=["--timeout", "3"],
                   silent_services=[service])

    each([(NP, ""), (AFC, "lacks iTunes files"), (APPS, "lacks apps"),
          (ICONS, "lacks icons")], check)
    with bench() as b:
        b.fails(4, "silent for too long", options=["--timeout", "3"],
                silent_services=[BACKUP_SERVICE])


@case
def a_lockdownd_that_says_nothing_is_given_up():
    def check(b, request):
        b.run("--timeout", "3", status=4, silent_requests=[request])
        b.intact()

    each(["QueryType", "GetValue", "StartSession", "StartService"], check)


# --- the cable ---------------------------------------------------------------

INSIDE = ["upload:files:0", "upload:files:1", "upload:frame:0",
          "upload:frame:3"]


@case
def pulling_the_cable_at_any_phase_loses_nothing():
    def check(b, at):
        b.fails(4, unplug_at=at)
        assert b.phone.events("unplugged"), "it never came to that"

    each([*backup_job.PHASES, *INSIDE], check)


@case
def pulling_the_cable_after_some_bytes_loses_nothing():
    def check(b, n):
        b.fails(4, unplug_after_bytes=n)
        assert b.phone.events("unplugged"), "it never came to that"

    each([0, 1, 3, 4, 5, 100, 1000, 5000, 20000, 40000, 60000], check)


@case
def pulling_the_cable_before_the_backup_begins_loses_nothing():
    def check(b, event):
        process = b.start(handshake_seconds=0.3)
        b.phone.wait(event)
        b.phone.unplug()
        out, err = process.communicate(timeout=20)
        equal(process.returncode, 4, err)
        b.intact()

    each(["tls", "service", "afc-open", "locked"], check)


@case
def after_an_unplugging_the_next_backup_is_whole():
    def check(b, at):
        b.fails(4, unplug_at=at)
        b.recovers()

    each(["upload:frame:3", "move", "status-finished", "response"], check)


# --- cancelled, and failed half-way ------------------------------------------

@case
def the_phones_own_cancel_button_cancels():
    def check(b, at):
        b.fails(5, "cancelled on the device", cancel_at=at)
        equal([e["knob"] for e in b.phone.events("fault")], ["cancel_at"])

    each(["request", "verify", "upload:files:2", "manifest-upload", "move",
          "final-verify", "response"], check)


@case
def an_error_at_any_phase_is_the_end_of_it():
    def check(b, at):
        b.fails(1, '(100, "half-way")', fail_at={
            "code": 100, "description": "half-way", "at": at})
        equal([e["knob"] for e in b.phone.events("fault")], ["fail_at"])

    visited = visited_phases()
    assert set(visited) >= {"request", "verify", "scan", "upload", "move",
                            "remove", "final-verify", "response"}, visited
    each(visited + ["upload:files:2"], check)


@functools.cache
def visited_phases():
    with bench() as b:
        b.succeeds()
        return list(dict.fromkeys(phases(b.phone)))


# --- files that the phone cannot read ----------------------------------------

@case
def files_that_the_phone_cannot_read_are_a_warning():
    def check(b, when):
        changed, added = b.edited["changed"][0], b.edited["added"][0]
        error = {"when": when, "text": "Oper\33ation"}
        done = b.run(file_errors={changed: error, added: error})
        lines = [line for line in done.stderr.splitlines()
                 if "could not read" in line]
        equal(len(lines), 2, done.stderr)
        for line, name in zip(sorted(lines), sorted([changed, added])):
            assert "Oper?ation" in line, line
        # what was there of them before is still there, and nothing half
        with open(b.old[0], encoding="ascii") as f:
            old = {e["path"]: e for e in map(json.loads, f)}
        with mounted(b.target) as m:
            equal(len(read(m.inside(changed))), old[changed]["size"])
            assert not os.path.exists(m.inside(added)), added
        equal(b.phone.violations(), [])

    each(["before", "after"], check)


# --- names that lead elsewhere -----------------------------------------------

OPERATIONS = ["download", "list", "upload", "create", "move", "remove",
              "copy"]
ELSEWHERE = ["../x", "../../x", "/etc/x", "<id>/../../x", "<id>/..", "..",
             "", ".", "/", "<id>/a/../../x", NEIGHBOUR + "/Status.plist",
             NEIGHBOUR, "<id>x", "<id>-1/x", "../\33[2Jx\u009b", "x" * 3000]


@case_for(OPERATIONS)
def names_that_lead_elsewhere_are_refused(op):
    def check(b, path):
        b.fails(1, "the device named \"", hostile=[
            {"op": op, "path": path, "at": "request"}])
        equal(len(b.phone.events("hostile")), 1)

    each(ELSEWHERE, check)


@case_for(["move", "copy"])
def files_cannot_be_sent_elsewhere(op):
    def check(b, to):
        b.fails(1, "the device named \"", hostile=[
            {"op": op, "path": "<id>/Status.plist", "to": to,
             "at": "status-moving"}])

    each(ELSEWHERE, check)


@case
def names_with_control_characters_never_reach_a_disk_or_a_terminal():
    def check(b, row):
        op, path = row
        # some libraries end a text at a NUL: then it is another name
        b.phone.set(hostile=[{"op": op, "path": path, "at": "request"}])
        done = larder_on(b.sim, "backup", b.folder)
        no_controls(done.stdout + done.stderr)
        over(b.phone)
        inside = f"backups/{UDID}"
        equal([name for name in changes(b.before, snapshot(b.parent))
               if not name.startswith(inside)], [])
        assert done.returncode == 1 or "\0" in path and op != "upload", \
            (done.returncode, done.stderr)

    each([(op, path) for op in OPERATIONS
          for path in ("<id>/a\0b", "<id>/\33]0;x\7", "../x\0")], check)


@case
def other_versions_cannot_be_reached():
    def check(b, op):
        name = UDID + "-20200101-000000"
        os.mkdir(f"{b.folder}/{name}")
        save(f"{b.folder}/{name}/Status.plist", b"an earlier one")
        before = snapshot(f"{b.folder}/{name}")
        b.phone.set(hostile=[
            {"op": op, "path": name + "/Status.plist", "at": "request"},
            {"op": op, "path": name, "at": "request"}])
        larder_on(b.sim, "backup", b.folder)
        equal(changes(before, snapshot(f"{b.folder}/{name}")), [])
        over(b.phone)

    each(["upload", "move", "remove", "copy"], check)


@case
def links_in_a_backup_lead_nowhere():
    def check(b, op):
        # somebody put it there; the clone has it as well
        os.symlink("../..", f"{b.target}/up")
        b.before = snapshot(b.parent)
        b.phone.set(hostile=[{"op": op, "path": "<id>/up/x", "at": "request",
                              "to": "<id>/up/y"}])
        larder_on(b.sim, "backup", b.folder)
        equal([name for name in changes(b.before, snapshot(b.parent))
               if not name.startswith(f"backups/{UDID}")], [])
        assert not [e for e in b.phone.events("hostile")
                    if e["outcome"] == "done"
                    and op not in ("remove",)], b.phone.events("hostile")
        over(b.phone)

    each(OPERATIONS, check)


# --- messages that make no sense ---------------------------------------------

@case
def malformed_messages_end_it_without_delay():
    def check(b, kind):
        begun = time.monotonic()
        done = larder_on(b.sim, "backup", "--timeout", "4", b.folder)
        no_controls(done.stdout + done.stderr)
        # of some it cannot be known that nothing more will come
        late = kind in ("upload-short", "huge-frame")
        equal(done.returncode, 4 if late and "silent" in done.stderr else 1,
              done.stderr)
        assert time.monotonic() - begun < 15
        b.intact()
        equal(len(b.phone.events("malformed")), 1)
        over(b.phone)
        if not late:
            equal(b.phone.violations(), [])

    def with_knobs(b, kind):
        b.phone.set(malformed=kind, quick_timeout=8, reply_timeout=10)
        check(b, kind)

    each(list(faults.MALFORMED), with_knobs)


@case
def an_unknown_message_is_answered_and_told_of():
    with bench() as b:
        b.succeeds("unknown message, DLMessageSing?[2J",
                   unknown_message={"name": "DLMessageSing\33[2J",
                                    "at": "upload"})


@case_for({
    "a ping": {"ping_at": "upload"},
    "a request to make room": {"purge": True},
    "whole numbers of progress": {"progress_ints": True},
    "frames of one byte": {"frame_size": 1},
    "frames of 100 bytes": {"frame_size": 100},
    "frames of 1 MiB": {"frame_size": 1 << 20},
    "a message for each file": {"batch": 1},
    "a message for all files": {"batch": 100000},
    "DeviceLink 400": {"dl_version": [400, 0]},
    "protocol 2.0": {"protocol_version": 2.0},
    "services without TLS": {"service_tls": False},
    **{f"the quirk {name}": {"quirks": [name]} for name in (
        "xml", "files-verbs", "empty-download", "list-missing",
        "space-first")},
    "no apps": {"refuse_services": {APPS: "InvalidService"}},
    "no icons": {"refuse_services": {ICONS: "InvalidService"}},
    "no media": {"refuse_services": {AFC: "InvalidService"}},
    "no notifications": {"refuse_services": {NP: "InvalidService"}},
    "nothing but backups": {"refuse_services": {
        name: "InvalidService" for name in (APPS, ICONS, AFC, NP)}}})
def is_no_obstacle(_what, knobs):
    with bench() as b:
        b.succeeds(**knobs)


@case
def a_newer_protocol_is_not_tried():
    with bench() as b:
        b.fails(1, "DeviceLink 401", "newer larder", dl_version=[401, 0],
                quiet=False)


@case_for({"no such service": ("InvalidService", 1),
           "a locked phone": ("PasswordProtected", 4)})
def the_backup_service_is_refused(_what, how):
    error, status = how
    with bench() as b:
        b.run(status=status, refuse_services={BACKUP_SERVICE: error})
        b.intact()


# --- other programs ----------------------------------------------------------

@case
def another_program_that_syncs_is_waited_for():
    with bench() as b:
        b.succeeds("waiting: another program syncs", sync_lock=3)


@case
def another_program_that_syncs_on_is_too_much():
    err = long_lock().ended(1)
    assert "waiting: another program syncs" in err, err
    assert "end it and try again" in err, err
    long_lock().bench.intact()
    assert len(long_lock().bench.phone.events("lock-busy")) >= 25


# --- the disk ----------------------------------------------------------------

@contextlib.contextmanager
def on_disk(b, *options):
    """The bench's folder on a file system of its own."""
    with tmpfs(*options) as place:
        old = b.folder, b.parent
        b.parent, b.folder = place, place + "/backups"
        shutil.copytree(old[0], b.folder, symlinks=True)
        b.before = snapshot(b.parent)
        try:
            yield place
        finally:
            b.folder, b.parent = old


def fill_up(place, leave=32 << 10):
    """Take almost all the room there is."""
    v = os.statvfs(place)
    with open(place + "/ballast", "xb") as f:
        os.posix_fallocate(f.fileno(), 0, v.f_bavail * v.f_frsize - leave)


@case
def a_disk_that_is_full_from_the_start_is_told_of():
    with bench() as b, on_disk(b, "size=20m"):
        b.fails(1, "free here", "free space, or choose another folder")
        equal(phones_answer(b.phone), 105)
    with phones() as sim, tmpfs("size=20m") as place:
        done = backup(sim, place, status=1)
        assert "the backup may not fit" in done.stderr, done.stderr
        equal(os.listdir(place), [])


@case
def a_disk_that_fills_up_meanwhile_is_told_to_both_sides():
    def check(b, at):
        with on_disk(b, "size=180m") as place:
            process = b.start(stall={"seconds": 1.5, "at": at},
                              free_check=False)
            b.phone.wait("fault", knob="stall")
            fill_up(place)
            out, err = process.communicate(timeout=60)
            equal(process.returncode, 1, err)
            assert "No space left on device" in err, err
            assert "the backup before is as it was" in err, err
            over(b.phone)
            os.unlink(place + "/ballast")
            b.intact(at)
            # Apple's -15, which the phone knows as 105; framing is kept
            equal(b.phone.violations(), [])
            equal(phones_answer(b.phone), 105)
            b.recovers()

    each(["status-uploading", "upload:files:1", "upload:frame:1",
          "manifest-upload"], check)


@case
def a_disk_without_inodes_is_told_of():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, = sim.phones
        # not enough for the folders; not enough for all files
        for nr, warned in ((100, True), (545, False)):
            with tmpfs("size=500m", f"nr_inodes={nr}") as place:
                phone.forget()
                done = backup(sim, place, status=1)
                equal("inodes are free here" in done.stderr, warned)
                assert "No space left" in done.stderr, (nr, done.stderr)
                equal(os.listdir(place), [])
                over(phone)
                equal(phone.violations(), [])
                equal(phones_answer(phone), 105)


def phones_answer(phone):
    return phone.events("response")[-1]["code"]


@case
def a_clone_for_which_there_are_no_inodes_is_none():
    with bench() as b, on_disk(b, "size=500m", "nr_inodes=700"):
        b.fails(1, "No space left on device")


@case
def a_folder_that_cannot_be_written_is_told_of():
    with bench() as b, on_disk(b, "size=500m") as place:
        equal(execute("mount", "-o", "remount,ro", place).returncode, 0)
        b.run(status=1, words=["Read-only file system"])
        b.intact()


@case
def what_is_no_folder_is_told_of():
    with bench() as b:
        b.folder, folder = save(new_path("file"), b""), b.folder
        b.run(status=1, words=["Not a directory"])
        b.folder = folder
        shutil.rmtree(b.target)
        save(b.target, b"a file")
        b.run(status=1, words=["Not a directory"])
        equal(read(b.target), b"a file")
        os.unlink(b.target)
        os.symlink("nowhere", b.target)
        b.run(status=1, words=["cannot follow the link"])
        equal(os.readlink(b.target), "nowhere")


@case
def forty_seconds_of_silence_are_survived():
    if SANITIZED:
        raise Skip("takes long enough without")
    err = long_silence().ended(0)
    # a line about it as soon as it is long, and nothing that is wrong
    assert re.search("no data for 3[0-4] s", err), err
    long_silence().bench.is_new()


run()
