#!/usr/bin/python3
"""larder restore of whole backups, when all goes well, and what stands
against it."""

import hashlib
import pty
import select

from restoring import *

SECRET = "s\u00e4cret"
PASSWORDS = {"in clear": None, "encrypted": SECRET}

# what larder-restore(1) says of --json
EVENTS = {
    "plan": {"from", "source", "source_udid", "source_name", "source_version",
             "source_date", "encrypted", "partial", "staged", "domains",
             "entries", "files", "bytes", "changed", "added", "removed",
             "udid", "name", "version", "free_bytes", "capacity_bytes",
             "find_my", "options", "apps", "problems"},
    "damaged": {"path", "message"},
    "waiting": {"reason", "message"},
    "note": {"message"},
    "warning": {"message"},
    "progress": {"phase", "files", "bytes", "percent", "bytes_per_second",
                 "seconds_left", "idle_seconds"},
    "finished": {"udid", "files_sent", "bytes_sent", "staged", "seconds"},
    "error": {"message", "status"},
}
OF_A_DEVICE = ("udid", "name", "version", "free_bytes", "capacity_bytes",
               "find_my")


def documented(done):
    """The events, all as the manual has them."""
    found = events(done)
    for e in found:
        want = EVENTS[e["event"]] | {"event"}
        if e["event"] == "finished" and "staged" not in e:
            want.discard("staged")      # only with --keep-staged
        equal(set(e), want)
    return found


def plan_of(done):
    plan, *_ = [e for e in documented(done) if e["event"] == "plan"]
    return plan


def not_asked(sim, phone):
    """Nobody has talked to the phone about a restore."""
    over(phone)
    equal(requests(phone), [])


# --- all of it ---------------------------------------------------------------

@case_for(PASSWORDS)
def a_new_phone_gets_all_that_was_backed_up(_how, password):
    source = backup_of(password).copy()
    before = snapshot(source.folder)
    with phones(EMPTY) as sim:
        phone, = sim.phones
        done = restore(sim, source.folder, *source.unlock)
        has(phone, source.entries)
        equal(options_of(phone), DEFAULTS)
        request, = requests(phone)
        # names in the backup are those of the other phone
        equal((request["TargetIdentifier"], request["SourceIdentifier"]),
              (OTHER, UDID))
        equal("Password" in request["Options"], password is not None)
        assert done.stdout, "it says nothing"
    equal(changes(before, snapshot(source.folder)), [])
    equal(os.listdir(os.path.dirname(source.folder)), ["backup"])


