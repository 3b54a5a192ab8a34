"""Binary property lists, for what comes by the thousand.

plistlib is right but slow; a listing of a folder with many files, or a move of
many, goes through here, and whatever is not of the plainest form is left to
plistlib.
"""

import plistlib
import struct
from array import array

KEYS = "DLFileType", "DLFileSize", "DLFileModificationDate"
TYPES = {"DLFileTypeRegular", "DLFileTypeDirectory", "DLFileTypeUnknown"}


class Unusual(Exception):
    """Not of the form that is read here."""


# --- writing -----------------------------------------------------------------

def head(marker, count):
    if count < 15:
        return bytes((marker | count,))
    return struct.pack(">BBH", marker | 15, 0x11, count)


def dumps(value):
    """Lists and dicts of ASCII strings and numbers; no more than 64 Ki
    objects."""
    objects = []

    def put(v):
        kind = type(v)
        if kind is str:
            if len(v) > 0xffff:
                raise Unusual
            encoded = head(0x50, len(v)) + v.encode("ascii")
        elif kind is int and 0 <= v < 1 << 63:
            encoded = struct.pack(">BQ", 0x13, v)
        elif kind is float:
            encoded = struct.pack(">Bd", 0x23, v)
        elif kind is list:
            encoded = head(0xa0, len(v)) + refs([put(x) for x in v])
        elif kind is dict:
            encoded = head(0xd0, len(v)) + refs(
                [put(k) for k in v] + [put(x) for x in v.values()])
        else:
            raise Unusual
        objects.append(encoded)
        return len(objects) - 1

    try:
        top = put(value)
    except (UnicodeEncodeError, struct.error) as e:
        raise Unusual from e
    offsets, at = [], 8
    for encoded in objects:
        offsets.append(at)
        at += len(encoded)
    if len(objects) > 0xffff:
        raise Unusual
    return b"".join((
        b"bplist00", *objects, struct.pack(f">{len(offsets)}I", *offsets),
        bytes(6), b"\4\2", struct.pack(">QQQ", len(offsets), top, at)))


def refs(numbers):
    return struct.pack(f">{len(numbers)}H", *numbers)


def encode(value):
    """`value` as a binary property list, by whoever can."""
    try:
        return dumps(value)
    except Unusual:
        return plistlib.dumps(value, fmt=plistlib.FMT_BINARY)


# --- reading -----------------------------------------------------------------

def integers(data, width):
    """Big-endian integers of 1, 2 or 4 bytes."""
    if width == 1:
        return data
    if width not in (2, 4):
        raise Unusual
    numbers = array("H" if width == 2 else "I", data)
    numbers.byteswap()
    return numbers


class Reader:
    def __init__(self, data):
        if data[:8] != b"bplist00" or len(data) < 40:
            raise Unusual
        width, self.ref = data[-26], data[-25]
        count, self.top, table = struct.unpack(">QQQ", data[-24:])
        end = table + count * width
        if end > len(data):
            raise Unusual
        self.data = data
        self.offsets = integers(data[table:end], width)
        self.texts = {}

    def at(self, number):
        return self.offsets[number]

    def counted(self, at):
        """(count, where the content begins) of the object at `at`."""
        count = self.data[at] & 15
        if count < 15:
            return count, at + 1
        width = 1 << (self.data[at + 1] & 15)
        start = at + 2 + width
        return int.from_bytes(self.data[at + 2:start], "big"), start

    def children(self, at, kind):
        """Object numbers in an array (0xa0) or dict (0xd0)."""
        if self.data[at] & 0xf0 != kind:
            raise Unusual
        count, start = self.counted(at)
        count *= 2 if kind == 0xd0 else 1
        return integers(self.data[start:start + count * self.ref], self.ref)

    def text(self, number):
        if (known := self.texts.get(number)) is not None:
            return known
        at = self.offsets[number]
        kind = self.data[at] & 0xf0
        count, start = self.counted(at)
        if kind == 0x50:
            text = self.data[start:start + count].decode("ascii")
        elif kind == 0x60:
            text = self.data[start:start + 2 * count].decode("utf-16-be")
        else:
            raise Unusual
        self.texts[number] = text
        return text

    def integer(self, number):
        at = self.offsets[number]
        if self.data[at] & 0xf0 != 0x10:
            raise Unusual
        width = 1 << (self.data[at] & 15)
        return int.from_bytes(self.data[at + 1:at + 1 + width], "big")


def read_listing(data):
    """{name: (type, size)} of a good status with a good listing; Unusual if
    it is anything else."""
    try:
        return _read_listing(Reader(data))
    except (IndexError, KeyError, ValueError, struct.error) as e:
        raise Unusual from e


def _read_listing(reader):
    name, code, _, listing = reader.children(reader.at(reader.top), 0xa0)
    if reader.text(name) != "DLMessageStatusResponse" or reader.integer(code):
        raise Unusual
    items = reader.children(reader.at(listing), 0xd0)
    count = len(items) // 2
    entries = Entries(reader)
    return {reader.text(key): entries.read(value)
            for key, value in zip(items[:count], items[count:])}


class Entries:
    """Reads what a listing says of each name.  The keys are mostly the same
    three objects throughout, so their order is looked at once."""

    def __init__(self, reader):
        self.reader = reader
        self.orders = {}
        self.three = struct.Struct({1: ">3B", 2: ">3H", 4: ">3I"}[reader.ref])

    def read(self, number):
        reader, data, three = self.reader, self.reader.data, self.three
        offsets, width = reader.offsets, three.size
        at = offsets[number] + 1
        if data[at - 1] != 0xd3:
            raise Unusual
        keys = data[at:at + width]
        kind, size, date = self.orders.get(keys) or self.order(keys)
        values = three.unpack_from(data, at + width)
        if data[offsets[values[date]]] != 0x33:
            raise Unusual
        text = reader.text(values[kind])
        if text not in TYPES:
            raise Unusual
        return text, reader.integer(values[size])

    def order(self, keys):
        names = [self.reader.text(n) for n in self.three.unpack(keys)]
        order = self.orders[keys] = tuple(map(names.index, KEYS))
        return order
