#!/usr/bin/python3
"""larder-mount@.service, run by the systemd of a user on a machine."""

from machine import *

UID = 61234                     # whose keyring nobody else has
HOME, RUNTIME = "/home/anna", f"/run/user/{UID}"
CONF = HOME + "/.config/larder/mount"
UDID = mkbackup.SHAPES["db-encrypted"].udid
OLD_UDID = mkbackup.SHAPES["mbdb-plain"].udid
NAME = "Anna's iPhone"          # of both
AT = f"{RUNTIME}/larder/{NAME}"
HELLO = "/AppDomain-com.example.app/Documents/hello.txt"
assert "-" in UDID and "-" not in OLD_UDID

SETUP = """
echo 'anna:x:{uid}:{uid}::{home}:/bin/sh' >>/etc/passwd
mkdir -p {home}/Backup {conf} {runtime}
for shape in {shapes}; do
	cp -a "$tmp/$shape" "{home}/Backup/$(cat "$tmp/$shape.udid")"
done
cp "$tmp/passfile" {home}/passfile
chmod 600 {home}/passfile
{more}
chown -R {uid}:{uid} {home} {runtime}
cat >/etc/systemd/system/anna.service <<END
[Service]
Type=notify
User=anna
Delegate=yes
KillMode=mixed
KeyringMode=shared
Environment=XDG_RUNTIME_DIR={runtime}
ExecStart=$SYSTEMD --user
END
mkdir /etc/systemd/system/default.target.wants
ln -s ../anna.service /etc/systemd/system/default.target.wants
"""