@case_for(PASSWORDS)
def the_phone_itself_gets_back_what_it_had(_how, password):
    with phones({"fill": {"kind": "small"}, "password": password}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        backup(sim, folder)
        before = list(phone.content.entries())
        edit(phone, change=5, add=4, remove=5)
        phone.forget()
        source = Source(f"{folder}/{UDID}", before, password)
        restore(sim, source.folder, *source.unlock)
        has(phone, before)
        equal(phone.events("restore-finished")[-1]["files"],
              sum(e["type"] == "f" for e in before) - 1)    # one hard link


@case
def a_phone_in_use_has_nothing_else_afterwards():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        edit(phone, change=0, add=5, remove=0)
        restore(sim, source.folder)
        has(phone, source.entries)


@case_for(("mbdb-plain", "mbdb-encrypted"))
def a_backup_of_the_old_generation_is_restored(shape):
    source = old_generation(shape)
    before = snapshot(source.folder)
    with phones(USED) as sim:
        restore(sim, source.folder, *source.unlock)
        has(sim.phones[0], source.entries)
    equal(changes(before, snapshot(source.folder)), [])


@case
def pictures_and_messages_come_through():
    source = backup_of(SECRET, "sample")
    with phones(EMPTY) as sim:
        restore(sim, source.folder, *source.unlock)
        has(sim.phones[0], source.entries)


# --- where it comes from -----------------------------------------------------

@case_for(PASSWORDS)
def a_mount_is_restored_from_the_backup_that_it_shows(_how, password):
    source = backup_of(password)
    with phones(USED) as sim, source.mounted() as m:
        plan = plan_of(restore(sim, m.path, *source.unlock, "--json"))
        has(sim.phones[0], source.entries)
        equal((plan["staged"], plan["partial"], plan["source"]),
              (False, False, source.folder))
        equal((plan["changed"], plan["added"], plan["removed"]), (0, 0, 0))


@case_for(("umask=077", "view=device", "uid=1000,gid=1000"))
def how_a_backup_was_mounted_does_not_matter(options):
    source = backup_of()
    with phones(USED) as sim, source.mounted(*options.split(",")) as m:
        restore(sim, m.path)
        has(sim.phones[0], source.entries)


@case
def a_mount_of_a_version_that_is_gone_is_refused():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        backup(sim, folder)
        with mounted(f"{folder}/{UDID}", passfile=None) as m:
            edit(phone, change=3, add=3, remove=3)
            backup(sim, folder)
            done = restore(sim, m.path, status=1)
            assert "mount anew" in done.stderr, done.stderr
        equal(requests(phone), [])


@case_for(("with space", "\u00fcbung", OTHER, "-o", "."))
def the_folder_may_have_any_name(name):
    source = backup_of().copy("x" if name == "." else name)
    with phones(USED) as sim:
        if name == ".":
            restore(sim, ".", cwd=source.folder)
        else:
            restore(sim, "./" + name, cwd=os.path.dirname(source.folder))
        has(sim.phones[0], source.entries)


@case
def a_link_to_a_folder_and_a_read_only_folder_will_do():
    source = backup_of()
    link, place = new_path("link"), new_dir("read-only")
    os.symlink(source.folder, link)
    execute("mount", "--bind", source.folder, place)
    try:
        execute("mount", "-o", "remount,bind,ro", place)
        with phones(USED) as sim:
            restore(sim, link)
            has(sim.phones[0], source.entries)
            sim.phones[0].forget()
            restore(sim, place)
            has(sim.phones[0], source.entries)
    finally:
        execute("umount", place)


@case
def what_is_no_backup_is_refused():
    with phones(EMPTY) as sim:
        for path in (new_path("none"), new_dir("empty"), "/etc/passwd"):
            restore(sim, path, status=3)
        not_asked(sim, sim.phones[0])


# --- options -----------------------------------------------------------------

TABLE = {
    "": DEFAULTS,
    "--no-reboot": DEFAULTS | {"RestoreShouldReboot": False},
    "--no-settings": DEFAULTS | {"RestorePreserveSettings": True},
    "--merge": DEFAULTS | {"RemoveItemsNotRestored": False},
    "--remove": DEFAULTS,
    "--no-reboot --no-settings --merge --no-apps":
        DEFAULTS | {"RestoreShouldReboot": False, "RestorePreserveSettings":
                    True, "RemoveItemsNotRestored": False},
    "--only HomeDomain": OF_A_PART,
    "--exclude HomeDomain": OF_A_PART,
    "--app com.example.app": OF_A_PART,
    "--only HomeDomain --remove":
        OF_A_PART | {"RemoveItemsNotRestored": True},
    "--only HomeDomain --merge": OF_A_PART,
    "--only HomeDomain --no-reboot":
        OF_A_PART | {"RestoreShouldReboot": False},
    "--only HomeDomain --no-settings": OF_A_PART,
}


@case
def the_phone_is_sent_what_the_table_says():
    backup_of()

    def one(row):
        text, want = row
        source = backup_of().copy()     # one at a time stages beside it
        with phones(USED) as sim:
            done = restore(sim, source.folder, "--json", *text.split())
            equal(options_of(sim.phones[0]), want, text)
            equal(plan_of(done)["options"], want, text)

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(one, TABLE.items()))


@case
def with_merge_what_is_on_the_phone_stays():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        edit(phone, change=0, add=5, remove=0)
        old = list(phone.content.entries())
        want = merged(old, source.entries)
        assert len(want) > len(source.entries)
        restore(sim, source.folder, "--merge")
        has(phone, want)


@case
def a_phone_that_restarts_is_no_failure():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        phone.set(reboot=True, reboot_seconds=0.2)
        restore(sim, source.folder, "--no-reboot")
        over(phone)
        equal(phone.events("reboots"), [])
        restore(sim, source.folder)
        phone.wait("started")
        has(phone, source.entries)


