"""A usbmuxd: lists phones, keeps pair records, connects to their ports."""

import os
import plistlib
import socket
import struct
import threading
import uuid

import lockdown
from stream import EndOfStream, Stream

LOCKDOWN_PORT = 62078
PLIST = 8
OK, BAD_COMMAND, BAD_DEVICE, REFUSED = 0, 1, 2, 3
MESSAGE_MAX = 1 << 20


class Device:
    """A phone on one wire: USB, or the network at an address."""

    def __init__(self, number, phone, address=None):
        self.number, self.phone, self.address = number, phone, address

    def properties(self):
        common = {"DeviceID": self.number, "SerialNumber": self.phone.udid}
        if self.address:
            # a BSD sockaddr_in, whose port nobody looks at
            return common | {
                "ConnectionType": "Network", "InterfaceIndex": 1,
                "EscapedFullServiceName": "phone._apple-mobdev2._tcp.local.",
                "NetworkAddress": struct.pack(
                    ">BBH4s8x", 16, socket.AF_INET, 0,
                    socket.inet_aton(self.address)).ljust(128, b"\0")}
        return common | {"ConnectionType": "USB", "ProductID": 4776,
                         "ConnectionSpeed": 480000000, "LocationID": 0}

    def attached(self):
        return {"MessageType": "Attached", "DeviceID": self.number,
                "Properties": self.properties()}