class User:
    def __init__(self, m):
        self.m = m

    def run(self, *argv, **more):
        return self.m.run(
            "setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups",
            "--inh-caps=-all", "env", "--chdir=" + HOME, "HOME=" + HOME,
            "XDG_RUNTIME_DIR=" + RUNTIME, *argv, **more)

    def sh(self, script, *args):
        done = self.run("sh", "-euc", script, "sh", *args)
        if done.returncode:
            raise AssertionError(f"exit status {done.returncode}: "
                                 f"{done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout

    def log(self):
        return self.m.sh(f"journalctl --sync; journalctl -o cat _UID={UID}")

    def start(self, instance):
        self.sh('systemctl --user start "larder-mount@$1"', instance)

    def stop(self, instance):
        self.sh('systemctl --user stop "larder-mount@$1"', instance)

    def show(self, instance, *names):
        text = self.sh('systemctl --user show -p "$1" "larder-mount@$2"',
                       ",".join(names), instance)
        found = dict(line.split("=", 1) for line in text.splitlines())
        return tuple(found[name] for name in names)

    def reads(self, at=AT):
        equal(self.sh('cat "$1"', at + HELLO), "hello")

    def becomes(self, instance, state):
        wait_until(lambda: self.show(instance, "ActiveState") == (state,),
                   f"{instance} {state}")

    def fails(self, instance, status, words):
        done = self.run("systemctl", "--user", "start",
                        "larder-mount@" + instance)
        assert done.returncode, done
        equal(self.show(instance, "ActiveState", "Result"),
              ("failed", "exit-code"))
        assert words in self.log() and f"status={status}/" in self.log(), \
            self.log()
        equal(self.left(), [])

    def left(self):
        """Folders and mounts."""
        return self.sh(f"ls -A {RUNTIME}/larder 2>/dev/null || :").split("\n")[
            :-1] + self.m.sh("findmnt -rnt fuse.larderfs || :").split("\n")[:-1]


@contextlib.contextmanager
def user(shapes=("db-encrypted", "mbdb-plain"), conf=None, more=""):
    """Somebody with backups in ~/Backup; and {instance: lines of its file}"""
    for shape in shapes:
        if not os.path.exists(f"{TMP}/{shape}"):
            shutil.copytree(golden(shape), f"{TMP}/{shape}")
            save(f"{TMP}/{shape}.udid", mkbackup.SHAPES[shape].udid)
    for instance, lines in (conf or {}).items():
        more += f"\ncat >\"{CONF}/{instance}.conf\" <<'END'\n{lines}\nEND\n"
    with booted(setup="SYSTEMD=" + SYSTEMD + SETUP.format(
            uid=UID, home=HOME, runtime=RUNTIME, conf=CONF, more=more,
            shapes=" ".join(shapes))) as m:
        equal(m.state("anna.service"), "active", m.log("anna.service"))
        yield User(m)


PASSFILE_OF_ANNA = f"OPTIONS=passfile={HOME}/passfile"


# --- as long as it is mounted it is active -----------------------------------

@case_for((UDID, OLD_UDID))
def a_device_is_mounted_by_its_udid(udid):
    with user(conf={UDID: PASSFILE_OF_ANNA}) as u:
        u.start(udid)
        u.reads()
        state, pid, says = u.show(udid, "ActiveState", "MainPID", "SubState")
        equal((state, [pid], says), ("active", u.m.daemons(), "running"))
        equal(u.sh("larder mounts").split()[0], f"{HOME}/Backup/{udid}")
        u.sh('systemctl --user restart "larder-mount@$1"', udid)
        u.reads()
        u.stop(udid)
        equal(u.show(udid, "ActiveState", "Result"), ("inactive", "success"))
        equal((u.left(), u.m.daemons()), ([], []))


@case_for(("umount", "idle", "SIGTERM", "in use"))
def whatever_ends_the_mount_ends_the_service(how):
    options = ",idle=1" if how == "idle" else ""
    with user(conf={UDID: PASSFILE_OF_ANNA + options}) as u:
        u.start(UDID)
        u.reads()
        if how == "umount":
            u.sh('fusermount3 -u "$1"', AT)
        elif how == "SIGTERM":
            u.sh('kill "$1"', *u.m.daemons())
        elif how == "in use":
            u.sh('systemd-run -q --user -p WorkingDirectory="$1" sleep 1000',
                 AT)
            u.stop(UDID)
        u.becomes(UDID, "inactive")
        equal(u.show(UDID, "Result"), ("success",))
        equal((u.left(), u.m.daemons()), ([], []))
        u.start(UDID)
        u.reads()


@case
def a_stop_unmounts_every_time():
    with user(["mbdb-plain"]) as u:
        for _ in range(15):
            u.start(OLD_UDID)
            u.reads()
            u.stop(OLD_UDID)
            equal(u.left(), [])
        # nothing was left when the daemon had ended
        assert f" on {AT}" not in u.log(), u.log()


@case
def it_is_mounted_at_login_and_unmounted_at_logout():
    with user(conf={UDID: PASSFILE_OF_ANNA}) as u:
        u.sh('systemctl --user enable "larder-mount@$1"', UDID)
        equal(u.left(), [])
        u.m.sh("systemctl restart anna")
        u.becomes(UDID, "active")
        u.reads()
        u.m.sh("systemctl stop anna")
        equal((u.left(), u.m.daemons()), ([], []))


# --- what is mounted, and where ----------------------------------------------

@case
def a_name_and_a_path_are_escaped():
    with user(["db-encrypted"], conf={NAME: "OPTIONS=umask=077"}) as u:
        path = u.sh('systemd-escape "$1"', f"{HOME}/Backup/{UDID}").strip()
        name = u.sh('systemd-escape "$1"', NAME).strip()
        equal(name, r"Anna\x27s\x20iPhone")
        if "not remembered" in u.sh(
                "larder mount --remember --passfile passfile Backup/* 2>&1; "
                "larder umount"):
            raise Skip("the kernel keeps no keys")
        for instance, mode in ((path, "644"), (name, "700")):
            u.start(instance)
            u.reads()
            equal(u.sh('stat -c %a "$1"', AT + HELLO).strip(), mode)
            u.stop(instance)
        u.sh("larder lock --quiet")


@case
def it_is_mounted_where_its_file_says():
    at = HOME + "/My phone"
    with user(["mbdb-plain"], conf={OLD_UDID: f"MOUNTPOINT='\"{at}\"'\n"
                                    "OPTIONS=umask=077"},
              more=f"mkdir '{at}'") as u:
        u.start(OLD_UDID)
        u.reads(at)
        equal(u.sh('stat -c %a "$1"', at + HELLO), "700\n")
        u.stop(OLD_UDID)
        equal(u.left(), [])
        u.sh('rmdir "$1"', at)


# --- the password ------------------------------------------------------------

@case
def without_a_password_or_a_backup_it_fails_and_says_why():
    with user(conf={UDID: "# none"}) as u:
        u.fails(UDID, 13, "password needed, and none was given")
    with user(conf={UDID: "OPTIONS=passfile=/dev/zero"}) as u:
        u.fails(UDID, 1, "larderfs: ")
    with user(conf={UDID: "OPTIONS=extpass=echo no"}) as u:
        u.fails(UDID, 12, "wrong password")
    with user() as u:
        u.fails("nobody", 3, "larder: nobody: no such folder")
        u.fails(r"a\x2", 1, "not what systemd-escape(1) writes")


@case
def the_password_can_be_a_credential_or_come_from_a_command_or_be_a_key():
    with user(["db-encrypted"], conf={UDID: "# none"}) as u:
        drop_in = f"{HOME}/.config/systemd/user/larder-mount@{UDID}.service.d"
        u.sh('mkdir -p "$1"; printf "%s\\n" "[Service]" '
             '"LoadCredential=phone:%h/passfile" '
             '"Environment=OPTIONS=passfile=%d/phone" >"$1/local.conf"; '
             "systemctl --user daemon-reload", drop_in)
        u.start(UDID)
        u.reads()
        u.stop(UDID)
        u.sh('rm "$1/local.conf"; systemctl --user daemon-reload; '
             "larder key --passfile passfile Backup/* key", drop_in)
        for options in ("keyfile=key", f"extpass=cat {HOME}/passfile"):
            u.sh('echo "OPTIONS=$1" >"$2"', options, f"{CONF}/{UDID}.conf")
            u.start(UDID)
            u.reads()
            u.stop(UDID)
        assert PASSWORD not in u.log()


@case
def systemd_finds_nothing_wrong_with_the_unit():
    with user() as u:
        equal(u.sh('systemd-analyze verify --user "larder-mount@$1" 2>&1',
                   UDID + ".service"), "")


run()
