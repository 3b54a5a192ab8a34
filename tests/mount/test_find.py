#!/usr/bin/python3
"""larder find: on the disks of others, in folders, and where it could hang."""

from harness import *

UDID = mkbackup.SHAPES["db-encrypted"].udid
OLD_UDID = mkbackup.SHAPES["mbdb-plain"].udid
KEYS = ["path", "kind", "device_name", "udid", "product_type", "product_name",
        "ios", "date", "encrypted", "complete", "bytes", "files", "problem"]

WINDOWS = "Users/Anna/AppData/Roaming/Apple Computer/MobileSync/Backup"
STORE = "Users/Ben/Apple/MobileSync/Backup"
MAC = "Users/maria/Library/Application Support/MobileSync/Backup"


def put(folder, name=UDID, shape="db-encrypted"):
    """A backup as `folder`/`name`; the path."""
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/{name}"
    shutil.copytree(golden(shape), path)
    return path


def find(*args, env=None, argv=(), **more):
    """The objects, and what was said."""
    home = new_dir("home")
    done = execute(*argv, LARDER, "find", "--json", *args,
                   env=environment(HOME=home) | (env or {}), **more)
    assert done.returncode in (0, 3), (done.returncode, done.stderr)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    equal(done.returncode, 0 if found else 3)
    for o in found:
        equal(list(o), KEYS)
    return found, done.stderr


def paths(found):
    return sorted(o["path"] for o in found)


def files_below(folder):
    return [os.path.join(top, name) for top, _, names in os.walk(folder)
            for name in names]


@case_for(("ntfs", "exfat"))
def a_backup_on_a_foreign_disk_is_mounted_from_there(kind):
    with image(kind, 64 << 20) as disk:
        backup = put(f"{disk}/{WINDOWS}")
        with mounted(backup) as m:
            equal(differences(golden_expect("db-encrypted"), m.path), None)


# --- disks -------------------------------------------------------------------

@case_for(("ext4", "ntfs", "exfat"))
def disks_of_windows_and_macos_are_looked_through(kind):
    with image(kind, 64 << 20) as disk:
        made = [put(f"{disk}/{WINDOWS}"),
                put(f"{disk}/{STORE}", OLD_UDID, "mbdb-plain"),
                put(f"{disk}/{MAC}", shape="db-plain"),
                put(f"{disk}/{MAC}", UDID + "-20230504-111213"),
                put(f"{disk}/phones")]
        put(f"{disk}/a/b/c/too/deep/unless/asked")
        found, said = find()
        equal(paths(o for o in found if o["path"].startswith(disk)),
              sorted(made))
        by_path = {o["path"]: o for o in found}
        for path in made:
            o = by_path[path]
            equal((o["bytes"], o["files"]), (
                sum(map(os.path.getsize, files_below(path))),
                len(files_below(path))), path)
            equal((o["device_name"], o["date"], o["complete"], o["problem"]),
                  ("Anna's iPhone", "2024-06-15T09:46:40Z", True, None))
        equal(by_path[made[0]]["product_name"], "iPhone 13")
        equal([by_path[p]["ios"] for p in made],
              ["17.5.1", "9.3.5", "17.5.1", "17.5.1", "17.5.1"])
        equal([by_path[p]["encrypted"] for p in made],
              [True, False, False, True, True])
        equal([by_path[p]["kind"] for p in made],
              ["current", "current", "current", "archived", "current"])
        # people get a line for each of them
        text = execute(LARDER, "find", disk).stdout
        equal([sum(path in line and "current" in line
                   for line in text.splitlines()) for path in made],
              [1, 1, 1, 0, 1])


@case
def names_that_another_system_wrote_in_another_case_are_found():
    disk = new_dir("disk")
    made = [put(f"{disk}/USERS/anna/appdata/roaming/apple computer/"
                "mobilesync/BACKUP"),
            put(f"{disk}/uSERS/ben/APPLE/mobilesync/backup")]
    equal(paths(find(disk)[0]), sorted(made))


@case
def the_home_is_looked_at_and_what_the_environment_names():
    home = new_dir("home")
    made = [put(home + "/.local/share/larder"), put(home + "/Backup"),
            put(f"{home}/Library/Application Support/MobileSync/Backup")]
    put(home + "/Documents/Backup")
    got = paths(o for o in find(env={"HOME": home})[0]
                if o["path"].startswith(home))
    equal(got, sorted(made))
    data = new_dir("data")
    other = put(data + "/larder")
    got = paths(find(env={"HOME": home, "XDG_DATA_HOME": data})[0])
    assert other in got and made[0] not in got, got