class Mux:
    def __init__(self, path, state, phones):
        self.state = state
        self.records = state / "pair-records"
        self.records.mkdir(parents=True, exist_ok=True)
        self.phones = {phone.udid: phone for phone in phones}
        self.lock = threading.RLock()
        self.devices = {}
        self.listeners = set()
        self.next_number = 1
        self.counters = {}
        self.violations = []
        if os.path.exists(path):
            os.unlink(path)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(64)
        self.network = {}
        for phone in phones:
            if phone.id["network"]:
                self._listen(phone, phone.id["network"], LOCKDOWN_PORT)
            self.plug(phone)

    def run(self):
        while True:
            sock, _ = self.socket.accept()
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    # phones come and go

    def plug(self, phone):
        with self.lock:
            phone.unplugged.clear()
            phone.on_unplug = lambda: self._unplugged(phone)
            phone.plug_in = lambda: self.plug(phone)
            wires = [None] if phone.id["usb"] else []
            if phone.id["network"]:
                wires.append(phone.id["network"])
            for address in wires:
                device = Device(self.next_number, phone, address)
                self.next_number += 1
                self.devices[device.number] = device
                self._tell(device.attached())

    def _unplugged(self, phone):
        with self.lock:
            for number, device in list(self.devices.items()):
                if device.phone is phone:
                    del self.devices[number]
                    self._tell({"MessageType": "Detached",
                                "DeviceID": number})

    def _tell(self, message):
        for listener in list(self.listeners):
            try:
                self._send(listener, 0, message)
            except EndOfStream:
                self.listeners.discard(listener)

    # over the network: the same phone behind TCP

    def _listen(self, phone, address, port):
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(16)
        threading.Thread(target=self._accept, args=(phone, server),
                         daemon=True).start()
        return server.getsockname()[1]

    def _accept(self, phone, server):
        while True:
            sock, _ = server.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = server.getsockname()[1]
            phone.count("tcp-connections")
            threading.Thread(target=self._tunnel, daemon=True,
                             args=(Stream(sock, phone), phone, port)).start()

    def open_port(self, phone):
        """A new port for a service of the phone, free on its network too."""
        with self.lock:
            if phone.id["network"]:
                return self._listen(phone, phone.id["network"], 0)
            self.next_port = getattr(self, "next_port", 49152) + 1
            return self.next_port

    # the protocol

    def violation(self, text):
        with self.lock:
            self.violations.append("usbmuxd: " + text)

    def _count(self, name):
        with self.lock:
            self.counters[name] = self.counters.get(name, 0) + 1

    def _send(self, stream, tag, message):
        data = plistlib.dumps(message)
        stream.send(struct.pack("<IIII", 16 + len(data), 1, PLIST, tag) + data)

    def _result(self, stream, tag, number):
        self._send(stream, tag, {"MessageType": "Result", "Number": number})

    def _receive(self, stream):
        length, version, kind, tag = struct.unpack("<IIII",
                                                   stream.recv_exact(16))
        if version != 1 or kind != PLIST or not 16 < length < MESSAGE_MAX:
            self.violation(f"header {length} {version} {kind}")
            raise EndOfStream("bad header")
        try:
            return tag, lockdown.load_dict(stream.recv_exact(length - 16))
        except ValueError as e:
            self.violation(str(e))
            raise EndOfStream("bad message") from e

    def _serve(self, sock):
        stream = Stream(sock)
        self._count("connections")
        try:
            while True:
                tag, request = self._receive(stream)
                name = request.get("MessageType")
                self._count(str(name))
                if name == "Connect":
                    self._connect(stream, tag, request)
                    return
                if name == "Listen":
                    self._listen_for_events(stream, tag)
                    return
                self._answer(stream, tag, name, request)
        except EndOfStream:
            pass
        finally:
            with self.lock:
                self.listeners.discard(stream)
            stream.abort()

    def _answer(self, stream, tag, name, request):
        answers = {"ListDevices": self._list, "ReadBUID": self._buid,
                   "ListListeners": lambda _: {"ListenerList": []},
                   "ReadPairRecord": self._read_record,
                   "SavePairRecord": self._save_record,
                   "DeletePairRecord": self._delete_record}
        if name not in answers:
            self.violation(f"unknown request {name!r}")
            return self._result(stream, tag, BAD_COMMAND)
        answer = answers[name](request)
        if isinstance(answer, int):
            return self._result(stream, tag, answer)
        return self._send(stream, tag, answer)

    def _list(self, _request):
        with self.lock:
            return {"DeviceList": [d.attached()
                                   for d in self.devices.values()]}

    def _listen_for_events(self, stream, tag):
        with self.lock:
            self._result(stream, tag, OK)
            for device in self.devices.values():
                self._send(stream, 0, device.attached())
            self.listeners.add(stream)
        stream.recv_exact(1)        # until the client leaves

    def _buid(self, _request):
        place = self.state / "buid"
        with self.lock:
            if not place.exists():
                place.write_text(str(uuid.uuid4()).upper())
            return {"BUID": place.read_text()}

    def _record(self, request):
        name = request.get("PairRecordID")
        if not isinstance(name, str) or "/" in name or name.startswith("."):
            self.violation(f"pair record {name!r}")
            name = "none"
        return self.records / f"{name}.plist"

    def _read_record(self, request):
        place = self._record(request)
        return {"PairRecordData": place.read_bytes()} if place.exists() \
            else BAD_DEVICE

    def _save_record(self, request):
        data = request.get("PairRecordData")
        if not isinstance(data, bytes):
            self.violation(f"PairRecordData is {data!r}")
            return BAD_COMMAND
        try:
            record = lockdown.load_dict(data)
            missing = {"DeviceCertificate", "EscrowBag", "HostCertificate",
                       "HostID", "HostPrivateKey", "RootCertificate",
                       "RootPrivateKey", "SystemBUID"} - record.keys()
            if missing:
                self.violation(f"pair record without {sorted(missing)}")
        except ValueError as e:
            self.violation(f"pair record: {e}")
        self._record(request).write_bytes(data)
        if "DeviceID" in request:
            with self.lock:
                self._tell({"MessageType": "Paired",
                            "DeviceID": request["DeviceID"]})
        return OK

    def _delete_record(self, request):
        place = self._record(request)
        if not place.exists():
            return BAD_DEVICE
        place.unlink()
        return OK

    def _connect(self, stream, tag, request):
        number, port = request.get("DeviceID"), request.get("PortNumber")
        with self.lock:
            device = self.devices.get(number)
        if not isinstance(port, int) or not 0 < port < 65536:
            self.violation(f"Connect to port {port!r}")
            return self._result(stream, tag, BAD_COMMAND)
        port = socket.ntohs(port)
        if device is None or device.address:
            return self._result(stream, tag, BAD_DEVICE)
        if port != LOCKDOWN_PORT and port not in device.phone.ports:
            device.phone.count("refused-connections")
            return self._result(stream, tag, REFUSED)
        self._result(stream, tag, OK)
        stream.phone = device.phone
        return self._tunnel(stream, device.phone, port)

    def _tunnel(self, stream, phone, port):
        # in this order: an unplug() meanwhile sees the stream, or is seen
        phone.streams.add(stream)
        try:
            if not phone.unplugged.is_set():
                lockdown.serve_port(stream, phone, port, self)
        except EndOfStream:
            pass
        except Exception as e:
            # of the client's making or of ours: no test may miss it
            phone.violation(f"port {port}: {e!r}")
            raise
        finally:
            phone.streams.discard(stream)
            stream.close()
