#!/usr/bin/python3
"""Backups of all shapes, mounted and compared with what they hold."""

from harness import *

ODD_PASSWORD = "p\u00e4ssw\u00f6rd \u65e5\u672c \U0001f511, 'quoted\\"
SCALE_FILES = 20000


def check_mount(backup, expect, passfile=PASSFILE):
    with mounted(backup, passfile=passfile) as m:
        equal(differences(expect, m.path), None)


def info_of(backup, passfile=PASSFILE):
    done = larder("info", "--json", "--passfile", passfile, backup)
    equal((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


def listed(backup, passfile=PASSFILE):
    """{shown path: object} of `larder ls -R --json`"""
    done = larder("ls", "--quiet", "-R", "--json", "--passfile", passfile,
                  backup)
    equal((done.returncode, done.stderr), (0, ""))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {line["name"]: line for line in lines}
    equal(len(found), len(lines), "entries listed once")
    return found


def check_ls(backup, expect, passfile=PASSFILE):
    kinds = {"f": "file", "d": "folder", "l": "link"}
    # JSON has no bytes: what is no UTF-8 is shown as U+FFFD
    shown = lambda text: os.fsencode(text).decode(errors="replace")
    got = listed(backup, passfile)
    lines = expect_of(expect)
    equal(sorted(got), sorted(shown(line["path"]) for line in lines))
    for line in lines:
        path = shown(line["path"])
        o = got[path]
        equal((o["type"], o["mode"]),
              (kinds[line["type"]], f"{line['mode']:04o}"), path)
        if line["type"] == "f":
            equal(o["size"], line["size"], path)
        if line["type"] == "l":
            equal(o["target"], shown(line["target"]), path)
        if "mtime_ns" in line:
            assert abs(o["mtime"] - line["mtime_ns"] / 1e9) < 1e-6, path


def fill_odd(b):
    mkbackup.fill_odd(b, 300001)


@case_for(SHAPES)
def the_golden_backup_is_shown_as_it_is(shape):
    check_mount(golden(shape), golden_expect(shape))


@case_for(SHAPES)
def the_golden_backup_is_listed_by_larder_ls(shape):
    check_ls(golden(shape), golden_expect(shape))


@case_for(SHAPES)
def a_fresh_backup_with_an_odd_password_is_shown_as_it_is(shape):
    backup, expect = made_backup(shape, fill_odd, seed=2026, dpic=73,
                                 iterations=41, password=ODD_PASSWORD)
    passfile = save(new_path("passfile"), ODD_PASSWORD + "\n")
    check_mount(backup, expect, passfile)
    check_ls(backup, expect, passfile)
    # every record counts, also one that another of the same path hides
    b = mkbackup.Backup(shape, seed=2026)
    fill_odd(b)
    info = info_of(backup, passfile)
    equal({d["domain"]: (d["records"], d["files"]) for d in info["domains"]},
          {domain.decode(): (
              sum(e.domain == domain for e in b.entries),
              sum(e.domain == domain and e.type == "f" for e in b.entries))
           for domain in {e.domain for e in b.entries}})
    equal((info["records"], info["files"]),
          (len(b.entries), sum(e.type == "f" for e in b.entries)))


@case_for(("db-encrypted", "mbdb-plain"))
def twenty_thousand_files_are_shown_and_counted(shape):
    backup = new_path(shape)
    mkbackup.write_scale(mkbackup.Backup(shape, seed=7), backup, SCALE_FILES,
                         True, backup + ".expect")
    check_mount(backup, backup + ".expect")
    check_ls(backup, backup + ".expect")
    domains = {}
    for line in expect_of(backup + ".expect"):
        sums = domains.setdefault(line["path"].split("/")[0], [0, 0, 0])
        sums[0] += 1
        sums[1] += line["type"] == "f"
        sums[2] += line.get("size", 0)
    info = info_of(backup)
    equal({d["domain"]: [d["records"], d["files"], d["bytes"]]
           for d in info["domains"]}, domains)
    equal([info["records"], info["files"], info["bytes"]],
          [sum(column) for column in zip(*domains.values())])
    equal(info["files"], SCALE_FILES)
    with mounted(backup) as m:
        st = os.statvfs(m.path)
        equal(st.f_files, info["records"])
        equal(st.f_blocks, -(-info["bytes"] // st.f_frsize))
    shutil.rmtree(backup)


run()