@case
def a_disk_mounted_in_a_folder_is_looked_through_with_it():
    folder = new_dir("folder")
    inside = folder + "/disk"
    os.mkdir(inside)
    with tmpfs() as disk:
        made = put(f"{disk}/{WINDOWS}")
        execute("mount", "--move", disk, inside)
        try:
            equal(paths(find(folder)[0]), [made.replace(disk, inside)])
        finally:
            execute("umount", inside)


@case
def a_disk_that_is_mounted_twice_is_one():
    disk, again = new_dir("disk"), new_dir("again")
    put(disk)
    with there(again, "mount", "--bind", disk, again):
        equal(len(find(disk, again)[0]), 1)


@case
def mounts_of_ours_are_not_looked_through():
    folder = new_dir("folder")
    os.mkdir(folder + "/mnt")
    backup, _ = made_backup("db-plain", lambda b: (
        b.file("Manifest.plist", "x", b"x"), b.file("HomeDomain", "x", b"x")))
    with mounted(backup, at=folder + "/mnt", passfile=None, debug=True) as m:
        equal(find(folder)[0], [])
        equal([line for line in m.lines()
               if re.search("opcode: (LOOKUP|OPEN|READDIR)", line)], [])
        # that is what it would have looked like
        os.listdir(m.path)
        assert any("READDIR" in line for line in m.lines()), m.lines()


# --- folders -----------------------------------------------------------------

@case
def a_folder_is_looked_through_five_deep_and_backups_are_not():
    folder = new_dir("folder")
    made = [put(folder + "/1/2/3/4"), put(folder)]
    put(folder + "/1/2/3/4/5/6")
    put(made[0])
    equal(paths(find(folder)[0]), sorted(made))
    equal(paths(find(made[1])[0]), [made[1]])
    equal(paths(find(folder, made[1], folder + "/1")[0]), sorted(made))


@case
def links_are_not_followed_but_to_a_backup():
    folder, other = new_dir("folder"), new_dir("other")
    made = put(other)
    put(other + "/deeper")
    os.symlink(".", folder + "/loop")
    os.symlink("..", folder + "/up")
    os.symlink(other, folder + "/elsewhere")
    equal(find(folder)[0], [])
    os.symlink(made, f"{folder}/{UDID}")
    found, _ = find(folder)
    equal(paths(found), [made])
    # and the folder itself may be one
    equal(paths(find(f"{folder}/{UDID}")[0]), [made])
    equal(len(find(folder + "/elsewhere")[0]), 2)


@case
def hidden_folders_are_left_out():
    folder = new_dir("folder")
    put(folder + "/.Trash-1000/files")
    put(folder + "/.larder-" + UDID, "previous")
    equal(find(folder)[0], [])


@case
def versions_that_larder_kept_are_told_from_others():
    folder = new_dir("folder")
    names = [UDID, UDID + "-20240101-000000", UDID + "-20240202-000000",
             UDID + "-2024", "copy"]
    for name in names:
        put(folder, name)
    os.mkdir(f"{folder}/.larder-{UDID}")
    save(f"{folder}/.larder-{UDID}/kept", names[1] + "\n")
    kinds = {os.path.basename(o["path"]): o["kind"] for o in find(folder)[0]}
    equal([kinds[name] for name in names],
          ["current", "kept", "archived", "other", "other"])


@case
def those_that_cannot_be_read_are_listed_with_the_reason():
    folder = new_dir("flaws")
    subprocess.run(["/usr/bin/python3", TESTS + "/mkbad.py", folder + "/x"],
                   check=True)
    made = put(folder)
    found, _ = find(folder)
    by_name = {os.path.basename(o["path"]): o for o in found}
    equal(by_name[UDID]["problem"], None)
    for name, word in (("keybag-truncated", "key bag"),
                       ("manifest-plist-truncated", "Manifest.plist"),
                       ("ios3-mdinfo", "iOS 3")):
        o = by_name[name]
        assert word in o["problem"] and folder not in o["problem"], o
        equal((o["encrypted"], o["complete"], o["udid"]), (None, None, None))
        assert o["bytes"] > 0
    # they come last
    problems = [bool(o["problem"]) for o in found]
    equal(problems, sorted(problems))
    text = execute(LARDER, "find", folder).stdout
    assert f"{made}\n" in text.split("Cannot be read\n")[0], text


