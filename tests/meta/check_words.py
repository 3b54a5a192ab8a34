#!/usr/bin/python3
"""No file of the project holds what must not be in it.

    check_words.py SOURCE_DIR
"""
import re
import shutil
import subprocess
import sys

SOURCE = sys.argv[1]

# put together here, so that this file does not hold them
WORDS = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]
PATTERNS = [
    (re.compile(r"\b(" + "|".join(WORDS) + r")\b"), "left for later"),
    (re.compile("BEGIN [A-Z ]*PRIVATE" + " KEY"), "a private key"),
    (re.compile("^<{7} |^>{7} ", re.M), "a merge that was not finished"),
]
# generated backups are bytes, licences other people's text
SKIP = re.compile(r"^(tests/golden/|tests/fuzz/corpus/|LICENSE)")


def tracked():
    if not shutil.which("git"):
        return None
    out = subprocess.run(["git", "-C", SOURCE, "ls-files", "-z", "--cached",
                          "--others", "--exclude-standard"],
                         capture_output=True)
    return None if out.returncode else out.stdout.decode().split("\0")[:-1]


def main():
    names = tracked()
    if not names:
        print("not a git checkout: nothing is tracked here")
        return 77
    bad = 0
    for name in names:
        if SKIP.match(name):
            continue
        try:
            with open(f"{SOURCE}/{name}", encoding="utf-8") as f:
                text = f.read()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for pattern, what in PATTERNS:
            for m in pattern.finditer(text):
                line = text.count("\n", 0, m.start()) + 1
                print(f"{name}:{line}: {what}: {m.group().strip()}")
                bad += 1
    return 1 if bad else 0


sys.exit(main())
