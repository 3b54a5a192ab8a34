#!/usr/bin/python3
"""larder backup against the simulated phone, when all goes well."""

import calendar
import datetime
import plistlib
import pty
import select
import threading

from harness import *

import media                                            # noqa: E402

BOB = {"udid": "00008101-00000000000000BB", "name": "Bob",
       "fill": {"kind": "small", "seed": 2}}
CARA = {"udid": "00008101-00000000000000CC", "name": "Cara", "usb": False,
        "network": "127.72.0.3", "fill": {"kind": "small", "seed": 3}}

# what larder-backup(1) says of --json
EVENTS = {
    "waiting": {"reason", "message"},
    "note": {"message"},
    "warning": {"message"},
    "progress": {"phase", "files", "bytes", "percent", "bytes_per_second",
                 "seconds_left", "idle_seconds"},
    "finished": {"backup", "udid", "encrypted", "first", "files_new",
                 "files_changed", "files_removed", "bytes_received",
                 "seconds"},
    "error": {"message", "status"},
}


def documented(done):
    """The events, all as the manual has them."""
    found = events(done)
    for e in found:
        equal(set(e), EVENTS[e["event"]] | {"event"})
    return found


def finished(sim, folder, *options):
    """The last event of a run with --json."""
    done = backup(sim, folder, "--json", *options)
    last = documented(done)[-1]
    equal(last["event"], "finished")
    return last


def last_on_phone(phone):
    return phone.events("backup-finished")[-1]


def status_of(folder):
    with open(folder + "/Status.plist", "rb") as f:
        return plistlib.load(f)


def info_of(folder):
    with open(folder + "/Info.plist", "rb") as f:
        return plistlib.load(f)


# --- first, next, all anew ---------------------------------------------------

@case
def a_first_backup_shows_what_the_phone_has():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        done = backup(sim, folder)
        target = f"{folder}/{UDID}"
        equal(shows_content(phone, target), None)
        equal(os.listdir(folder), [UDID])
        path, line = done.stdout.splitlines()
        equal(path, target)
        files = last_on_phone(phone)["uploaded"]
        assert line.startswith(f"{files} files new, 0 changed, 0 removed; "), \
            line
        assert line.endswith("; not encrypted"), line
        assert "larder password on" in done.stderr, done.stderr
        equal(status_of(target)["SnapshotState"], "finished")


@case
def then_only_what_has_changed_moves():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        equal(finished(sim, folder)["first"], True)
        before = payloads(f"{folder}/{UDID}")
        edit(phone, change=4, add=3, remove=2)
        phone.forget()
        last = finished(sim, folder)
        equal((last["first"], last["files_new"], last["files_changed"],
               last["files_removed"]), (False, 3, 4, 2))
        equal((last["backup"], last["udid"], last["encrypted"]),
              (f"{folder}/{UDID}", UDID, False))
        seen = last_on_phone(phone)
        equal((seen["full"], seen["uploaded"], seen["removed"]),
              (False, 7, 2))
        # beside the payloads there are only the manifests
        manifests = last["bytes_received"] - seen["bytes"]
        size = os.path.getsize(f"{folder}/{UDID}/Manifest.db")
        assert size <= manifests < size + 20000, (manifests, size)
        after = payloads(f"{folder}/{UDID}")
        equal(len(before.keys() - after.keys()), 2)
        equal(len(after.keys() - before.keys()), 3)
        equal(shows_content(phone, f"{folder}/{UDID}"), None)


@case
def nothing_moves_when_nothing_has_changed():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        backup(sim, folder)
        phone.forget()
        line = backup(sim, folder).stdout.splitlines()[1]
        assert line.startswith("0 files new, 0 changed, 0 removed; "), line
        equal(last_on_phone(phone)["uploaded"], 0)
        equal(phone.events("upload-batch"), [])
        equal(shows_content(phone, f"{folder}/{UDID}"), None)


@case
def everything_moves_with_full():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        first = finished(sim, folder)["files_new"]
        edit(phone, change=0, add=0, remove=3)
        phone.forget()
        last = finished(sim, folder, "--full")
        seen = last_on_phone(phone)
        equal((seen["full"], seen["why"], seen["uploaded"]),
              (True, "asked for", first - 3))
        equal((last["files_new"], last["files_changed"],
               last["files_removed"]), (0, first - 3, 3))
        equal(shows_content(phone, f"{folder}/{UDID}"), None)


@case
def a_folder_is_made_if_only_it_is_missing():
    with phones() as sim:
        folder = new_path("backups")
        backup(sim, folder)
        for place in (folder, f"{folder}/{UDID}"):
            equal(oct(os.stat(place).st_mode & 0o7777), oct(0o700), place)
        done = backup(sim, new_path("no") + "/backups", status=1)
        assert "cannot create the folder" in done.stderr, done.stderr


