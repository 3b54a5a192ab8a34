#!/usr/bin/python3
"""Make the backups that bench.py needs and mkbackup.py's profiles lack.

    backups.py big SHAPE BYTES OUTDIR           one large file
    backups.py small SHAPE COUNT BYTES OUTDIR   many files of one size
    backups.py mixed SHAPE BYTES OUTDIR         photos and films
    backups.py manifest-key                     of mkbackup.py's default seed

Paths of the files are printed, one a line, as a mount shows them.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import mkbackup
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CHUNK = 1 << 20
FILES_A_FOLDER = 100


def make_big(shape, size, out):
    """The payload is streamed: it is larger than it is nice to hold."""
    domain, path = "CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.MOV"
    backup = mkbackup.Backup(shape)
    backup.parents(domain, path)
    movie = backup.file(domain, path, size=size, missing=True)
    backup.write(out)
    backup.write_payload(out, movie.file_id, b"")
    enc = Cipher(algorithms.AES(movie.key), modes.CBC(bytes(16))).encryptor() \
        if movie.keyed else None
    chunk = os.urandom(CHUNK)
    with open(f"{out}/{movie.file_id[:2]}/{movie.file_id}", "wb") as f:
        for _ in range(size // CHUNK):
            f.write(enc.update(chunk) if enc else chunk)
        if enc:
            f.write(enc.update(mkbackup.pad(b"")))
    print(f"{domain}/{path}")


PHOTO, FILM = 2 << 20, 256 << 20


def make_mixed(shape, size, out):
    """Three quarters photos, the rest films; contents repeat themselves."""
    chunk, domain = os.urandom(CHUNK), "CameraRollDomain"
    backup = mkbackup.Backup(shape)
    films = size // 4 // FILM
    names = [(f"IMG_{i:04d}.MOV", FILM) for i in range(films)]
    names += [(f"IMG_{i:04d}.HEIC", PHOTO) for i in range(
        films, films + (size - films * FILM) // PHOTO)]
    files = []
    for i, (name, length) in enumerate(names):
        path = f"Media/DCIM/{100 + i // FILES_A_FOLDER}APPLE/{name}"
        if i % FILES_A_FOLDER in (0, films):
            backup.parents(domain, path)
        files.append((backup.file(domain, path, size=length, missing=True),
                      length))
        print(f"{domain}/{path}")
    backup.write(out)
    for file, length in files:
        enc = Cipher(algorithms.AES(file.key), modes.CBC(bytes(16))) \
            .encryptor() if file.keyed else None
        os.makedirs(f"{out}/{file.file_id[:2]}", exist_ok=True)
        with open(f"{out}/{file.file_id[:2]}/{file.file_id}", "wb") as f:
            for _ in range(length // CHUNK):
                f.write(enc.update(chunk) if enc else chunk)
            if enc:
                f.write(enc.update(mkbackup.pad(b"")))


def make_small(shape, count, size, out):
    domain = "AppDomain-com.example.photos"
    backup = mkbackup.Backup(shape)
    for i in range(count):
        path = f"Library/Caches/{i // FILES_A_FOLDER:04d}/thumb_{i:06d}.jpg"
        if i % FILES_A_FOLDER == 0:
            backup.parents(domain, path)
        backup.file(domain, path, os.urandom(size))
        print(f"{domain}/{path}")
    backup.write(out)


def main():
    match sys.argv[1:]:
        case ["big", shape, size, out]:
            make_big(shape, int(size), out)
        case ["mixed", shape, size, out]:
            make_mixed(shape, int(size), out)
        case ["small", shape, count, size, out]:
            make_small(shape, int(count), int(size), out)
        case ["manifest-key"]:
            print(mkbackup.Backup("db-encrypted").manifest_key.hex())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