@case
def a_phone_that_hangs_up_behind_its_answer_is_no_failure():
    source = backup_of()
    with simulator(USED) as sim:
        sim.phones[0].set(hang_up="after")
        restore(sim, source.folder)
        has(sim.phones[0], source.entries)


# --- apps --------------------------------------------------------------------

APPS = {"com.example.app": {"CFBundleIdentifier": "com.example.app",
                            "iTunesMetadata": b"metadata of one",
                            "ApplicationSINF": b"sinf of one"},
        "com.example.gone": {"CFBundleIdentifier": "com.example.gone",
                             "iTunesMetadata": b"metadata of two"}}


def with_apps():
    source = backup_of().copy()
    info = plist_in(source.folder, "Info.plist")
    info["Applications"] = APPS
    save_plist(source.folder, "Info.plist", info)
    return source


@case_for({"all": ((), set(APPS)),
           "none with --no-apps": (("--no-apps",), None),
           "those that are selected": (("--app", "com.example.app"),
                                       {"com.example.app"}),
           "none without their data": (("--only", "HomeDomain"), None)})
def the_phone_is_told_which_apps_to_install(_what, how):
    options, want = how
    source = with_apps()
    with phones(USED) as sim:
        phone, = sim.phones
        done = restore(sim, source.folder, "--json", *options)
        told, = phone.events("restore-applications")
        equal(told["there"], want is not None)
        equal(set(told.get("holds") or ()), want or set())
        equal(plan_of(done)["apps"], len(want or ()))
        if want:
            data = APPS["com.example.app"]["iTunesMetadata"]
            equal(told["holds"]["com.example.app"]["iTunesMetadata"],
                  hashlib.sha256(data).hexdigest())
        # what other restores have left there does not count
        equal(os.path.exists(
            phone.state / "afc/iTunesRestore/RestoreApplications.plist"),
            False)


@case
def a_list_of_apps_that_is_there_already_is_replaced():
    source = with_apps()
    with phones(USED) as sim:
        phone, = sim.phones
        place = phone.state / "afc/iTunesRestore/RestoreApplications.plist"
        place.parent.mkdir()
        for options, want in (((), APPS), (("--no-apps",), {})):
            place.write_bytes(plistlib.dumps({"org.example.old": {}}))
            phone.forget()
            restore(sim, source.folder, *options)
            told, = phone.events("restore-applications")
            equal(set(told.get("holds") or ()), set(want))


# --- passwords ---------------------------------------------------------------

class Silence:
    """Nobody asks the phone, or usbmuxd for it, from now on."""

    def __init__(self, sim):
        self.sim, self.phone = sim, sim.phones[0]
        self.phone.forget()
        self.before = self.mux()

    def mux(self):
        return self.sim.control("mux")["counters"]

    def lasts(self):
        equal((self.phone.events(), self.phone.counters(), self.mux()),
              ([], {}, self.before))


@case
def a_wrong_password_is_found_out_without_the_phone():
    source = backup_of(SECRET)
    wrong = save(new_path("password"), "wrong\n")
    with phones(USED) as sim, source.mounted() as m:
        silence = Silence(sim)
        for path in (source.folder, m.path):
            for options in ((), ("--only", "HomeDomain"), ("--dry-run",)):
                done = restore(sim, path, "--passfile", wrong, *options,
                               status=12)
                assert "password" in one_line(done.stderr), done.stderr
                silence.lasts()
                restore(sim, path, *options, status=13)
                silence.lasts()


@case
def a_key_file_is_enough_for_the_plan_but_not_for_the_phone():
    source, key = backup_of(SECRET), new_path("key")
    equal(execute(LARDER, "key", *source.unlock, "-o", key,
                  source.folder).returncode, 0)
    with phones(USED) as sim:
        phone, = sim.phones
        plan_of(restore(sim, source.folder, "--dry-run", "--json",
                        "--keyfile", key))
        done = restore(sim, source.folder, "--keyfile", key, status=13)
        assert "password" in done.stderr, done.stderr
        not_asked(sim, phone)


