"""Keybags, file keys and encrypted payloads of a simulated phone.

A keybag is made when the backup password is set, and kept until it changes.  A
file keeps its key as long as its content does, so that the same ciphertext can
be sent again without being made again.
"""

import array
import os
import pickle
import random
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

import content                          # noqa: F401  (finds mkbackup)
import mkbackup

SMALL = 64 << 10                # payloads that are kept in memory
CACHE_BYTES = 256 << 20
CHUNK = 1 << 20


def wrap_many(kek, keys):
    """RFC 3394 of many 32-byte keys at once, step by step over all of them:
    one call of the cipher for each of the 24 steps."""
    if not keys:
        return []
    cipher = Cipher(algorithms.AES(kek), modes.ECB()).encryptor()
    lanes = array.array("Q", b"".join(keys))
    registers = [lanes[i::4] for i in range(4)]
    check = array.array("Q", b"\xa6" * 8 * len(keys))
    blocks = array.array("Q", bytes(16 * len(keys)))
    for step in range(24):
        i = step % 4
        blocks[0::2], blocks[1::2] = check, registers[i]
        done = array.array("Q", cipher.update(blocks.tobytes()))
        registers[i] = done[1::2]
        mixed = bytearray(done[0::2].tobytes())
        mixed[7::8] = bytes(b ^ (step + 1) for b in mixed[7::8])
        check = array.array("Q", bytes(mixed))
    out = array.array("Q", bytes(40 * len(keys)))
    for i, lane in enumerate([check, *registers]):
        out[i::5] = lane
    joined = out.tobytes()
    return [joined[at:at + 40] for at in range(0, len(joined), 40)]


def unwrap_many(kek, wrapped):
    """The inverse: 32-byte keys, None where the integrity value is wrong."""
    if not wrapped:
        return []
    cipher = Cipher(algorithms.AES(kek), modes.ECB()).decryptor()
    lanes = array.array("Q", b"".join(wrapped))
    check, registers = lanes[0::5], [lanes[i::5] for i in range(1, 5)]
    blocks = array.array("Q", bytes(16 * len(wrapped)))
    for step in reversed(range(24)):
        i = step % 4
        mixed = bytearray(check.tobytes())
        mixed[7::8] = bytes(b ^ (step + 1) for b in mixed[7::8])
        blocks[0::2], blocks[1::2] = array.array("Q", mixed), registers[i]
        done = array.array("Q", cipher.update(blocks.tobytes()))
        check, registers[i] = done[0::2], done[1::2]
    out = array.array("Q", bytes(32 * len(wrapped)))
    for i, lane in enumerate(registers):
        out[i::4] = lane
    joined = out.tobytes()
    right = int.from_bytes(b"\xa6" * 8, "little")
    return [joined[32 * n:32 * n + 32] if value == right else None
            for n, value in enumerate(check)]


def unlock(bag, password):
    """{class: key} of a keybag as it is in Manifest.plist, without those that
    are bound to a device; None if the password is not its password."""
    header, *classes = mkbackup.parse_keybag(bag)
    u32 = lambda value: struct.unpack(">I", value)[0]
    two_stages = "DPSL" in header and "DPIC" in header
    kek = mkbackup.passcode_key(
        password, header["SALT"], u32(header["ITER"]),
        header["DPSL"] if two_stages else None,
        u32(header["DPIC"]) if two_stages else None)
    keys = {u32(c["CLAS"]): mkbackup.unwrap(kek, c["WPKY"])
            for c in classes if u32(c["WRAP"]) == 2}
    return keys if keys and all(keys.values()) else None


def decryptor(key):
    return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()


class KeySet:
    """An unlocked keybag."""

    def __init__(self, bag, class_keys, encrypted):
        self.bag, self.class_keys = bag, class_keys
        self.encrypted = encrypted

    def wrap_all(self, wanted):
        """Blobs (class and wrapped key) for a list of (class, key)."""
        blobs = [None] * len(wanted)
        for number in {n for n, _ in wanted}:
            places = [i for i, (n, _) in enumerate(wanted) if n == number]
            head = struct.pack("<I", number)
            for i, wrapped in zip(places, wrap_many(
                    self.class_keys[number], [wanted[i][1] for i in places])):
                blobs[i] = head + wrapped
        return blobs

    def unwrap_all(self, blobs):
        """The keys in a list of blobs, None for each that is not one."""
        keys = [None] * len(blobs)
        by_class = {}
        for i, blob in enumerate(blobs):
            if len(blob) == 44:
                by_class.setdefault(blob[:4], []).append(i)
        for head, places in by_class.items():
            kek = self.class_keys.get(struct.unpack("<I", head)[0])
            for i, key in zip(places, unwrap_many(
                    kek, [blobs[i][4:] for i in places]) if kek else ()):
                keys[i] = key
        return keys

    def unwrap(self, blob):
        """The key in such a blob, or None."""
        number, = struct.unpack("<I", blob[:4])
        kek = self.class_keys.get(number)
        return mkbackup.unwrap(kek, blob[4:]) if kek else None


