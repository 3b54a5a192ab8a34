#!/usr/bin/python3
"""larder pack of trees that were edited, copied or made by hand."""

import hashlib
import socket

from edits import *


@contextlib.contextmanager
def shown(backup, *options):
    with mounted(backup, *options) as m:
        yield m.path


def ours(backup, path):
    """What a mount of a backup tells of an entry in user.larder.*"""
    with shown(backup) as at:
        return {name: value.decode() for name, value in
                attributes_of(f"{at}/{path}", True).items()}


# --- edited mounts ----------------------------------------------------------

def packed_as_edited(shape, function, upper="tmpfs", how=(), ignore=()):
    """(the new backup, the last event) of an edited mount, after all the
    comparisons."""
    backup = backup_for_edits(shape)
    before, source = snapshot(backup), tree_in(backup)
    with editable(backup, upper=upper, how=how) as at:
        function(at)
        tree = tree_of(at)
        out, last = pack(at)
    equal(unlike(tree_in(out), tree, ignore), [])
    equal(changes(before, snapshot(backup)), [])
    agrees(out, tree)
    if not ignore:
        want = counts(source, tree)
        equal({name: last[name] for name in want}, want)
    return out, last


@case_for(EDITS)
def an_edited_mount_is_packed_as_it_is_now(_what, function):
    packed_as_edited("db-encrypted", function)


@case_for(("db-plain", "db-ios10", "mbdb-encrypted", "mbdb-plain"))
def edited_it_is_packed_as_it_is_now(shape):
    packed_as_edited(shape, all_of_them)


@case_for(("ext4", "xfs", "btrfs"))
def edits_on_this_file_system_are_packed(kind):
    packed_as_edited("db-encrypted", all_of_them, upper=kind)


@case_for(("metacopy=on", "redirect_dir=on", "redirect_dir=on,metacopy=on",
           "xino=on"))
def an_overlay_with_this_option_is_packed(how):
    packed_as_edited("db-encrypted", all_of_them, how=(how,))


@case
def folders_that_an_overlay_redirects_are_told_apart():
    def change_places(at):
        one, other = f"{at}/{WIDGET}/Library", f"{at}/{GROUP}/Library"
        os.rename(one, f"{at}/aside")
        os.rename(other, one)
        os.rename(f"{at}/aside", other)

    # what is in them has the names and the times of the other: only its
    # attributes tell what it is
    packed_as_edited("db-encrypted", change_places, how=("redirect_dir=on",))


@case
def one_changed_file_is_one_new_payload():
    _, last = packed_as_edited("db-encrypted",
                               content_of_the_same_size_and_time)
    equal((last["changed"], last["added"], last["removed"],
           last["payloads_written"]), (1, 0, 0, 1))
    _, last = packed_as_edited("db-encrypted", other_permissions)
    equal(last["payloads_written"], 0)


@case
def unedited_nothing_is_new():
    _, last = packed_as_edited("db-encrypted", lambda at: None)
    equal(last["payloads_written"], 0)
    with editable(backup_for_edits("db-encrypted")) as at:
        out, _ = pack(at)
    equal(rows_of(out), rows_of(backup_for_edits("db-encrypted")))


@case
def folders_that_a_mount_has_made_up_can_be_edited():
    group = "AppDomainGroup-group.com.example.shared"
    with editable(golden("db-encrypted")) as at:
        equal(set(attributes_of(f"{at}/{group}", True)), {"domain", "path"})
        os.chmod(f"{at}/{group}", 0o700)
        os.setxattr(f"{at}/{group}/Library", "user.com.example", b"x")
        save(f"{at}/{group}/Library/new", b"new")
        tree = tree_of(at)
        out, _ = pack(at)
    equal(unlike(tree_in(out), tree), [])


@case
def a_path_that_is_too_long_is_named_with_the_reason():
    with editable(backup_for_edits("db-plain")) as at:
        here = os.getcwd()
        os.chdir(f"{at}/HomeDomain")
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        save("file", b"deep")
        os.chdir(here)
        _, last = pack(at, status=1)
        assert "too long" in last["message"], last


# --- where a file system has no attributes -----------------------------------

def edit_without_attributes(at):
    rewrite(f"{at}/{HELLO}", b"bye")
    rewrite(f"{at}/{DCIM}/IMG_0001.JPG", b"edited")
    save(f"{at}/{DCIM}/IMG_0009.JPG", b"a new picture")
    os.makedirs(f"{at}/{DOCUMENTS}/a/b")
    os.unlink(f"{at}/{SMS}")