@case
def a_password_of_the_phone_itself_plays_no_part():
    source = backup_of(SECRET)
    with phones(USED | {"password": "another one"}) as sim:
        restore(sim, source.folder, *source.unlock)
        has(sim.phones[0], source.entries)
        equal(sim.phones[0].password, "another one")


# --- the plan ----------------------------------------------------------------

@case
def the_plan_without_a_phone():
    source = backup_of(SECRET)
    with phones(EMPTY) as sim:
        sim.phones[0].unplug()
        done = restore(sim, source.folder, *source.unlock, "--dry-run",
                       "--json")
        plan = plan_of(done)
        equal([plan[key] for key in OF_A_DEVICE], [None] * 6)
        equal((plan["source"], plan["source_udid"], plan["source_name"],
               plan["source_version"], plan["encrypted"], plan["problems"]),
              (source.folder, UDID, "Anna's iPhone", "17.5.1", True, []))
        equal(plan["entries"], len(source.entries))
        equal(plan["files"], sum(e["type"] == "f" for e in source.entries))
        equal(plan["bytes"], sum(e["size"] for e in source.entries))
        equal(plan["domains"], sorted({e["domain"] for e in source.entries}))
        # nobody is there to restore to
        restore(sim, source.folder, *source.unlock, status=4)
        done = restore(sim, source.folder, *source.unlock, "--dry-run",
                       "--udid", OTHER, status=4)


@case
def the_plan_with_a_phone_touches_nothing():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        old = list(phone.content.entries())
        plan = plan_of(restore(sim, source.folder, "--dry-run", "--json"))
        equal([plan[key] for key in OF_A_DEVICE],
              [OTHER, "Bob", "17.5.1", 109 * 10**9, 110 * 10**9, False])
        done = restore(sim, source.folder, "--dry-run")
        for word in ("Anna's iPhone", "Bob", "17.5.1"):
            assert word in done.stdout + done.stderr, done
        not_asked(sim, phone)
        has(phone, old)
        equal(phone.events("locked"), [])
        equal(os.listdir(phone.state / "afc").count("iTunesRestore"), 0)


def against(word, source=None, config=USED, **knobs):
    """The plan has a problem, which `word` is of; and --yes is no answer."""
    source = source or backup_of()
    with phones(config) as sim:
        phone, = sim.phones
        old = list(phone.content.entries())
        phone.set(**knobs)
        for options in (("--dry-run",), ()):
            done = restore(sim, source.folder, *source.unlock, *options,
                           status=1)
            assert word in done.stderr + done.stdout, done
        done = restore(sim, source.folder, *source.unlock, "--dry-run",
                       "--json", status=1)
        line, = plan_of(done)["problems"]
        assert word in line, line
        not_asked(sim, phone)
        has(phone, old)


@case
def a_backup_of_a_newer_ios_is_refused():
    against("17.5.1", config=USED | {"product_version": "17.5"})
    against("17.5.1", config=USED | {"product_version": "9.3.5"})


@case_for(("17.5.1", "17.10", "18.0", "100.0"))
def a_phone_with_the_same_or_a_newer_ios_takes_it(version):
    with phones(USED | {"product_version": version}) as sim:
        restore(sim, backup_of().folder)
        has(sim.phones[0], backup_of().entries)


@case
def find_my_has_to_be_off():
    against("Find My", find_my=True)


@case
def a_phone_that_does_not_tell_of_find_my_is_asked():
    source = backup_of()
    with phones(USED) as sim:
        sim.phones[0].set(find_my=None)
        plan = plan_of(restore(sim, source.folder, "--json"))
        equal(plan["find_my"], None)
        has(sim.phones[0], source.entries)


@case
def a_phone_that_is_too_small_is_refused():
    against("do not fit", disk_usage={"TotalDataCapacity": 100000})


# --- the question ------------------------------------------------------------

@case
def where_nobody_can_be_asked_nothing_is_restored():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        old = list(phone.content.entries())
        done = larder_on(sim, "restore", source.folder)
        equal(done.returncode, 2, done.stderr)
        assert "--yes" in done.stderr, done.stderr
        not_asked(sim, phone)
        has(phone, old)


