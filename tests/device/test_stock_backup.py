#!/usr/bin/python3
"""The simulator's backup daemon with idevicebackup2 as its client."""

import contextlib
import hashlib
import plistlib
import shutil
import sqlite3

from harness import *

content, mkbackup = launch.content, launch.content.mkbackup
SUCCESS = "Backup Successful."


class Desk:
    """A phone that is paired, and a folder for its backups."""

    def __init__(self, sim):
        self.sim, self.phone = sim, sim.phones[0]
        self.folder = new_dir("backups")
        self.backup = f"{self.folder}/{self.phone.udid}"
        equal(on(sim, "idevicepair", "pair").returncode, 0)

    def stock(self, *args, status=0, says=None):
        """Run idevicebackup2; its output."""
        self.phone.forget()
        done = on(self.sim, "idevicebackup2", *args, self.folder)
        text = done.stdout + done.stderr
        equal(done.returncode, status, f"{args}: {text}")
        if says:
            assert says in text, f"{args}: {text}"
        return text

    def stock_any(self, *args):
        """The same, whatever its exit status."""
        self.phone.forget()
        done = on(self.sim, "idevicebackup2", *args, self.folder)
        return done.stdout + done.stderr

    def back_up(self, *options):
        """A backup that is to succeed; what the phone says of it.  (The tool
        also exits with 0 after a backup that was not finished.)"""
        self.stock("backup", *options, says=SUCCESS)
        done, = self.phone.events("backup-finished")
        self.is_whole()
        return done

    def is_whole(self):
        """The backup on disk has the phone's files, and they can be read."""
        want = {(e["domain"], e["path"]): e["sha256"]
                for e in self.phone.content.entries()}
        got = {(os.fsdecode(domain), os.fsdecode(path)):
               None if data is None else hashlib.sha256(data).hexdigest()
               for domain, path, data in
               mkbackup.read_back(self.backup, self.phone.password or "")}
        equal(got, want)

    def edit(self, change=3, add=2, remove=2, seed=1):
        return content.edit(self.phone.content, change, add, remove, seed)


@contextlib.contextmanager
def desk(kind="small", violations=(), **config):
    with Simulator({"fill": {"kind": kind}} | config) as sim:
        it = Desk(sim)
        yield it
        equal(it.phone.violations(), list(violations))


def regular_files(phone):
    return sum(i.kind == "f" for i in phone.content.scan())


# --- backups -----------------------------------------------------------------

@case
def a_full_backup_has_what_the_phone_has():
    with desk() as d:
        done = d.back_up("--full")
        equal((done["full"], done["encrypted"]), (True, False))
        equal(done["uploaded"], regular_files(d.phone))
        assert not os.path.exists(d.backup + "/Snapshot")


@case
def pictures_and_messages_come_through():
    with desk("sample") as d:
        d.back_up()


@case
def a_second_backup_sends_nothing_if_nothing_changed():
    with desk() as d:
        d.back_up()
        done = d.back_up()
        equal((done["full"], done["uploaded"], done["removed"]), (False, 0, 0))


@case
def an_incremental_backup_sends_what_changed():
    with desk() as d:
        d.back_up()
        d.edit(change=3, add=2, remove=2)
        done = d.back_up()
        equal((done["full"], done["uploaded"], done["removed"]), (False, 5, 2))


@case
def a_change_of_mode_alone_sends_no_payload():
    with desk() as d:
        d.back_up()
        d.phone.content.set("HomeDomain", "Library/SMS/sms.db", mode=0o640)
        equal(d.back_up()["uploaded"], 0)
        modes = modes_in(d.backup)
        equal(modes["HomeDomain", "Library/SMS/sms.db"], 0o100640)


def modes_in(backup):
    with contextlib.closing(sqlite3.connect(
            backup + "/Manifest.db")) as db:
        return {(domain, path): mkbackup.mbfile_by_name(
                    plistlib.loads(blob))["root"]["Mode"]
                for domain, path, blob in
                db.execute("SELECT domain, relativePath, file FROM Files")}


@case
def a_forced_full_backup_leaves_nothing_of_the_old_one():
    with desk() as d:
        d.back_up()
        d.edit()
        done = d.back_up("--full")
        equal(done["uploaded"], regular_files(d.phone))
        equal(done["removed"], 2)


