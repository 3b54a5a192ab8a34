#!/usr/bin/python3
"""larder mount --dialog: what a desktop's user is asked and told in windows,
by programs that only write down what they are to show."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "mount"))

import plistlib                                         # noqa: E402

from harness import *                                   # noqa: E402

BACKUP = golden("db-encrypted")
NAME = "Anna's iPhone"
PROMPT = f"Backup password of {NAME}: "
HELLO = "AppDomain-com.example.app/Documents/hello.txt"

# Says what the next line of "answers" says: a password, or an exit status
FAKE = r"""#!/usr/bin/python3
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/shown", "a") as f:
    print(json.dumps([os.path.basename(sys.argv[0])] + sys.argv[1:]), file=f)
with open(here + "/environ", "a") as f:
    print(dict(os.environ), file=f)
print("a word of GTK", file=sys.stderr)
with open(here + "/answers") as f:
    answer, *rest = f.read().split("\n")
with open(here + "/answers", "w") as f:
    f.write("\n".join(rest))
if answer.startswith("exit "):
    sys.exit(int(answer[5:]))
if answer:
    print(answer)
"""

ASK = {
    "zenity": ["--entry", "--hide-text", "--title", "larder", "--text",
               PROMPT],
    "kdialog": ["--title", "larder", "--password", f"<qt>{PROMPT}"],
    "ksshaskpass": [PROMPT],
    "lxqt-openssh-askpass": [PROMPT],
    "ssh-askpass": [PROMPT],
}


class Desktop:
    """A user with a home, and with these programs and no others in PATH."""

    def __init__(self, *programs):
        self.home, self.runtime = new_dir("home"), new_dir("runtime")
        self.place = self.home + "/Mounted backups"
        self.path = new_dir("bin")
        for name in programs:
            self.add(name)
        self.answers()
        self.env = environment(
            HOME=self.home, XDG_RUNTIME_DIR=self.runtime, DISPLAY=":none",
            PATH=self.path)
        for name in ("SSH_ASKPASS", "XDG_CURRENT_DESKTOP", "WAYLAND_DISPLAY"):
            self.env.pop(name, None)

    def add(self, name):
        save(f"{self.path}/{name}", FAKE)
        os.chmod(f"{self.path}/{name}", 0o755)

    def answers(self, *lines):
        save(self.path + "/answers", "\n".join(lines))
        save(self.path + "/shown", "")

    def shown(self):
        return [json.loads(line) for line
                in read(self.path + "/shown", "r").splitlines()]

    def mount(self, *args, status=0, **env):
        done = execute(LARDER, "mount", "--dialog", *args,
                       env=self.env | env, start_new_session=True)
        equal(done.returncode, status, done.stderr)
        if status == 0:
            equal(done.stderr, "")
        return done.stdout if status == 0 else done.stderr

    def is_clean(self):
        equal((os.listdir(self.home), os.listdir(self.runtime)), ([], []))


@contextlib.contextmanager
def desktop(*programs):
    d = Desktop(*programs)
    try:
        yield d
    finally:
        for path in mounts():
            if path.startswith((d.home + "/", d.runtime + "/")):
                execute("umount", "-l", path)


# --- asking ------------------------------------------------------------------

@case_for(ASK)
def asks_for_the_password_by(program, words):
    with desktop(program) as d:
        d.answers(PASSWORD)
        path = d.mount(BACKUP)[:-1]
        equal(path, f"{d.place}/{NAME}")
        equal(read(f"{path}/{HELLO}"), b"hello")
        equal(d.shown(), [[program, *words]])
        assert PASSWORD not in read(d.path + "/environ", "r")


@case
def the_program_that_the_user_has_chosen_comes_first():
    with desktop(*ASK) as d:
        d.add("mine")
        for env, first in (
                ({}, "zenity"), ({"XDG_CURRENT_DESKTOP": "KDE"}, "kdialog"),
                ({"XDG_CURRENT_DESKTOP": "XFCE"}, "zenity"),
                ({"SSH_ASKPASS": d.path + "/mine"}, "mine"),
                ({"SSH_ASKPASS": "/no/such"}, "zenity"),
                ({"SSH_ASKPASS": ""}, "zenity"),
                ({"DISPLAY": "", "WAYLAND_DISPLAY": "wayland-0"}, "zenity")):
            d.answers("exit 1")
            d.mount(BACKUP, status=5, **env)
            equal([row[0] for row in d.shown()], [first], env)


@case
def a_wrong_password_is_asked_for_again():
    with desktop("zenity") as d:
        d.answers("wrong", "battery staple", PASSWORD)
        d.mount(BACKUP)
        again = "That is not the password. " + PROMPT
        equal([row[-1] for row in d.shown()], [PROMPT, again, again])


@case
def after_three_wrong_ones_it_gives_up_and_says_so():
    with desktop("zenity") as d:
        d.answers("one", "two", "three", "", PASSWORD)
        said = d.mount(BACKUP, status=12)
        assert "password" in said, said
        *asked, told = d.shown()
        equal(len(asked), 3)
        equal(told[:2], ["zenity", "--error"])
        equal("larderfs: " + told[-1] + "\n", said)
        d.is_clean()


@case_for({"closed": 1, "ended by a signal": 255})
def a_window_that_is_closed_ends_it_quietly(_, status):
    with desktop("zenity") as d:
        d.answers(f"exit {status}")
        d.mount(BACKUP, status=5)
        equal(len(d.shown()), 1)
        d.is_clean()


@case
def nothing_entered_is_no_password():
    with desktop("zenity") as d:
        assert "none was given" in d.mount(BACKUP, status=13)
        equal([row[1] for row in d.shown()], ["--entry", "--error"])
        d.is_clean()


@case
def without_a_program_it_says_what_to_install():
    with desktop() as d:
        said = d.mount(BACKUP, status=13)
        assert all(word in said for word in ("zenity", "kdialog")), said
        d.is_clean()


@case
def without_a_display_nothing_is_started():
    with desktop(*ASK) as d:
        said = d.mount(BACKUP, status=13, DISPLAY="")
        assert "no display" in said, said
        equal(d.shown(), [])


@case
def a_password_that_is_given_is_not_asked_for():
    with desktop("zenity") as d:
        path = d.mount("--passfile", PASSFILE, BACKUP)[:-1]
        equal(d.shown(), [])
        equal(execute("umount", path).returncode, 0)
        wrong = save(new_path("wrong"), "battery staple\n")
        d.mount("--passfile", wrong, BACKUP, status=12)
        equal([row[1] for row in d.shown()], ["--error"])
        # nor for a backup that has none
        d.answers()
        d.mount(golden("db-plain"))
        equal(d.shown(), [])


@case
def what_a_device_is_called_is_text():
    backup = new_path("backup")
    shutil.copytree(BACKUP, backup)
    info = plistlib.loads(read(backup + "/Info.plist"))
    info["Device Name"] = info["Display Name"] = "<b>_&amp;\\n%s</b>"
    save(backup + "/Info.plist", plistlib.dumps(info))
    for program, want in (
            ("zenity", r"<b>__&amp;\\n%s</b>: "),
            ("kdialog", r"&lt;b>_&amp;amp;\n%s&lt;/b>: "),
            ("ssh-askpass", r"<b>_&amp;\n%s</b>: ")):
        with desktop(program) as d:
            d.answers("exit 1")
            d.mount(backup, status=5)
            (*_, text), = d.shown()
            assert text.endswith(" of " + want), text


# --- telling -----------------------------------------------------------------

TELL = {
    "zenity": ["--error", "--no-markup", "--title", "larder", "--text", "{}"],
    "kdialog": ["--title", "larder", "--error", "<qt>{}"],
    "notify-send": ["--icon=dialog-error", "larder", "{}"],
}


@case_for(TELL)
def what_is_wrong_is_shown_by(program, words):
    with desktop(program) as d:
        folder = new_dir("empty")
        said = d.mount(folder, status=3)
        text = f"{folder}: not a backup: it has no Manifest.plist"
        equal(said, f"larder: {text}\n")
        equal(d.shown(), [[program] + [w.format(text) for w in words]])
        d.is_clean()


@case
def what_is_wrong_is_at_least_said():
    with desktop() as d:
        assert "not a backup" in d.mount(new_dir("empty"), status=3)


# --- the mount ---------------------------------------------------------------

@case
def a_file_of_the_backup_stands_for_it():
    for shape in ("db-encrypted", "mbdb-encrypted"):
        with desktop("zenity") as d:
            for name in ("Manifest.plist", "Manifest.db", "Manifest.mbdb"):
                if not os.path.exists(f"{golden(shape)}/{name}"):
                    continue
                d.answers(PASSWORD)
                path = d.mount(f"{golden(shape)}/{name}")[:-1]
                equal(mounts()[path][2], golden(shape))
                equal(execute("umount", path).returncode, 0)
                wait_until(lambda: not os.path.exists(d.place),
                           "the folder's end")


@case
def a_backup_that_is_mounted_is_not_mounted_again():
    with desktop("zenity") as d:
        d.answers(PASSWORD)
        one = d.mount(BACKUP)
        equal(d.mount(BACKUP + "/Manifest.db"), one)
        equal(len(d.shown()), 1)
        # but on a mountpoint that is given
        d.answers(PASSWORD)
        at = new_dir("mnt")
        equal(d.mount(BACKUP, at), at + "\n")
        execute("umount", at)
        assert os.path.isdir(at)


@case_for({"umount": ["umount"], "fusermount3 -u": ["fusermount3", "-u"],
           "larder umount": [LARDER, "umount"],
           "a lazy one": ["umount", "-l"]})
def its_folder_goes_with_the_mount_by(_, argv):
    with desktop() as d:
        first, second = (d.mount(golden(shape))[:-1]
                         for shape in ("db-plain", "mbdb-plain"))
        equal(sorted(os.listdir(d.place)), [NAME, NAME + " (2)"])
        equal(execute(*argv, first).returncode, 0)
        wait_until(lambda: not os.path.exists(first), "the folder's end")
        equal(os.listdir(d.place), [NAME + " (2)"])
        equal(execute(*argv, second).returncode, 0)
        wait_until(lambda: not os.path.exists(d.place), "the place's end")


@case
def what_a_killed_one_leaves_is_removed_by_the_next():
    with desktop() as d:
        path = d.mount(golden("db-plain"))[:-1]
        kill_all(pid for pid in processes() if pid != os.getpid())
        execute("umount", "-l", path)
        assert os.path.isdir(path)
        equal(execute(LARDER, "mounts", env=d.env).returncode, 0)
        d.is_clean()


@case
def a_mountpoint_that_holds_something_stays():
    above = new_dir("above")
    at = above + "/mnt"
    os.mkdir(at)
    fd = os.open(at, os.O_RDONLY)           # below what is mounted
    with mounted(golden("db-plain"), "rmdir", at=at) as m:
        os.close(os.open("kept", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        m.unmount()
        equal(os.listdir(at), ["kept"])
        os.unlink("kept", dir_fd=fd)
        os.close(fd)
    with mounted(golden("db-plain"), "rmdir", at=at) as m:
        m.unmount()
        equal(os.path.exists(at), False)
        # the mount's log is in the folder above
        equal(os.path.exists(above), False)


run()
