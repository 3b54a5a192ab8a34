#!/usr/bin/python3
"""The last good backup is sacred, whoever ends larder backup, and how.

LARDER_TEST_KILLS says how often it is killed (12), LARDER_TEST_SEED when.
"""

import calendar
import random

from harness import *

KILLS = int(os.environ.get("LARDER_TEST_KILLS", 12))
SEED = int(os.environ.get("LARDER_TEST_SEED", 1))
A_SECOND = 1.5 if SANITIZED else 1.0
# after which whoever was told to end does, cleared away or not
NO_TIME_LEFT = 0.89
STATE = f".larder-{UDID}"


def told(phone):
    """The phone knows that we have left."""
    over(phone)
    names = {e["event"] for e in phone.events()}
    assert names & {"client-left", "connection-lost", "response"}, names


def lock_is_free(phone):
    def released():
        names = [e["event"] for e in phone.events()]
        return names.count("locked") == sum(
            names.count(n) for n in ("unlocked", "lock-closed", "lock-left"))
    wait_until(released, "the end of the sync lock")


# --- SIGKILL -----------------------------------------------------------------

class Victim:
    """Backups of a phone that changes, killed at random moments."""

    def __init__(self, sim, keep):
        self.sim, self.keep = sim, keep
        self.phone, = sim.phones
        self.random = random.Random(SEED)
        self.folder = new_dir("backups")
        self.target = f"{self.folder}/{UDID}"
        begun = time.monotonic()
        backup(sim, self.folder)
        self.seconds = time.monotonic() - begun
        self.before = snapshot(self.target)
        self.old = expect_of_phone(self.phone)
        self.outcomes = {"old": 0, "new": 0}
        self.minutes = 0

    def moment(self, process):
        """Wait for a random one: of the whole, or soon after an event."""
        if self.random.random() < 0.4:
            time.sleep(self.random.uniform(0, self.seconds))
            return
        event = self.random.choice([
            ("service", {}), ("backup-request", {}),
            *[("phase", {"phase": p}) for p in (
                "directories", "upload", "status-moving", "move", "remove",
                "final-verify", "response")],
            ("response", {}), ("response", {}), ("response", {})])
        self.phone.do("wait", event=event[0], timeout=self.seconds + 5,
                      **event[1])
        time.sleep(self.random.uniform(0, 0.05))

    def kill(self, number):
        edit(self.phone, change=2, add=1, remove=1, seed=number)
        new = expect_of_phone(self.phone)
        self.phone.forget()
        process = start(self.sim, LARDER, "backup", *self.keep, self.folder)
        self.moment(process)
        process.kill()
        process.communicate()
        over(self.phone)
        self.judge(new)

    def judge(self, new):
        """Byte for byte the one before, or the new one and all of it."""
        if not changes(self.before, snapshot(self.target)):
            self.outcomes["old"] += 1
            equal(shows(self.target, self.old), None)
            return
        assert self.phone.events("backup-finished"), "changed before the end"
        self.outcomes["new"] += 1
        equal(shows(self.target, new), None)
        equal(execute(LARDER, "info", self.target).returncode, 0)
        self.before, self.old = snapshot(self.target), new

    def recover(self):
        backup(self.sim, self.folder, *self.keep)
        # so that no two versions have the same name
        self.minutes += 1
        when = calendar.timegm((2020, 3, 1, 12, self.minutes, 0))
        os.utime(self.target + "/Status.plist", (when, when))
        self.before = snapshot(self.target)
        self.old = expect_of_phone(self.phone)
        equal(shows(self.target, self.old), None)


def names_in(folder):
    return sorted(os.listdir(folder))


@case
def killed_at_any_moment_it_loses_nothing():
    with simulator({"fill": {"kind": "small"}}) as sim:
        victim = Victim(sim, [])
        for number in range(KILLS):
            victim.kill(number)
            if number % 3 == 2:
                victim.recover()
                equal(names_in(victim.folder), [UDID])
        victim.recover()
        equal(names_in(victim.folder), [UDID])
        equal(sim.phones[0].violations(), [])
        print(f"# {victim.outcomes['old']} times the old backup, "
              f"{victim.outcomes['new']} times the new one")


