#!/usr/bin/python3
"""Run scripts, and compare what they print with what is written beside them.

    run.py [--update] [NAME...]

    GROUP/CASE.sh       run by `sh` in an empty folder
    GROUP/CASE.out      what it must print on standard output; absent: nothing
    GROUP/CASE.err      the same of standard error
    GROUP/CASE.exit     its exit status; absent: 0

A script finds larder and larderfs in PATH, a file with the right password as
$PASS and one with a wrong one as $WRONG.  $GOLDEN is the folder of the golden
backups, $BAD one for which `bad FLAW` makes a flawed backup (tests/mkbad.py).
Absolute paths are replaced in the output: @GOLDEN@, @TMP@, @BIN@.

--update writes down what is printed now: look at the difference.
"""

import argparse
import difflib
import glob
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
SECONDS = 60

PRELUDE = r"""
bad()
{
	/usr/bin/python3 -c '
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import mkbad
mkbad.FLAWS[sys.argv[2]][0](sys.argv[3])' "$TESTS" "$1" "$PWD/$1"
}
"""


def expected(base, ending):
    try:
        with open(f"{base}.{ending}", encoding="utf-8",
                  errors="surrogateescape") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def run(base, stage, tmp):
    """{ending: what came of it}"""
    cwd = os.path.join(tmp, "cwd")
    shutil.rmtree(cwd, ignore_errors=True)
    os.mkdir(cwd)
    bin_ = stage + "/usr/local/bin"
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("LARDER_")}
    env |= {"PATH": bin_ + ":" + env["PATH"], "TZ": "UTC",
            "LC_ALL": "C.UTF-8", "LANGUAGE": "", "HOME": cwd, "TESTS": TESTS,
            "PASS": tmp + "/pass", "WRONG": tmp + "/wrong",
            "GOLDEN": TESTS + "/golden", "PYTHONDONTWRITEBYTECODE": "1"}
    with open(base + ".sh", encoding="utf-8") as f:
        script = PRELUDE + f.read()
    try:
        done = subprocess.run(
            ["sh", "-c", script], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=SECONDS, start_new_session=True,
            encoding="utf-8", errors="surrogateescape")
    except subprocess.TimeoutExpired:
        return {"out": "", "err": f"still running after {SECONDS} seconds\n",
                "exit": "timeout\n"}

    def clean(text):
        for path, mark in ((cwd, "@TMP@"), (tmp, "@TMP@"),
                           (TESTS + "/golden", "@GOLDEN@"), (bin_, "@BIN@")):
            text = text.replace(path, mark)
        return text

    return {"out": clean(done.stdout), "err": clean(done.stderr),
            "exit": f"{done.returncode}\n" if done.returncode else ""}


def update(base, got):
    for ending, text in got.items():
        path = f"{base}.{ending}"
        if text:
            with open(path, "w", encoding="utf-8",
                      errors="surrogateescape") as f:
                f.write(text)
        elif os.path.exists(path):
            os.remove(path)


def difference(base, got):
    """Lines that say what is not as expected."""
    for ending, text in got.items():
        want = expected(base, ending)
        if text != want:
            yield from difflib.unified_diff(
                want.splitlines(), text.splitlines(), f"expected.{ending}",
                f"printed.{ending}", lineterm="")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--update", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    stage = os.environ.get("LARDER_STAGE")
    if not stage:
        print("1..0 # SKIP run ./dev test")
        sys.exit(0 if "MESON_TAP" in os.environ else 77)
    scripts = sorted(glob.glob(HERE + "/*/*.sh"))
    bases = [os.path.splitext(path)[0] for path in scripts
             if not args.names or any(n in path for n in args.names)]
    failed = not bases
    print(f"1..{len(bases)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="larder-cli-") as tmp:
        for name, text in (("pass", "correct horse\n"),
                           ("wrong", "battery staple\n")):
            with open(f"{tmp}/{name}", "w", encoding="ascii") as f:
                f.write(text)
        for number, base in enumerate(bases, 1):
            got = run(base, os.path.abspath(stage), tmp)
            if args.update:
                update(base, got)
            lines = list(difference(base, got))
            for line in lines:
                print("# " + line.encode("ascii", "backslashreplace").decode())
            failed |= bool(lines)
            name = os.path.relpath(base, HERE).replace("-", " ")
            print(f"{'not ok' if lines else 'ok'} {number} - {name}",
                  flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