def file_class(item):
    """The class whose key wraps a file's."""
    return item.pclass if 1 <= item.pclass <= 4 else 3


class KeyStore:
    """The keys of a phone, kept in a file from run to run."""

    def __init__(self, path):
        self.path = str(path)
        self.password = self.set = None
        self.file_keys = {}     # file ID -> (fingerprint, key, blob)
        self.dirty = False
        try:
            with open(self.path, "rb") as f:
                self.password, bag, keys, self.file_keys = pickle.load(f)
            self.set = KeySet(bag, keys, self.password is not None)
        except FileNotFoundError:
            pass

    def save(self):
        if not self.dirty:
            return
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".new", "wb") as f:
            pickle.dump((self.password, self.set.bag, self.set.class_keys,
                         self.file_keys), f, pickle.HIGHEST_PROTOCOL)
        os.replace(self.path + ".new", self.path)
        self.dirty = False

    def current(self, password, iterations, dpic):
        """The KeySet for the present password (None: not encrypted), with a
        new keybag if there is none for it."""
        if self.set is None or self.password != password:
            bag = mkbackup.Keybag.make(
                random.SystemRandom(), password or "", iterations=iterations,
                dpic=dpic if password is not None else None,
                device_bound=range(5, 12) if password is None else (9, 10, 11))
            self.password, self.file_keys = password, {}
            self.set = KeySet(bag.encode(), bag.class_keys,
                              password is not None)
            self.dirty = True
        return self.set

    def assign(self, items):
        """{file ID: (key, blob)} for a list of (file ID, Item): known ones, or
        new ones where the content is new.  Names of one inode share a key."""
        found, new, by_inode = {}, [], {}
        for file_id, item in items:
            print_ = item.inode, item.mtime_ns, item.size, file_class(item)
            known = self.file_keys.get(file_id)
            if known and known[0] == print_:
                found[file_id] = known[1:]
                by_inode[item.inode] = known[1]
            else:
                new.append((file_id, item, print_))
        keys = []
        for file_id, item, _ in new:
            keys.append(by_inode.setdefault(item.inode, os.urandom(32)))
        blobs = self.set.wrap_all([(file_class(item), key) for
                                   (_, item, _), key in zip(new, keys)])
        for (file_id, _, print_), key, blob in zip(new, keys, blobs):
            found[file_id] = key, blob
            self.file_keys[file_id] = print_, key, blob
        self.dirty = self.dirty or bool(new)
        return found


class PayloadCache:
    """Ciphertext of small files, by key: a key belongs to one content."""

    def __init__(self):
        self.stored, self.bytes = {}, 0

    def payload(self, place, size, key):
        """The encrypted content: bytes, or an iterator if it is large.  May
        raise OSError."""
        if data := self.stored.get(key):
            return data
        if size > SMALL:
            return encrypted_chunks(open(place, "rb", 0), key)
        with open(place, "rb", 0) as f:
            data = mkbackup.encrypt(key, mkbackup.pad(f.read()))
        if self.bytes + len(data) <= CACHE_BYTES:
            self.stored[key] = data
            self.bytes += len(data)
        return data


def encrypted_chunks(f, key):
    cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    with f:
        chunk = f.read(CHUNK)
        while chunk:
            following = f.read(CHUNK)
            yield cipher.update(chunk if following else mkbackup.pad(chunk))
            chunk = following
    yield cipher.finalize()


def self_test():
    """wrap_many and unwrap_many against the library's own."""
    rng = random.Random(1)
    kek = rng.randbytes(32)
    keys = [rng.randbytes(32) for _ in range(1000)]
    wrapped = [mkbackup.wrap(kek, key) for key in keys]
    assert wrap_many(kek, keys) == wrapped
    wrapped[7] = bytes(40)
    keys[7] = None
    assert unwrap_many(kek, wrapped) == keys


if __name__ == "__main__":
    sys.exit(self_test())
