#!/usr/bin/python3
"""Messages in another language; output for machines in none."""

from harness import *

ENGLISH = {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}
PLAIN = golden("db-plain")


def german():
    """A locale of our own: this computer may have none but C's."""
    locales = TMP + "/locales"
    if not os.path.exists(locales):
        os.mkdir(locales)
        # it warns, and ends with 1, where it does not like a definition
        done = execute("localedef", "-i", "de_DE", "-f", "UTF-8",
                       locales + "/de_DE.UTF-8")
        assert os.path.exists(locales + "/de_DE.UTF-8/LC_MESSAGES"), \
            done.stderr
    return environment(LOCPATH=locales, LC_ALL="de_DE.UTF-8", LANGUAGE="")


def in_german(*args, program=LARDER, **more):
    return execute(program, *args, env=german() | more.pop("env", {}), **more)


def options(text):
    return sorted(re.findall(r"(?<![\w-])--?[A-Za-z][a-z0-9-]*(?![\w-])",
                             text))


@case
def every_help_is_there_and_tells_the_same_options():
    names = re.findall(r"^  ([a-z]+) ", larder("--help").stdout, re.M)
    assert len(names) >= 20, names
    equal(re.findall(r"^  ([a-z]+) ", in_german("--help").stdout, re.M),
          names)
    for program, args in [(LARDER, [name]) for name in names] + [(LARDERFS,
                                                                   [])]:
        old = execute(program, *args, "--help").stdout
        new = in_german(*args, "--help", program=program).stdout
        assert new.startswith("Aufruf: larder"), new
        assert "--help" in new or args or "\n  -h" in new
        # an option's own line; prose names some of them in other places
        own = r"^  (-.*?)(?:  |$)"
        equal([options(row) for row in re.findall(own, new, re.M)],
              [options(row) for row in re.findall(own, old, re.M)], args)
        for row in new.splitlines():
            assert len(row) <= 85, row


@case
def messages_of_all_parts_are_translated():
    empty = new_dir()
    for done, said, status in (
            (in_german("info", "/nowhere"),
             "larder: /nowhere: Datei oder Verzeichnis nicht gefunden\n", 3),
            (in_german("info", empty),
             f"larder: {empty}: kein Backup: ohne Manifest.plist\n", 3),
            (in_german("info"),
             "larder: info verlangt ein BACKUP\n"
             "Näheres mit \"larder info --help\".\n", 2),
            (in_german(empty, new_dir(), program=LARDERFS),
             f"larderfs: {empty}: kein Backup: ohne Manifest.plist\n", 3),
            (in_german("-o", "bogus", "a", "b", program=LARDERFS),
             "larderfs: unbekannte Option: bogus\n", 2),
            (in_german("ls", golden("db-encrypted")),
             f"larder: {golden('db-encrypted')}: Passwort nötig, und keines "
             "wurde angegeben\n", 13)):
        equal((done.stderr, done.returncode), (said, status))


@case
def results_are_translated_and_stay_in_columns():
    rows = in_german("find", TESTS + "/golden").stdout.splitlines()
    rows = [row for row in rows if row.startswith("  ")]
    equal(len(rows), len(SHAPES))
    equal(len({row.index("/") for row in rows}), 1, rows)
    equal(sum("  nicht verschlüsselt  " in row for row in rows), 2)
    rows = in_german("info", PLAIN).stdout.splitlines()
    equal([row[:13] for row in rows[:2]], ["Backup:      ", "Gerät:       "])
    assert "Zustand:     vollständig" in rows, rows
    said = in_german("verify", PLAIN).stdout
    assert re.search(r"Struktur: \d+ Dateien, \d+ Ordner, ", said), said
    assert said.endswith(" Befunde: dieses Backup ist beschädigt\n"), said


@case
def one_and_many_differ():
    for count, said in ((1, "1 Befund: dieses Backup"),
                        (2, "2 Befunde: dieses Backup")):
        out, _ = made_backup("db-plain", lambda b: None)
        for i in range(count):
            save(f"{out}/0{i}", b"where a folder should be")
        shown = in_german("verify", out).stdout
        assert said in shown, shown


