"""One connection of a client to a service of the phone."""

import select
import socket
import ssl


class EndOfStream(Exception):
    """The client has closed, or the phone was unplugged."""


class Stream:
    """A byte pipe, plain at first.  One thread reads and writes it."""

    def __init__(self, sock, phone=None):
        self.sock, self.phone = sock, phone
        self.bytes_in = self.bytes_out = 0
        self.limit = None           # the cable is pulled after so many bytes
        self._buf = bytearray()
        self._at = 0

    def start_tls(self, context):
        """As the server; ssl.SSLError and OSError become EndOfStream."""
        try:
            self.sock = context.wrap_socket(self.sock, server_side=True)
        except OSError as e:
            raise EndOfStream(f"TLS: {e}") from e

    def stop_tls(self):
        """Back to plain text, as lockdownd does after StopSession."""
        try:
            self.sock = self.sock.unwrap()
        except (OSError, ValueError) as e:
            raise EndOfStream(f"TLS: {e}") from e

    def recv_exact(self, n):
        while len(self._buf) - self._at < n:
            if self._at:
                del self._buf[:self._at]
                self._at = 0
            try:
                data = self.sock.recv(max(n - len(self._buf), 1 << 16))
            except OSError as e:
                raise EndOfStream(str(e)) from e
            if not data:
                raise EndOfStream("closed")
            self.bytes_in += len(data)
            self._buf += data
        data = bytes(self._buf[self._at:self._at + n])
        self._at += n
        return data

    def send(self, data):
        if self.limit is not None \
                and self.bytes_out + len(data) > self.limit:
            self._send(memoryview(data)[:max(self.limit - self.bytes_out, 0)])
            self.phone.event("fault", name="unplug_after_bytes")
            self.phone.unplug()
            raise EndOfStream("unplugged")
        self._send(data)

    def _send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise EndOfStream(str(e)) from e
        self.bytes_out += len(data)

    def wait_readable(self, timeout):
        if len(self._buf) > self._at:
            return True
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        try:
            return bool(select.select([self.sock], [], [], timeout)[0])
        except (OSError, ValueError):
            return True             # closed: reading will tell

    def close(self):
        """In good order: what was sent arrives."""
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.setblocking(False)
                self.sock.unwrap()
        except (OSError, ValueError):
            pass                    # the goodbye is sent, that is all we want
        self.abort()

    def abort(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
