#!/usr/bin/python3
"""The simulator, as the programs of libimobiledevice see it; and what it says
of clients that are not as good."""

import contextlib
import plistlib
import shutil
import socket
import sqlite3
import struct

from harness import *

TOOLS = ("idevice_id", "ideviceinfo", "idevicepair", "idevicename",
         "idevicediagnostics", "idevicebackup2")
MISSING = [name for name in TOOLS if not shutil.which(name)]
if MISSING:
    skip_all("needs " + ", ".join(MISSING))

LOCKDOWN = socket.htons(62078)      # as usbmuxd's clients write it
BACKUP_DOMAIN = "com.apple.mobile.backup"
NP = "com.apple.mobile.notification_proxy"

BOB = {"udid": "00008101-00000000000000BB", "name": "Bob's iPad",
       "product_type": "iPad13,1"}
CARA = {"udid": "00008101-00000000000000CC", "name": "Cara", "usb": False,
        "network": "127.71.0.3"}
OLD = {"udid": "0123456789abcdef0123456789abcdef01234567",
       "product_version": "9.3.5"}

content, mkbackup = launch.content, launch.content.mkbackup


def no_violations(sim):
    for phone in sim.phones:
        equal(phone.violations(), [], phone.udid)
    equal(sim.control("mux")["violations"], [], "usbmuxd")


def output(sim, *argv, status=0):
    done = on(sim, *argv)
    equal(done.returncode, status, done.stdout + done.stderr)
    return (done.stdout + done.stderr).rstrip("\n")


def value(sim, key, *options):
    return output(sim, "ideviceinfo", *options, "-k", key)


def pairs(sim, phone):
    """idevicepair pair, with nothing to be asked."""
    equal(output(sim, "idevicepair", "-u", phone.udid, "pair"),
          f"SUCCESS: Paired with device {phone.udid}")


# --- usbmuxd -----------------------------------------------------------------

@case
def phones_are_listed_by_their_wires():
    with Simulator({}, BOB | {"network": "127.71.0.2"}, CARA) as sim:
        usb, network = (output(sim, "idevice_id", o).split() for o in
                        ("-l", "-n"))
        equal((usb, network), ([UDID, BOB["udid"]],
                               [BOB["udid"], CARA["udid"]]))
        no_violations(sim)


@case
def an_unplugged_phone_is_gone_and_comes_back():
    with Simulator({}, BOB) as sim:
        sim.phones[0].unplug()
        equal(output(sim, "idevice_id", "-l"), BOB["udid"])
        equal(output(sim, "ideviceinfo", "-u", UDID, status=255),
              f"ERROR: Device {UDID} not found!")
        sim.phones[0].plug()
        equal(output(sim, "idevice_id", "-l").split(), [BOB["udid"], UDID])
        equal(value(sim, "UniqueDeviceID", "-u", UDID), UDID)
        no_violations(sim)


@case
def each_of_several_phones_answers_for_itself():
    with Simulator({}, BOB, CARA) as sim:
        equal(output(sim, "idevicename", "-u", UDID), "Anna's iPhone")
        equal(output(sim, "idevicename", "-u", BOB["udid"]), "Bob's iPad")
        equal(output(sim, "idevicename", "-n", "-u", CARA["udid"]), "Cara")
        no_violations(sim)


@case
def a_phone_on_the_network_is_reached_by_tcp_alone():
    with Simulator(CARA) as sim:
        phone, = sim.phones
        shown = output(sim, "ideviceinfo", "-n", "-u", phone.udid)
        assert f"UniqueDeviceID: {phone.udid}" in shown.splitlines(), shown
        assert "Connect" not in sim.control("mux")["counters"]
        counters = phone.counters()
        equal((counters["tcp-connections"], counters["lockdown-sessions"]),
              (1, 1))
        # a service, on a port of its own
        output(sim, "idevicediagnostics", "-n", "-u", phone.udid,
               "mobilegestalt", "PasswordConfigured")
        equal(phone.counters()["tcp-connections"], 3)
        no_violations(sim)


# --- values ------------------------------------------------------------------

