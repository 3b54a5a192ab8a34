#!/usr/bin/python3
"""larder restore of a part, and of what was edited: staged for the phone."""

import fnmatch
import hashlib

from restoring import *

import mkbad                                            # noqa: E402

SECRET = "s\u00e4cret"
PASSWORDS = {"in clear": None, "encrypted": SECRET}
SMS = "HomeDomain/Library/SMS/sms.db"
DCIM = "CameraRollDomain/Media/DCIM/100APPLE"
NAMES = "MediaDomain/Media/names"


def plan_of(done):
    plan, = [e for e in events(done) if e["event"] == "plan"]
    return plan


def tidy(source):
    """Nothing is left beside the backup."""
    equal(os.listdir(os.path.dirname(source.folder)),
          [os.path.basename(source.folder)])


# --- a part ------------------------------------------------------------------

PARTS = {
    "an app": (("--app", "com.example.app"),
               ["AppDomain*-com.example.app*",
                "AppDomainPlugin-com.example.app.*"]),
    "the camera roll": (("--only", "CameraRollDomain"),
                        ["CameraRollDomain"]),
    "messages": (("--only", "HomeDomain/Library/SMS"),
                 ["HomeDomain/Library/SMS"]),
    "by a glob": (("--only", "*/Media/DCIM/*/*.JPG", "--only", "Key*"),
                  ["*/Media/DCIM/*/*.JPG", "Key*"]),
    "a link": (("--only", APP + "/Documents/link"),
               [APP + "/Documents/link"]),
    "one of two names of a file": (
        ("--only", APP + "/Documents/linked too"),
        [APP + "/Documents/linked too"]),
    "an empty folder": (("--only", WIDGET), [WIDGET]),
}


def matches(pattern, path):
    globs, names = pattern.split("/"), path.split("/")
    return len(names) >= len(globs) and all(
        fnmatch.fnmatchcase(name, glob)
        for glob, name in zip(globs, names))


def part_of(entries, patterns):
    """The entries that are meant, and the folders above them."""
    chosen = {name_of(e) for e in entries
              if any(matches(p, name_of(e)) for p in patterns)}
    for path in list(chosen):
        names = path.split("/")
        chosen |= {"/".join(names[:n]) for n in range(1, len(names))}
    return [e for e in entries if name_of(e) in chosen]


@case_for(PARTS)
def a_part_is_restored_and_other_data_stay(_what, how):
    options, patterns = how
    for password in (None, SECRET):
        source = backup_of(password).copy()
        part = part_of(source.entries, patterns)
        assert 0 < len(part) < len(source.entries)
        with phones(USED) as sim:
            phone, = sim.phones
            edit(phone, change=0, add=3, remove=0)
            want = merged(phone.content.entries(), part)
            done = restore(sim, source.folder, *source.unlock, "--json",
                           *options)
            has(phone, want)
            equal(options_of(phone), OF_A_PART)
            plan = plan_of(done)
            equal((plan["partial"], plan["staged"], plan["entries"]),
                  (True, True, len(part)))
            equal(plan["domains"], sorted({e["domain"] for e in part}))
        tidy(source)


@case
def all_but_a_part_is_restored():
    source = backup_of(SECRET)
    rest = [e for e in source.entries if e["domain"] != "CameraRollDomain"]
    with phones(USED) as sim:
        phone, = sim.phones
        want = merged(phone.content.entries(), rest)
        restore(sim, source.folder, *source.unlock, "--exclude",
                "CameraRollDomain")
        has(phone, want)


@case
def with_remove_there_is_nothing_but_the_part():
    source = backup_of()
    with phones(USED) as sim:
        restore(sim, source.folder, "--only", "HomeDomain", "--remove")
        has(sim.phones[0], part_of(source.entries, ["HomeDomain"]))


@case
def a_part_comes_from_a_mount_as_well():
    source = backup_of(SECRET)
    with phones(EMPTY) as sim, source.mounted() as m:
        restore(sim, m.path, *source.unlock, "--only", "HomeDomain")
        has(sim.phones[0], part_of(source.entries, ["HomeDomain"]))


@case_for(("mbdb-plain", "mbdb-encrypted"))
def a_part_of_the_old_generation_is_restored(shape):
    source = old_generation(shape)
    with phones(EMPTY) as sim:
        restore(sim, source.folder, *source.unlock, "--app",
                "com.example.app")
        has(sim.phones[0], part_of(source.entries, PARTS["an app"][1]))


@case
def what_matches_nothing_is_not_restored():
    source = backup_of()
    with phones(USED) as sim:
        phone, = sim.phones
        for options in (("--only", "NoDomain"), ("--app", "com.none"),
                        ("--exclude", "HomeDomain/none"),
                        ("--only", "HomeDomain", "--exclude", "HomeDomain")):
            restore(sim, source.folder, *options, status=3)
        equal(requests(phone), [])


# --- edited ------------------------------------------------------------------

