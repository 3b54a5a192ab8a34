#!/usr/bin/python3
"""larder pack of what is not edited: all of it or a part, encrypted or not."""

import fnmatch
import hashlib

from trees import *


def passfile_of(password):
    return save(new_path("passfile"), password + "\n")


def plist_of(folder, name):
    with open(f"{folder}/{name}.plist", "rb") as f:
        return plistlib.load(f)


# --- what is not edited ------------------------------------------------------

def same_as_golden(shape, source):
    before = snapshot(golden(shape))
    out, last = pack(source)
    with mounted(out) as m:
        equal(differences(golden_expect(shape), m.path), None)
    equal((last["changed"], last["added"], last["removed"]), (0, 0, 0))
    equal(last["encrypted"], mkbackup.SHAPES[shape].encrypted)
    equal(last["payloads_written"], 0)
    equal(changes(before, snapshot(golden(shape))), [])
    return out


@case_for(SHAPES)
def the_golden_backup_packed_shows_what_it_showed(shape):
    same_as_golden(shape, golden(shape))


@case_for(SHAPES)
def the_golden_backup_packed_from_a_mount_shows_what_it_showed(shape):
    with mounted(golden(shape)) as m:
        out = same_as_golden(shape, m.path)
    # and once more
    again, *_ = pack(out)
    with mounted(again) as m:
        equal(differences(golden_expect(shape), m.path), None)


@case_for(shape for shape in SHAPES if shape.startswith("db"))
def records_and_property_lists_stay_as_they_are(shape):
    out, *_ = pack(golden(shape))
    old, new = rows_of(golden(shape)), rows_of(out)
    # of several records for one path the mount shows one
    equal(new.keys(), old.keys())
    equal([key for key, row in new.items()
           if row.archive != old[key].archive and b"Twice" not in key[1]], [])
    equal(plist_of(out, "Info"), plist_of(golden(shape), "Info"))
    was, now = (plist_of(folder, "Manifest")
                for folder in (golden(shape), out))
    # a manifest of its own, under a new key
    equal("ManifestKey" in now, mkbackup.SHAPES[shape].encrypted)
    assert now.pop("ManifestKey", 1) != was.pop("ManifestKey", 2)
    equal(now, was)
    equal(plist_of(out, "Status")["SnapshotState"], "finished")


@case_for(shape for shape in SHAPES if shape.startswith("mbdb"))
def the_old_generation_is_packed_in_the_newest_form(shape):
    out, *_ = pack(golden(shape))
    equal(sorted(name for name in os.listdir(out) if len(name) > 2),
          ["Info.plist", "Manifest.db", "Manifest.plist", "Status.plist"])
    equal(plist_of(out, "Manifest")["Version"], "10.0")
    equal(plist_of(out, "Manifest")["BackupKeyBag"],
          plist_of(golden(shape), "Manifest")["BackupKeyBag"])


@case_for(SHAPES)
def a_decryptor_that_is_not_larders_reads_what_is_packed(shape):
    backup = backup_for_edits(shape)
    out, *_ = pack(backup)
    agrees(out, tree_in(backup))
    rows = rows_of(out)
    equal(sorted(rows), sorted(contents_of(backup)))
    for (domain, path), row in rows.items():
        equal(row.file_id, hashlib.sha1(domain + b"-" + path).hexdigest())


# --- what larder does not know of a record -----------------------------------

def extended(entry):
    """Its archive with keys of a future iOS: a number, a text behind a UID, a
    nested object, and one that refers back."""
    archive = mkbackup.mbfile_objects(entry)
    objects = archive["$objects"]
    main = objects[archive["$top"]["root"].data]
    number = len(objects)
    objects += ["a text", {"$class": mkbackup.UID(number + 2),
                           "NS.keys": [mkbackup.UID(number)],
                           "NS.objects": [mkbackup.UID(number + 3)]},
                {"$classname": "NSDictionary",
                 "$classes": ["NSDictionary", "NSObject"]}, 77]
    main["FutureNumber"] = 2**40 + 5
    main["FutureText"] = mkbackup.UID(number)
    main["FutureObject"] = mkbackup.UID(number + 1)
    archive["FutureTop"] = "kept as well"
    entry.blob = plistlib.dumps(archive, fmt=plistlib.FMT_BINARY)


