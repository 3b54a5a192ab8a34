#!/usr/bin/python3
"""Lines of /etc/fstab on a machine that systemd boots."""

import functools

from machine import *

HELLO = "/AppDomain-com.example.app/Documents/hello.txt"
AT, UNIT = "/mnt/phone", "mnt-phone.mount"
AUTO = "mnt-phone.automount"


@functools.cache
def kept(shape):
    """A copy at a place that the machine has too."""
    out = new_path(shape)
    shutil.copytree(golden(shape), out)
    return out


PLAIN, ENCRYPTED = kept("db-plain"), kept("db-encrypted")


def line(backup, options, at=AT, kind="larderfs"):
    return f"{backup} {at} {kind} {options} 0 0\n".replace(" a ", r"\040a\040")


def reached(m):
    """The boot has come to its end."""
    equal([m.state(unit) for unit in ("local-fs.target", "default.target")],
          ["active", "active"])


def reads(m, at=AT):
    equal(m.sh('cat "$1"', at + HELLO), "hello")


def stays_mounted(m, seconds=3):
    """That nothing happens can only be waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert m.is_mounted(AT), "it has been unmounted"
        time.sleep(0.05)


def uses(m, script):
    """A program that has something to do with a file."""
    m.sh('systemd-run -q --unit=user sh "$1" "$2"',
         save(new_path("script"), script), AT + HELLO)


def goes(m):
    wait_until(lambda: not m.is_mounted(AT), "unmounting")
    wait_until(lambda: not m.daemons(), "the end of the daemon")


# --- with the disk -----------------------------------------------------------

@case_for(("larderfs", "fuse.larderfs"))
def lines_of_fstab_are_mounted_at_boot(kind):
    if kind != "larderfs" and not shutil.which("mount.fuse3"):
        raise Skip("needs mount.fuse3")
    spaced = f"{new_dir('with a space')}/x"
    shutil.copytree(ENCRYPTED, spaced)
    with booted(line(spaced, f"passfile={PASSFILE},allow_other,umask=022,"
                     "nofail", kind=kind) +
                line(PLAIN, "defaults,_netdev", "/mnt/with a space", kind)) \
            as m:
        reached(m)
        equal(m.sh("systemctl is-system-running"), "running\n")
        equal(m.sh('findmnt -rno FSTYPE,SOURCE "$1"', AT),
              "fuse.larderfs " + spaced.replace(" ", r"\x20") + "\n")
        reads(m)
        reads(m, "/mnt/with a space")
        equal(m.sh('setpriv --reuid=65534 --regid=65534 --clear-groups cat '
                   '"$1"', AT + HELLO), "hello")
        # as _netdev has it
        assert "x20space.mount" in m.show("remote-fs.target", "Requires")
        equal(m.show(UNIT, "SubState"), "mounted")
        m.sh("umount /mnt/phone")
        m.becomes(UNIT, "inactive")
        m.sh("mount -a; systemctl daemon-reload")
        m.becomes(UNIT, "active")
        m.sh('systemctl stop "$1"; systemctl start "$1"', UNIT)
        reads(m)
        m.sh('systemctl stop "$1"', UNIT)
        goes_one_of(m)


def goes_one_of(m):
    equal(m.is_mounted(AT), False)
    wait_until(lambda: len(m.daemons()) == 1, "the end of one daemon")


@case
def a_reload_is_refused_and_it_stays_mounted():
    with booted(line(PLAIN, "defaults")) as m:
        equal(m.can("systemctl", "reload", UNIT), False)
        assert "a mount cannot be changed" in m.log(UNIT), m.log(UNIT)
        equal(m.state(UNIT), "active")
        reads(m)


@case
def the_backup_waits_for_the_disk_that_it_is_on():
    with booted(line("/srv/disk/phone", "defaults") +
                f"{os.path.dirname(PLAIN)} /srv/disk none bind 0 0\n",
                f"ln -s {os.path.basename(PLAIN)} "
                f"{os.path.dirname(PLAIN)}/phone") as m:
        reached(m)
        reads(m)
        assert "srv-disk.mount" in m.show(UNIT, "Requires")


@case_for(("umask=022", "umask=022,x-systemd.automount"))
def a_machine_goes_down_with_a_backup_in_use(options):
    with booted(line(PLAIN, options)) as m:
        reads(m)
        uses(m, 'exec sleep 1000 <"$1"')
        m.run("systemctl", "poweroff")
        m.process.wait(60)


# --- without -----------------------------------------------------------------

@case
def without_the_disk_the_boot_goes_on_and_it_can_come_later():
    with booted("disk /srv/disk tmpfs size=unknown,nofail 0 0\n" +
                line("/srv/disk/phone", "nofail")) as m:
        reached(m)
        equal(m.show(UNIT, "ActiveState", "Result"), ("inactive", "success"))
        equal(m.is_mounted(AT), False)
        m.sh('mkdir -p /srv/disk; mount --bind "$1" /srv/disk; '
             'ln -s "$(basename "$2")" /srv/disk/phone; systemctl start "$3"',
             os.path.dirname(PLAIN), PLAIN, UNIT)
        reads(m)


@case
def without_the_backup_the_boot_goes_on():
    with booted(line("/srv/phone", "nofail")) as m:
        reached(m)
        assert "larderfs: /srv/phone: No such file or directory" in \
            m.log(UNIT), m.log(UNIT)
        equal(m.show(UNIT, "ActiveState", "Result"), ("failed", "exit-code"))
        m.sh('cp -a "$1" /srv/phone; systemctl start "$2"', PLAIN, UNIT)
        reads(m)


@case
def without_the_backup_and_nofail_the_boot_ends_in_an_emergency():
    with booted(line("/srv/phone", "defaults")) as m:
        equal(m.state("default.target"), "inactive")
        equal(m.show(UNIT, "ActiveState", "Result"), ("failed", "exit-code"))
        assert "status=3" in m.log(UNIT), m.log(UNIT)


# --- the password ------------------------------------------------------------

@case
def without_a_password_the_unit_fails_and_nothing_hangs():
    with booted(line(ENCRYPTED, "nofail")) as m:
        reached(m)
        equal(m.show(UNIT, "ActiveState", "Result"), ("failed", "exit-code"))
        assert "password needed, and none was given" in m.log(UNIT) and \
            "status=13" in m.log(UNIT), m.log(UNIT)


@case
def a_key_file_saves_the_password():
    key = new_path("key")
    equal(larder("key", ENCRYPTED, key, "--passfile", PASSFILE).returncode, 0)
    with booted(line(ENCRYPTED, f"keyfile={key}")) as m:
        reached(m)
        reads(m)


# --- at the first access -----------------------------------------------------

@case_for(("idle=1", "x-systemd.idle-timeout=1s"))
def the_first_access_mounts_and_idleness_unmounts_and_so_on(options):
    with booted(line(ENCRYPTED, f"passfile={PASSFILE},nofail,"
                     f"x-systemd.automount,{options}")) as m:
        reached(m)
        equal((m.state(AUTO), m.is_mounted(AT)), ("active", False))
        for _ in range(3):
            reads(m)
            goes(m)
            m.becomes(UNIT, "inactive")
            equal(m.state(AUTO), "active")
            equal(m.sh('findmnt -rno FSTYPE "$1"', AT), "autofs\n")
        equal(m.sh("systemctl is-system-running"), "running\n")


@case_for(("idle=1", "x-systemd.idle-timeout=1s"))
def an_automount_in_use_stays(options):
    with booted(line(PLAIN, f"nofail,x-systemd.automount,{options}")) as m:
        for where in ('cd "${1%/*}"; exec sleep 1000', 'exec sleep 1000 <"$1"'):
            uses(m, where)
            wait_until(lambda: m.is_mounted(AT), "the first access")
            stays_mounted(m)
            m.sh("systemctl stop user")
            goes(m)


@case
def an_automount_without_the_backup_says_no_until_it_is_there():
    with booted(line("/srv/phone", "nofail,x-systemd.automount")) as m:
        reached(m)
        equal(m.state(AUTO), "active")
        done = m.run("cat", AT + HELLO)
        equal(done.returncode, 1)
        assert "No such device" in done.stderr, done.stderr
        m.sh('cp -a "$1" /srv/phone', PLAIN)
        reads(m)


# --- what the manual says ----------------------------------------------------

def manual(words):
    """The lines of larderfs(8) that have these, with what they need."""
    text = read(f"{TESTS}/../man/larderfs.8", "r").replace(r"\e", "\\")
    found = [line for line in text.splitlines(keepends=True)
             if line.startswith("/srv/backup/UDID ") and words in line]
    assert found, words
    return "".join(found).replace("UDID /mnt/plain", "PLAIN /mnt/plain"), f"""