@case
def ideviceinfo_shows_who_the_phone_is():
    with Simulator() as sim:
        shown = dict(line.split(": ", 1) for line in
                     output(sim, "ideviceinfo").splitlines())
        for key, want in {
                "UniqueDeviceID": UDID, "ProductType": "iPhone14,5",
                "ProductVersion": "17.5.1", "ActivationState": "Activated",
                "DeviceName": "Anna's iPhone", "DeviceClass": "iPhone",
                "TelephonyCapability": "true"}.items():
            equal(shown.get(key), want, key)
        no_violations(sim)


@case
def encryption_is_told_by_a_value():
    with Simulator() as sim:
        phone, = sim.phones
        will = lambda: value(sim, "WillEncrypt", "-q", BACKUP_DOMAIN)
        equal(will(), "false")
        phone.password = "secret"
        equal(will(), "true")
        equal(phone.password, "secret")
        assert "RequiresEncryption: false" in output(
            sim, "ideviceinfo", "-q", BACKUP_DOMAIN)
        phone.password = None
        equal(will(), "false")


@case
def the_disk_has_a_size():
    with Simulator() as sim:
        shown = output(sim, "ideviceinfo", "-q", "com.apple.disk_usage")
        assert "TotalDiskCapacity: 128000000000" in shown, shown


@case
def unknown_and_refused_values_are_empty():
    with Simulator() as sim:
        equal(value(sim, "NoSuchKey"), "")
        sim.phones[0].set(refuse_values={"SerialNumber": "GetProhibited"})
        equal(value(sim, "SerialNumber"), "")
        sim.phones[0].reset()
        equal(value(sim, "SerialNumber"), "F2LZK1ABCD")


# --- pairing and sessions ----------------------------------------------------

@case
def pairing_is_kept_until_it_is_undone():
    with Simulator() as sim:
        phone, = sim.phones
        pairs(sim, phone)
        equal(output(sim, "idevicepair", "validate"),
              f"SUCCESS: Validated pairing with device {UDID}")
        host = output(sim, "idevicepair", "hostid")
        equal([e["host"] for e in phone.events("paired")], [host])
        equal(output(sim, "idevicepair", "unpair"),
              f"SUCCESS: Unpaired with device {UDID}")
        equal(len(phone.events("unpaired")), 1)
        equal(sim.control("mux")["counters"]["DeletePairRecord"], 1)
        # a new acquaintance; its HostID is the old one within a second
        output(sim, "idevicepair", "validate")
        equal(len(phone.events("paired")), 2)
        no_violations(sim)


@case
def a_phone_that_has_forgotten_the_host_knows_it_no_more():
    with Simulator() as sim:
        phone, = sim.phones
        pairs(sim, phone)
        for place in (phone.state / "pairs").iterdir():
            place.unlink()
        text = output(sim, "idevicepair", "validate", status=1)
        assert f"Device {UDID} is not paired" in text, text


@case
def the_trust_dialog_has_to_be_answered():
    with Simulator() as sim:
        phone, = sim.phones
        phone.set(trust="dialog", trust_after=2)
        for _ in range(2):
            text = output(sim, "idevicepair", "pair", status=1)
            assert "Please accept the trust dialog" in text, text
        pairs(sim, phone)
        equal(len(phone.events("trust-dialog")), 2)
        no_violations(sim)


@case_for({"denied": "user denied the trust dialog",
           "locked": "a passcode is set"})
def pairing_is_refused(trust, text):
    with Simulator() as sim:
        phone, = sim.phones
        phone.set(trust=trust)
        shown = output(sim, "idevicepair", "pair", status=1)
        assert text in shown, shown
        equal(phone.events("paired"), [])
        phone.reset()
        pairs(sim, phone)


@case
def a_restarted_phone_is_the_same():
    folder = new_path("phones")
    keys, names = [], []
    for number in range(2):
        with Simulator(folder=folder) as sim:
            phone, = sim.phones
            keys.append(value(sim, "DevicePublicKey"))
            names.append(output(sim, "idevicename"))
            equal(len(phone.events("paired")), 1 - number)
            equal(output(sim, "idevicename", "Bj\u00f6rn"),
                  "device name set to 'Bj\u00f6rn'")
            no_violations(sim)
    equal(keys[0], keys[1])
    equal(names, ["Anna's iPhone", "Bj\u00f6rn"])


@case_for({"a new phone": ({}, "TLSv1.3"), "an old phone": (OLD, "TLSv1")})
def a_session_is_encrypted(_who, config_and_version):
    config, version = config_and_version
    with Simulator(config) as sim:
        phone, = sim.phones
        value(sim, "ProductVersion")
        equal([e["version"] for e in phone.events("tls")], [version])
        equal(phone.counters()["lockdown-StopSession"], 1)
        no_violations(sim)


