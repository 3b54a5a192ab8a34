"""lockdownd: values, pairing, sessions with TLS, and the start of services."""

import os
import plistlib
import re
import ssl
import struct
import uuid
from xml.parsers.expat import ExpatError

from cryptography import x509
from cryptography.hazmat.primitives import serialization

import services
from stream import EndOfStream

MESSAGE_MAX = 16 << 20


def send_plist(stream, message):
    """In one piece: some clients read the length with one recv."""
    data = plistlib.dumps(message, sort_keys=False)
    stream.send(struct.pack(">I", len(data)) + data)


def load_dict(data):
    """A client's property list; ValueError if it is no dictionary."""
    try:
        message = plistlib.loads(data)
    except (ExpatError, plistlib.InvalidFileException, LookupError,
            OverflowError, TypeError) as e:
        raise ValueError(f"no property list: {e}") from e
    if not isinstance(message, dict):
        raise ValueError("no dictionary")
    return message


def receive_plist(stream, phone, whose):
    n, = struct.unpack(">I", stream.recv_exact(4))
    if not 0 < n <= MESSAGE_MAX:
        phone.violation(f"{whose}: a message of {n} bytes")
        raise EndOfStream("bad length")
    try:
        return load_dict(stream.recv_exact(n))
    except ValueError as e:
        phone.violation(f"{whose}: {e}")
        raise EndOfStream("bad message") from e


def tls_context(phone, host_id):
    """The device's side, with the certificate that the host made for it."""
    place = phone.state / "pairs" / f"{host_id}.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")      # SHA-1 certificates
    if int(re.match(r"\d+", phone.product_version)[0]) < 10:
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.num_tickets = 0
    context.load_cert_chain(place)
    return context


def start_tls(stream, phone, host_id):
    phone.sleep(phone.knobs["handshake_seconds"])
    phone.count("tls-handshakes")
    stream.start_tls(tls_context(phone, host_id))
    phone.event("tls", version=stream.sock.version())


def serve_port(stream, phone, port, mux):
    """Whatever listens on a port of the phone."""
    if port == 62078:
        return Lockdown(stream, phone, mux).run()
    service = phone.ports.get(port)
    if service is None:
        return stream.abort()
    name, host_id = service
    if host_id:
        start_tls(stream, phone, host_id)
    phone.count(name)
    phone.event("service", name=name)
    return services.SERVICES[name](stream, phone)


class Refused(Exception):
    """A lockdown error."""


