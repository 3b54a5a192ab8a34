"""A program on a terminal of its own."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time


class Terminal:
    """`argv` on a terminal of 1,000 columns; what it prints is read as text
    of UTF-8, with the ends of lines of a terminal."""

    def __init__(self, *argv, env, cwd=None):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            try:
                os.chdir(cwd or ".")
                os.execvpe(argv[0], argv, env)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 50, 1000, 0, 0))
        self.status = None
        self.rest = b""         # read, and behind the last mark

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def send(self, text):
        os.write(self.fd, text.encode())

    def read_until(self, mark=None, seconds=30):
        """Up to `mark` and with it, or to the end."""
        out, end = self.rest, time.monotonic() + seconds
        while mark is None or mark.encode() not in out:
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no {mark!r} in {out!r}")
            if not select.select([self.fd], [], [], left)[0]:
                continue
            data = b""
            with contextlib.suppress(OSError):          # EIO: all have left
                data = os.read(self.fd, 1 << 16)
            if not data:
                if mark is not None:
                    raise AssertionError(f"no {mark!r} in {out!r}")
                break
            out += data
        at = len(out) if mark is None else \
            out.index(mark.encode()) + len(mark.encode())
        out, self.rest = out[:at], out[at:]
        return out.decode(errors="replace")

    def wait(self):
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status
