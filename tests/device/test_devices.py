#!/usr/bin/python3
"""larder devices, pair and doctor, against phones of the simulator."""

import json
import os
import signal
import subprocess
import tempfile

from harness import LARDER, Simulator, case, equal, run

ANNA = {"udid": "00008110-000A1B2C3D4E5F67", "name": "Anna's iPhone",
        "values": {"com.apple.mobile.backup":
                   {"LastiTunesBackupDate": 739000000}}}
BOB = {"udid": "00008101-00000000000000BB", "name": "Bob\u009b2J \u00fc",
       "product_type": "iPad13,1", "network": "127.0.0.2"}
CARA = {"udid": "00008101-00000000000000CC", "usb": False,
        "network": "127.0.0.3", "password": "secret"}


def larder(sim, *args, **more):
    env = sim.env | {"TZ": "UTC", "LC_ALL": "C.UTF-8"}
    return subprocess.run([LARDER, *args], env=env, capture_output=True,
                          text=True, timeout=120, **more)


def rows(sim, *args):
    """{UDID: object} of larder devices --json"""
    done = larder(sim, "devices", "--json", *args)
    equal(done.returncode, 0, done.stderr)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["udid"]: row for row in found}


def checks(done):
    """{check: [status...]} of larder doctor --json"""
    found = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        equal(sorted(one), ["check", "finding", "mend", "status"])
        found.setdefault(one["check"], []).append(one["status"])
    return found


def forget_hosts(phone):
    """The phone's reset of its trusted computers."""
    for place in (phone.state / "pairs").iterdir():
        place.unlink()


def no_violations(sim):
    for phone in sim.phones:
        equal(phone.violations(), [], phone.udid)
    equal(sim.control("mux")["violations"], [], "usbmuxd")


# --- devices -----------------------------------------------------------------

@case
def a_phone_that_is_not_paired_is_listed_and_left_alone():
    with Simulator(ANNA) as sim:
        row = rows(sim)[ANNA["udid"]]
        equal(row, {"udid": ANNA["udid"], "name": "Anna's iPhone",
                    "product_type": "iPhone14,5", "ios": "17.5.1",
                    "usb": True, "network": False, "paired": False,
                    "encrypted": None, "last_backup": None})
        counters = sim.phones[0].counters()
        assert "lockdown-Pair" not in counters, counters
        assert "lockdown-StartSession" not in counters, counters
        no_violations(sim)


@case
def a_paired_phone_tells_of_its_backups():
    with Simulator(ANNA) as sim:
        equal(larder(sim, "pair").returncode, 0)
        row = rows(sim)[ANNA["udid"]]
        equal((row["paired"], row["encrypted"], row["last_backup"]),
              (True, False, "2024-06-02T05:46:40Z"))
        sim.phones[0].password = "secret"
        equal(rows(sim)[ANNA["udid"]]["encrypted"], True)
        line = larder(sim, "devices").stdout.splitlines()[1]
        for word in (ANNA["udid"], "iPhone14,5", "17.5.1", "USB", "yes",
                     "2024-06-02 05:46:40 +0000", "Anna's iPhone"):
            assert word in line, line
        no_violations(sim)


@case
def the_last_backup_in_a_folder_is_told():
    with Simulator(ANNA) as sim, tempfile.TemporaryDirectory() as folder:
        equal(larder(sim, "pair").returncode, 0)
        equal(rows(sim, folder)[ANNA["udid"]]["last_backup"], None)
        assert "never" in larder(sim, "devices", folder).stdout
        done = larder(sim, "backup", folder)
        equal(done.returncode, 0, done.stderr)
        date = rows(sim, folder)[ANNA["udid"]]["last_backup"]
        info = larder(sim, "info", "--json", f"{folder}/{ANNA['udid']}")
        equal(date, json.loads(info.stdout)["date"])


@case
def a_locked_phone_is_listed_with_what_it_says():
    with Simulator(ANNA) as sim:
        equal(larder(sim, "pair").returncode, 0)
        sim.phones[0].set(locked_sessions=-1)
        done = larder(sim, "devices", "--json")
        row = json.loads(done.stdout)
        equal((done.returncode, row["paired"], row["encrypted"],
               row["product_type"]), (0, True, None, "iPhone14,5"))
        assert ANNA["udid"] + ": the device is locked" in done.stderr
        no_violations(sim)


@case
def a_phone_that_forgot_this_computer_is_not_asked_to_trust_it():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        equal(larder(sim, "pair").returncode, 0)
        forget_hosts(phone)
        phone.forget()
        done = larder(sim, "devices")
        equal(done.returncode, 0)
        assert "larder pair" in done.stderr, done.stderr
        assert "lockdown-Pair" not in phone.counters()


@case
def a_hidden_name_is_no_obstacle():
    with Simulator(ANNA) as sim:
        sim.phones[0].set(refuse_values={"DeviceName": "GetProhibited"})
        equal(rows(sim)[ANNA["udid"]]["name"], None)
        equal(larder(sim, "devices").stdout.split()[-1], "-")


