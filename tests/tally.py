#!/usr/bin/python3
"""Count what Meson's test logs hold: tally.py NAME=testlog.json ...

A TAP program counts case by case, any other as one. Prints why something was
skipped, what failed, and at the end one line, "N passed, N failed" or
"N passed, N failed, N skipped". Exits 1 if anything failed or nothing ran.
"""

import json
import re
import sys

CASE = re.compile(r"^(ok|not ok)\b\s*\d*\s*-?\s*(.*)$", re.M)
SKIP = re.compile(r"#\s*skip\b\s*(.*)", re.I)


def cases(test):
    """The (result, description) pairs of one entry of a log."""
    found = []
    for status, text in CASE.findall(test.get("stdout") or ""):
        skip = SKIP.search(text)
        if skip:
            found.append(("skipped", text))
        else:
            found.append(("passed" if status == "ok" else "failed", text))
    result = test["result"]
    if result == "SKIP" and not found:
        reason = (test.get("stdout") or test.get("stderr") or "").strip()
        return [("skipped", reason.splitlines()[-1] if reason else "")]
    if result in ("OK", "EXPECTEDFAIL"):
        return found or [("passed", "")]
    if result == "SKIP":
        return found
    # a crash, a timeout or a bad plan is a failure of its own
    if not any(r == "failed" for r, _ in found):
        found.append(("failed", result.lower()))
    return found


def main():
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for argument in sys.argv[1:]:
        leg, path = argument.split("=", 1)
        try:
            lines = open(path, encoding="utf-8", errors="replace").readlines()
        except OSError as e:
            print(f"failed: {leg}: no test log: {e}")
            count["failed"] += 1
            continue
        for line in lines:
            test = json.loads(line)
            for result, text in cases(test):
                count[result] += 1
                if result != "passed":
                    print(f"{result}: {leg}: {test['name']}: {text}")
    line = f"{count['passed']} passed, {count['failed']} failed"
    if count["skipped"]:
        line += f", {count['skipped']} skipped"
    print(line)
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