@case
def a_phone_that_has_forgotten_its_backup_reads_it():
    with desk() as d:
        d.back_up()
        shutil.rmtree(d.phone.state / "backup")
        d.edit()
        done = d.back_up()
        equal((done["full"], done["uploaded"]), (False, 5))


@case
def a_missing_payload_forces_a_full_backup():
    with desk() as d:
        d.back_up()
        ident = hashlib.sha1(b"HomeDomain-Library/SMS/sms.db").hexdigest()
        os.unlink(f"{d.backup}/{ident[:2]}/{ident}")
        done = d.back_up()
        equal(done["full"], True)
        assert "missing" in done["why"], done


# --- passwords ---------------------------------------------------------------

@case
def a_password_is_switched_on_changed_and_off():
    with desk() as d:
        d.back_up()
        d.stock("encryption", "on", "one")
        equal(d.phone.password, "one")
        done = d.back_up()
        equal((done["full"], done["encrypted"]), (True, True))
        d.edit()
        done = d.back_up()
        equal((done["full"], done["uploaded"]), (False, 5))
        equal(error_of_read(d.backup, "other"), "keybag does not unlock")

        d.stock("changepw", "one", "zw\u00f6lf")
        done = d.back_up()
        equal((done["full"], done["encrypted"]), (True, True))
        equal(error_of_read(d.backup, "one"), "keybag does not unlock")

        d.stock("encryption", "off", "zw\u00f6lf")
        done = d.back_up()
        equal((done["full"], done["encrypted"]), (True, False))


def error_of_read(backup, password):
    try:
        list(mkbackup.read_back(backup, password))
    except AssertionError as e:
        return str(e)
    return None


@case
def a_wrong_password_changes_nothing():
    with desk(password="right") as d:
        d.stock("changepw", "wrong", "new", status=49)
        d.stock("encryption", "off", "wrong", status=49)
        equal(d.phone.password, "right")


@case
def an_encrypted_backup_is_continued_by_a_phone_that_forgot_it():
    with desk(password="pw") as d:
        d.back_up()
        shutil.rmtree(d.phone.state / "backup")
        d.edit()
        done = d.back_up()
        equal((done["full"], done["uploaded"]), (False, 5))


# --- restoring ---------------------------------------------------------------

@case
def a_restore_brings_back_all_and_nothing_else():
    for password in (None, "pw"):
        with desk(password=password) as d:
            d.back_up()
            before = list(d.phone.content.entries())
            d.edit(5, 5, 5)
            option = ("--password", password) if password else ()
            # nothing said about other files: the phone removes them
            d.stock("restore", "--system", *option, says="Restore Successful")
            equal(content.differences(before, d.phone.content), [])


@case
def a_restore_with_copy_leaves_a_copy_on_the_host():
    with desk() as d:
        d.back_up()
        d.stock("restore", "--system", "--copy", says="Restore Successful")
        copies = [n for n in os.listdir(d.folder)
                  if n.startswith(UDID + "-2")]
        equal(len(copies), 1, copies)


@case
def a_restore_without_system_files_leaves_them_alone():
    with desk() as d:
        d.back_up()
        path = "Library/Databases/CellularUsage.db"
        d.phone.content.change("WirelessDomain", path, b"new")
        d.phone.content.change("HomeDomain", "Library/old", b"new")
        d.stock("restore", says="Restore Successful")
        place = d.phone.content.place
        equal(read(place("WirelessDomain", path)), b"new")
        equal(read(place("HomeDomain", "Library/old")), b"old")


@case
def a_restore_with_a_wrong_password_leaves_the_phone_alone():
    with desk(password="pw") as d:
        d.back_up()
        d.edit()
        before = list(d.phone.content.entries())
        d.stock("restore", "--system", "--password", "no", status=49)
        equal(content.differences(before, d.phone.content), [])


@case
def a_restored_phone_goes_on_with_its_backup():
    with desk(password="pw") as d:
        d.back_up()
        d.stock("restore", "--system", "--password", "pw")
        done = d.back_up()
        equal((done["full"], done["uploaded"]), (False, 0))


@case
def a_damaged_payload_is_not_restored():
    with desk(password="pw") as d:
        d.back_up()
        ident = hashlib.sha1(b"HomeDomain-Library/SMS/sms.db").hexdigest()
        os.unlink(f"{d.backup}/{ident[:2]}/{ident}")
        before = list(d.phone.content.entries())
        d.stock("restore", "--system", "--password", "pw", status=256 - 205)
        equal(content.differences(before, d.phone.content), [])