def future_of(row):
    assert plistlib.loads(row.archive)["FutureTop"] == "kept as well"
    return {name: value for name, value in row.record.items()
            if name.startswith("Future")}


@case_for(("db-plain", "db-encrypted"))
def keys_of_a_record_that_are_not_known_survive(shape):
    def fill(b):
        fill_for_edits(b)
        for entry in b.entries:
            extended(entry)

    backup, _ = made_backup(shape, fill)
    before = rows_of(backup)
    out, *_ = pack(backup)
    equal(rows_of(out), before)
    sms = "HomeDomain/Library/SMS/sms.db"
    with editable(backup) as at:
        with open(f"{at}/{sms}", "r+b") as f:
            f.write(b"edited")
        os.setxattr(f"{at}/{HELLO}", "user.com.example.note", b"edited")
        os.chmod(f"{at}/{APP}/Documents", 0o700)
        tree = tree_of(at)
        out, last = pack(at)
    shows_tree(out, tree)
    equal((last["changed"], last["payloads_written"]), (3, 1))
    want = future_of(next(iter(before.values())))
    equal(len(want), 3)
    rows = rows_of(out)
    equal([key for key, row in rows.items() if future_of(row) != want], [])
    sms = rows[b"HomeDomain", b"Library/SMS/sms.db"]
    equal(sms.record["Birth"], mkbackup.NOW)
    if shape == "db-encrypted":
        key = sms.record["EncryptionKey"]["NS.data"]
        assert key != before[b"HomeDomain", b"Library/SMS/sms.db"].record[
            "EncryptionKey"]["NS.data"], "one key for two contents"


# --- encryption --------------------------------------------------------------

def is_closed(backup, password):
    try:
        contents_of(backup, password)
    except AssertionError as e:
        return "keybag does not unlock" in str(e)
    return False


@case_for(("db-encrypted", "db-ios10", "mbdb-encrypted"))
def unencrypted_is_in_the_clear(shape):
    backup = backup_for_edits(shape)
    tree = tree_in(backup)
    for source in (backup, None):
        with mounted(backup) as m:
            out, last = pack(source or m.path, "--unencrypted")
        equal(last["encrypted"], False)
        with mounted(out, passfile=None) as m:
            equal(unlike(tree_of(m.path), tree), [])
        agrees(out, tree, "")
        equal(plist_of(out, "Manifest")["IsEncrypted"], False)
        assert all("EncryptionKey" not in row.record
                   for row in rows_of(out, "").values())
        assert any(MARKER in read(path) for path in payload_files(out))


@case_for(("db-plain", "db-encrypted", "mbdb-encrypted", "mbdb-plain"))
def a_new_password_opens_it_and_the_old_one_does_not(shape):
    backup = backup_for_edits(shape)
    tree = tree_in(backup)
    new = passfile_of("n\u00e4chstes Mal")
    out, last = pack(backup, "--new-passfile", new, "--iterations", "1000")
    equal((last["encrypted"], last["payloads_shared"]), (True, 0))
    agrees(out, tree, "n\u00e4chstes Mal")
    for wrong in (PASSWORD, ""):
        assert is_closed(out, wrong), wrong
    shows_tree(out, tree, passfile=new)
    equal(larder("info", "--passfile", PASSFILE, out).returncode, 12)
    header, *classes = mkbackup.parse_keybag(
        plist_of(out, "Manifest")["BackupKeyBag"])
    equal(header["DPIC"], mkbackup.be32(1000))
    # each class has a key of its own, and each file
    equal(len({c["WPKY"] for c in classes}), len(classes))
    keys = [row.record["EncryptionKey"]["NS.data"]
            for row in rows_of(out, "n\u00e4chstes Mal").values()
            if "EncryptionKey" in row.record]
    assert len(set(keys)) >= len(keys) - 1, "one key for several files"
    equal({key[0] for key in keys}, {1, 2, 3, 4})
    # no marker anywhere, and none of the names
    clean(out)