@case
def killed_with_versions_to_keep_it_loses_none():
    with simulator({"fill": {"kind": "small"}}) as sim:
        victim = Victim(sim, ["--keep", "3"])
        expected = {}
        for number in range(max(KILLS // 2, 3)):
            victim.kill(number)
            victim.recover()
            names = names_in(victim.folder)
            versions = [n for n in names if n not in (UDID, STATE)]
            assert len(versions) <= 3, names
            for name in versions:
                done = execute(LARDER, "info", f"{victim.folder}/{name}")
                equal(done.returncode, 0, done.stderr)
                place = f"{victim.folder}/{name}"
                now = snapshot(place)
                # a name of a second can come back once its version has gone
                key = name, os.stat(place).st_ino
                equal(changes(expected.setdefault(key, now), now), [], name)
            equal(names_in(f"{victim.folder}/{STATE}"), ["kept"])


# --- SIGKILL at each step of the commit --------------------------------------

STEPS = ("syncfs", "fsync", "renameat2", "renameat", "rename", "unlinkat",
         "rmdir", "mkdirat", "linkat")


def traced(b, *options):
    """larder backup under strace; (what it has done, the log)"""
    if not shutil.which("strace"):
        raise Skip("needs strace")
    if SANITIZED:
        raise Skip("the leak sanitizer and strace exclude each other")
    log = new_path("strace")
    b.phone.forget()
    done = on(b.sim, "strace", "-f", "-y", "-o", log, *options, LARDER,
              "backup", b.folder)
    if "ptrace" in done.stderr:
        raise Skip(done.stderr.splitlines()[0])
    over(b.phone)
    return done, log


def steps_of_commit():
    """[(call, which one of its kind)] from the sync on; of those that are
    many, a few."""
    with bench() as b:
        done, log = traced(b, "-e", "trace=" + ",".join(STEPS))
        equal(done.returncode, 0, done.stderr)
        lines = [line.split(None, 1) for line in
                 read(log, "r").splitlines()]
    main, = [pid for pid, text in lines if text.startswith("syncfs(")]
    counts, found = {}, []
    for pid, text in lines:
        name = text.split("(")[0]
        if pid != main or name not in STEPS:
            continue
        counts[name] = counts.get(name, 0) + 1
        found.append((name, counts[name]))
    found = found[found.index(("syncfs", 1)):]
    many = [step for step in found if step[0] == "unlinkat"]
    few = many[:3] + many[len(many) // 2:][:1] + many[-4:]
    return [step for step in found if step[0] != "unlinkat" or step in few]


@case
def killed_at_any_step_of_the_commit_it_loses_nothing():
    outcomes = {"old": 0, "new": 0}

    def check(b, step):
        name, number = step
        traced(b, "-e", f"trace={name}", "-e",
               f"inject={name}:signal=SIGKILL:when={number}")
        now = {name: entry for name, entry in snapshot(b.parent).items()
               if STATE not in name}
        if changes(b.before, now):
            equal([name for name in changes(b.before, now)
                   if not name.startswith(f"backups/{UDID}")], [])
            equal(shows(b.target, b.new), None)
            outcomes["new"] += 1
        else:
            outcomes["old"] += 1
        b.recovers()

    steps = steps_of_commit()
    assert len(steps) > 10, steps
    each(steps, check)
    # both sides of the exchange were met
    assert min(outcomes.values()) >= 3, outcomes


# --- Ctrl-C and its like -----------------------------------------------------

POINTS = ["request", "verify", "upload:files:1", "upload:frame:3",
          "manifest-upload", "move", "final-verify", "response"]


def nothing_is_lost(b, took):
    left = names_in(b.folder)
    if left != sorted([UDID, NEIGHBOUR]):
        # there was no time to clear it away
        assert took > NO_TIME_LEFT, (took, left)
        equal(left, sorted([UDID, NEIGHBOUR, STATE]))
        shutil.rmtree(f"{b.folder}/{STATE}")
    b.intact()


def is_over(b, process, number, seconds=A_SECOND):
    """Ended by a signal, in time, and in good order."""
    status, took, text = interrupted(process, number)
    equal(status, 5, text)
    assert took < seconds, f"{took:.2f} s"
    told(b.phone)
    lock_is_free(b.phone)
    no_controls(text)
    nothing_is_lost(b, took)
    return text


@case_for({"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM,
           "SIGHUP": signal.SIGHUP})
def ends_it_at_once_while_the_phone_is_silent(_name, number):
    for at in POINTS:
        with bench() as b:
            process = b.start(stall={"seconds": 30, "at": at})
            b.phone.wait("fault", knob="stall")
            text = is_over(b, process, number)
            assert "cancelled" in text, text
            equal(b.phone.violations(), [])


@case
def ctrl_c_ends_it_at_once_while_much_is_going_on():
    for phase in ("verify", "directories", "upload", "move", "remove",
                  "final-verify"):
        with bench() as b:
            process = b.start()
            b.phone.wait("phase", phase=phase)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            assert process.returncode in (0, 5), err
            if process.returncode:
                b.intact(phase)
            over(b.phone)
            b.recovers()


@case
def ctrl_c_ends_it_while_it_waits_for_the_passcode():
    with bench() as b:
        process = b.start(passcode="never")
        b.phone.wait("passcode-wanted")
        is_over(b, process, signal.SIGINT)
        equal(b.phone.events("client-left")[0], {"event": "client-left"})


@case
def ctrl_c_ends_it_while_it_waits_for_other_programs():
    with bench() as b:
        process = b.start(sync_lock=-1)
        b.phone.wait("lock-busy")
        is_over_early(b, process)


@case_for({"the trust dialog": {"trust": "dialog", "trust_after": -1},
           "a locked phone": {"locked_sessions": -1}})
def is_waited_for_until_ctrl_c(_what, knobs):
    with phones({"knobs": knobs}) as sim:
        folder = new_dir("backups")
        process = start(sim, LARDER, "backup", "--json", folder)
        equal(json.loads(process.stdout.readline())["event"], "waiting")
        status, took, text = interrupted(process)
        equal(status, 5, text)
        assert took < A_SECOND, took
        equal(os.listdir(folder), [])


def is_over_early(b, process):
    """...before the backup service was asked for anything."""
    status, took, text = interrupted(process)
    equal(status, 5, text)
    assert took < A_SECOND, took
    lock_is_free(b.phone)
    nothing_is_lost(b, took)


@case
def ctrl_c_ends_it_while_a_service_is_silent():
    for service in ("com.apple.afc", "com.apple.mobile.installation_proxy",
                    "com.apple.springboardservices", BACKUP_SERVICE):
        with bench() as b:
            process = b.start(silent_services=[service])
            b.phone.wait("service", name=service)
            is_over_early(b, process)


@case
def ctrl_c_ends_it_in_a_handshake():
    with bench() as b:
        process = b.start(handshake_seconds=20)
        wait_until(lambda: b.phone.counters().get("tls-handshakes") or
                   b.phone.counters().get("lockdown-StartSession"),
                   "the session")
        is_over_early(b, process)


@case
def a_second_ctrl_c_does_not_wait():
    with bench() as b:
        process = b.start(stall={"seconds": 30, "at": "upload:frame:3"})
        b.phone.wait("fault", knob="stall")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None
                   or time.sleep(0.06) is None, "a moment")
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=1)
        equal(process.returncode, 5)
        over(b.phone)
        equal(changes(b.before, {
            name: entry for name, entry in snapshot(b.parent).items()
            if STATE not in name}), [])
        b.recovers()


@case
def a_signal_that_is_ignored_stays_so():
    def ignore():
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    with bench() as b:
        b.phone.set(stall={"seconds": 1, "at": "upload:frame:3"})
        process = start(b.sim, LARDER, "backup", b.folder, preexec_fn=ignore)
        b.phone.wait("fault", knob="stall")
        for number in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
        equal(process.returncode, 0, err)
        over(b.phone)
        b.is_new()


# --- two at once, and while it is looked at ----------------------------------

@case
def a_second_larder_is_told_to_wait():
    with bench() as b:
        first = b.start(stall={"seconds": 1.5, "at": "upload:frame:3"})
        b.phone.wait("fault", knob="stall")
        # of another phone's view there is no sync lock
        b.phone.set(refuse_services={"com.apple.afc": "InvalidService"})
        done = larder_on(b.sim, "backup", b.folder)
        equal(done.returncode, 1)
        assert "another larder" in done.stderr, done.stderr
        out, err = first.communicate(timeout=30)
        equal(first.returncode, 0, err)
        over(b.phone)
        b.is_new()


def files_below(path):
    return [name for top, _, files in os.walk(path)
            for name in (os.path.join(top, f) for f in files)
            if not os.path.islink(name)]


@case
def a_mount_stays_what_it_was_if_its_version_is_kept():
    with bench() as b:
        with mounted(b.target) as m:
            b.run("--keep", "1")
            equal(differences(b.old[0], m.path), None)
        equal(shows(b.target, b.new), None)


@case
def a_mount_of_a_version_that_goes_never_shows_another():
    with bench() as b:
        with mounted(b.target) as m, contextlib.ExitStack() as stack:
            names = files_below(m.path)
            before = {name: read(name) for name in names}
            files = {name: stack.enter_context(open(name, "rb"))
                     for name in names[::2]}
            b.run()
            for name, f in files.items():
                equal(f.read(), before[name], name)
            # what was not open may be gone, but is never something else
            for name in names[1::2]:
                with contextlib.suppress(OSError):
                    equal(read(name), before[name], name)
        b.is_new()


@case
def nothing_that_is_shared_is_written():
    with bench() as b:
        old = new_path("old")
        # a second name of each file of the old version
        execute("cp", "-al", b.target, old)
        before = snapshot(old)
        b.run("--keep", "1")
        equal(changes(before, snapshot(old)), [])
        kept, = [n for n in names_in(b.folder) if n.startswith(UDID + "-")]
        equal(changes(before, snapshot(f"{b.folder}/{kept}")), [])
        ours, new = snapshot(old), snapshot(b.target)
        for name in ("Status.plist", "Info.plist", "Manifest.plist",
                     "Manifest.db"):
            assert ours[name][3] != new[name][3], name


# --- on its way to the disk --------------------------------------------------

def calls(log):
    """[(name, rest)] of the calls that an strace log shows to have worked."""
    found = []
    for line in read(log, "r").splitlines():
        m = re.match(r"(?:\d+ +)?(\w+)\((.*)\) += 0", line)
        if m:
            found.append(m.groups())
    return found


def only(found, name, text=""):
    """The place of the one such call."""
    places = [i for i, (n, rest) in enumerate(found)
              if n == name and text in rest]
    equal(len(places), 1, f"{name} {text}: {found}")
    return places[0]


@case
def a_backup_is_on_disk_before_it_takes_its_place():
    with bench() as b:
        done, log = traced(b, "-e", "trace=syncfs,fsync,fdatasync,rename,"
                           "renameat,renameat2")
        equal(done.returncode, 0, done.stderr)
        found = calls(log)
        synced = only(found, "syncfs")
        exchange = only(found, "renameat2", "RENAME_EXCHANGE")
        assert synced < exchange, found
        assert f'"{UDID}"' in found[exchange][1], found[exchange]
        after = [rest for name, rest in found[exchange:] if name == "fsync"]
        assert any(rest.endswith(f"<{b.folder}>") for rest in after), found
        # what is renamed to its place is noted on disk before
        assert any(n == "fsync" and f"<{b.folder}/{STATE}>" in rest
                   for n, rest in found[synced:exchange]), found
        b.is_new()


# --- other file systems ------------------------------------------------------

def bind(*options):
    """A file system in user space, without exchange and without links."""
    if not shutil.which("bindfs"):
        raise Skip("needs bindfs")
    below, place = new_dir("below"), new_dir("bindfs")
    return there(place, "bindfs", *options, below, place)


@case_for({"ext4": lambda: image("ext4"), "xfs": lambda: image("xfs"),
           "btrfs": lambda: image("btrfs"), "vfat": lambda: image("vfat"),
           "exfat": lambda: image("exfat"),
           "bindfs": lambda: bind("--no-allow-other")})
def will_do(_name, make):
    with simulator({"fill": {"kind": "small"}}) as sim, make() as place:
        phone, folder = sim.phones[0], place + "/backups"
        backup(sim, folder)
        equal(shows_content(phone, f"{folder}/{UDID}"), None)
        edit(phone, change=3, add=2, remove=2)
        backup(sim, folder, "--keep", "1")
        equal(shows_content(phone, f"{folder}/{UDID}"), None)
        equal(len(names_in(folder)), 3)
        equal(phone.violations(), [])
        with start(sim, LARDER, "backup", folder) as process:
            phone.wait("phase", phase="move", after=len(phone.events()))
            process.kill()
        over(phone)
        before = expect_of_phone(phone)
        equal(shows(f"{folder}/{UDID}", before), None)
        edit(phone, change=1, add=1, remove=1, seed=4)
        backup(sim, folder)
        equal(shows_content(phone, f"{folder}/{UDID}"), None)


run()