# --- the other requests ------------------------------------------------------

@case
def unback_gives_the_files_back():
    for password in (None, "pw"):
        with desk(password=password) as d:
            d.back_up()
            option = ("--password", password) if password else ()
            d.stock("unback", *option, says="Unback Successful")
            for item in d.phone.content.scan():
                if item.kind != "f":
                    continue
                with open(f"{d.backup}/_unback_/{item.name}", "rb") as f:
                    data = f.read()
                equal(hashlib.sha256(data).hexdigest(),
                      content.sha256_of(item.place), item.name)


@case
def info_list_and_cloud_are_answered():
    with desk() as d:
        d.back_up()
        d.stock("info", says="Encrypted: no")
        d.stock("list", says='"HomeDomain","Library/SMS/sms.db",40000,')
        d.stock("cloud", "on", says="enabled successfully")


# --- what goes wrong ---------------------------------------------------------

@case
def a_refusal_reaches_the_user():
    with desk() as d:
        d.phone.set(refuse={"code": 208, "description": "Device locked"})
        d.stock("backup", status=48, says="Device locked")


@case
def a_late_passcode_is_waited_for():
    with desk() as d:
        d.phone.set(passcode=0.5)
        d.back_up()


@case
def a_backup_goes_on_after_a_pulled_cable():
    # not between two files: there the stock client waits for ever
    for point, resumed in (("upload:frame:20", "uploading"),
                           ("manifest-upload", "uploading"),
                           ("move", "moving"), ("remove", "removing")):
        with desk() as d:
            d.phone.set(unplug_at=point, batch=8)
            d.stock("backup", status=255, says="Backup Aborted")
            d.phone.plug()
            d.phone.set(unplug_at=None)
            done = d.back_up()
            equal([e["phase"] for e in d.phone.events("resume")], [resumed])
            if point == "upload:frame:20":
                equal(done["uploaded"], regular_files(d.phone))
                sent = sum(e["files"] for e in d.phone.events("upload-batch"))
                equal(sent, regular_files(d.phone) - 16)


@case
def a_broken_backup_leaves_the_one_before_in_place():
    with desk() as d:
        d.back_up()
        d.edit()
        before = files_in(d.backup)
        d.phone.set(fail_at={"code": 101, "description": "Read error",
                             "at": "upload:files:3"})
        d.stock("backup", status=256 - 101, says="Read error")
        equal(files_in(d.backup), before)


def files_in(backup):
    """{domain and path: content} by the manifest that is in place."""
    return {(domain, path): data for domain, path, data
            in mkbackup.read_back(backup, "")}


@case
def a_user_who_cancels_on_the_phone_ends_the_backup():
    with desk() as d:
        d.phone.set(cancel_at="upload:files:5")
        text = d.stock_any("backup")
        assert SUCCESS not in text, text
        equal(d.phone.events("backup-finished"), [])


@case
def a_file_that_cannot_be_read_spoils_no_other():
    name = "HomeDomain/Library/SMS/sms.db"
    for when in ("before", "after"):
        with desk() as d:
            d.phone.set(file_errors={name: {"when": when, "text": "Nope"}})
            text = d.stock("backup", says=SUCCESS)
            equal("Nope" in text, when == "before")     # a fault of the tool
            d.phone.set(file_errors={})
            done = d.back_up()
            equal((done["full"], done["uploaded"]), (False, 1))


@case
def a_full_host_is_noticed_before_the_first_byte():
    with desk(violations=["mobilebackup2: purge: no status within 1 seconds"]
              ) as d:
        d.phone.set(free_margin=1 << 60, quick_timeout=1)
        d.stock_any("backup")
        equal(d.phone.events("upload-batch"), [])


@case
def success_without_a_finished_backup_is_no_success():
    with desk() as d:
        d.phone.set(no_finish=True)
        text = d.stock("backup")
        assert SUCCESS not in text, text


@case
def odd_but_lawful_phones_are_served():
    with desk() as d:
        d.phone.set(quirks=["xml", "files-verbs", "empty-download",
                            "list-missing", "space-first"],
                    progress_ints=True, frame_size=1000, batch=7)
        d.back_up("--full")
        d.edit()
        equal(d.back_up()["uploaded"], 5)


run()
