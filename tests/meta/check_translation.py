#!/usr/bin/python3
"""The catalogues of tools/po fit what the programs say.

    check_translation.py SOURCE_DIR

Each is well formed, with formats that take the same arguments; says nearly all
that there is to say, if not every new message at once; and each file that
POTFILES names is there.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = sys.argv[1]
PO = SOURCE + "/tools/po"
ENOUGH = 0.95


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, env=os.environ
                          | {"LC_ALL": "C.UTF-8", "LANGUAGE": ""})


def sources():
    found = []
    for folder in ("core", "fs", "tools"):
        for top, _, names in os.walk(f"{SOURCE}/{folder}"):
            found += [os.path.relpath(f"{top}/{name}", SOURCE)
                      for name in names if name.endswith((".c", ".h"))]
    return sorted(found)


def count(path):
    """(translated, all) of a catalogue."""
    said = run("msgfmt", "--statistics", "-o", "/dev/null", path).stderr
    numbers = {word: int(n) for n, word in re.findall(
        r"(\d+) (translated|fuzzy|untranslated)", said)}
    return numbers.get("translated", 0), sum(numbers.values())


def main():
    if not shutil.which("msgfmt"):
        print("gettext is not installed")
        return 77
    bad = 0
    with open(PO + "/POTFILES", encoding="ascii") as f:
        listed = f.read().split()
    for name in sorted(set(sources()) - set(listed)):
        print(f"tools/po/POTFILES could name {name}")
    for name in sorted(set(listed) - set(sources())):
        print(f"tools/po/POTFILES: there is no {name}")
        bad += 1
    with open(PO + "/meson.build", encoding="utf-8") as f:
        keywords = re.findall(r"'(--keyword=[^']+)'", f.read())
    with tempfile.TemporaryDirectory() as tmp:
        pot = tmp + "/larder.pot"
        done = run("xgettext", "--from-code=UTF-8", "-o", pot, *keywords,
                   "-D", SOURCE, *sources())
        if done.returncode:
            print(done.stderr)
            return 1
        if count(pot)[1] < 800:
            print(f"only {count(pot)[1]} messages are found in the sources")
            bad += 1
        for path in sorted(glob.glob(PO + "/*.po")):
            done = run("msgfmt", "-c", "-o", "/dev/null", path)
            if done.returncode:
                print(done.stderr)
                bad += 1
            merged = f"{tmp}/{os.path.basename(path)}"
            run("msgmerge", "--no-fuzzy-matching", "-q", "-o", merged, path,
                pot)
            done, of = count(merged)
            print(f"{os.path.relpath(path, SOURCE)}: {done} of {of} messages")
            if done < ENOUGH * of:
                print(run("msgattrib", "--untranslated", merged).stdout)
                bad += 1
    return 1 if bad else 0


sys.exit(main())