@case
def output_for_machines_is_the_same_in_every_language():
    out = new_path("sums")
    for args in (["info", "--json", PLAIN], ["ls", "-R", "--json", PLAIN],
                 ["ls", "--csv", PLAIN], ["ls", "--bodyfile", PLAIN],
                 ["ls", "--sha256", PLAIN], ["salvage", "--json", PLAIN],
                 ["find", "--json", TESTS + "/golden"],
                 ["mounts", "--json"],
                 ["verify", "--json", PLAIN],
                 ["diff", "--json", PLAIN, golden("mbdb-plain")],
                 ["extract", "--json", "/nowhere", out],
                 ["doctor", "--json", "/nowhere"],
                 ["pack", "--json", "/nowhere", out]):
        one, two = larder(*args), in_german(*args)
        # how long it took differs, and which thread found what first
        one, two = (sorted(re.sub(r'"(\w*seconds\w*)":[-0-9.e]+', r'"\1":0',
                                  done.stdout).splitlines())
                    for done in (one, two))
        equal(two, one, " ".join(args))
        assert one or args[0] == "mounts", args


@case
def messages_beside_output_for_machines_are_english():
    equal(in_german("info", "--json", "/nowhere").stderr,
          larder("info", "--json", "/nowhere").stderr)


@case
def numbers_are_written_and_read_in_one_way():
    done = in_german("info", PLAIN)
    assert re.search(r"\d\.\d [kM]B", done.stdout), done.stdout
    done = in_german("verify", "--content", "--sample", "2.5%",
                     golden("mbdb-plain"))
    assert "verlangt" not in done.stderr, done.stderr


@case
def the_language_of_c_is_english():
    for locale in ({"LC_ALL": "C", "LANGUAGE": "de"},
                   {"LC_ALL": "nowhere", "LANGUAGE": ""}):
        done = larder("info", "/nowhere", env=environment() | locale)
        equal(done.stderr, "larder: /nowhere: No such file or directory\n")


@case
def waiting_for_trust_is_told_apart_from_waiting_for_the_passcode():
    for knobs, word in (({"trust": "dialog", "trust_after": -1},
                         '"Vertrauen" antippen'),
                        ({"trust": "locked"}, "noch gesperrt")):
        with Simulator() as sim:
            sim.phones[0].set(**knobs)
            done = in_german("pair", "--timeout", "2", env={
                "USBMUXD_SOCKET_ADDRESS": sim.env["USBMUXD_SOCKET_ADDRESS"]})
            assert word in done.stderr, (knobs, done.stderr)


@case
def a_closed_backup_tells_in_the_language_why():
    folder, at = new_dir(), new_dir()
    for name, shape in (("locked", "db-encrypted"), ("damaged", "db-plain")):
        out, _ = made_backup(shape, lambda b: None)
        os.rename(out, f"{folder}/{name}")
    save(f"{folder}/damaged/Manifest.db", b"no database")
    done = in_german(folder, at, program=LARDERFS)
    equal((done.stderr, done.returncode), ("", 0))
    try:
        told = {}
        for top, _, names in os.walk(at):
            for name in names:
                if name in ("locked", "damaged"):
                    told[name] = read(f"{top}/{name}", "r")
                    equal(os.stat(f"{top}/{name}").st_size,
                          len(told[name].encode()))
    finally:
        execute("fusermount3", "-u", at)
    equal(sorted(told), ["damaged", "locked"])
    assert told["locked"].startswith(
        "Dieses Backup ist verschlüsselt und geschlossen: "
        "es wurde kein Passwort angegeben.\n\nUm seinen "), told
    assert told["damaged"].startswith(
        "Dieses Backup lässt sich nicht öffnen: "), told
    assert "\n    larder salvage " in told["damaged"], told


@case
def shells_are_told_in_the_language_too():
    said = in_german("--complete", "password", "").stdout
    equal(said.splitlines()[1],
          "change\tdas alte: --passfile; das neue: --new-passfile")
    said = in_german("--complete", "ls", "--rec").stdout
    equal(said, "--recursive\talles darunter, mit Pfad\n")


@case
def a_question_takes_the_answer_of_its_language():
    text = read(TESTS + "/../tools/po/de.po", "r")
    assert 'msgid "yY"\nmsgstr "jJyY"' in text


run()
