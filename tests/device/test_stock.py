#!/usr/bin/python3
"""The simulator is honest as long as stock programs take it for a phone."""

from harness import *

ANNA = {"fill": {"kind": "small"}}
BOB = {"udid": "00008101-00000000000000BB", "name": "Bob's iPad",
       "product_type": "iPad13,1", "product_version": "16.6",
       "network": "127.0.0.2", "password": "secret"}


def ok(sim, *argv):
    done = on(sim, *argv)
    equal(done.returncode, 0, f"{argv}: {done.stdout}{done.stderr}")
    return done.stdout


def values(text):
    return dict(line.split(": ", 1) for line in text.splitlines()
                if ": " in line and not line.startswith(" "))


@contextlib.contextmanager
def phones(*configs):
    """Phones whose clients must not break the protocol."""
    with Simulator(*configs) as sim:
        yield sim
        for phone in sim.phones:
            equal(phone.violations(), [], phone.udid)
        equal(sim.control("mux")["violations"], [], "usbmuxd")


@case
def phones_are_listed_by_usb_and_network():
    with phones(ANNA, BOB) as sim:
        equal(sorted(ok(sim, "idevice_id", "-l").split()),
              sorted([UDID, BOB["udid"]]))
        equal(ok(sim, "idevice_id", "-n").split(), [BOB["udid"]])


@case
def a_phone_that_is_unplugged_is_gone_and_comes_back():
    with phones(ANNA) as sim:
        sim.phones[0].unplug()
        equal(ok(sim, "idevice_id", "-l").split(), [])
        sim.phones[0].plug()
        equal(ok(sim, "idevice_id", "-l").split(), [UDID])


@case
def pairing_lasts_until_it_is_undone():
    with phones(ANNA) as sim:
        ok(sim, "idevicepair", "pair")
        ok(sim, "idevicepair", "validate")
        ok(sim, "idevicepair", "unpair")
        equal(list((sim.phones[0].state / "pairs").iterdir()), [])
        equal(list((sim.folder / "state/pair-records").iterdir()), [])


@case
def a_trust_dialog_has_to_be_answered():
    with phones(ANNA) as sim:
        sim.phones[0].set(trust="dialog", trust_after=1)
        done = on(sim, "idevicepair", "pair")
        assert done.returncode and "trust" in done.stdout.lower(), done.stdout
        ok(sim, "idevicepair", "pair")
        ok(sim, "idevicepair", "validate")


@case
def a_locked_phone_and_a_denial_are_understood():
    with phones(ANNA) as sim:
        sim.phones[0].set(trust="locked")
        done = on(sim, "idevicepair", "pair")
        assert "passcode" in done.stdout, done.stdout
        sim.phones[0].set(trust="denied")
        done = on(sim, "idevicepair", "pair")
        assert "denied" in done.stdout, done.stdout


@case
def values_are_told_before_and_after_pairing():
    with phones(ANNA, BOB) as sim:
        simple = values(ok(sim, "ideviceinfo", "-s", "-u", UDID))
        equal(simple["ProductVersion"], "17.5.1")
        equal(on(sim, "idevicepair", "-u", BOB["udid"], "pair").returncode, 0)
        told = values(ok(sim, "ideviceinfo", "-u", BOB["udid"]))
        equal(told["DeviceName"], "Bob's iPad")
        equal(told["ProductType"], "iPad13,1")
        encrypts = values(ok(sim, "ideviceinfo", "-u", BOB["udid"],
                             "-q", "com.apple.mobile.backup"))
        equal(encrypts["WillEncrypt"], "true")
        equal(ok(sim, "idevicename", "-u", BOB["udid"]).strip(), "Bob's iPad")


@case
def a_phone_on_the_network_answers_too():
    with phones(BOB) as sim:
        ok(sim, "idevicepair", "-u", BOB["udid"], "pair")
        told = values(ok(sim, "ideviceinfo", "-n", "-u", BOB["udid"]))
        equal(told["UniqueDeviceID"], BOB["udid"])
        assert sim.phones[0].counters()["tcp-connections"] >= 1


run()
