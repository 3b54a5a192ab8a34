"""A machine that a real systemd boots, as PID 1 of namespaces of its own: of
processes, mounts, control groups. Its disk is this system's, and forgets."""

from harness import *

SYSTEMD = next((path for path in ("/lib/systemd/systemd",
                                  "/usr/lib/systemd/systemd")
                if os.path.exists(path)), None)
if not SYSTEMD or not shutil.which("systemctl"):
    skip_all("needs systemd")


def _children(pid):
    return [int(n) for n in read(f"/proc/{pid}/task/{pid}/children").split()]


class Machine:
    def __init__(self, pid, process):
        self.pid, self.process = pid, process

    def run(self, *argv, **more):
        """A program in the machine."""
        return execute("nsenter", f"--target={self.pid}", "--mount", "--pid",
                       "--uts", "--ipc", "--cgroup", "--root", "--wd", "--",
                       *argv, **more)

    def sh(self, script, *args):
        """What a script prints that must not fail."""
        done = self.run("sh", "-euc", script, "sh", *args)
        if done.returncode:
            raise AssertionError(f"exit status {done.returncode}: "
                                 + done.stdout + done.stderr)
        return done.stdout

    def can(self, *argv):
        """Does it succeed?"""
        return self.run(*argv).returncode == 0

    def show(self, unit, *names):
        """What systemd knows of a unit."""
        text = self.sh('systemctl show -p "$1" "$2"', ",".join(names), unit)
        found = dict(line.split("=", 1) for line in text.splitlines())
        return found[names[0]] if len(names) == 1 else \
            tuple(found[name] for name in names)

    def state(self, unit):
        return self.show(unit, "ActiveState")

    def daemons(self):
        return self.run("pgrep", "-x", r"(mount\.)?larderfs").stdout.split()

    def becomes(self, unit, state):
        wait_until(lambda: self.state(unit) == state, f"{unit} {state}")

    def log(self, unit):
        return self.sh('journalctl --sync; journalctl -o cat -u "$1"', unit)

    def is_mounted(self, path):
        """By us: what is asked for it does not mount it."""
        return any(" - fuse.larderfs " in line and
                   unescape(line.split(" ")[4]) == path for line in
                   read(f"/proc/{self.pid}/mountinfo", "r").splitlines())


def _control_group(dir):
    """One for the machine, and the process that moves there."""
    os.mkdir(dir)
    done = execute("mount", "-t", "cgroup2", "cgroup2", dir)
    if done.returncode:
        raise Skip(done.stderr.strip())
    group = f"{dir}/larder-test-{uuid.uuid4().hex}"
    os.mkdir(group)
    return group


def _remove_groups(group):
    for folder, _, _ in os.walk(group, topdown=False):
        wait_until(lambda: error_of(os.rmdir, folder) in (None, "ENOENT"),
                   f"the end of {folder}")


def _manager_environment():
    """For the reports of sanitizers."""
    env = environment()
    pairs = " ".join(f'"{name}={env[name]}"'
                     for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"))
    return f"[Manager]\nDefaultEnvironment={pairs}\n"


def _boot(unshare, wait):
    """None if it does not come up."""
    def ended():
        return unshare.poll() is not None

    pids = wait_until(lambda: ended() or _children(unshare.pid), "PID 1")
    machine = None if ended() else Machine(pids[0], unshare)
    wait_until(lambda: ended() or os.path.exists(
        f"/proc/{machine.pid}/root/run/systemd/private"), "systemd")
    if not ended() and wait:
        machine.run("systemctl", "is-system-running", "--wait")
    return None if ended() else machine


@contextlib.contextmanager
def booted(fstab="", setup="", wait=True):
    """Boot, with this /etc/fstab and after this script, and wait until there
    is nothing left to do, good or bad."""
    conf = _manager_environment()
    script = save(new_path("setup"), f"""
mkdir -p /etc/systemd/system.conf.d /etc/systemd/user.conf.d
cat >/etc/systemd/system.conf.d/test.conf <<'END'
{conf}END
cp /etc/systemd/system.conf.d/test.conf /etc/systemd/user.conf.d
cat >/etc/fstab <<'END'
{fstab}END
{setup}
""")
    with tmpfs() as dir:
        group = _control_group(dir + "/groups")
        log = new_path("machine.log")
        try:
            with open(log, "wb") as out, subprocess.Popen(
                    ["sh", "-c", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"',
                     "sh", group, "unshare", "--mount", "--pid", "--fork",
                     "--kill-child", "--uts", "--ipc", "--cgroup", "sh",
                     MOUNT_TESTS + "/machine.sh", dir, TMP, STAGE, script],
                    env=environment(SYSTEMD=SYSTEMD), stdin=subprocess.DEVNULL,
                    stdout=out, stderr=out) as unshare:
                try:
                    machine = _boot(unshare, wait)
                    if not machine:
                        raise AssertionError("no machine: " + read(log, "r"))
                    yield machine
                finally:
                    unshare.kill()
        finally:
            _remove_groups(group)
            execute("umount", dir + "/groups")