mkdir -p /srv/backup /etc/larder
cp -a {PLAIN} /srv/backup/PLAIN
cp -a {ENCRYPTED} /srv/backup/UDID
cp {PASSFILE} /etc/larder/phone
"""


@case
def the_lines_of_the_manual_mount_for_everybody():
    with booted(*manual(" larderfs nofail,allow_other")) as m:
        reached(m)
        for at in (AT, "/mnt/plain"):
            equal(m.sh("setpriv --reuid=65534 --regid=65534 --clear-groups "
                       'cat "$1"', at + HELLO), "hello")


@case
def the_line_of_the_manual_mounts_at_the_first_access():
    with booted(*manual("x-systemd.automount,idle=600")) as m:
        reached(m)
        equal((m.state(AUTO), m.is_mounted(AT)), ("active", False))
        reads(m)
        equal(m.is_mounted(AT), True)


@case
def the_line_of_the_manual_asks_who_sits_in_front_of_the_machine():
    with booted(*manual("systemd-ask-password"), wait=False) as m:
        m.becomes("default.target", "active")
        reached(m)
        equal(m.state(UNIT), "activating")
        question = wait_until(lambda: m.run(
            "sh", "-c", "cat /run/systemd/ask-password/ask.*").stdout,
            "the question")
        assert "Message=Backup:\n" in question, question
        reply = m.run(os.path.dirname(SYSTEMD) + "/systemd-reply-password",
                      "1", re.search("^Socket=(.*)$", question, re.M)[1],
                      input=PASSWORD, stdin=None)
        equal((reply.returncode, reply.stderr), (0, ""))
        m.becomes(UNIT, "active")
        reads(m)
        assert PASSWORD not in m.sh("journalctl -o cat")


# --- the units that the lines become -----------------------------------------

@case
def systemd_finds_nothing_wrong_with_the_units():
    with booted(line(ENCRYPTED, f"passfile={PASSFILE},allow_other,nofail,"
                     "x-systemd.automount,x-systemd.idle-timeout=10min") +
                line(PLAIN, "noauto,user,comment=x", "/mnt/other")) as m:
        reached(m)
        equal(m.sh("cd /run/systemd/generator; "
                   "systemd-analyze verify *.mount *.automount 2>&1"), "")
        equal(m.state("mnt-other.mount"), "inactive")
        m.sh("mkdir /mnt/other; mount /mnt/other")
        reads(m, "/mnt/other")


run()