class Lockdown:
    def __init__(self, stream, phone, mux):
        self.stream, self.phone, self.mux = stream, phone, mux
        self.session = self.host_id = None

    def run(self):
        self.phone.count("lockdown-connections")
        while True:
            request = receive_plist(self.stream, self.phone, "lockdownd")
            name = request.get("Request")
            self.phone.count(f"lockdown-{name}")
            if name in self.phone.knobs["silent_requests"]:
                continue
            handler = self.HANDLERS.get(name)
            if handler is None:
                self.phone.violation(f"lockdownd: request {name!r}")
                self.reply(request, Error="UnknownCommand")
                continue
            try:
                if handler(self, request):
                    return
            except Refused as e:
                self.reply(request, Error=str(e))

    def reply(self, request, **more):
        echo = {k: request[k] for k in ("Domain", "Key") if k in request}
        send_plist(self.stream, {"Request": request.get("Request")} | echo
                   | more)

    def query_type(self, request):
        self.reply(request, Type="com.apple.mobile.lockdown")

    def get_value(self, request):
        key = request.get("Key")
        refused = self.phone.knobs["refuse_values"].get(key)
        if refused:
            raise Refused(refused)
        values = self.phone.values(request.get("Domain"))
        if key is None:
            self.reply(request, Value=values)
        elif key in values:
            self.reply(request, Value=values[key])
        else:
            raise Refused("MissingValue")

    def set_value(self, request):
        self.need_session()
        if not isinstance(request.get("Key"), str):
            raise Refused("MissingKey")
        if "Value" not in request:
            raise Refused("MissingValue")
        self.phone.set_value(request.get("Domain"), request["Key"],
                             request["Value"])
        self.reply(request, Value=request["Value"])

    def remove_value(self, request):
        self.need_session()
        if not isinstance(request.get("Key"), str):
            raise Refused("MissingKey")
        self.phone.remove_value(request.get("Domain"), request["Key"])
        self.reply(request)

    # pairing

    def pair_record(self, request):
        record = request.get("PairRecord")
        if not isinstance(record, dict):
            self.phone.violation(f"lockdownd: PairRecord is {record!r}")
            raise Refused("InvalidPairRecord")
        return record

    def pair(self, request):
        self.ask_user()
        record = self.pair_record(request)
        if not all(isinstance(record.get(k), bytes) for k in (
                "DeviceCertificate", "HostCertificate", "RootCertificate")):
            raise Refused("InvalidPairRecord")
        self.check_certificate(record)
        self.remember(record)
        if self.phone.escrow is None:
            self.phone.set_escrow(os.urandom(32))
        self.phone.event("paired", host=record["HostID"])
        self.reply(request, EscrowBag=self.phone.escrow)

    def ask_user(self):
        trust = self.phone.knobs["trust"]
        if trust == "denied":
            raise Refused("UserDeniedPairing")
        if trust == "locked":
            raise Refused("PasswordProtected")
        if trust == "dialog" and self.phone.take("trust_after"):
            self.phone.event("trust-dialog")
            raise Refused("PairingDialogResponsePending")

    def check_certificate(self, record):
        """It must be of our key, signed by the root that comes with it."""
        try:
            device, root = (x509.load_pem_x509_certificate(record[name])
                            for name in ("DeviceCertificate",
                                         "RootCertificate"))
        except ValueError as e:
            raise Refused("InvalidPairRecord") from e
        ours = self.phone.key.public_key().public_numbers()
        if device.public_key().public_numbers() != ours:
            self.phone.violation("lockdownd: DeviceCertificate of another key")
            raise Refused("InvalidPairRecord")
        if device.issuer != root.subject:
            self.phone.violation("lockdownd: DeviceCertificate of another "
                                 "root")

    def remember(self, record):
        host_id = record.get("HostID")
        if not re.fullmatch(r"[0-9A-Fa-f-]{8,64}", str(host_id)):
            raise Refused("InvalidHostID")
        key = self.phone.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption())
        place = self.pair_place(host_id)
        place.write_bytes(record["DeviceCertificate"] + b"\n" + key)

    def pair_place(self, host_id):
        return self.phone.state / "pairs" / f"{host_id}.pem"

    def knows(self, host_id):
        return isinstance(host_id, str) and "/" not in host_id \
            and self.pair_place(host_id).exists()

    def validate_pair(self, request):
        if not self.knows(self.pair_record(request).get("HostID")):
            raise Refused("InvalidHostID")
        self.reply(request)

    def unpair(self, request):
        host_id = self.pair_record(request).get("HostID")
        if self.knows(host_id):
            self.pair_place(host_id).unlink()
        self.phone.event("unpaired")
        self.reply(request)

    # sessions

    def start_session(self, request):
        host_id = request.get("HostID")
        if not isinstance(request.get("SystemBUID"), str):
            self.phone.violation("lockdownd: StartSession without SystemBUID")
        if not self.knows(host_id):
            raise Refused("InvalidHostID")
        if self.session:
            raise Refused("SessionActive")
        if self.phone.take("locked_sessions"):
            raise Refused("PasswordProtected")
        self.session, self.host_id = str(uuid.uuid4()).upper(), host_id
        self.phone.count("lockdown-sessions")
        self.reply(request, SessionID=self.session, EnableSessionSSL=True)
        start_tls(self.stream, self.phone, host_id)

    def need_session(self):
        if not self.session:
            raise Refused("SessionInactive")

    def stop_session(self, request):
        if request.get("SessionID") != self.session:
            self.phone.violation("lockdownd: StopSession of another session")
            raise Refused("InvalidSessionID")
        self.reply(request)
        self.session = None
        self.stream.stop_tls()

    def start_service(self, request):
        name = request.get("Service")
        if not self.session:
            self.phone.violation(f"lockdownd: StartService {name} without a "
                                 "session")
            raise Refused("SessionInactive")
        refused = self.phone.knobs["refuse_services"].get(name)
        if refused or name not in services.SERVICES:
            raise Refused(refused or "InvalidService")
        if name == services.BACKUP:
            self.check_escrow(request)
        port = self.mux.open_port(self.phone)
        tls = self.phone.knobs["service_tls"]
        self.phone.ports[port] = name, self.host_id if tls else None
        self.reply(request, Service=name, Port=port,
                   **({"EnableServiceSSL": True} if tls else {}))

    def check_escrow(self, request):
        if request.get("EscrowBag") is None:
            self.phone.violation("lockdownd: backup service without EscrowBag")
        elif request["EscrowBag"] != self.phone.escrow:
            self.phone.violation("lockdownd: another EscrowBag")
            raise Refused("EscrowLocked")

    def goodbye(self, request):
        self.reply(request)
        return True

    HANDLERS = {
        "QueryType": query_type, "GetValue": get_value,
        "SetValue": set_value, "RemoveValue": remove_value, "Pair": pair,
        "ValidatePair": validate_pair, "Unpair": unpair,
        "StartSession": start_session, "StopSession": stop_session,
        "StartService": start_service, "Goodbye": goodbye,
    }