@case
def nobody_else_can_read_what_larder_makes():
    old = os.umask(0)
    try:
        with phones() as sim:
            folder = new_path("backups")
            backup(sim, folder, "--keep", "1")
            backup(sim, folder, "--keep", "1")
            for name in os.listdir(folder):
                mode = os.stat(f"{folder}/{name}").st_mode
                equal(oct(mode & 0o7777), oct(0o700), name)
    finally:
        os.umask(old)


@case
def a_link_to_another_folder_stays_one():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, = sim.phones
        folder, elsewhere = new_dir("backups"), new_dir("disk")
        os.mkdir(f"{elsewhere}/anna")
        os.symlink(f"{elsewhere}/anna", f"{folder}/{UDID}")
        for _ in range(2):
            backup(sim, folder)
            edit(phone)
        equal(os.readlink(f"{folder}/{UDID}"), f"{elsewhere}/anna")
        equal((os.listdir(folder), os.listdir(elsewhere)),
              ([UDID], ["anna"]))
        backup(sim, folder)
        equal(shows_content(phone, f"{folder}/{UDID}"), None)


# --- encrypted ---------------------------------------------------------------

def tried(sim, folder, password):
    """Warnings of a run with a password at hand."""
    place = save(new_path("password"), password + "\n")
    done = backup(sim, folder, "--json", "--passfile", place)
    return [e["message"] for e in documented(done)
            if e["event"] == "warning"]