@case
def attributes_that_an_editor_loses_are_kept_from_the_backup():
    backup = backup_for_edits("db-encrypted")
    with editable(backup) as at:
        replace(f"{at}/{HELLO}", b"saved")
        equal(os.listxattr(f"{at}/{HELLO}"), [])
        tree = tree_of(at)
        out, _ = pack(at)
    kept = tree_in(backup)[HELLO].attributes
    assert kept
    equal(unlike(tree_in(out),
                 tree | {HELLO: tree[HELLO]._replace(attributes=kept)}), [])


@case
def what_a_file_system_loses_is_kept_from_the_backup():
    backup = backup_for_edits("db-encrypted")
    source = tree_in(backup)
    with editable(backup, upper="ramfs") as at:
        edit_without_attributes(at)
        equal(attributes_of(f"{at}/{HELLO}"), {}, "ramfs has attributes")
        tree = tree_of(at)
        out, _ = pack(at)
    want = {path: entry._replace(attributes=source[path].attributes)
            if path in source else entry for path, entry in tree.items()}
    equal(unlike(tree_in(out), want), [])
    agrees(out, tree)
    equal(ours(out, DCIM + "/IMG_0001.JPG")["uid"], "501")


# --- whose a new file is -----------------------------------------------------

def owner(found):
    return found["uid"], found["gid"], found["protection-class"]


@case
def new_files_are_as_their_neighbours():
    def new(at):
        save(f"{at}/KeychainDomain/new", b"new")
        os.makedirs(f"{at}/WirelessDomain/Library/a/b")
        save(f"{at}/WirelessDomain/Library/new", b"new")
        save(f"{at}/WirelessDomain/Library/a/b/new", b"new")
        os.makedirs(f"{at}/AppDomain-com.example.new")
        save(f"{at}/AppDomain-com.example.new/new", b"new")

    out, _ = packed_as_edited("db-encrypted", new)
    for path, want in (
            ("KeychainDomain/new", ("64", "64", "4")),
            ("WirelessDomain/Library/new", ("25", "25", "1")),
            ("WirelessDomain/Library/a/b/new", ("25", "25", "1")),
            ("AppDomain-com.example.new/new", ("501", "501", "3"))):
        equal(owner(ours(out, path)), want, path)
    for path in ("WirelessDomain/Library/a", "WirelessDomain/Library/a/b"):
        equal(owner(ours(out, path))[:2], ("25", "25"), path)


@case
def what_is_moved_brings_owner_class_and_birth_along():
    backup = backup_for_edits("db-encrypted")
    old = ours(backup, "KeychainDomain/keychain-backup.plist")
    out, _ = packed_as_edited("db-encrypted", files_moved_to_other_domains)
    new = ours(out, DOCUMENTS + "/keychain")
    equal(owner(new), ("64", "64", "4"))
    equal(new["birthtime"], old["birthtime"])
    # its identity is the new place
    equal((new["domain"], new["path"]), (APP, "Documents/keychain"))
    equal(new["file-id"], hashlib.sha1(
        f"{APP}-Documents/keychain".encode()).hexdigest())
    out, _ = packed_as_edited("db-encrypted", a_folder_moved)
    new = ours(out, "HomeDomain/Library/pictures/IMG_0001.JPG")
    equal((new["domain"], new["path"]),
          ("HomeDomain", "Library/pictures/IMG_0001.JPG"))


@case
def what_is_edited_keeps_owner_class_and_birth():
    for shape in ("db-encrypted", "db-plain", "mbdb-encrypted"):
        backup = backup_for_edits(shape)
        paths = ("KeychainDomain/keychain-backup.plist",
                 "WirelessDomain/Library/usage.db", HELLO)

        def rewrite_them(at):
            for path in paths:
                rewrite(f"{at}/{path}", b"edited")

        out, _ = packed_as_edited(shape, rewrite_them)
        for path in paths:
            old, new = ours(backup, path), ours(out, path)
            assert new.pop("digest") != old.pop("digest", None)
            equal(new, old, path)


# --- names that are shown in another way than they are -----------------------