# --- services ----------------------------------------------------------------

def gestalt(sim, status=0):
    return output(sim, "idevicediagnostics", "mobilegestalt",
                  "PasswordConfigured", status=status)


@case_for({"with TLS": 2, "in plain text": 1})
def a_service_answers(how, handshakes):
    with Simulator() as sim:
        phone, = sim.phones
        pairs(sim, phone)
        phone.set(service_tls=how == "with TLS")
        answer = plistlib.loads(gestalt(sim).encode())
        equal(answer["MobileGestalt"]["PasswordConfigured"], True)
        equal(phone.counters()["tls-handshakes"], handshakes)
        no_violations(sim)


@case
def a_service_can_be_refused():
    with Simulator() as sim:
        phone, = sim.phones
        phone.set(refuse_services={
            "com.apple.mobile.diagnostics_relay": "ServiceProhibited"})
        gestalt(sim, status=1)
        equal(phone.counters()["lockdown-StartService"], 2)


@case
def a_client_of_a_silent_lockdownd_is_freed_by_unplugging():
    with Simulator() as sim:
        phone, = sim.phones
        phone.set(silent_requests=["QueryType"])
        with start(sim, "ideviceinfo") as client:
            wait_until(lambda: "lockdown-QueryType" in phone.counters(),
                       "the request")
            equal(client.poll(), None)
            phone.unplug()
            assert client.wait(20) != 0


# --- what comes before and after a restore ------------------------------------

@case
def find_my_is_told_by_a_value():
    with Simulator() as sim:
        # the tool warns of a domain that it does not know
        told = lambda: [line for line in value(
            sim, "IsAssociated", "-q", "com.apple.fmip").splitlines()
            if not line.startswith("WARNING")]
        equal(told(), ["false"])
        sim.phones[0].set(find_my=True)
        equal(told(), ["true"])
        sim.phones[0].set(find_my=None)
        equal(told(), [])


@case
def the_disk_is_as_large_as_a_knob_says():
    with Simulator() as sim:
        sim.phones[0].set(disk_usage={"TotalDataCapacity": 1000,
                                      "AmountDataAvailable": 7})
        equal([value(sim, key, "-q", "com.apple.disk_usage") for key in (
            "TotalDataCapacity", "AmountDataAvailable", "TotalDiskCapacity")],
            ["1000", "7", "128000000000"])


@contextlib.contextmanager
def backed_up():
    """(simulator, its phone, the folder of a backup of it by the stock tool)"""
    with Simulator({"fill": {"kind": "small"}}) as sim:
        phone, = sim.phones
        pairs(sim, phone)
        folder = new_dir("backups")
        text = output(sim, "idevicebackup2", "backup", folder)
        assert "Backup Successful" in text, text
        phone.forget()
        yield sim, phone, folder


def restore(sim, folder, *options, status=0):
    """restore --system; what the tool says."""
    return output(sim, "idevicebackup2", "restore", "--system", *options,
                  folder, status=status)


@case
def a_restore_is_refused_while_find_my_is_on():
    with backed_up() as (sim, phone, folder):
        phone.set(find_my=True)
        text = restore(sim, folder, status=256 - 211)
        assert "Find My iPhone must be turned off" in text, text
        equal(len(phone.events("restore-request")), 1)
        no_violations(sim)


