#!/usr/bin/python3
"""What a new user sees: a backup's folder in a file manager, its menu, a
window that asks for the password, pictures with thumbnails, a photo opened,
and the mount ended by a click.  No terminal.

What is on the screen on the way is kept in the folder LARDER_PICTURES.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "mount"))

import hashlib                                          # noqa: E402
import urllib.parse                                     # noqa: E402

from harness import *                                   # noqa: E402
from screen import Screen                               # noqa: E402

PROGRAMS = ("Xvfb", "xdotool", "xsetroot", "openbox", "dbus-daemon", "import",
            "thunar", "pcmanfm", "zenity", "gpicview", "xdg-open", "gio",
            "update-mime-database", "update-desktop-database",
            "/usr/libexec/udisks2/udisksd")
for program in PROGRAMS:
    if not shutil.which(program):
        skip_all("needs " + program)

PICTURES = os.environ.get("LARDER_PICTURES")
COUNT = 5000
HOME = "/home/anna"             # in a namespace of its own
NAME = "Anna's iPhone"
PROMPT = f"Backup password of {NAME}: "
ALBUM = "CameraRollDomain/Media/DCIM/100APPLE"


def album():
    """An encrypted backup with a camera roll."""
    b = mkbackup.Backup("db-encrypted", seed=5)
    shots = [mkbackup.picture(b.rng, i, mkbackup.NOW)[0] for i in range(24)]
    for i in range(1, COUNT + 1):
        # behind the end of a picture nobody looks
        b.file("CameraRollDomain", f"Media/DCIM/100APPLE/IMG_{i:04d}.JPG",
               shots[i % len(shots)] + b"%d" % i,
               mtime=mkbackup.NOW - 1000 * i)
    b.file("HomeDomain", "Library/SMS/sms.db", b"x" * 100)
    b.file("AppDomain-com.example.travel", "Documents/Plan.txt", b"Day 1")
    path = new_path("album")
    b.write(path)
    return path


GTK2 = """gtk-theme-name="Adwaita"
gtk-icon-theme-name="Adwaita"
gtk-font-name="DejaVu Sans 10"
"""
GTK3 = "[Settings]\n" + GTK2.replace('"', "")
MIME = """[Default Applications]
inode/directory={}.desktop
image/jpeg=gpicview.desktop
"""
PCMANFM = """[ui]
win_width=760
win_height=440
splitter_pos=190
"""
THUNAR = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="thunar" version="1.0">
<property name="last-window-width" type="int" value="760"/>
<property name="last-window-height" type="int" value="440"/>
</channel>
"""


class User:
    """Somebody without any rights, who has installed a package, and whose
    desktop opens folders with this file manager."""

    def __init__(self, file_manager):
        self.home, self.runtime = HOME, new_dir("runtime")
        self.backup = f"{self.home}/Backup/{UDID}"
        self.mount = f"{self.home}/Mounted backups/{NAME}"
        self.local = new_path("local")
        shutil.copytree(STAGE + "/usr/local", self.local)
        execute("update-mime-database", self.local + "/share/mime")
        execute("update-desktop-database", self.local + "/share/applications")
        os.makedirs(self.backup)
        execute("cp", "-a", BACKUP + "/.", self.backup)
        for name, text in (
                (".gtkrc-2.0", GTK2), (".config/gtk-3.0/settings.ini", GTK3),
                (".config/mimeapps.list", MIME.format(file_manager)),
                (".config/pcmanfm/default/pcmanfm.conf", PCMANFM),
                (".config/xfce4/xfconf/xfce-perchannel-xml/thunar.xml",
                 THUNAR)):
            path = f"{self.home}/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            save(path, text)
        execute("chown", "-R", f"{NOBODY}:{NOBODY}", self.home, self.runtime)
        os.chmod(self.runtime, 0o700)
        self.env = environment(
            HOME=self.home, USER="nobody", XDG_RUNTIME_DIR=self.runtime,
            XDG_DATA_DIRS=f"{self.local}/share:/usr/share",
            PATH=f"{self.local}/bin:/usr/bin:/bin",
            GTK_MODULES="gail:atk-bridge", GTK_OVERLAY_SCROLLING="0",
            GVFS_DISABLE_FUSE="1")
        for name in [n for n in self.env if n.startswith("XDG_") and n not in (
                "XDG_RUNTIME_DIR", "XDG_DATA_DIRS")]:
            del self.env[name]
        for name in ("WAYLAND_DISPLAY", "SSH_ASKPASS"):
            self.env.pop(name, None)

    def thumbnail(self, number):
        """Is the thumbnail of a picture there?"""
        uri = "file://" + urllib.parse.quote(
            f"{self.mount}/{ALBUM}/IMG_{number:04d}.JPG",
            safe="/!$&'()*+,:=@")
        name = hashlib.md5(uri.encode()).hexdigest() + ".png"
        return any(os.path.exists(f"{self.home}/{place}/{size}/{name}")
                   for place in (".cache/thumbnails", ".thumbnails")
                   for size in ("normal", "large"))


@contextlib.contextmanager
def desktop(file_manager):
    with there(os.path.dirname(HOME), "mount", "-t", "tmpfs", "home",
               os.path.dirname(HOME)):
        user, mark = User(file_manager), "LARDER_TEST_SCREEN=1"
        name, value = mark.split("=")
        folder = new_dir("screen")
        try:
            with Screen(user.env | {name: value}, as_nobody(), folder) as s:
                try:
                    yield user, s
                except AssertionError:
                    keep(s, "failed")
                    raise
        except AssertionError:
            print("".join("# " + line for line in read(
                folder + "/log", "r").splitlines(True)[-20:]), flush=True)
            raise
        finally:
            if is_mounted(user.mount):
                execute("umount", "-l", user.mount)
            wait_for_none(lambda: processes(mark))
            kill_all(processes(mark))   # of the bus, which it has started


