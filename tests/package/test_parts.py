#!/usr/bin/python3
"""larder built in parts, installed, and removed again."""
import glob
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../mount"))
from harness import *                                   # noqa: E402,F403

SOURCE = os.path.dirname(TESTS)
BUILD = TMP + "/build"
OF_DRIVER = {"mount", "umount", "mounts"}
OF_DEVICE = {"devices", "pair", "backup", "restore", "password"}


def fine(*argv, **more):
    """Its output."""
    done = execute(*argv, timeout=CASE_SECONDS, **more)
    equal(done.returncode, 0, done.stdout[-3000:] + done.stderr)
    return done.stdout


def build(driver, device):
    """One folder for all: what parts do not touch is compiled once."""
    options = [f"-Ddriver={driver}", f"-Ddevice={device}"]
    if os.path.exists(BUILD):
        fine("meson", "configure", BUILD, *options)
    else:
        fine("meson", "setup", BUILD, SOURCE, "--buildtype=plain",
             "--prefix=/usr/local", "-Dtests=false", "-Dwerror=true",
             *options)
    fine("ninja", "-C", BUILD)


def built(*args):
    return execute(BUILD + "/tools/larder", *args)


def libraries():
    return set(re.findall(r"\(NEEDED\).*\[lib([a-z]+)", fine(
        "readelf", "-d", BUILD + "/tools/larder")))


def tells_it_is_without(what, commands):
    """Every other way in which larder shows what it has."""
    listed = set(re.findall(r"^  (\w+) ", built("--help").stdout, re.M))
    equal(listed & (OF_DRIVER | OF_DEVICE),
          (OF_DRIVER | OF_DEVICE) - commands, "listed")
    for name in commands:
        done = built(name, "--help")
        equal((done.returncode, done.stdout, done.stderr),
              (2, "", f"larder: this larder was built without {what[name]}: "
                      f"there is no \"{name}\"\n"))
    notes = [o for line in built("doctor", "--json", TMP).stdout.splitlines()
             for o in [json.loads(line)] if "without" in o["finding"]]
    equal({o["status"] for o in notes}, {"note"})
    equal({o["finding"].partition("built without ")[2] for o in notes},
          {what[name] for name in commands})


WHAT = {name: "its driver" for name in OF_DRIVER} \
    | {name: "devices" for name in OF_DEVICE}


def install(root, verb):
    fine(*verb, env=environment(DESTDIR=root))


def tree(root):
    return {os.path.join(folder, name)[len(root):]
            for folder, folders, files in os.walk(root)
            for name in folders + files}


@case
def an_uninstall_leaves_what_was_there_and_no_more():
    build("enabled", "enabled")
    root = new_dir("root")
    os.makedirs(root + "/usr/local/bin")
    save(root + "/usr/local/bin/another", b"")
    before = tree(root)
    install(root, ["meson", "install", "-C", BUILD, "--no-rebuild"])
    added = tree(root) - before
    for path in ("/usr/local/bin/larder", "/usr/local/bin/larderfs",
                 "/sbin/mount.larderfs", "/usr/local/share/man/man1/larder.1",
                 "/usr/local/share/man/man8/mount.larderfs.8"):
        assert path in added, path
    equal(os.readlink(root + "/sbin/mount.larderfs"),
          "/usr/local/bin/larderfs")
    install(root, ["ninja", "-C", BUILD, "uninstall"])
    equal(sorted(tree(root)), sorted(before))


@case
def without_devices():
    build("enabled", "disabled")
    assert not {"imobiledevice", "usbmuxd"} & libraries(), libraries()
    tells_it_is_without(WHAT, OF_DEVICE)
    assert os.path.exists(BUILD + "/fs/larderfs")


@case
def without_both():
    build("disabled", "disabled")
    assert not {"imobiledevice", "usbmuxd", "fuse"} & libraries(), libraries()
    tells_it_is_without(WHAT, OF_DEVICE | OF_DRIVER)
    info = built("info", "--json", golden("db-plain"))
    equal((info.returncode, info.stderr), (0, ""))


@case
def without_the_driver():
    build("disabled", "enabled")
    assert {"imobiledevice", "usbmuxd"} <= libraries(), libraries()
    tells_it_is_without(WHAT, OF_DRIVER)
    root = new_dir("root")
    install(root, ["meson", "install", "-C", BUILD, "--no-rebuild"])
    equal([path for path in tree(root) if "larderfs" in path], [])


@case
def only_what_is_wanted_has_to_be_there():
    """Where the libraries of a part are missing."""
    there = new_dir("pkgconfig")
    for folder in fine("pkg-config", "--variable", "pc_path",
                       "pkg-config").strip().split(":"):
        for path in glob.glob(folder + "/*.pc"):
            if not os.path.basename(path).startswith(
                    ("fuse3", "libimobiledevice", "libusbmuxd")):
                shutil.copy(path, there)
    env = environment(PKG_CONFIG_LIBDIR=there)
    for options, missing in (
            ([], "fuse3"),
            (["-Ddriver=disabled"], "libimobiledevice-1.0"),
            (["-Ddriver=disabled", "-Ddevice=disabled"], None)):
        done = execute("meson", "setup", new_path("setup"), SOURCE,
                       "-Dtests=false", *options, env=env)
        equal(done.returncode, 1 if missing else 0, done.stdout)
        if missing:
            assert f'Dependency "{missing}" not found' in done.stdout, \
                done.stdout


for tool in ("meson", "ninja", "readelf", "pkg-config"):
    if not shutil.which(tool):
        skip_all(f"needs {tool}")
run()
