"""One connection of a client to a service of the phone."""

import select
import socket
import ssl

ROOM = 1 << 18                  # of what is received at once


class EndOfStream(Exception):
    """The client has closed, or the phone was unplugged."""


class Stream:
    """A byte pipe, plain at first.  One thread reads and writes it."""

    def __init__(self, sock, phone=None):
        self.sock, self.phone = sock, phone
        self.bytes_in = self.bytes_out = 0
        self.limit = None           # the cable is pulled after so many bytes
        self._view = memoryview(bytearray(ROOM))
        self._at = self._end = 0    # of what is unread in it

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

    def _fill(self):
        """Receive more; all of what there was has been taken."""
        self._at = self._end = 0
        try:
            self._end = self.sock.recv_into(self._view)
        except OSError as e:
            raise EndOfStream(str(e)) from e
        if not self._end:
            raise EndOfStream("closed")
        self.bytes_in += self._end

    def recv_exact(self, n):
        at, end = self._at, self._at + n
        if end <= self._end:
            self._at = end
            return bytes(self._view[at:end])
        parts = []
        self.pieces(n, lambda piece: parts.append(bytes(piece)))
        return b"".join(parts)

    def pieces(self, n, take):
        """Pass the next n bytes to take(view), in pieces as they come; each
        is good only while it is taken."""
        while n:
            if self._at == self._end:
                self._fill()
            end = min(self._at + n, self._end)
            take(self._view[self._at:end])
            n -= end - self._at
            self._at = end

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
        if self._end > self._at:
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