def answered(sim, answer, *argv):
    """(status, output) of a run on a terminal where `answer` is typed when it
    asks."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(LARDER, [LARDER, "restore", *argv], env_of(sim))
    text, typed = b"", False
    while select.select([fd], [], [], 60)[0]:
        try:
            data = os.read(fd, 1 << 16)
        except OSError:         # EIO: all have left
            break
        if not data:
            break
        text += data
        if not typed and re.search(rb"\? *(\[[^]]*\]|\([^)]*\))? *:? *$",
                                   text):
            os.write(fd, answer)
            typed = True
    os.close(fd)
    assert typed, f"it did not ask: {text!r}"
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()


@case_for({"yes": (b"yes\n", 0), "y": (b"y\n", 0), "no": (b"no\n", 5),
           "nothing": (b"\n", 5), "nonsense and no": (b"maybe\nno\n", 5),
           "the end of input": (b"\4", 5), "Ctrl-C": (b"\3", 5)})
def the_answer_counts(_what, row):
    answer, want = row
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        old = list(phone.content.entries())
        status, text = answered(sim, answer, source.folder)
        equal(status, want, text)
        over(phone)
        equal(len(requests(phone)), int(want == 0), text)
        has(phone, old if want else source.entries)


# --- what is said ------------------------------------------------------------

@case
def json_is_all_there_is_on_standard_output():
    source = backup_of()
    with phones(USED) as sim:
        done = restore(sim, source.folder, "--json")
        equal(done.stderr, "")
        found = documented(done)
        names = [e["event"] for e in found]
        equal((names.count("plan"), names[-1]), (1, "finished"))
        last = found[-1]
        equal(last["udid"], OTHER)
        # payloads, and the manifests and property lists
        files = sim.phones[0].events("restore-finished")[-1]["files"]
        assert files < last["files_sent"] <= files + 6, (files, last)
        size = sum(e["size"] for e in source.entries)
        assert last["bytes_sent"] > size, (last, size)
        sim.phones[0].set(refuse={"code": 208, "description": "Locked"})
        done = restore(sim, source.folder, "--json", status=4)
        last = documented(done)[-1]
        equal((last["event"], last["status"]), ("error", 4))
        equal(done.stderr, f"larder: {last['message']}\n")


@case
def quiet_says_nothing():
    source = backup_of()
    with phones(USED) as sim:
        done = restore(sim, source.folder, "--quiet")
        equal((done.stdout, done.stderr), ("", ""))
        has(sim.phones[0], source.entries)


@case
def a_restore_opens_few_connections():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        phone.forget()
        restore(sim, source.folder)
        n = phone.counters()
        equal(n["lockdown-connections"], 1, n)
        equal(n["lockdown-sessions"], 1, n)
        names = [e["event"] for e in phone.events()]
        assert names.index("locked") < names.index("restore-request") \
            < names.index("restore-finished") < names.index("unlocked"), names


# --- another program ---------------------------------------------------------

@case_for({"in clear": ("db-plain", ()), "encrypted": ("db-encrypted", ()),
           "old": ("mbdb-encrypted", ()),
           "newly encrypted": ("db-plain", ("--new-passfile", PASSFILE,
                                            "--iterations", "1000"))})
def idevicebackup2_restores_what_is_packed(_how, row):
    if not shutil.which("idevicebackup2"):
        raise Skip("needs idevicebackup2")
    shape, options = row
    source = old_generation(shape)
    folder = new_dir("backups")
    with phones({}) as sim, source.mounted() as m, \
            file_system("tmpfs") as u, overlay(m.path, u) as at:
        phone, = sim.phones
        save(f"{at}/HomeDomain/Library/old", b"edited")
        save(f"{at}/{APP}/Documents/new", b"new")
        shutil.rmtree(f"{at}/WirelessDomain")
        tree = tree_of(at)
        done = execute(LARDER, "pack", *source.unlock, *options, at,
                       f"{folder}/{UDID}")
        equal((done.returncode, done.stderr), (0, ""))
        pair(sim, phone)
        password = ("--password", PASSWORD) if source.password or options \
            else ()
        done = on(sim, "idevicebackup2", "restore", "--system", *password,
                  folder)
        assert "Restore Successful" in done.stdout, done.stdout + done.stderr
        over(phone)
        equal(unlike(tree_on(phone), tree), [])


run()