@case
def two_new_backups_have_nothing_in_common():
    backup = backup_for_edits("db-plain")
    new = passfile_of("same")
    one, two = (pack(backup, "--new-passfile", new, "--iterations", "1000")[0]
                for _ in range(2))
    for path in payload_files(one):
        other = path.replace(one, two)
        assert read(path) != read(other), path
    assert plist_of(one, "Manifest")["BackupKeyBag"] \
        != plist_of(two, "Manifest")["BackupKeyBag"]


# --- passwords ---------------------------------------------------------------

@case
def a_wrong_password_leaves_nothing():
    backup = backup_for_edits("db-encrypted")
    pack(backup, status=12, passfile=passfile_of("wrong"))
    with mounted(backup) as m:
        pack(m.path, status=12, passfile=passfile_of("wrong"))
        done = larder("pack", m.path, new_path("packed"))
        equal(done.returncode, 13, done.stderr)


@case
def a_key_file_is_enough():
    backup, keyfile = backup_for_edits("db-encrypted"), new_path("key")
    equal(larder("key", "--passfile", PASSFILE, "-o", keyfile,
                 backup).returncode, 0)
    with editable(backup) as at:
        save(f"{at}/{HELLO}", b"edited")
        tree = tree_of(at)
        out = new_path("packed")
        done = larder("pack", "--keyfile", keyfile, at, out)
        equal((done.returncode, done.stderr), (0, ""))
        equal(done.stdout.splitlines()[0], out)
    agrees(out, tree)


# --- payloads are shared -----------------------------------------------------

def inodes(folder):
    return {os.path.basename(path): os.stat(path).st_ino
            for path in payload_files(folder)}


@case_for(("db-plain", "db-encrypted", "mbdb-encrypted"))
def payloads_are_hard_links_where_both_are_on_one_file_system(shape):
    source = backup_for_edits(shape)
    with file_system("tmpfs") as place:
        shutil.copytree(source, place + "/backup")
        before = snapshot(place + "/backup")
        out, last = pack(place + "/backup", out=place + "/out")
        equal(inodes(out), inodes(place + "/backup"))
        equal(last["payloads_shared"], len(inodes(out)))
        equal(changes(before, snapshot(place + "/backup")), [])
        # none of them can be written through the new backup
        shutil.rmtree(out)
        equal(changes(before, snapshot(place + "/backup")), [])


@case
def payloads_are_reflinks_where_a_file_system_has_them():
    source = backup_for_edits("db-encrypted")
    with file_system("btrfs") as place:
        shutil.copytree(source, place + "/backup")
        out, *_ = pack(place + "/backup", out=place + "/out")
        shows_tree(out, tree_in(source))
        largest = max(payload_files(out), key=os.path.getsize)
        name = os.path.basename(largest)
        assert inodes(out)[name] != inodes(place + "/backup")[name]
        os.sync()
        done = execute("filefrag", "-v", largest)
        assert "shared" in done.stdout, done.stdout


@case
def payloads_are_copied_to_another_file_system():
    source = backup_for_edits("db-encrypted")
    with file_system("tmpfs") as place:
        out, last = pack(source, out=place + "/out")
        shows_tree(out, tree_in(source))
        equal(last["payloads_written"], 0)
        for path in payload_files(out):
            assert os.stat(path).st_nlink == 1


@case
def an_encrypted_backup_is_not_touched_by_anything():
    source = backup_for_edits("db-encrypted")
    before = snapshot(source)
    with editable(source) as at:
        edit_marked(at)
        os.unlink(f"{at}/{HELLO}")
        for options in ((), ("--unencrypted",), ("--only", APP),
                        ("--new-passfile", PASSFILE, "--iterations", "1000")):
            out, *_ = pack(at, *options)
            shutil.rmtree(out)
    equal(changes(before, snapshot(source)), [])


@case
def a_backup_on_a_read_only_file_system_is_packed():
    source = backup_for_edits("db-encrypted")
    place, tree = new_dir("read-only"), tree_in(source)
    execute("mount", "--bind", source, place)
    try:
        equal(execute("mount", "-o", "remount,bind,ro",
                      place).returncode, 0)
        out, *_ = pack(place)
    finally:
        execute("umount", place)
    shows_tree(out, tree)


# --- a part of it ------------------------------------------------------------

def components(text):
    return [part for part in text.split("/") if part]