ODD = (
    "MediaDomain/Media/dots/%2E%2E%file", "MediaDomain/Media/dots/%2E",
    "MediaDomain/Media/nul/em%00bedded", "MediaDomain/%2Fabsolute/path",
    "MediaDomain/Media/alike/x%2F", "MediaDomain/Media/alike/x%2F%2",
    "A%2Fb/one", "A%2Fb%2/two", "%2E%2E/up", "%2Elarder/Info.plist",
    "%/no domain", "HomeDomain/Library/Both/thing%file",
    "MediaDomain/Media/bytes/caf\udce9")


@case_for(("db-encrypted", "mbdb-plain"))
def files_whose_names_had_to_be_escaped_can_be_edited(shape):
    with editable(golden(shape)) as at:
        long = [path for path in tree_of(at) if re.search(
            r"%[0-9a-f]{16}$", path)]
        chosen = [path for path in (*ODD, *long)
                  if os.path.isfile(f"{at}/{path}")]
        assert len(long) >= 3 and len(chosen) >= len(ODD), chosen
        for path in chosen:
            rewrite(f"{at}/{path}", b"edited", keep_time=False)
        tree = tree_of(at)
        names = {path: attributes_of(f"{at}/{path}", True) for path in tree
                 if tree[path].type != "l"}
        out, last = pack(at)
    equal((last["changed"], last["added"], last["removed"]),
          (len(chosen), 0, 0))
    with shown(out) as at:
        equal(unlike(tree_of(at), tree), [])
        for path, want in names.items():
            got = attributes_of(f"{at}/{path}", True)
            for name in ("domain", "path", "file-id"):
                equal(got.get(name), want.get(name), path)


