#!/usr/bin/python3
"""larder pack when something is in its way: what it leaves then, and what it
never writes."""

from trees import *

SECONDS = 40                    # for one flawed backup
DOCUMENTED = {0, 1, 2, 3, 5, 12, 13, 26}


# --- no plaintext ------------------------------------------------------------

def written(tree, *options, inject=(), status=0):
    """What a run has written to files, with strace; (log, folder of OUT)"""
    if not shutil.which("strace"):
        raise Skip("needs strace")
    if SANITIZED:
        raise Skip("the leak sanitizer and strace exclude each other")
    log, beside = new_path("strace"), new_dir("beside")
    argv = ["strace", "-f", "-y", "-s", "100000", "-o", log]
    if inject:
        argv += ["-e", "trace=" + inject[0],
                 "-e", f"inject={inject[0]}:signal=SIGKILL:when={inject[1]}"]
    else:
        argv += ["-e", "trace=write,pwrite64,writev,pwritev"]
    done = execute(*argv, LARDER, "pack", "--passfile", PASSFILE, *options,
                   tree, beside + "/out", env=environment(TMPDIR=beside))
    if "ptrace" in done.stderr:
        raise Skip(done.stderr.splitlines()[0])
    if not inject:
        equal(done.returncode, 0, done.stderr)
    return log, beside


@case
def plaintext_is_not_written_at_any_moment():
    with editable(backup_for_edits("db-encrypted")) as at:
        edit_marked(at)
        log, beside = written(at)
        for line in read(log, "r").splitlines():
            for text in (MARKER.decode(), "IMG_0001", "Library/Preferences"):
                assert text not in line, line[:300]
        assert os.path.getsize(log) > 10000, "strace saw nothing"
        clean(beside)


KILL_AT = [("openat", 60), ("pwrite64", 3), ("linkat", 1), ("linkat", 9),
           ("write", 8), ("renameat2", 1), ("unlinkat", 1), ("fsync", 1),
           ("syncfs", 1), ("mkdirat", 2), ("mkdirat", 12)]


@case
def killed_at_any_step_it_leaves_no_plaintext_and_works_again():
    backup = backup_for_edits("db-encrypted")
    killed = 0
    with editable(backup) as at:
        edit_marked(at)
        tree = tree_of(at)
        for step in KILL_AT:
            _, beside = written(at, inject=step)
            clean(beside)
            if os.path.exists(beside + "/out"):
                shows_tree(beside + "/out", tree)
                continue
            killed += 1
            pack(at, out=beside + "/out")
            shows_tree(beside + "/out", tree)
            # what the killed run left is gone
            equal(os.listdir(beside), ["out"], f"after {step}")
    assert killed >= 4, f"only {killed} of {len(KILL_AT)} came early enough"


# --- where it cannot go ------------------------------------------------------

@case
def what_is_there_already_stays():
    backup, there = backup_for_edits("db-plain"), new_dir("there")
    save(there + "/file", b"stays")
    os.symlink("nowhere", there + "/link")
    before = snapshot(there)
    for out in (there, there + "/file", there + "/link"):
        done = larder("pack", backup, out)
        equal((done.returncode, done.stdout), (1, ""), done.stderr)
        assert out in one_line(done.stderr), done.stderr
    equal(changes(before, snapshot(there)), [])


@case
def it_is_not_made_inside_of_what_it_is_made_from():
    backup = backup_for_edits("db-plain")
    before = snapshot(backup)
    for place in (backup, os.path.dirname(payload_files(backup)[0])):
        _, last = pack(backup, out=place + "/out", status=1)
    equal(changes(before, snapshot(backup)), [])
    with editable(backup) as at:
        pack(at, out=at + "/out", status=1)
        pack(at, out=at + "/HomeDomain/out", status=1)
        equal(sorted(os.listdir(at)), sorted(
            {path.split("/")[0] for path in tree_in(backup)}))
        # what would be restored stands beside FROM, not in it
        pack(at, out=new_path("no") + "/out", status=1)