@case
def usb_and_network_are_told_apart():
    with Simulator(ANNA, BOB, CARA) as sim:
        found = {udid: (row["usb"], row["network"])
                 for udid, row in rows(sim).items()}
        equal(found, {ANNA["udid"]: (True, False),
                      BOB["udid"]: (True, True),
                      CARA["udid"]: (False, True)})
        no_violations(sim)


@case
def escape_sequences_in_a_name_do_not_reach_the_terminal():
    with Simulator(BOB) as sim:
        for args in (["devices"], ["pair"], ["doctor", "/"]):
            done = larder(sim, *args)
            assert "\u009b" not in done.stdout + done.stderr, args
        assert "Bob\\302\\2332J \u00fc" in larder(sim, "devices").stdout


@case
def no_device_is_an_empty_list_and_a_hint():
    with Simulator(ANNA) as sim:
        sim.phones[0].unplug()
        done = larder(sim, "devices")
        equal((done.returncode, done.stdout), (0, ""))
        assert "plug it in" in done.stderr
        equal(larder(sim, "devices", "--quiet").stderr, "")


# --- pair --------------------------------------------------------------------

@case
def the_trust_dialog_is_waited_for():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        phone.set(trust="dialog", trust_after=2)
        done = larder(sim, "pair")
        equal(done.returncode, 0, done.stderr)
        equal(done.stdout, f"paired: {ANNA['udid']} Anna's iPhone "
                           "(iPhone14,5, iOS 17.5.1)\n")
        equal(done.stderr.count("\n"), 1, "said once")
        assert '"Trust"' in done.stderr
        equal(len(phone.events("trust-dialog")), 2)
        equal(rows(sim)[ANNA["udid"]]["paired"], True)
        no_violations(sim)


@case
def waiting_is_an_event_with_json():
    with Simulator(ANNA) as sim:
        sim.phones[0].set(trust="dialog", trust_after=1)
        done = larder(sim, "pair", "--json")
        first, last = map(json.loads, done.stdout.splitlines())
        equal((first["event"], first["reason"]), ("waiting", "trust"))
        assert first["message"]
        equal(last, {"event": "paired", "udid": ANNA["udid"],
                     "name": "Anna's iPhone"})
        equal(done.stderr, "")


@case
def a_locked_phone_is_waited_for_and_then_given_up():
    with Simulator(ANNA) as sim:
        sim.phones[0].set(trust="locked")
        done = larder(sim, "pair", "--timeout", "3")
        equal(done.returncode, 4)
        waiting, late = done.stderr.splitlines()
        assert waiting.startswith("larder: waiting: unlock"), waiting
        assert "still locked" in late, late
        equal(rows(sim)[ANNA["udid"]]["paired"], False)


@case
def who_taps_do_not_trust_is_not_asked_again():
    with Simulator(ANNA) as sim:
        sim.phones[0].set(trust="denied")
        done = larder(sim, "pair")
        equal((done.returncode, done.stdout), (4, ""))
        equal(sim.phones[0].counters()["lockdown-Pair"], 1)
        equal(done.stderr.count("\n"), 1)


@case
def to_pair_again_changes_nothing():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        for _ in range(2):
            equal(larder(sim, "pair").returncode, 0)
        equal(phone.counters()["lockdown-Pair"], 1)


@case
def a_phone_that_forgot_this_computer_is_paired_anew():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        equal(larder(sim, "pair").returncode, 0)
        forget_hosts(phone)
        equal(larder(sim, "pair").returncode, 0)
        phone.forget()
        equal(larder(sim, "pair").returncode, 0)
        equal(phone.counters()["lockdown-sessions"], 1)


@case
def trust_ends_on_both_sides():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        equal(larder(sim, "pair").returncode, 0)
        for _ in range(2):
            done = larder(sim, "pair", "--remove", "--json")
            equal((done.returncode, json.loads(done.stdout)["event"]),
                  (0, "unpaired"))
        equal(len(phone.events("unpaired")), 1)
        equal(list((phone.state / "pairs").iterdir()), [])
        equal(rows(sim)[ANNA["udid"]]["paired"], False)
        no_violations(sim)


@case
def the_pairing_serves_stock_programs():
    with Simulator(ANNA) as sim:
        equal(larder(sim, "pair").returncode, 0)
        done = subprocess.run(["idevicepair", "validate"], env=sim.env,
                              capture_output=True, text=True, timeout=60)
        equal(done.returncode, 0, done.stdout + done.stderr)


@case
def an_unplugged_phone_ends_the_waiting():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        phone.set(trust="dialog", trust_after=-1)
        process = subprocess.Popen([LARDER, "pair"], env=sim.env, text=True,
                                   stderr=subprocess.PIPE)
        phone.wait("trust-dialog")
        phone.unplug()
        _, text = process.communicate(timeout=60)
        equal(process.returncode, 4, text)


