#!/usr/bin/python3
"""The Debian package: built, looked through, installed in a bare system,
mounted there by /etc/fstab, and purged.

For this computer's release, or for another one's:

    LARDER_PACKAGE_RELEASE=trixie test_deb.py

which is then built in a system of that release, with its unit tests, and left
in build/package/trixie.  Systems are made by debootstrap, from the mirror that
apt uses here; build/roots keeps them for the next time.
"""
import atexit
import glob
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../mount"))
import harness                                          # noqa: E402
from harness import *                                   # noqa: E402,F403

SOURCE = os.path.dirname(TESTS)
ROOTS = SOURCE + "/build/roots"
SECONDS = harness.CASE_SECONDS = 1200
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

for tool in ("apt-get", "debootstrap", "dh", "dpkg-buildpackage", "git",
             "lintian"):
    if not shutil.which(tool):
        skip_all(f"needs {tool}, on Debian")
HERE = platform.freedesktop_os_release().get("VERSION_CODENAME")
RELEASE = os.environ.get("LARDER_PACKAGE_RELEASE") or HERE


def fine(*argv, **more):
    """Its output."""
    env = environment(PATH=SYSTEM_PATH, DEBIAN_FRONTEND="noninteractive")
    done = execute(*argv, timeout=SECONDS, env=env | more.pop("env", {}),
                   **more)
    equal(done.returncode, 0, " ".join(argv) + "\n" + done.stdout[-4000:]
          + done.stderr[-4000:])
    return done.stdout


# what apt and dpkg write, they wait for to be on the disk
MEMORY = tempfile.mkdtemp(prefix="larder-memory-")
atexit.register(os.rmdir, MEMORY)
fine("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", MEMORY)
atexit.register(fine, "umount", "-l", MEMORY)


# --- systems -----------------------------------------------------------------

def reach_mirror():
    """Where packages come from."""
    mirror = fine("apt-get", "indextargets", "--format", "$(REPO_URI)",
                  "Created-By: Packages").split()[0]
    try:
        with urllib.request.urlopen(f"{mirror}dists/{RELEASE}/Release",
                                    timeout=30):
            return mirror
    except OSError as e:
        raise Skip(f"{mirror} cannot be reached, or has no {RELEASE}: {e}") \
            from e


class Root:
    """A system of that release, in a folder."""

    def __init__(self, kind):
        self.path = f"{MEMORY}/{kind}"
        self.kept = f"{ROOTS}/{RELEASE}-{kind}.tar"
        os.makedirs(self.path)
        if os.path.exists(self.kept):
            fine("tar", "xf", self.kept, "-C", self.path)
        else:
            fine("debootstrap", "--variant=minbase",
                 "--include=ca-certificates", RELEASE, self.path,
                 reach_mirror())
        shutil.copy("/etc/resolv.conf", self.path + "/etc")
        if not os.path.exists(self.path + "/dev/fuse"):
            os.mknod(self.path + "/dev/fuse", 0o666 | stat.S_IFCHR,
                     os.makedev(10, 229))
        fine("mount", "-t", "proc", "proc", self.path + "/proc")
        fine("mount", "-t", "devpts", "devpts", self.path + "/dev/pts")

    def run(self, *argv, **more):
        return fine("chroot", self.path, *argv, **more)

    def install(self, *wanted):
        """For `apt-get WORD...`; and remember it."""
        apt = ("apt-get", "-q", "-y", "--no-install-recommends")
        if not re.search("^Inst ", self.run(*apt, "--simulate", *wanted),
                         re.M):
            return
        reach_mirror()
        self.run("apt-get", "-q", "update")
        self.run(*apt, *wanted)
        os.makedirs(ROOTS, exist_ok=True)
        fine("tar", "cf", self.kept + ".part", "--one-file-system",
             "--exclude=./var/cache/apt/archives/*.deb", "-C", self.path, ".")
        os.rename(self.kept + ".part", self.kept)

    def tree(self):
        """All of it: what it is, and for files what is in them. Only the
        memory and the logs of apt and dpkg are their own business."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            inside = folder[len(self.path):] + "/"
            if inside in ("/proc/", "/var/lib/apt/", "/var/log/apt/",
                          "/var/cache/apt/"):
                folders.clear()
                continue
            for name in folders + files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                what = [oct(st.st_mode), st.st_uid, st.st_gid]
                if stat.S_ISLNK(st.st_mode):
                    what.append(os.readlink(path))
                elif stat.S_ISREG(st.st_mode) \
                        and inside != "/var/lib/dpkg/" \
                        and inside + name != "/var/log/dpkg.log":
                    what.append(hashlib.sha256(read(path)).hexdigest())
                found[inside + name] = what
        return found


# --- the package -------------------------------------------------------------

def git(*args):
    return fine("git", "-c", "safe.directory=*", "-c", "user.name=x",
                "-c", "user.email=x", *args)


def copy_source(to):
    """What git knows, or would know; as a repository of its own."""
    for name in git("-C", SOURCE, "ls-files", "-z", "--cached", "--others",
                    "--exclude-standard").split("\0")[:-1]:
        if os.path.lexists(f"{SOURCE}/{name}"):
            os.makedirs(os.path.dirname(f"{to}/{name}"), exist_ok=True)
            shutil.copy2(f"{SOURCE}/{name}", f"{to}/{name}",
                         follow_symlinks=False)
    git("-C", to, "init", "-q")
    git("-C", to, "add", "-A")
    git("-C", to, "commit", "-q", "-m", "x")


LINTIAN = ("lintian", "--allow-root", "--fail-on", "error,warning",
           "--tag-display-limit", "0")
made = {}


def build_here():
    """The unit tests of this computer's build have a suite of their own."""
    source = f"{MEMORY}/built/larder"
    copy_source(source)
    fine("dpkg-buildpackage", "-us", "-uc", "-b", cwd=source,
         env={"DEB_BUILD_OPTIONS": "nocheck"})
    equal(git("-C", source, "status", "--porcelain"), "", "git status")
    return os.path.dirname(source), lambda: fine(*LINTIAN, cwd=source)


