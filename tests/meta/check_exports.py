#!/usr/bin/python3
"""The mb_ symbols of core are the functions that its headers declare.

    check_exports.py SOURCE_DIR LIBRARY
"""
import os
import re
import shutil
import subprocess
import sys

SOURCE, LIBRARY = sys.argv[1:3]


def declared():
    names = set()
    folder = os.path.join(SOURCE, "core/include/mb")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name)) as f:
            text = re.sub(r"/\*.*?\*/", " ", f.read(), flags=re.S)
        # a declaration begins at the margin; callbacks stand within one
        # and what is static is in the header itself
        names |= set(re.findall(r"^(?!static\b)\w[\w \t*]*?\b(mb_\w+)\(",
                                text, re.M))
    return names


def exported():
    out = subprocess.run(["nm", "-g", "--defined-only", LIBRARY], check=True,
                         capture_output=True, text=True).stdout
    return {line.split()[2] for line in out.splitlines()
            if len(line.split()) == 3 and line.split()[1] in "TDBRW"
            and line.split()[2].startswith("mb_")}


def main():
    if not shutil.which("nm"):
        print("nm is not installed")
        return 77
    want, have = declared(), exported()
    for name in sorted(want - have):
        print(f"{name} is declared and not defined")
    for name in sorted(have - want):
        print(f"{name} is exported and not declared in core/include/mb")
    if want == have and want:
        print(f"{len(want)} functions")
    return 0 if want == have and want else 1


sys.exit(main())
