#!/usr/bin/python3
"""larder verify: good backups, and one damage at a time."""

from harness import *

import damage                                           # noqa: E402
from damage import LEVELS                               # noqa: E402


def verify(backup, *options, status=None, **more):
    """(findings, all events) of a check; nothing in the backup changes."""
    before = snapshot(backup)
    done = larder("verify", "--json", "--passfile", PASSFILE, *options, backup,
                  **more)
    equal(changes(before, snapshot(backup)), [], "written into the backup")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    found = [e for e in events if e["event"] == "finding"]
    if status is None:
        status = 26 if found else 0
    equal(done.returncode, status, done.stderr or "exit status")
    return found, events


def places(found):
    return {f["file"] if f["domain"] is None else
            f["domain"] + ("/" + f["path"] if f["path"] else "")
            for f in found}


# --- good ones ---------------------------------------------------------------

@case_for(SHAPES)
def a_good_backup_has_no_finding_at_any_level(shape):
    out = new_path(shape)
    damage.good(shape, out)
    for level in LEVELS:
        found, events = verify(out, "--" + level)
        equal(found, [], level)
    last = events[-1]
    equal(last["content"]["locked"], 0)
    equal(last["stored"]["digests"], 2)
    # the hot one; whether the one of functions that only the app has can be
    # judged is up to the version of SQLite
    assert 1 <= last["content"]["databases_not_checked"] <= 2, last
    equal(last["content"]["databases"]
          + last["content"]["databases_not_checked"], 5)
    odd = [e["path"] for e in events if e["event"] == "note"
           and e["flaw"] == "database"]
    assert "Library/hot.sqlite" in odd, odd


@case_for(SHAPES)
def the_sample_has_no_finding_at_any_level(shape):
    try:
        out, _ = made_backup(shape, lambda b: mkbackup.fill_sample(b, 0))
    except ImportError:
        raise Skip("needs python3-pil")
    for level in LEVELS:
        found, events = verify(out, "--" + level)
        equal(found, [], level)
    equal(events[-1]["content"]["databases"], 7)


@case_for([s for s in SHAPES if mkbackup.SHAPES[s].encrypted])
def a_good_backup_without_the_password(shape):
    out = new_path(shape)
    damage.good(shape, out)
    asks = mkbackup.SHAPES[shape].manifest_key
    for level in LEVELS:
        done = larder("verify", "--json", "--" + level, out)
        equal(done.returncode, 13 if asks or level == "content" else 0, level)
        if done.returncode:
            continue
        last = json.loads(done.stdout.splitlines()[-1])
        equal(last["findings"], 0)
        # three that changed by blocks while they were backed up
        equal(last["structure"]["lengths_not_checked"], 3)


# --- damage ------------------------------------------------------------------

stock = {}


def one_damage(name, shape):
    d = damage.DAMAGES[name]
    out = new_path(name)
    want = damage.make(name, shape, out, stock)
    promised = LEVELS.index(d.level)
    for n, level in enumerate(LEVELS):
        found, _ = verify(out, "--" + level)
        equal(places(found), want if n >= promised else set(), level)
    shutil.rmtree(out)


for _name, _damage in damage.DAMAGES.items():
    for _shape in _damage.shapes:
        def _one(name=_name, shape=_shape):
            one_damage(name, shape)
        _one.__name__ = f"{_shape}: {_name}"
        case(_one)


run()