def build_there():
    root = Root("build")
    source = root.path + "/built/larder"
    copy_source(source)
    root.install("install", "dpkg-dev", "lintian")
    root.install("build-dep", "/built/larder")
    root.run("sh", "-c", "cd /built/larder && dpkg-buildpackage -us -uc -b")
    equal(git("-C", source, "status", "--porcelain"), "", "git status")
    return os.path.dirname(source), lambda: root.run(
        "sh", "-c", 'cd /built/larder && exec "$@"', "sh", *LINTIAN)


@case
def it_is_built_by_one_command():
    folder, made["lintian"] = build_here() if RELEASE == HERE \
        else build_there()
    made["deb"], = glob.glob(folder + "/larder_*.deb")
    version = re.search(r"^  version: '(.*)'", read(SOURCE + "/meson.build",
                                                   "r"), re.M)[1]
    equal(fine("dpkg-deb", "--field", made["deb"], "Version").strip(),
          version)
    if "LARDER_PACKAGE_RELEASE" in os.environ:
        to = f"{SOURCE}/build/package/{RELEASE}"
        os.makedirs(to, exist_ok=True)
        shutil.copy2(made["deb"], to)


def need_the_package():
    if "deb" not in made:
        raise Skip("there is no package")


@case
def lintian_has_nothing_to_say():
    need_the_package()
    equal(made["lintian"](), "")


def put_backup(root, shape, mountpoint, options):
    """A golden backup, its line in fstab, and its password."""
    folder = "/srv/" + shape
    shutil.copytree(golden(shape), root.path + folder)
    os.makedirs(root.path + mountpoint)
    with open(root.path + "/etc/fstab", "a", encoding="ascii") as f:
        f.write(f"{folder} {mountpoint} larderfs {options} 0 0\n")


@case
def it_mounts_by_fstab_in_a_bare_system_and_leaves_nothing_when_purged():
    need_the_package()
    root = Root("run")
    root.install("satisfy", fine("dpkg-deb", "--field", made["deb"],
                                 "Depends").strip())
    save(root.path + "/etc/password", PASSWORD.encode() + b"\n")
    put_backup(root, "db-plain", "/mnt/plain", "nofail,allow_other")
    put_backup(root, "db-encrypted", "/mnt/phone",
               "nofail,passfile=/etc/password")
    before = root.tree()

    shutil.copy(made["deb"], root.path + "/larder.deb")
    root.run("dpkg", "--install", "/larder.deb")
    os.remove(root.path + "/larder.deb")
    root.run("larder", "info", "/srv/db-plain")
    root.run("mount", "-a")
    for shape, mountpoint in (("db-plain", "/mnt/plain"),
                              ("db-encrypted", "/mnt/phone")):
        equal(root.run("findmnt", "-n", "-o", "SOURCE,FSTYPE",
                       mountpoint).split(),
              [f"/srv/{shape}", "fuse.larderfs"])
        equal(differences(golden_expect(shape), root.path + mountpoint), None)
        root.run("umount", mountpoint)
    added = root.tree().keys() - before.keys()
    assert "/usr/share/doc/larder/copyright" in added, added
    assert added & {"/usr/sbin/mount.larderfs", "/sbin/mount.larderfs"}, added

    root.run("dpkg", "--purge", "larder")
    after = root.tree()
    equal({path: (before.get(path), after.get(path))
           for path in before.keys() | after.keys()
           if before.get(path) != after.get(path)}, {})


run()
