#!/usr/bin/python3
"""larder verify: good backups, and one damage at a time."""

import hashlib

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
    equal(last["stored"]["digests"], 3)
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


# --- samples -----------------------------------------------------------------

def read_of(events):
    return events[-1]["content"]["payloads"]


@case
def a_sample_is_a_share_a_number_or_an_amount():
    out = new_path("sample")
    damage.good("db-plain", out)
    _, events = verify(out, "--content")
    everything = read_of(events)
    for how, count in (("5%", -(-everything // 20)), ("17", 17),
                       ("100000", everything), ("100%", everything)):
        _, events = verify(out, "--content", "--sample", how)
        equal(read_of(events), count, how)
        equal(events[-1]["sample"]["payloads"], count, how)
    _, events = verify(out, "--content", "--sample", "100k")
    # the last one may be the largest
    large = max(os.path.getsize(os.path.join(top, name))
                for top, _, names in os.walk(out) for name in names)
    assert 100000 <= events[-1]["sample"]["bytes"] < 100000 + large, events[-1]
    equal(events[-1]["content"]["bytes"], events[-1]["sample"]["bytes"])


@case
def the_structure_is_checked_whole_with_a_sample_too():
    out = new_path("sample")
    want = damage.make("payload_missing", "db-encrypted", out)
    found, _ = verify(out, "--content", "--sample", "1")
    equal(places(found), want)


@case
def each_sample_is_another_one():
    out = new_path("sample")
    damage.make("bit_in_a_database_page", "db-plain", out)
    seen = {len(verify(out, "--content", "--sample", "30%")[0])
            for _ in range(40)}
    equal(seen, {0, 1})         # by chance once in a million times not


# --- going on later ----------------------------------------------------------

def name_with_id(front):
    """A path below HomeDomain whose file ID begins so."""
    return next(path for path in (f"Library/{i}" for i in range(10000))
                if hashlib.sha1(f"HomeDomain-{path}".encode()).hexdigest()
                .startswith(front))


def long_backup():
    """Its last payload takes half a minute to read; the first ones are
    databases, of which one is damaged."""
    parent = new_dir("parent")
    out = parent + "/phone"
    b = mkbackup.Backup("db-plain")
    b.dir("HomeDomain")
    b.dir("HomeDomain", "Library")
    bad = b.file("HomeDomain", name_with_id("00"), damage.database())
    fine = b.file("HomeDomain", name_with_id("01"), damage.database())
    last = b.file("HomeDomain", name_with_id("ff"), b"")
    last.size = 1 << 38
    b.write(out)
    os.truncate(damage.payload(out, last), last.size)
    damage.flip(damage.payload(out, bad), 3 * 4096 + 3)
    return out, bad, fine, last


def break_off(out, *options, number=signal.SIGINT):
    """Once the first two have been read; the last finding that was told."""
    process = subprocess.Popen(
        [LARDER, "verify", "--json", "--content", *options, out],
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["files"] == 2:
            break
    process.send_signal(number)
    rest, _ = process.communicate(timeout=30)
    equal(process.returncode, 5)
    return rest


@case
def what_was_broken_off_goes_on_where_it_was():
    out, bad, fine, last = long_backup()
    state = os.path.dirname(out) + "/.larder-verify-phone"
    rest = break_off(out)
    assert "--resume" in rest, rest
    text = read(state, "r")
    # of four records, folders among them, the last is not done
    assert "\ndone 4\n" in text and bad.file_id in text, text
    assert "Library" not in text and "Home" not in text, text
    equal(os.stat(state).st_mode & 0o777, 0o600)
    # damage that came meanwhile, to one that is done, is not looked for; that
    # the other one is still damaged, is
    damage.flip(damage.payload(out, fine), 3 * 4096 + 3)
    os.truncate(damage.payload(out, last), 0)
    found, events = verify(out, "--content", "--resume")
    equal(places(found), {damage.place(bad), damage.place(last)})
    equal(events[-1]["content"]["payloads"], 2)
    equal(os.path.exists(state), False)
    found, _ = verify(out, "--content", "--resume")
    equal(places(found), {damage.place(e) for e in (bad, fine, last)})


@case
def without_resume_it_begins_at_the_front():
    out, bad, fine, last = long_backup()
    break_off(out)
    os.truncate(damage.payload(out, last), 0)
    damage.flip(damage.payload(out, fine), 3 * 4096 + 3)
    found, _ = verify(out, "--content")
    equal(places(found), {damage.place(e) for e in (bad, fine, last)})
    equal(os.listdir(os.path.dirname(out)), ["phone"])


@case
def the_state_of_another_version_is_not_gone_on_with():
    out, bad, fine, last = long_backup()
    state = new_path("state")
    break_off(out, "--state", state)
    os.truncate(damage.payload(out, last), 0)
    damage.flip(damage.payload(out, fine), 3 * 4096 + 3)
    later = os.stat(out + "/Manifest.db").st_mtime + 5
    os.utime(out + "/Manifest.db", (later, later))
    found, events = verify(out, "--content", "--resume", "--state", state)
    equal(places(found), {damage.place(e) for e in (bad, fine, last)})
    assert any("has changed since" in e.get("message", "") for e in events)


@case
def a_state_that_is_damaged_or_anything_else_is_not_gone_on_with():
    out = new_path("good")
    damage.good("db-plain", out)
    for text in ("", "larder-verify 1\n", "my letters\n" * 100,
                 "larder-verify 1\nbackup x\nend\n"):
        state = save(new_path("state"), text)
        found, events = verify(out, "--content", "--resume", "--state", state)
        equal(found, [])
        assert any("begins at the front" in e.get("message", "")
                   for e in events), text
        # only what is a state is removed
        equal(os.path.exists(state), not text.startswith("larder-verify"))


@case
def where_no_state_can_be_kept_it_is_said_and_the_check_goes_on():
    out, bad, _, last = long_backup()
    process = subprocess.Popen(
        [LARDER, "verify", "--json", "--content", "--state", "/proc/x/state",
         out], env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["event"] == "finding":
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    equal(process.returncode, 5)
    equal([e["event"] for e in lines if "cannot be kept"
           in e.get("message", "")], ["warning"])
    equal(places([lines[-1]]), {damage.place(bad)})


@case
def a_state_in_the_backup_is_refused():
    out = new_path("good")
    damage.good("db-plain", out)
    before = snapshot(out)
    done = larder("verify", "--content", "--state", out + "/x", out)
    equal(done.returncode, 1)
    assert "is in the backup" in one_line(done.stderr), done.stderr
    equal(changes(before, snapshot(out)), [])


# --- sums --------------------------------------------------------------------

def sha256sum(sums, folder):
    return execute("sha256sum", "-c", "--strict", sums, cwd=folder)


@case_for(SHAPES)
def sums_are_those_of_every_file_and_sha256sum_agrees(shape):
    out = new_path(shape)
    damage.good(shape, out)
    os.mkdir(out + "/odd")
    for name in ("line\nbreak", "back\\slash", ") = x", "caf\udce9", "a b",
                 "-", "return\r"):
        save(f"{out}/odd/{name}", name)
    save(out + "/-", "not standard input")
    save(out + "/.DS_Store", "changes at any look")
    os.symlink("/etc/passwd", out + "/link")
    sums = new_path("sums")
    before = snapshot(out)
    done = larder("verify", "--record", sums, out)  # no password
    equal((done.returncode, done.stderr), (0, ""))
    equal(changes(before, snapshot(out)), [])
    done = sha256sum(sums, out)
    equal(done.returncode, 0, done.stderr)
    files = sum(len(names) for _, _, names in os.walk(out)) - 2
    equal(done.stdout.count(": OK\n"), files)
    found, events = verify(out, "--against", sums)
    equal(found, [])
    equal(events[-1]["sums"], {"findings": 0, "files": files,
                               "bytes": events[-1]["sums"]["bytes"],
                               "unlisted": 0})


@case
def lines_are_sorted_and_the_same_each_time():
    out = new_path("good")
    damage.good("mbdb-plain", out)
    for name in ("a.b", "a-b"):
        save(f"{out}/{name}", name)
    os.mkdir(out + "/a")
    save(out + "/a/x", "x")
    done = larder("verify", "--record", "-", out)
    names = [re.fullmatch(r"SHA256 \((.*)\) = [0-9a-f]{64}", line)[1]
             for line in done.stdout.splitlines()]
    equal(names, sorted(names))
    equal(larder("verify", "--record", "-", out).stdout, done.stdout)


@case
def what_changed_or_is_missing_since_is_named():
    out, sums = new_path("good"), new_path("sums")
    b = damage.good("db-encrypted", out)
    equal(larder("verify", "--record", sums, out).returncode, 0)
    flipped, gone = (os.path.relpath(damage.payload(out, e), out)
                     for e in (b.large, b.text))
    damage.flip(f"{out}/{flipped}", 345678)
    os.unlink(f"{out}/{gone}")
    save(out + "/new", "new")
    found, events = verify(out, "--against", sums)
    equal({(f["file"], f["flaw"]) for f in found},
          {(flipped, "changed"), (gone, "missing")})
    equal([e["file"] for e in events if e["event"] == "note"], ["new"])
    equal(sha256sum(sums, out).returncode, 1)


@case
def lists_of_sha256sum_are_read_too():
    out = new_path("good")
    damage.good("mbdb-plain", out)
    for tag in ([], ["--tag"]):
        done = execute("sh", "-c", "find . -type f -exec sha256sum "
                       + " ".join(tag) + " {} +", cwd=out)
        found, events = verify(out, "--against", save(new_path("sums"),
                                                      done.stdout))
        equal((found, events[-1]["sums"]["unlisted"]), ([], 0))


@case
def lists_that_lead_out_or_are_none_are_refused():
    out = new_path("good")
    damage.good("mbdb-plain", out)
    digest = "0" * 64
    for text, why in ((f"SHA256 (../x) = {digest}\n", "leads out"),
                      (f"SHA256 (/etc/passwd) = {digest}\n", "leads out"),
                      (f"SHA256 (a/../../x) = {digest}\n", "leads out"),
                      (f"{digest}  ./../x\n", "leads out"),
                      ("hello\n", "no SHA-256"), ("", "no sums"),
                      ("x" * 100000, "no SHA-256")):
        done = larder("verify", "--against", save(new_path("sums"), text), out)
        equal(done.returncode, 1, text[:50])
        assert why in one_line(done.stderr), done.stderr


@case
def a_link_in_the_backup_is_not_followed():
    out = new_path("good")
    damage.good("mbdb-plain", out)
    os.symlink("/etc", out + "/etc")
    sums = save(new_path("sums"), f"SHA256 (etc/passwd) = {'0' * 64}\n")
    found, _ = verify(out, "--against", sums)
    equal([f["message"] for f in found], ["no regular file"])


@case
def a_list_in_the_backup_is_refused_and_an_old_one_stays_if_it_fails():
    out = new_path("good")
    damage.good("mbdb-plain", out)
    before = snapshot(out)
    for place in (out + "/sums", out + "/../" + os.path.basename(out) + "/x"):
        done = larder("verify", "--record", place, out)
        equal(done.returncode, 1)
        assert "is in the backup" in one_line(done.stderr), done.stderr
    equal(changes(before, snapshot(out)), [])


@case
def a_level_and_sums_can_be_had_at_once():
    out, sums = new_path("bad"), new_path("sums")
    want = damage.make("payload_missing", "db-plain", out)
    found, events = verify(out, "--structure", "--record", sums)
    equal(places(found), want)
    assert events[-1]["structure"] and events[-1]["sums"]
    found, _ = verify(out, "--structure", "--against", sums)
    equal(places(found), want)
    # without a level, only what the list says
    equal(verify(out, "--against", sums)[0], [])


# --- limits ------------------------------------------------------------------

@case
def nothing_of_a_backup_is_written_anywhere():
    if not shutil.which("strace") or SANITIZED:
        raise Skip("needs strace, and no sanitizer, which traces too")
    out, log = new_path("good"), new_path("log")
    damage.good("db-encrypted", out)
    done = execute("strace", "-f", "-o", log, "-e",
                   "trace=openat,openat2,creat,mkdir,mkdirat,unlink,unlinkat,"
                   "rename,renameat,renameat2,ftruncate,utimensat,memfd_create",
                   LARDER, "verify", "--content", "--passfile", PASSFILE, out)
    if "ptrace" in done.stderr:
        raise Skip("strace cannot trace here")
    equal(done.returncode, 0, done.stderr)
    writes = [line for line in read(log, "r").splitlines()
              if re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE|mkdir|unlink"
                           r"|rename|truncate|utimens|memfd|creat\(", line)
              and "/dev/" not in line]
    equal(writes, [])


def names_and_times(folder):
    return sorted((os.path.relpath(os.path.join(top, name), folder),
                   os.lstat(os.path.join(top, name)).st_mtime_ns)
                  for top, folders, names in os.walk(folder)
                  for name in folders + names)


@case
def every_flaw_ends_in_a_line_and_a_known_status():
    """Also those that only a stranger would make."""
    import mkbad
    for name, (maker, _) in mkbad.FLAWS.items():
        out = new_path(name)
        maker(out)
        before = names_and_times(out)
        done = larder("verify", "--content", "--passfile", PASSFILE, out,
                      timeout=60)
        assert done.returncode in (0, 3, 26), (name, done)
        assert done.stdout or done.stderr, name
        equal(names_and_times(out), before, name)


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
    # under a sanitizer all of it takes too long
    for _shape in _damage.shapes[::4 if SANITIZED else 1]:
        def _one(name=_name, shape=_shape):
            one_damage(name, shape)
        _one.__name__ = f"{_shape}: {_name}"
        case(_one)


run()