@case_for(("db-encrypted", "db-plain"))
def names_that_are_no_text_are_packed_byte_for_byte(shape):
    def new(at):
        for name in (b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80"):
            save(os.fsencode(at) + b"/HomeDomain/" + name, name)

    packed_as_edited(shape, new)


# --- what has no place on a phone --------------------------------------------

@case
def what_is_no_file_is_left_out_with_a_warning():
    backup = backup_for_edits("db-encrypted")
    with editable(backup) as at:
        os.mkfifo(f"{at}/{DOCUMENTS}/fifo")
        os.mknod(f"{at}/{DOCUMENTS}/null", stat.S_IFCHR | 0o666,
                 os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{at}/HomeDomain/socket")
        save(f"{at}/at the top", b"in no domain")
        tree = tree_of(at)
        del tree["at the top"]
        out, _ = pack(at, warns=("fifo", "null", "at the top", "socket"))
    equal(unlike(tree_in(out), tree), [])
    agrees(out, tree)


@case
def times_that_a_record_cannot_hold_become_the_nearest():
    backup = backup_for_edits("db-plain")
    with editable(backup) as at:
        os.utime(f"{at}/{SMS}", (2**33, 2**33))
        os.utime(f"{at}/{HELLO}", (-2**33, -2**33))
        tree = tree_of(at)
        out, _ = pack(at)
    got = tree_in(out)
    equal((got[SMS].mtime, got[HELLO].mtime), (2**31 - 1, -2**31))
    equal(unlike(got, tree, ignore=("mtime",)), [])


# --- how the mount was mounted -----------------------------------------------

def edit_a_little(at):
    rewrite(f"{at}/{SMS}", b"edited")
    save(f"{at}/{DOCUMENTS}/new", b"new")


@case_for(("umask=022", "umask=077", "fmask=0133,dmask=022",
           "uid=1000,gid=1000", "uid=1000,umask=0"))
def permissions_that_a_mount_made_up_are_not_packed(options):
    backup = backup_for_edits("db-encrypted")
    source = tree_in(backup)
    with editable(backup, *options.split(",")) as at:
        out, last = pack(at)
        equal((last["changed"], last["added"], last["removed"]), (0, 0, 0))
        equal(unlike(tree_in(out), source), [])
        edit_a_little(at)
        os.chmod(f"{at}/{HELLO}", 0o751)
        out, _ = pack(at)
    got = tree_in(out)
    equal(got[HELLO].mode, 0o751)
    changed = {SMS, HELLO, DOCUMENTS, DOCUMENTS + "/new"}
    equal({path: entry.mode for path, entry in got.items()
           if path not in (HELLO, DOCUMENTS + "/new")},
          {path: entry.mode for path, entry in source.items()
           if path != HELLO})
    equal(unlike({p: e for p, e in got.items() if p not in changed},
                 {p: e for p, e in source.items() if p not in changed}), [])
    equal(owner(ours(out, SMS)), owner(ours(backup, SMS)))


def edit_in_the_view_of_a_device(at):
    media = f"{at}/private/var/mobile/Media/DCIM"
    rewrite(f"{media}/100APPLE/IMG_0001.JPG", b"edited")
    save(f"{media}/100APPLE/IMG_0009.JPG", b"new")
    os.makedirs(f"{media}/102APPLE/deep")
    shutil.rmtree(f"{media}/101APPLE")
    os.unlink(f"{at}/private/var/mobile/Library/SMS/sms.db")
    os.symlink("sms.db", f"{at}/private/var/mobile/Library/SMS/link")


@case
def an_overlay_on_the_view_of_a_device_is_packed():
    backup = backup_for_edits("db-encrypted")
    before = tree_in(backup, "view=device")
    with editable(backup, "view=device") as at:
        out, last = pack(at)
        equal((last["changed"], last["added"], last["removed"]), (0, 0, 0))
        equal(unlike(tree_in(out), tree_in(backup)), [])
        edit_in_the_view_of_a_device(at)
        tree = tree_of(at)
        out, last = pack(at)
    equal(unlike(tree_in(out, "view=device"), tree), [])
    equal({name: last[name] for name in counts(before, tree)},
          counts(before, tree))
    numbers_are_honest(out)
    equal(ours(out, DCIM + "/IMG_0009.JPG")["domain"], "CameraRollDomain")


@case
def what_is_above_all_domains_of_the_view_is_left_out():
    with editable(backup_for_edits("db-encrypted"), "view=device") as at:
        save(f"{at}/private/new", b"in no domain")
        out, last = pack(at, warns=("private/new",))
    equal(last["added"], 0)


# --- copies ------------------------------------------------------------------

COPY = {
    "cp -a": lambda m, to: ("cp", "-a", m, to),
    "cp -a into a folder": lambda m, to: ("cp", "-a", m + "/.", to),
    "rsync -aX": lambda m, to: ("rsync", "-aX", m + "/", to),
    "tar": lambda m, to: ("sh", "-c", 'mkdir "$2" && tar -C "$1" --xattrs '
                          '-cf - . | tar -C "$2" --xattrs -xpf -',
                          "sh", m, to),
}


def copied(backup, how, *options):
    """A copy of a mount."""
    to = new_path("copy")
    with shown(backup, *options) as at:
        if how == "cp -a into a folder":
            os.mkdir(to)
        done = execute(*COPY[how](at, to))
        equal((done.returncode, done.stderr), (0, ""))
    return to


@case_for(COPY)
def a_copy_is_packed_as_the_backup_it_is_of(how, _command):
    for shape in ("db-encrypted", "mbdb-plain"):
        backup = backup_for_edits(shape)
        source = tree_in(backup)
        copy = copied(backup, how)
        out, last = pack(copy)
        equal((last["changed"], last["added"], last["removed"],
               last["payloads_written"]), (0, 0, 0, 0))
        equal(unlike(tree_in(out), source), [])
        equal(last["encrypted"], mkbackup.SHAPES[shape].encrypted)
        all_of_them(copy)
        tree = tree_of(copy)
        out, last = pack(copy)
        equal(unlike(tree_in(out), tree), [])
        equal({name: last[name] for name in counts(source, tree)},
              counts(source, tree))
        agrees(out, tree)
        shutil.rmtree(copy)


def content_only(backup, *how):
    """A copy of what is in the domains, and no attribute of anything."""
    to = new_dir("copy")
    with shown(backup) as at:
        done = execute("cp", "-r", *how, *(f"{at}/{name}" for name in
                                           os.listdir(at)), to)
        equal((done.returncode, done.stderr), (0, ""))
    equal([attributes_of(path, True) for path in (to, f"{to}/{HELLO}")],
          [{}, {}])
    return to


@case
def a_copy_without_attributes_is_packed_with_its_base():
    backup = backup_for_edits("db-encrypted")
    source = tree_in(backup)
    copy = content_only(backup, "--preserve=timestamps,mode", "-d")
    equal(attributes_of(f"{copy}/{HELLO}"), {})
    out, last = pack(copy, "--base", backup)
    got = tree_in(out)
    # whose attributes it has nobody can say: the copy has none at all
    equal(unlike(got, source), [])
    equal((last["added"], last["removed"], last["payloads_written"]),
          (0, 0, 0))
    rewrite(f"{copy}/{SMS}", b"edited")
    save(f"{copy}/KeychainDomain/new", b"new")
    tree = tree_of(copy)
    out, last = pack(copy, "--base", backup)
    equal(unlike(tree_in(out), tree, ignore=("attributes",)), [])
    equal((last["payloads_written"], last["encrypted"]), (2, True))
    equal(owner(ours(out, "KeychainDomain/new")), ("64", "64", "4"))
    agrees(out, tree)


@case
def a_copy_whose_times_are_lost_shares_its_payloads_all_the_same():
    backup = backup_for_edits("db-encrypted")
    copy = content_only(backup, "-d")
    out, last = pack(copy, "--base", backup)
    equal(last["payloads_written"], 0)
    equal(unlike(tree_in(out), tree_of(copy), ignore=("attributes",)), [])


@case
def a_copy_whose_backup_is_gone_is_packed_in_the_clear_or_anew():
    folder = new_dir("moves")
    shutil.copytree(backup_for_edits("db-encrypted"), folder + "/backup")
    copy = copied(folder + "/backup", "cp -a")
    os.rename(folder + "/backup", folder + "/elsewhere")
    tree = tree_of(copy)
    # what was encrypted is not decrypted by an accident
    done = larder("pack", copy, new_path("packed"))
    text = done.stderr
    assert done.returncode or "clear" in text or "encrypted" in text, text
    out, last = pack(copy, "--base", folder + "/elsewhere")
    equal((last["changed"], last["payloads_written"]), (0, 0))
    equal(unlike(tree_in(out), tree), [])
    out, last = pack(copy, "--new-passfile", PASSFILE, "--iterations", "1000")
    equal(unlike(tree_in(out), tree), [])
    agrees(out, tree)
    # the attributes have told whose the files were
    equal(owner(ours(out, "KeychainDomain/keychain-backup.plist")),
          ("64", "64", "4"))
    out, last = pack(copy, "--unencrypted")
    equal(last["encrypted"], False)
    agrees(out, tree, "")


# --- trees of no backup ------------------------------------------------------

def plain_tree():
    top = new_dir("tree")
    os.makedirs(f"{top}/HomeDomain/Library/a/b")
    os.makedirs(f"{top}/CameraRollDomain/Media/DCIM/100APPLE")
    os.mkdir(f"{top}/EmptyDomain")
    save(f"{top}/HomeDomain/Library/a/b/file", b"content")
    save(f"{top}/HomeDomain/Library/empty", b"")
    save(f"{top}/CameraRollDomain/Media/DCIM/100APPLE/IMG_0001.JPG",
         MARKER * 1000)
    os.symlink("a/b", f"{top}/HomeDomain/Library/link")
    os.chmod(f"{top}/HomeDomain/Library/a", 0o700)
    os.utime(f"{top}/HomeDomain/Library/empty", (1, 1))
    os.setxattr(f"{top}/HomeDomain/Library/empty", "user.com.example", b"x")
    for name in NAMES:
        save(f"{top}/HomeDomain/{name}", name.encode())
    return top


@case
def a_tree_of_no_backup_becomes_one():
    top = plain_tree()
    tree = tree_of(top)
    out, last = pack(top)
    equal((last["encrypted"], last["added"], last["files"]),
          (False, len(tree), sum(e.type == "f" for e in tree.values())))
    equal(unlike(tree_in(out), tree), [])
    agrees(out, tree, "")
    path = "HomeDomain/Library/a/b/file"
    equal(owner(ours(out, path)), ("501", "501", "3"))
    equal(larder("info", out).returncode, 0)
    equal(unlike(tree_of(top), tree), [])


@case
def a_tree_of_no_backup_becomes_an_encrypted_one():
    top = plain_tree()
    tree = tree_of(top)
    out, last = pack(top, "--new-passfile", PASSFILE, "--iterations", "1000")
    equal(last["encrypted"], True)
    equal(unlike(tree_in(out), tree), [])
    agrees(out, tree)
    for folder, _, names in os.walk(out):
        for name in names:
            assert MARKER not in read(os.path.join(folder, name)), name


@case
def what_is_no_tree_and_no_backup_is_refused():
    with mounted(backup_for_edits("db-plain")) as m:
        for path in (new_dir("empty"), m.inside("HomeDomain"),
                     m.inside("HomeDomain/Library"), m.inside(HELLO)):
            done = larder("pack", path, new_path("packed"))
            equal(done.returncode, 3, done.stderr)
            assert path in one_line(done.stderr), done.stderr


run()