def matches(pattern, path):
    """Is an entry the pattern's, or below such a one?"""
    globs, names = components(pattern), components(path)
    return len(names) >= len(globs) and all(
        fnmatch.fnmatchcase(name, glob)
        for glob, name in zip(globs, names))


def selected(tree, only=(), exclude=()):
    """The paths that are meant, and the folders above them."""
    chosen = {path for path in tree
              if (not only or any(matches(p, path) for p in only))
              and not any(matches(p, path) for p in exclude)}
    for path in list(chosen):
        names = path.split("/")
        chosen |= {"/".join(names[:n]) for n in range(1, len(names))}
    return chosen


SELECTIONS = {
    "a domain": (["HomeDomain"], []),
    "a folder": (["HomeDomain/Library/SMS"], []),
    "a file": ([HELLO], []),
    "several": (["HomeDomain/Library/SMS", "WirelessDomain",
                 "KeychainDomain/keychain-backup.plist"], []),
    "globs": (["Camera*/Media/DCIM/*/*.JPG", "*Domain/Lib*/[P]*"], []),
    "a glob for domains": (["App*"], []),
    "all but a domain": ([], ["CameraRollDomain"]),
    "all but a folder": ([], ["CameraRollDomain/Media/DCIM/100*"]),
    "all but what is in a folder": ([], ["HomeDomain/Library/*"]),
    "less of a part": (["CameraRollDomain", APP],
                       ["*/*/*/*/IMG_000[12]*", APP + "/Documents/sizes"]),
    "a link": ([APP + "/Documents/link"], []),
    "an empty folder": ([APP + "/Documents/empty folder"], []),
    "slashes too many": (["//HomeDomain//Library/Links/"], []),
}


@case_for(SELECTIONS)
def this_can_be_selected(_what, how):
    only, exclude = how
    options = [word for p in only for word in ("--only", p)] \
        + [word for p in exclude for word in ("--exclude", p)]
    backup = backup_for_edits("db-encrypted")
    before = tree_in(backup)
    want = {path: before[path] for path in selected(before, only, exclude)}
    assert 0 < len(want) < len(before)
    out, last = pack(backup, *options)
    shows_tree(out, want)
    agrees(out, want)
    equal((last["entries"], last["files"]),
          (len(want), sum(e.type == "f" for e in want.values())))
    equal(last["payloads_written"], 0)
    with editable(backup) as at:
        for path in want:
            if want[path].type == "f":
                save(f"{at}/{path}", b"edited " + path.encode())
        tree = tree_of(at)
        out, *_ = pack(at, *options)
    shows_tree(out, {path: tree[path] for path in want})


@case_for({"com.example.app": {APP, WIDGET, GROUP, SHARED},
           "com.example.application": {OTHER}})
def an_app_comes_with_its_plug_ins_and_groups(bundle, domains):
    backup = backup_for_edits("db-encrypted")
    tree = tree_in(backup)
    want = {path: entry for path, entry in tree.items()
            if path.split("/")[0] in domains}
    out, *_ = pack(backup, "--app", bundle)
    shows_tree(out, want)
    # apps without data are not listed
    equal(set(plist_of(out, "Manifest")["Applications"]), {bundle})
    out, *_ = pack(backup, "--app", bundle, "--only", "WirelessDomain")
    shows_tree(out, want | {path: entry for path, entry in tree.items()
                       if path.split("/")[0] == "WirelessDomain"})


@case_for({"--only": "NoDomain", "--only of a path": "HomeDomain/none",
           "--only of another case": "homedomain",
           "--only of a part of a name": "Home", "--exclude": "NoDomain",
           "--app": "com.example.none", "--app of a part": "com.exam"})
def a_pattern_that_matches_nothing_is_an_error(how, pattern):
    backup = backup_for_edits("db-plain")
    option = how.split()[0]
    _, last = pack(backup, option, pattern, status=3)
    assert pattern in last["message"], last
    pack(backup, "--only", "HomeDomain", option, pattern, status=3)


@case
def of_a_part_that_is_empty_nothing_is_made():
    backup = backup_for_edits("db-plain")
    pack(backup, "--only", "HomeDomain", "--exclude", "HomeDomain", status=3)


run()