@case
def a_full_disk_is_reported_and_nothing_is_left():
    backup = backup_for_edits("db-encrypted")
    for size, options in (("64k", ()), ("300k", ()), ("420k", ()),
                          ("64k", ("--unencrypted",)),
                          ("400k", ("--unencrypted",))):
        place = new_dir("small")
        execute("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place)
        try:
            _, last = pack(backup, *options, out=place + "/out", status=1)
            assert "No space left" in last["message"], last
            equal(os.listdir(place), [])
        finally:
            execute("umount", place)


@case
def a_mount_of_a_version_that_is_gone_is_refused():
    place = new_path("backup")
    shutil.copytree(backup_for_edits("db-encrypted"), place)
    with mounted(place) as m, file_system("tmpfs") as u, \
            overlay(m.path, u) as at:
        tree = tree_of(m.path)
        pack(m.path)
        # another one in its place, as the next backup puts it there
        os.rename(place, place + ".old")
        shutil.copytree(made_backup("db-encrypted", fill_for_edits,
                                    seed=2)[0], place)
        for gone in (False, True):
            if gone:
                shutil.rmtree(place + ".old")
            for source in (m.path, at):
                _, last = pack(source, status=1)
                assert "mount anew" in last["message"], last
        equal(tree.keys(), tree_in(place).keys())


# --- interrupted -------------------------------------------------------------

def growing(place):
    """A payload of some megabytes is being written there."""
    with contextlib.suppress(OSError):
        return any(os.path.getsize(os.path.join(top, name)) > 1 << 20
                   for top, _, names in os.walk(place) for name in names)


def stopped(number):
    """(status, what it printed, what is left) of a run that is stopped by a
    signal while it writes a large file."""
    with file_system("tmpfs") as place, \
            editable(backup_for_edits("db-encrypted")) as at:
        with open(f"{at}/{APP}/Documents/large", "wb") as f:
            f.truncate(4 << 30)
        process = subprocess.Popen(
            [LARDER, "pack", "--passfile", PASSFILE, at, place + "/out"],
            env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            wait_until(lambda: growing(place), "the staging")
            begun = time.monotonic()
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        assert time.monotonic() - begun < 3
        left = os.listdir(place)
        os.unlink(f"{at}/{APP}/Documents/large")
        tree = tree_of(at)
        pack(at, out=place + "/out")
        shows_tree(place + "/out", tree)
        equal(os.listdir(place), ["out"], "after the next run")
        return process.returncode, out + err, left


@case_for(("SIGINT", "SIGTERM"))
def the_signal_ends_it_and_nothing_is_left(name):
    status, text, left = stopped(getattr(signal, name))
    equal((status, left), (5, []), text)
    assert "cancelled" in text, text


@case
def after_a_kill_the_next_run_cleans_up():
    status, _, left = stopped(signal.SIGKILL)
    equal(status, -signal.SIGKILL)
    equal(len(left), 1, left)


# --- flawed backups ----------------------------------------------------------

BAD = new_dir("bad")
subprocess.run(["/usr/bin/python3", TESTS + "/mkbad.py", BAD + "/flaws"],
               check=True)
FLAWS = json.loads(read(BAD + "/flaws/EXPECT.json"))


@case_for(list(FLAWS))
def the_flawed_backup_ends_well(name):
    flawed, out = f"{BAD}/flaws/{name}", new_path("packed")
    done = larder("pack", "--passfile", PASSFILE, flawed, out,
                  timeout=SECONDS)
    assert done.returncode in DOCUMENTED, (done.returncode, done.stderr)
    assert not re.search(r"[\0-\x08\x0b-\x1f\x7f]",
                         done.stdout + done.stderr), done.stderr
    want = FLAWS[name]
    if want["mounts"] is False:
        assert done.returncode in want["exit"], (done.returncode, want)
    equal(os.path.exists(out), done.returncode == 0)
    if done.returncode or "deep-path" in name:
        return
    with mounted(flawed, notes=True) as one, mounted(out, notes=True) as two:
        equal(unlike(tree_of(two.path), tree_of(one.path)), [])


run()