@case
def a_restore_has_to_fit():
    with backed_up() as (sim, phone, folder):
        size = sum(i.size for i in phone.content.scan() if i.kind == "f")
        phone.set(disk_usage={"AmountDataAvailable": size // 2})
        content.edit(phone.content, add=1)
        before = list(phone.content.entries())
        text = restore(sim, folder, status=256 - 106)
        assert "Not enough free space" in text, text
        equal(content.differences(before, phone.content), [])
        phone.set(disk_usage={"AmountDataAvailable": size})
        restore(sim, folder)
        no_violations(sim)


@case
def what_a_restore_asks_for_is_remembered():
    with backed_up() as (sim, phone, folder):
        restore(sim, folder, "--no-reboot")
        asked, = phone.events("restore-request")
        equal(asked["request"]["Options"],
              {"RestoreSystemFiles": True, "RestoreShouldReboot": False,
               "RestoreDontCopyBackup": True,
               "RestorePreserveSettings": True})
        info = plistlib.loads(read(f"{folder}/{phone.udid}/Info.plist"))
        given, = phone.events("restore-applications")
        assert given["there"] and given["holds"], given
        equal(given["holds"].keys(), info["Applications"].keys())
        for bundle, app in given["holds"].items():
            equal(app.keys(), info["Applications"][bundle].keys())
        # it is used up
        phone.forget()
        restore(sim, folder, "--skip-apps")
        equal([e["there"] for e in phone.events("restore-applications")],
              [False])
        no_violations(sim)


@case
def a_phone_restarts_after_a_restore_that_wants_it():
    with backed_up() as (sim, phone, folder):
        phone.set(reboot=True, reboot_seconds=1000)
        text = restore(sim, folder)
        assert "Restore Successful" in text, text
        phone.wait("reboots")
        equal(output(sim, "idevice_id", "-l"), "")
        phone.plug()
        equal(output(sim, "idevice_id", "-l"), phone.udid)
        phone.set(reboot_seconds=0)
        phone.forget()
        # a phone that goes and comes while it says goodbye can crash the tool
        on(sim, "idevicebackup2", "restore", "--system", folder)
        phone.wait("started")
        equal(output(sim, "idevice_id", "-l"), phone.udid)
        phone.forget()
        restore(sim, folder, "--no-reboot")
        equal(phone.events("reboots"), [])
        no_violations(sim)


@case
def a_connection_can_end_before_the_last_word():
    with backed_up() as (sim, phone, folder):
        phone.set(hang_up="before")
        text = restore(sim, folder, status=255)
        assert "Restore Successful" not in text, text
        phone.set(hang_up="after")
        text = restore(sim, folder)
        assert "Restore Successful" in text, text
        no_violations(sim)


# --- backups that others have made ------------------------------------------

def made(shape):
    """(the folder above a backup by mkbackup.py, its UDID, what a mount of it
    has to show)"""
    folder, expect = new_dir("made"), new_path("EXPECT")
    udid = mkbackup.SHAPES[shape].udid
    done = execute(sys.executable, mkbackup.__file__, shape,
                   f"{folder}/{udid}", "--profile", "sample", "--expect",
                   expect)
    equal(done.returncode, 0, done.stderr)
    return folder, udid, [json.loads(line) for line in
                          read(expect).splitlines()]


def comparable(lines):
    """Of EXPECT, what is of the files and not of the manifest."""
    here = ("user.larder.inode", "user.larder.ctime", "user.larder.digest")
    return {line["path"]: line | {"xattrs": {
        name: value for name, value in line.get("xattrs", {}).items()
        if name not in here}} for line in lines}


@case_for(list(mkbackup.SHAPES))
def a_backup_of_that_shape_comes_back_whole(shape):
    folder, udid, expect = made(shape)
    by = mkbackup.SHAPES[shape]
    password = ("--password", mkbackup.DEFAULT_PASSWORD) \
        if by.encrypted else ()
    with Simulator({"udid": udid, "product_version": by.ios}
                   ) as sim:
        phone, = sim.phones
        pairs(sim, phone)
        text = restore(sim, folder, "--skip-apps", *password)
        assert "Restore Successful" in text, text
        got, want = (comparable(e) for e in (phone.content.expect(shape),
                                             expect))
        equal({path: (got.get(path), want.get(path))
               for path in got.keys() | want.keys()
               if got.get(path) != want.get(path)}, {})
        no_violations(sim)


@case_for({"another folder": "../../x", "no digest": "g" * 40,
           "too short": "0" * 39})
def a_file_id_that_is_none_is_not_asked_for(_what, ident):
    folder, udid, _ = made("db-plain")
    with contextlib.closing(sqlite3.connect(
            f"{folder}/{udid}/Manifest.db")) as db:
        db.execute("UPDATE Files SET fileID = ? WHERE rowid = (SELECT rowid "
                   "FROM Files WHERE flags = 1 LIMIT 1)", (ident,))
        db.commit()
    with Simulator({"udid": udid}) as sim:
        phone, = sim.phones
        pairs(sim, phone)
        text = restore(sim, folder, "--skip-apps", status=256 - 205)
        assert "Bad record" in text, text
        equal(phone.content.scan(), [])
        no_violations(sim)


# --- what no stock client does -----------------------------------------------

class Wire:
    """A client by hand."""

    def __init__(self, sim):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(sim.env["USBMUXD_SOCKET_ADDRESS"][5:])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def ended(self):
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def mux_send(self, payload, version=1):
        self.sock.sendall(struct.pack("<IIII", 16 + len(payload), version, 8,
                                      77) + payload)

    def mux(self, **request):
        self.mux_send(plistlib.dumps(request))
        length, version, kind, tag = struct.unpack("<IIII", self.read(16))
        equal((version, kind, tag), (1, 8, 77))
        return plistlib.loads(self.read(length - 16))

    def connect(self, port=LOCKDOWN):
        return self.mux(MessageType="Connect", DeviceID=1,
                        PortNumber=port)["Number"]

    def lockdown_send(self, data):
        self.sock.sendall(struct.pack(">I", len(data)) + data)

    def lockdown(self, **request):
        self.lockdown_send(plistlib.dumps(request))
        n, = struct.unpack(">I", self.read(4))
        answer = plistlib.loads(self.read(n))
        equal(answer["Request"], request["Request"])
        return answer.get("Error")


@case_for({"no property list": b"<plist><dict>", "no dictionary":
           plistlib.dumps([1]), "a broken bplist": b"bplist00" + b"\xff" * 40})
def usbmuxd_ends_a_connection_with(_what, payload):
    with Simulator() as sim, Wire(sim) as wire:
        wire.mux_send(payload)
        assert wire.ended()
        equal(len(sim.control("mux")["violations"]), 1)
        equal(output(sim, "idevice_id", "-l"), UDID)


@case
def usbmuxd_notices_old_messages_and_unknown_requests():
    with Simulator() as sim:
        with Wire(sim) as wire:
            equal(wire.mux(MessageType="Dance")["Number"], 1)
        with Wire(sim) as wire:
            wire.mux_send(b"", version=0)
            assert wire.ended()
        equal(len(sim.control("mux")["violations"]), 2)


@case
def only_what_listens_can_be_connected_to():
    with Simulator() as sim, Wire(sim) as wire:
        # a Connect is the last request of its connection
        equal(wire.connect(port=62078), 3)          # of the wrong byte order
    with Simulator() as sim, Wire(sim) as wire:
        equal(wire.mux(MessageType="Connect", DeviceID=9,
                       PortNumber=LOCKDOWN)["Number"], 2)


@case_for({"no property list": b"<plist><dict>", "no dictionary":
           plistlib.dumps("QueryType"), "nothing": b""})
def lockdownd_ends_a_connection_with(_what, payload):
    with Simulator() as sim, Wire(sim) as wire:
        equal(wire.connect(), 0)
        wire.lockdown_send(payload)
        assert wire.ended()
        equal(len(sim.phones[0].violations()), 1)


@case
def lockdownd_does_little_without_a_session():
    with Simulator() as sim, Wire(sim) as wire:
        phone, = sim.phones
        equal(wire.connect(), 0)
        equal(wire.lockdown(Request="QueryType"), None)
        equal(wire.lockdown(Request="SetValue", Key="DeviceName", Value="x"),
              "SessionInactive")
        equal(wire.lockdown(Request="StartSession", HostID="12345678",
                            SystemBUID="x"), "InvalidHostID")
        equal(phone.violations(), [])
        equal(wire.lockdown(Request="StartService", Service=NP),
              "SessionInactive")
        equal(wire.lockdown(Request="ValidatePair", PairRecord=7),
              "InvalidPairRecord")
        equal(wire.lockdown(Request="Unpair"), "InvalidPairRecord")
        equal(len(phone.violations()), 3)


@case
def listeners_hear_of_phones_that_come_and_go():
    with Simulator() as sim, Wire(sim) as wire:
        phone, = sim.phones

        def event():
            length, _, _, tag = struct.unpack("<IIII", wire.read(16))
            equal(tag, 0)
            message = plistlib.loads(wire.read(length - 16))
            return message["MessageType"], message["DeviceID"]

        equal(wire.mux(MessageType="Listen")["Number"], 0)
        equal(event(), ("Attached", 1))
        phone.unplug()
        equal(event(), ("Detached", 1))
        phone.plug()
        equal(event(), ("Attached", 2))
        pairs(sim, phone)
        equal(event(), ("Paired", 2))


run()