@case
def ctrl_c_ends_the_waiting():
    with Simulator(ANNA) as sim:
        phone, = sim.phones
        phone.set(trust="dialog", trust_after=-1)
        process = subprocess.Popen([LARDER, "pair"], env=sim.env, text=True,
                                   stderr=subprocess.PIPE)
        phone.wait("trust-dialog")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        equal(process.returncode, 5)


# --- which device ------------------------------------------------------------

@case
def of_several_phones_one_has_to_be_chosen():
    with Simulator(ANNA, BOB, CARA) as sim:
        done = larder(sim, "pair")
        equal((done.returncode, done.stdout), (2, ""))
        lines = done.stderr.splitlines()
        equal(len(lines), 4, done.stderr)       # Cara is not on USB
        assert ANNA["udid"] in lines[2] and "Anna's iPhone" in lines[2]
        assert "--udid" in lines[3]
        done = larder(sim, "pair", "--udid", ANNA["udid"].lower())
        equal(done.returncode, 0, done.stderr)
        equal([u for u, row in rows(sim).items() if row["paired"]],
              [ANNA["udid"]])
        no_violations(sim)


@case
def a_phone_on_the_network_is_used_if_it_is_asked_for():
    with Simulator(ANNA, CARA) as sim:
        done = larder(sim, "pair", "--udid", CARA["udid"])
        equal(done.returncode, 4)
        assert "add --network" in done.stderr, done.stderr
        done = larder(sim, "pair", "--network")
        equal(done.returncode, 0, done.stderr)
        assert CARA["udid"] in done.stdout
        equal(rows(sim)[CARA["udid"]]["encrypted"], True)
        done = larder(sim, "pair", "--network", "--udid", ANNA["udid"])
        equal(done.returncode, 4)
        assert "leave out --network" in done.stderr, done.stderr
        no_violations(sim)


@case
def a_phone_that_is_not_there_is_named():
    with Simulator(ANNA) as sim:
        done = larder(sim, "pair", "--udid", "00000000-0000000000000000")
        equal(done.returncode, 4)
        assert "00000000-0000000000000000 is not attached" in done.stderr
        sim.phones[0].unplug()
        done = larder(sim, "pair")
        equal(done.returncode, 4)
        assert "plug it in" in done.stderr


# --- doctor ------------------------------------------------------------------

def doctor(sim, folder):
    return larder(sim, "doctor", "--json", folder)


@case
def a_doctor_finds_a_paired_phone_well():
    with Simulator(ANNA) as sim, tempfile.TemporaryDirectory() as folder:
        equal(larder(sim, "pair").returncode, 0)
        found = checks(doctor(sim, folder))
        for name in ("versions", "usbmuxd", "device", "paired", "session",
                     "folder", "space", "inodes"):
            equal(found[name], ["ok"], name)
        equal(found["encryption"], ["note"])
        equal(found["network"], ["note"])
        for name in ("reflinks", "hard-links", "exchange", "fuse",
                     "fusermount3", "larderfs"):
            equal(len(found[name]), 1, name)
        equal(os.listdir(folder), [])
        sim.phones[0].password = "secret"
        equal(checks(doctor(sim, folder))["encryption"], ["ok"])
        no_violations(sim)


@case
def a_doctor_says_how_to_pair_and_does_not():
    with Simulator(ANNA) as sim, tempfile.TemporaryDirectory() as folder:
        done = doctor(sim, folder)
        equal(checks(done)["paired"], ["failed"])
        assert f"larder pair --udid {ANNA['udid']}" in done.stdout
        assert "lockdown-Pair" not in sim.phones[0].counters()


@case
def the_status_says_whether_only_devices_are_to_blame():
    with Simulator(ANNA) as sim, tempfile.TemporaryDirectory() as folder:
        sim.phones[0].unplug()
        done = doctor(sim, folder)
        found = checks(done)
        equal(found["device"], ["failed"])
        failed = {name for name, states in found.items()
                  if "failed" in states}
        # what mounting needs can be missing where tests run
        equal(done.returncode, 4 if failed == {"device"} else 1)
        equal(doctor(sim, folder + "/nowhere").returncode, 1)


@case
def a_doctor_tells_a_locked_phone_from_one_that_forgot():
    with Simulator(ANNA) as sim, tempfile.TemporaryDirectory() as folder:
        phone, = sim.phones
        equal(larder(sim, "pair").returncode, 0)
        phone.set(locked_sessions=1)
        found = checks(doctor(sim, folder))
        equal((found["paired"], found["session"]), (["ok"], ["failed"]))
        forget_hosts(phone)
        found = checks(doctor(sim, folder))
        equal(found["paired"], ["failed"])
        assert "session" not in found


@case
def a_doctor_looks_at_every_phone():
    with Simulator(ANNA, CARA) as sim, tempfile.TemporaryDirectory() as f:
        equal(larder(sim, "pair", "--network").returncode, 0)
        found = checks(doctor(sim, f))
        equal(sorted(found["paired"]), ["failed", "ok"])
        equal(found["network"], ["ok"])


run()