@case
def a_backup_or_a_home_that_lets_nobody_in_is_named():
    disk = new_dir("disk")
    closed = put(f"{disk}/{MAC}")
    os.chmod(closed, 0o700)
    os.makedirs(f"{disk}/Users/ben")
    os.chmod(f"{disk}/Users/ben", 0o700)
    found, said = find(disk, argv=as_nobody())
    equal([(o["path"], o["problem"], o["kind"]) for o in found],
          [(closed, "Permission denied", "current")])
    equal(said, f"larder: {disk}/Users/ben: Permission denied\n")


@case
def files_in_place_of_folders_and_pipes_in_place_of_files_hold_nothing_up():
    folder = new_dir("odd")
    for name in ("Manifest.db", "Manifest.plist", "Info.plist"):
        os.mkfifo(f"{folder}/{name}")
    os.makedirs(folder + "/Users/x")
    save(folder + "/Users/x/Apple", "text")
    os.mkfifo(folder + "/Users/x/Library")
    save(f"{folder}/{UDID}", "text")
    half = new_dir("half")
    save(half + "/Manifest.db", "SQLite format 3\0")
    os.mkfifo(half + "/Info.plist")
    equal(find(folder, timeout=10)[0], [])
    found, _ = find(half, timeout=10)
    equal(len(found), 1)


@case
def names_that_are_no_text_can_be_printed():
    folder = new_dir("odd")
    name = os.fsdecode(b"\xff\n\x1b[31m")
    put(folder, name)
    equal(find(folder)[0][0]["path"], folder + "/\ufffd\n\x1b[31m")
    text = execute(LARDER, "find", folder).stdout
    assert folder + r"/\377\012\033[31m" in text, text


@case
def what_is_not_there_is_said_and_the_others_are_listed():
    folder, missing = new_dir("folder"), new_path("missing")
    put(folder)
    found, said = find(missing, folder)
    equal((len(found), said),
          (1, f"larder: {missing}: No such file or directory\n"))
    equal(find("--quiet", missing, folder)[1], "")


@case
def without_sizes_nothing_is_measured():
    folder = new_dir("folder")
    put(folder)
    o, = find("--no-size", folder)[0]
    equal((o["bytes"], o["files"]), (None, None))


@case
def a_backup_in_the_making_is_measured_whole():
    folder = new_dir("folder")
    path = put(folder, shape="db-plain")
    os.makedirs(path + "/Snapshot/ab")
    save(path + "/Snapshot/ab/" + "ab" * 20, b"x" * 1000)
    save(path + "/Snapshot/Manifest.plist", b"x" * 10)
    o, = find(folder)[0]
    equal((o["bytes"], o["files"]), (
        sum(map(os.path.getsize, files_below(path))), len(files_below(path))))


# --- what does not answer ----------------------------------------------------

@contextlib.contextmanager
def dead_disk(folder):
    """A mount that shows a folder, and does not answer any more."""
    if not shutil.which("bindfs"):
        raise Skip("needs bindfs")
    place = new_dir("dead")
    server = subprocess.Popen(["bindfs", "-f", folder, place],
                              env=environment())
    try:
        wait_until(lambda: is_mounted(place), "mounting")
        server.send_signal(signal.SIGSTOP)
        yield place
    finally:
        server.send_signal(signal.SIGCONT)
        execute("umount", "-l", place)
        server.wait(30)


@case
def a_disk_that_does_not_answer_is_left_out_in_time():
    folder = new_dir("folder")
    made = put(folder)
    with dead_disk(folder) as dead:
        for args in ([dead, folder], [folder, dead + "/x"],
                     [TMP + "/nothing", folder]):
            begin = time.monotonic()
            found, said = find("--timeout", "1", *args)
            took = time.monotonic() - begin
            equal(paths(found), [made])
            assert took < 5, took
            if dead in args[0]:
                equal(said,
                      f"larder: {dead}: does not answer, and is left out\n")
        # nobody has asked for it, but it is mounted
        begin = time.monotonic()
        found, said = find("--timeout", "1", env={"HOME": folder})
        assert time.monotonic() - begin < 5
        assert f"larder: {dead}: does not answer, and is left out\n" in said


@case
def a_folder_with_a_dead_mount_in_it_is_looked_through_all_the_same():
    folder, source = new_dir("folder"), new_dir("source")
    made = put(folder)
    os.mkdir(folder + "/0-dead")
    with dead_disk(source) as dead:
        execute("mount", "--move", dead, folder + "/0-dead")
        try:
            found, said = find("--timeout", "1", folder)
        finally:
            execute("umount", "-l", folder + "/0-dead")
    equal(paths(found), [made])
    equal(said,
          f"larder: {folder}/0-dead: does not answer, and is left out\n")


run()