def edit_it(at):
    """Some of everything that a person does."""
    with open(f"{at}/{SMS}", "r+b") as f:
        f.write(b"edited")
    save(f"{at}/{DCIM}/IMG_0002.JPG", os.urandom(100001))
    os.makedirs(f"{at}/{APP}/Documents/new/deep/er")
    save(f"{at}/{APP}/Documents/new/deep/er/file", b"0123456789abcdef" * 4)
    save(f"{at}/{APP}/Documents/new/empty", b"")
    os.truncate(f"{at}/{APP}/Documents/sizes/65536", 0)
    os.truncate(f"{at}/{APP}/Documents/sizes/16", 33)
    os.unlink(f"{at}/{APP}/Documents/sizes/17")
    os.unlink(f"{at}/{APP}/Documents/link")
    os.symlink("sizes/15", f"{at}/{APP}/Documents/link")
    os.symlink("/new", f"{at}/HomeDomain/link")
    shutil.rmtree(f"{at}/WirelessDomain")
    os.makedirs(f"{at}/AppDomain-com.example.new/Documents")
    save(f"{at}/AppDomain-com.example.new/Documents/note", b"new")
    os.rename(f"{at}/{NAMES}/100%", f"{at}/HomeDomain/moved \u00fc")
    with open(f"{at}/{APP}/Documents/linked too", "r+b") as f:
        f.write(b"not one any more")
    os.chmod(f"{at}/HomeDomain/Library", 0o711)
    os.utime(f"{at}/HomeDomain/Library/old", (5, 5))
    os.setxattr(f"{at}/{DCIM}/IMG_0001.JPG", "user.com.example.new", b"\0\1")
    os.removexattr(f"{at}/{DCIM}/IMG_0001.JPG", "user.com.example.empty")


def restored_as_edited(source, function, *options, config=EMPTY, how=()):
    """The phone after the restore of an edited mount, as entries."""
    source = source.copy()
    before = snapshot(source.folder)
    with phones(config) as sim, source.edited(*how) as at:
        phone, = sim.phones
        function(at)
        tree = tree_of(at)
        done = restore(sim, at, *source.unlock, "--json", *options)
        equal(options_of(phone), DEFAULTS)
        plan = plan_of(done)
        equal((plan["staged"], plan["partial"], plan["source"]),
              (True, False, source.folder))
        if not how:
            equal(unlike(tree_on(phone), tree), [])
        equal(unlike(tree_of(at), tree), [], "the tree itself")
        found = list(phone.content.entries())
    equal(changes(before, snapshot(source.folder)), [])
    tidy(source)
    return found


SOURCES = {
    "in clear": lambda: backup_of(),
    "encrypted": lambda: backup_of(SECRET),
    "old, in clear": lambda: old_generation("mbdb-plain"),
    "old, encrypted": lambda: old_generation("mbdb-encrypted")}


@case_for(SOURCES)
def an_edited_mount_is_on_the_phone_as_it_is(_how, make):
    source = make()
    found = {name_of(e): e for e in restored_as_edited(source, edit_it)}
    # all that a mount does not show of what was not edited
    for entry in source.entries:
        now = found.get(name_of(entry))
        if now and now["sha256"] == entry["sha256"] \
                and now["type"] == entry["type"] == "f":
            for key in ("uid", "gid", "pclass", "birth"):
                equal(now[key], entry[key], (name_of(entry), key))


@case
def edited_files_keep_owner_and_class_and_new_ones_have_their_neighbours():
    key = "KeychainDomain/keychain-backup.plist"

    def function(at):
        save(f"{at}/{key}", b"edited")
        save(f"{at}/KeychainDomain/new", b"new")
        os.rename(f"{at}/WirelessDomain/Library/Databases/CellularUsage.db",
                  f"{at}/HomeDomain/moved")

    found = {name_of(e): e for e in
             restored_as_edited(backup_of(SECRET), function)}
    for name, want in ((key, (64, 64, 4)), ("KeychainDomain/new", (64, 64, 4)),
                       ("HomeDomain/moved", (25, 25, 3))):
        e = found[name]
        equal((e["uid"], e["gid"], e["pclass"]), want, name)


@case
def an_edited_mount_in_the_view_of_a_device_is_restored():
    def function(at):
        save(f"{at}/private/var/mobile/Media/DCIM/100APPLE/new", b"new")

    found = restored_as_edited(backup_of(), function, how=("view=device",))
    names = {name_of(e): e["sha256"] for e in found}
    new = names.pop(DCIM + "/new")
    equal(new, hashlib.sha256(b"new").hexdigest())
    equal(names, {name_of(e): e["sha256"] for e in backup_of().entries})


@case
def a_copy_that_was_edited_is_restored():
    source, copy = backup_of(SECRET), new_path("copy")
    with source.mounted() as m:
        equal(execute("cp", "-a", m.path, copy).stderr, "")
    save(f"{copy}/{SMS}", b"edited")
    os.unlink(f"{copy}/{NAMES}/a b")
    tree = tree_of(copy)
    with phones(EMPTY) as sim:
        restore(sim, copy, *source.unlock)
        equal(unlike(tree_on(sim.phones[0]), tree), [])