def keep(screen, name):
    if PICTURES:
        screen.picture(f"{PICTURES}/{name}.png")


# --- what a user does --------------------------------------------------------

PANE = "directory pane|layered pane"


def first(screen):
    """Where the first thing in the folder is."""
    x, y, *_ = screen.find(PANE, "Icon view|", front=True)["box"]
    return x + 55, y + 35


def shows_pictures(screen):
    """Is there a sun, as in each of them, in the folder that is shown?"""
    x, y, width, height = screen.find(PANE, "Icon view|", front=True)["box"]
    shot = subprocess.run(
        ["import", "-window", "root", "-crop", f"{width}x{height}+{x}+{y}",
         "-depth", "8", "rgb:-"], env=screen.env, stdout=subprocess.PIPE,
        check=True).stdout
    return sum(shot[i] > 243 and 228 < shot[i + 1] < 248
               and 150 < shot[i + 2] < 190
               for i in range(0, len(shot), 3)) > 30


def open_menu(screen, label):
    """The menu of the only thing in a folder, whose status is `label`."""
    screen.find("label|status bar", label)
    screen.click_at(*first(screen), button=3)
    screen.find("menu item", "Open")


def enter_password(screen, text, prompt=PROMPT):
    screen.find("label", prompt)
    screen.click("(password )?text", "", app="zenity")
    screen.type(text)
    screen.click("push button", "OK", app="zenity")


def go_to(screen, path):
    screen.xdotool("key", "ctrl+l")
    screen.type(path)
    screen.xdotool("key", "Return")
    screen.find("frame", os.path.basename(path) + ".*")


def eject(screen):
    """At the end of the line of the mount in the side bar."""
    _, y, _, height = screen.find("table cell", NAME, front=True)["box"]
    x, _, width, _ = screen.find("table", "", front=True)["box"]
    screen.click_at(x + width - 12, y + height // 2)


@case_for({"Thunar": ("thunar", "1 folder.*"),
           "PCManFM": ("pcmanfm", "1 item.*")})
def a_backup_is_mounted_looked_at_and_unmounted_by_clicks(title, row):
    file_manager, one = row
    with desktop(file_manager) as (user, screen):
        begin = time.monotonic()
        screen.spawn(file_manager, user.home)
        screen.find("label|status bar", one)
        screen.click_at(*first(screen), repeat=2)
        screen.find("frame", "Backup.*")
        open_menu(screen, one)
        if file_manager == "thunar":
            screen.click("menu", "Send To")
        screen.find("menu item", "Mount Phone Backup")
        keep(screen, file_manager + "-menu")
        screen.click("menu item", "Mount Phone Backup")

        screen.find("label", PROMPT)
        keep(screen, file_manager + "-password")
        enter_password(screen, "battery staple")
        enter_password(screen, PASSWORD, "That is not the password. " + PROMPT)
        wait_until(lambda: is_mounted(user.mount), "the mount", 60)
        screen.find("frame", re.escape(NAME) + ".*")
        screen.find("table cell", NAME)
        keep(screen, file_manager + "-mounted")

        go_to(screen, f"{user.mount}/{ALBUM}")
        screen.find("label|status bar", f"{COUNT} (items|files).*")
        wait_until(lambda: shows_pictures(screen), "the first pictures", 60)
        if file_manager == "thunar":        # the other one keeps none
            wait_until(lambda: all(map(user.thumbnail, range(1, 9))),
                       "the first thumbnails", 60)
        keep(screen, file_manager)
        screen.click_at(*first(screen))
        screen.xdotool("key", "End")
        screen.find("label|status bar", f'"IMG_{COUNT:04d}.*')
        if file_manager == "thunar":        # the other one makes all of them
            wait_until(lambda: user.thumbnail(COUNT), "the last thumbnail", 90)
            wait_until(lambda: shows_pictures(screen), "the last pictures", 60)
        keep(screen, file_manager + "-end")
        screen.xdotool("key", "Home")

        screen.click_at(*first(screen), repeat=2)
        screen.find("frame", r"IMG_0001\.JPG.*")
        keep(screen, file_manager + "-photo")
        screen.click("push button", "Quit", app="gpicview")

        eject(screen)
        wait_until(lambda: not is_mounted(user.mount), "the end", 60)
        wait_until(lambda: os.listdir(user.home + "/Backup") and not
                   os.path.exists(os.path.dirname(user.mount)),
                   "the end of its folder")
        print(f"# {time.monotonic() - begin:.0f} s", flush=True)


@case
def a_manifest_that_is_opened_asks_for_the_password():
    with desktop("thunar") as (user, screen):
        screen.spawn("gio", "open", user.backup + "/Manifest.db").wait()
        screen.find("label", PROMPT)
        screen.click("push button", "Cancel", app="zenity")
        wait_until(lambda: not os.path.exists(os.path.dirname(user.mount)),
                   "the end of its folder")
        equal(screen.shows("label", ".*larder.*"), False)
        # what is no backup is told in a window
        save(user.home + "/Manifest.db", b"not this time")
        screen.spawn("gio", "open", user.home + "/Manifest.db").wait()
        screen.find("label", ".*Manifest.db.*", app="zenity")
        screen.click("push button", "OK", app="zenity")


UDID = mkbackup.SHAPES["db-encrypted"].udid
BACKUP = album()
run()