@case
def the_phone_encrypts_and_the_password_opens():
    with phones({"fill": {"kind": "small"}, "password": "s\u00e4cret"}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        done = backup(sim, folder)
        assert done.stdout.endswith("; encrypted\n"), done.stdout
        assert "password on" not in done.stderr, done.stderr
        equal(shows_content(phone, f"{folder}/{UDID}"), None)
        edit(phone, change=4, add=3, remove=2)
        phone.forget()
        equal(tried(sim, folder, phone.password), [])
        equal(last_on_phone(phone)["uploaded"], 7)
        equal(shows_content(phone, f"{folder}/{UDID}"), None)
        line, = tried(sim, folder, "wrong")
        assert "does not open the new backup" in line, line
        equal(shows_content(phone, f"{folder}/{UDID}"), None)


@case
def a_password_that_comes_or_goes_makes_a_full_backup():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        for password in (None, "secret", "other", None):
            phone.password = password
            phone.forget()
            equal(finished(sim, folder)["encrypted"], password is not None)
            equal(last_on_phone(phone)["full"], True)
            equal(shows_content(phone, f"{folder}/{UDID}"), None)


# --- which phone -------------------------------------------------------------

@case
def of_several_phones_one_has_to_be_chosen():
    with phones({"fill": {"kind": "small"}}, BOB, CARA) as sim:
        folder = new_dir("backups")
        done = backup(sim, folder, status=2)
        equal(os.listdir(folder), [])
        for text in (UDID, "Anna's iPhone", BOB["udid"], "Bob", "--udid"):
            assert text in done.stderr, done.stderr
        assert CARA["udid"] not in done.stderr, done.stderr
        backup(sim, folder, "--udid", BOB["udid"].lower())
        backup(sim, folder, "--udid", UDID.upper())
        backup(sim, folder, "--network")
        # the folder has the phone's own spelling
        equal(sorted(os.listdir(folder)),
              sorted([UDID, BOB["udid"], CARA["udid"]]))
        for phone in sim.phones:
            equal(shows_content(phone, f"{folder}/{phone.udid}"), None)
        done = backup(sim, folder, "--udid", "0" * 40, status=4)
        assert "is not attached" in done.stderr, done.stderr


@case
def much_comes_over_the_network():
    with phones({"usb": False, "network": "127.72.0.4", "fill": {
            "kind": "bulk", "size": 40 << 20}}) as sim:
        folder = new_dir("backups")
        for _ in range(2):
            backup(sim, folder, "--network", "--full", "--timeout", "20")
        equal(shows_content(sim.phones[0], f"{folder}/{UDID}"), None)


@case
def a_phone_with_an_old_udid_is_no_exception():
    udid = "0123456789abcdef0123456789abcdef01234567"
    with phones({"udid": udid, "product_version": "9.3.5",
                 "fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        backup(sim, folder, "--udid", udid.upper())
        equal(os.listdir(folder), [udid])
        equal(info_of(f"{folder}/{udid}")["Unique Identifier"], udid.upper())
        equal(shows_content(phone, f"{folder}/{udid}"), None)


# --- Info.plist --------------------------------------------------------------

INFO = {
    "Applications": dict, "Build Version": str, "Device Name": str,
    "Display Name": str, "GUID": str, "ICCID": str, "IMEI": str,
    "IMEI 2": str, "Installed Applications": list,
    "Last Backup Date": datetime.datetime, "MEID": str, "Phone Number": str,
    "Product Name": str, "Product Type": str, "Product Version": str,
    "Serial Number": str, "Target Identifier": str, "Target Type": str,
    "Unique Identifier": str, "iBooks Data 2": bytes, "iTunes Files": dict,
    "iTunes Settings": dict, "iTunes Version": str,
}


@case
def info_plist_is_as_complete_as_apples():
    with phones() as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        begun = datetime.datetime.utcnow().replace(microsecond=0)
        backup(sim, folder)
        info = info_of(f"{folder}/{UDID}")
        types = {key: type(value) for key, value in info.items()}
        lacks = {key: INFO[key] for key in INFO.keys() - types.keys()}
        equal(lacks, {}, "missing")
        equal(types, INFO)
        assert begun <= info["Last Backup Date"] \
            <= datetime.datetime.utcnow(), info["Last Backup Date"]
        assert re.fullmatch("[0-9A-F]{32}", info["GUID"]), info["GUID"]
        for key, want in {
                "Target Identifier": UDID, "Unique Identifier": UDID,
                "Device Name": "Anna's iPhone", "IMEI": "350000000000006",
                "Display Name": "Anna's iPhone", "Target Type": "Device",
                "iTunes Version": "12.12.0", "Serial Number": "F2LZK1ABCD",
                "Product Name": "iPhone 13", "Product Type": "iPhone14,5",
                "Product Version": "17.5.1"}.items():
            equal(info[key], want, key)
        equal(shows_files(phone, info), None)


def shows_files(phone, info):
    """What it has from the media partition."""
    books = (phone.state / "afc/Books/iBooksData2.plist").read_bytes()
    equal(info["iBooks Data 2"], books)
    folder = phone.state / "afc/iTunes_Control/iTunes"
    want = {place.name: place.read_bytes() for place in folder.iterdir()
            if place.name != "com.apple.itunes.lock_sync"}
    equal(info["iTunes Files"], want)


@case
def info_plist_has_the_apps_with_their_icons():
    with phones({"knobs": {"refuse_icons": ["org.example.maps"]}}) as sim:
        folder = new_dir("backups")
        backup(sim, folder)
        info = info_of(f"{folder}/{UDID}")
        apps = {app["CFBundleIdentifier"]: app
                for app in media.default_apps()}
        equal(sorted(info["Installed Applications"]), sorted(apps))
        want = {}
        for bundle, app in apps.items():
            if "ApplicationSINF" not in app:
                continue
            want[bundle] = {key: app[key] for key in (
                "ApplicationSINF", "iTunesMetadata")}
            if bundle != "org.example.maps":
                want[bundle]["PlaceholderIcon"] = app["icon"]
        equal(info["Applications"], want)


@case
def each_backup_has_a_guid_of_its_own():
    with phones() as sim:
        folder, seen = new_dir("backups"), set()
        for _ in range(2):
            backup(sim, folder)
            seen.add(info_of(f"{folder}/{UDID}")["GUID"])
        equal(len(seen), 2)


# --- versions that are kept --------------------------------------------------

STAMP = re.compile(re.escape(UDID) + r"-\d{8}-\d{6}")


def kept(folder):
    return sorted(name for name in os.listdir(folder)
                  if STAMP.fullmatch(name) and name != FOREIGN)


FOREIGN = UDID + "-20200229-120000"


def make_foreign(folder):
    """What looks like a kept version, and is somebody else's."""
    os.mkdir(f"{folder}/{FOREIGN}")
    save(f"{folder}/{FOREIGN}/mine", b"by hand")
    return snapshot(f"{folder}/{FOREIGN}")


@case
def versions_before_are_kept_and_shown():
    # of a file system with hard links, and without reflinks
    with phones({"fill": {"kind": "small"}}) as sim, tmpfs("size=512m") as top:
        phone, folder = sim.phones[0], top + "/backups"
        os.mkdir(folder)
        foreign = make_foreign(folder)
        expected, names = [], []
        for number in range(5):
            backup(sim, folder, "--keep", "2")
            expected.append(expect_of_phone(phone))
            equal(kept(folder), names[-2:], f"after run {number}")
            names.append(f"{UDID}-20200301-12{number:02d}00")
            # finished a minute later, each
            when = calendar.timegm((2020, 3, 1, 12, number, 0))
            os.utime(f"{folder}/{UDID}/Status.plist", (when, when))
            edit(phone, change=2, add=1, remove=1, seed=number)
        names.pop()
        equal(shows(f"{folder}/{UDID}", expected[4]), None)
        for name, expect in zip(names[-2:], expected[2:4]):
            equal(shows(f"{folder}/{name}", expect), None, name)
        one, other = payloads(f"{folder}/{UDID}"), \
            payloads(f"{folder}/{names[-1]}")
        same = [n for n in one if one[n] == other.get(n)]
        equal((len(one.keys() - other.keys()), len(one) - len(same)), (1, 3))
        equal(changes(foreign, snapshot(f"{folder}/{FOREIGN}")), [])


@case
def versions_are_named_after_when_they_were_finished():
    with phones() as sim:
        folder = new_dir("backups")
        backup(sim, folder)
        stamp = os.stat(f"{folder}/{UDID}/Status.plist").st_mtime
        wait_until(lambda: time.time() > stamp + 1, "another second")
        backup(sim, folder, "--keep", "1")
        equal(kept(folder), [UDID + time.strftime("-%Y%m%d-%H%M%S",
                                                  time.gmtime(stamp))])


@case
def without_keep_versions_stay_and_none_is_added():
    with phones() as sim:
        folder = new_dir("backups")
        foreign = make_foreign(folder)
        for _ in range(3):
            backup(sim, folder, "--keep", "2")
        names = kept(folder)
        equal(len(names), 2)
        backup(sim, folder)
        equal(kept(folder), names)
        # one that its owner took away is not missed, nor another removed
        shutil.rmtree(f"{folder}/{names[0]}")
        backup(sim, folder, "--keep", "2")
        equal(len(kept(folder)), 2)
        assert names[1] in kept(folder), names
        backup(sim, folder, "--keep", "0")
        equal(sorted(os.listdir(folder)), [UDID, FOREIGN])
        equal(changes(foreign, snapshot(f"{folder}/{FOREIGN}")), [])


@case_for(["-1", "x", "", "100001", "1.5"])
def is_no_number_of_versions(value):
    with phones() as sim:
        folder = new_dir("backups")
        done = backup(sim, folder, f"--keep={value}", status=2)
        assert "--keep takes a number" in done.stderr, done.stderr


# --- together with the stock client ------------------------------------------

def stock(sim, folder, *options):
    if not shutil.which("idevicebackup2"):
        raise Skip("needs idevicebackup2")
    done = on(sim, "idevicebackup2", "backup", *options, folder)
    equal(done.returncode, 0, done.stdout + done.stderr)


@case_for({"in clear": None, "encrypted": "secret"})
def each_client_goes_on_with_the_backup_of_the_other(_how, password):
    # the stock client is not free of violations
    with simulator({"fill": {"kind": "small"}, "password": password}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        pair(sim, phone)
        for number, client in enumerate((stock, backup, stock, backup)):
            edit(phone, change=2, add=1, remove=1, seed=number)
            phone.forget()
            client(sim, folder)
            equal(shows_content(phone, f"{folder}/{UDID}"), None)
            if client is backup:
                over(phone)
                equal(phone.violations(), [])
        seen = last_on_phone(phone)
        equal((seen["full"], seen["uploaded"]), (False, 3))


# --- what is said ------------------------------------------------------------

@case
def quiet_says_nothing():
    with phones() as sim:
        done = backup(sim, new_dir("backups"), "--quiet")
        equal((done.stdout, done.stderr), ("", ""))


@case
def json_is_all_there_is_on_standard_output():
    with phones() as sim:
        folder = new_dir("backups")
        done = backup(sim, folder, "--json")
        assert documented(done), done.stdout
        equal(done.stderr, "")
        sim.phones[0].set(refuse={"code": 208, "description": "Locked"})
        done = backup(sim, folder, "--json", status=4)
        found = documented(done)
        equal([e["status"] for e in found if e["event"] == "error"], [4])
        equal(found[-1]["event"], "error")


def on_terminal(sim, *argv):
    """(status, what came) of a program that has a terminal of 80 columns."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, env_of(sim))
    text = b""
    while select.select([fd], [], [], 60)[0]:
        try:
            data = os.read(fd, 1 << 16)
        except OSError:         # EIO: all have left
            break
        if not data:
            break
        text += data
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()


def in_parallel(**functions):
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        futures = {name: pool.submit(f) for name, f in functions.items()}
        return {name: future.result() for name, future in futures.items()}


@case
def a_slow_phone_is_seen_to_be_slow():
    stall = {"fill": {"kind": "small"},
             "knobs": {"stall": {"seconds": 11, "at": "upload:files:9"}}}
    # every ten seconds, if anything moves meanwhile
    halting = {"fill": {"kind": "small"},
               "knobs": {"passcode": 5, "stall": {
                   "seconds": 6, "at": "upload:files:9"}}}
    with simulator(halting) as one, simulator(stall) as two, \
            simulator(stall) as three:
        folders = [new_dir("backups") for _ in range(3)]
        got = in_parallel(
            lines=lambda: backup(one, folders[0]),
            json=lambda: backup(two, folders[1], "--json"),
            terminal=lambda: on_terminal(three, LARDER, "backup",
                                         folders[2]))
        shape = r"larder: backing up: \d+ %, [\d.]+ .?B, 11 files, .*B/s"
        lines = re.findall(shape, got["lines"].stderr)
        equal(len(lines), 1, got["lines"].stderr)
        found = [e for e in documented(got["json"])
                 if e["event"] == "progress"]
        assert 9 <= len(found) <= 13, len(found)
        equal({e["files"] for e in found[2:9]}, {11})
        idle = [e["idle_seconds"] for e in found]
        equal(idle[:9], sorted(idle[:9]))
        assert max(idle) >= 8, idle
        shown(*got["terminal"])
        for sim in (one, two, three):
            equal(sim.phones[0].violations(), [])


def shown(status, text):
    """One line that is written again and again, and is gone at the end."""
    equal(status, 0, text)
    assert len(re.findall("\rbacking up: ", text)) > 20, text
    assert "(no data for 7 s)" in text, text
    for line in re.findall("\r(backing up: [^\r\33]*)", text):
        assert len(line) < 80, line
    last = text.rfind("backing up: ")
    assert "\r\33[K" in text[last:], text[last:]
    assert "files new" in text[last:], text[last:]


# --- how much it takes -------------------------------------------------------

@case
def a_backup_opens_few_connections():
    with phones() as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        pair(sim, phone)
        for _ in range(2):
            phone.forget()
            backup(sim, folder)
            n = phone.counters()
            equal((n["lockdown-connections"], n["lockdown-sessions"]), (1, 1))
            assert n["tls-handshakes"] <= 6, n
            over(phone)


@case
def the_sync_lock_is_held_for_the_time_of_the_backup():
    with phones() as sim:
        phone, = sim.phones
        backup(sim, new_dir("backups"))
        names = [e["event"] for e in phone.events()]
        posted = [e["name"].rpartition(".")[2]
                  for e in phone.events("posted")]
        equal(posted, ["syncWillStart", "syncLockRequest", "syncDidStart",
                       "syncDidFinish"])
        assert names.index("locked") < names.index("backup-request") \
            < names.index("backup-finished") < names.index("unlocked"), names


class Peak:
    """Watches the most memory that a process ever had, in kB."""

    def __init__(self, pid):
        self.path, self.kb = f"/proc/{pid}/status", 0
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while True:
            try:
                found = re.search(r"VmHWM:\s*(\d+)", read(self.path, "r"))
            except OSError:
                return
            if not found:
                return          # it has ended
            self.kb = int(found[1])
            time.sleep(0.01)


@case
def memory_does_not_grow_with_the_backup():
    if SANITIZED:
        raise Skip("sanitizers take memory of their own")
    size = 300 << 20
    with phones({"fill": {"kind": "bulk", "size": size}}) as sim:
        folder = new_dir("backups")
        with start(sim, LARDER, "backup", folder) as process:
            peak = Peak(process.pid)
            out, err = process.communicate(timeout=120)
        peak.thread.join()
        equal(process.returncode, 0, err)
        assert last_on_phone(sim.phones[0])["bytes"] >= size
        assert 1000 < peak.kb < 64 << 10, peak.kb
        shutil.rmtree(folder)


@case
def twenty_thousand_files():
    if SANITIZED:
        raise Skip("takes too long with sanitizers")
    with phones({"fill": {"kind": "many", "count": 20000}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        with start(sim, LARDER, "backup", folder) as process:
            peak = Peak(process.pid)
            out, err = process.communicate(timeout=120)
        peak.thread.join()
        equal(process.returncode, 0, err)
        assert 1000 < peak.kb < 64 << 10, peak.kb
        edit(phone, change=5, add=5, remove=5)
        last = finished(sim, folder)
        equal((last["files_new"], last["files_changed"],
               last["files_removed"]), (5, 5, 5))
        equal(shows_content(phone, f"{folder}/{UDID}"), None)
        shutil.rmtree(folder)


run()