@case
def a_tree_of_no_backup_is_restored():
    top = new_dir("tree")
    os.makedirs(f"{top}/HomeDomain/Library/a")
    save(f"{top}/HomeDomain/Library/a/file", b"content")
    os.symlink("a", f"{top}/HomeDomain/Library/link")
    tree = tree_of(top)
    with phones(USED) as sim:
        phone, = sim.phones
        want = tree_on(phone) | tree
        restore(sim, top, "--merge")
        equal(unlike(tree_on(phone), want), [])


@case
def a_part_of_what_was_edited_is_restored():
    source = backup_of(SECRET).copy()
    with phones(USED) as sim, source.edited() as at:
        phone, = sim.phones
        old = tree_on(phone)
        edit_it(at)
        part = {path: entry for path, entry in tree_of(at).items()
                if path.split("/")[0] == APP}
        restore(sim, at, *source.unlock, "--only", APP)
        equal(unlike(tree_on(phone), old | part), [])
    tidy(source)


# --- staging -----------------------------------------------------------------

@case
def what_is_staged_is_removed_or_kept():
    source = backup_of(SECRET).copy()
    beside, place = os.path.dirname(source.folder), new_dir("staging")
    with phones(USED) as sim:
        for options, where in (((), beside), (("--staging", place), place)):
            done = restore(sim, source.folder, *source.unlock, "--json",
                           "--only", "HomeDomain", "--keep-staged", *options)
            staged = events(done)[-1]["staged"]
            assert staged.startswith(where + "/"), staged
            with mounted(staged, passfile=source.passfile) as m:
                equal(sorted({path.split("/")[0] for path in
                              tree_of(m.path)}), ["HomeDomain"])
            shutil.rmtree(staged)
            equal((sorted(os.listdir(beside)), os.listdir(place)),
                  ([os.path.basename(source.folder)], []))
            restore(sim, source.folder, *source.unlock, "--only",
                    "HomeDomain", *options)
            equal((sorted(os.listdir(beside)), os.listdir(place)),
                  ([os.path.basename(source.folder)], []))


@case
def without_json_the_kept_path_is_printed():
    source = backup_of().copy()
    with phones(USED) as sim:
        done = restore(sim, source.folder, "--only", "HomeDomain",
                       "--keep-staged")
        staged, = [word for word in done.stdout.split()
                   if os.path.exists(word + "/Manifest.db")
                   and word != source.folder]
        shutil.rmtree(staged)


@case
def where_nothing_can_be_written_it_is_staged_in_a_folder_for_that():
    source, place, tmp = backup_of(SECRET), new_dir("read-only"), \
        new_dir("tmp")
    execute("mount", "-t", "tmpfs", "tmpfs", place)
    try:
        os.mkdir(place + "/b")
        shutil.copytree(source.folder, place + "/b/backup")
        equal(execute("mount", "-o", "remount,ro", place).returncode, 0)
        with phones(USED) as sim:
            restore(sim, place + "/b/backup", *source.unlock, "--remove",
                    "--only", "HomeDomain", env={"TMPDIR": tmp})
            has(sim.phones[0], part_of(source.entries, ["HomeDomain"]))
        equal(os.listdir(tmp), [])
    finally:
        execute("umount", "-l", place)


@case
def no_payload_is_copied_for_a_part():
    source = backup_of(SECRET).copy()
    with phones(USED) as sim:
        done = restore(sim, source.folder, *source.unlock, "--json", "--only",
                       "CameraRollDomain", "--keep-staged")
        staged = events(done)[-1]["staged"]
        mine, theirs = payloads(staged), payloads(source.folder)
        assert mine
        equal({name: theirs[name] for name in mine}, mine)


# --- interrupted backups -----------------------------------------------------

INTERRUPTED = ("status-uploading", "status-moving", "status-moving-main-only",
               "status-removing")


@case_for(INTERRUPTED)
def of_an_interrupted_backup_the_last_complete_state_is_restored(name):
    folder = new_path("flawed")
    mkbad.FLAWS[name][0](folder)
    before = snapshot(folder)
    with mounted(folder, notes=True) as m:
        tree = tree_of(m.path)
    with phones(EMPTY) as sim:
        phone, = sim.phones
        done = restore(sim, folder, "--passfile", PASSFILE, "--json")
        equal(plan_of(done)["staged"], True)
        got = tree_on(phone)
        # folders without records have no time
        equal(unlike({p: e for p, e in got.items() if e.type == "f"},
                     {p: e for p, e in tree.items() if e.type == "f"}), [])
        equal(got.keys(), tree.keys())
    equal(changes(before, snapshot(folder)), [])


@case
def a_backup_that_was_never_complete_is_refused():
    folder = new_path("flawed")
    mkbad.FLAWS["snapshot-only-uploading"][0](folder)
    with phones(EMPTY) as sim:
        done = restore(sim, folder, "--passfile", PASSFILE, status=3)
        assert "interrupted" in done.stderr, done.stderr
        equal(requests(sim.phones[0]), [])


run()
