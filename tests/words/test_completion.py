#!/usr/bin/python3
"""Completion, as real shells offer it: bash, zsh and fish on a terminal."""

from harness import *

SHARE = STAGE + "/usr/local/share"
SHELLS = {}

UDID = mkbackup.SHAPES["db-plain"].udid


def shell(cls):
    SHELLS[cls.__name__.lower()] = cls
    return cls


def place():
    """(home, environment, working folder): one backup of Anna's in the home,
    a file and a folder to work in."""
    home, cwd = new_dir("home"), new_dir("cwd")
    shutil.copytree(golden("db-plain"), f"{home}/Backup/{UDID}")
    os.mkdir(cwd + "/folder")
    save(cwd + "/file", b"")
    env = environment(HOME=home, TERM="dumb", PS1="READY>", HISTFILE="",
                      XDG_DATA_DIRS=SHARE + ":/usr/share",
                      PATH=BIN + ":" + os.environ["PATH"])
    return home, env, cwd


@shell
class Bash:
    """Has all that it offers put on the line, as words that printf gets."""

    def __init__(self, env, cwd):
        self.t = Terminal("bash", "--norc", "--noprofile", "-i", env=env,
                          cwd=cwd)
        self.t.read_until("READY>")
        self.run(". /usr/share/bash-completion/bash_completion; "
                 "bind 'set enable-bracketed-paste off'")

    def close(self):
        self.t.__exit__()

    def run(self, text):
        self.t.send(f"{text}; echo EN''D\n")
        said = self.t.read_until("END\r\n")
        self.t.read_until("READY>")
        return said

    def printed(self, line, key):
        said = self.run(f"{line}{key}\x01printf '<%s>\\n' \x05")
        return re.findall(r"^<(.*)>\r$", said, re.M)

    def offers(self, line):
        words = self.printed(line, "\x1b*")
        typed = line.count(" ")
        # the first has kept what stands before the sign
        front = re.match(r".*=", line.split(" ")[-1])
        if front:
            words[typed + 1:] = [w if w.startswith(front[0]) else front[0] + w
                                 for w in words[typed + 1:]]
        return {word for word in words[typed:]
                if word != line.split(" ")[-1]}

    def completed(self, line):
        return self.printed(line, "\t")[-1]


@shell
class Zsh:
    """Is asked for its list."""

    def __init__(self, env, cwd):
        self.t = Terminal("zsh", "-f", "-i", env=env, cwd=cwd)
        self.t.send(f"PS1='READY>'; fpath=({SHARE}/zsh/site-functions $fpath);"
                    " autoload -U compinit; compinit -D -u; LISTMAX=100000;"
                    " unsetopt always_last_prompt zle_bracketed_paste;"
                    " unset zle_bracketed_paste; echo EN''D\n")
        self.t.read_until("END\r\n")
        self.t.read_until("READY>")

    def close(self):
        self.t.__exit__()

    def end(self, keys):
        self.t.send(keys + "echo EN''D\n")
        said = self.t.read_until("END\r\n")
        self.t.read_until("READY>")
        return said

    def offers(self, line):
        said = self.end(f"{line}\x04\x15")
        found = set()
        for row in said.replace("\r", "").split("\n"):
            if "READY>" in row or "EN''D" in row or row.startswith(line):
                continue
            word, about, _ = row.partition("  -- ")
            found |= {word} if about else set(re.split(r" {2,}", row.strip()))
        return found - {"", "END"}

    def completed(self, line):
        said = self.end(f"{line}\t\x01printf '<%s>\\n' \x05; ")
        return re.findall(r"^<(.*)>\r$", said, re.M)[-1]


@shell
class Fish:
    """Lists what it would offer."""

    def __init__(self, env, cwd):
        self.env, self.cwd = env, cwd

    def close(self):
        pass

    def offers(self, line):
        done = execute("fish", "-c", "complete -C $argv[1]", line,
                       env=self.env, cwd=self.cwd)
        equal((done.returncode, done.stderr), (0, ""))
        return {row.split("\t")[0] for row in done.stdout.splitlines()}

    def completed(self, line):
        found = self.offers(line)
        equal(len(found), 1, line)
        return found.pop()


@contextlib.contextmanager
def in_shell(name, **more):
    home, env, cwd = place()
    one = SHELLS[name](env | more, cwd)
    try:
        yield one, home, cwd
    finally:
        one.close()


def help_of(*command):
    done = execute(*command, "--help")
    equal(done.returncode, 0)
    return done.stdout


def commands():
    return re.findall(r"^  ([a-z]+) ", help_of(LARDER), re.M)


def long_options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))


def complete(*words, env=None, program=LARDER):
    """What the shells get; nothing is said, whatever happens."""
    done = execute(program, "--complete", *words, env=env)
    equal((done.returncode, done.stderr), (0, ""))
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


# --- in each shell -----------------------------------------------------------

for SHELL in SHELLS:
    def every_command_and_every_option(name=SHELL):
        assert shutil.which(name), f"{name} is not installed"
        with in_shell(name) as (one, _, _):
            names = commands()
            assert len(names) >= 20, names
            equal(one.offers("larder "), set(names))
            for command in names:
                wanted = long_options(help_of(LARDER, command))
                wanted -= long_options(
                    help_of(LARDER, command).split("\n\n")[1])
                wanted |= {"--help"}
                offered = {o.rstrip("=")
                           for o in one.offers(f"larder {command} --")}
                equal(offered, wanted, command)
            equal(one.offers("larderfs --"),
                  {"--help", "--version", "--capabilities"})

    def values_of_options(name=SHELL):
        with in_shell(name) as (one, _, _):
            equal(one.offers("larder password "), {"on", "change", "off"})
            equal(one.offers("larder extract --view="),
                  {"--view=domains", "--view=device"})
            equal(one.offers("larder mount -o salvage,view="),
                  {"salvage,view=domains", "salvage,view=device"})
            equal(one.offers("larder mount -o all"), {"allow_other"})
            equal(one.offers("larder info --remember="),
                  {"--remember=" + word
                   for word in ("30m", "8h", "2d", "login")})
            assert "io-uring" in {
                word.split(":")[-1].split("=")[-1]
                for word in one.offers("larderfs -o ways=ahead:")}

    def files_and_folders(name=SHELL):
        with in_shell(name) as (one, _, _):
            equal({w.rstrip("/") for w in one.offers("larder backup ")},
                  {"folder"})
            equal({w.rstrip("/") for w in one.offers("larder verify "
                                                     "--against ")},
                  {"file", "folder"})
            # zsh lists what comes behind the sign
            equal({w.rstrip("/").removeprefix("--tar=")
                   for w in one.offers("larder extract --tar=f")},
                  {"file", "folder"})

    def domains_and_paths_of_a_backup(name=SHELL):
        with in_shell(name) as (one, home, _):
            backup = f"{home}/Backup/{UDID}"
            names = {line["path"].split("/")[0]
                     for line in expect_of(golden_expect("db-plain"))}
            names = {n for n in names if n.endswith("Domain")
                     and re.fullmatch(r"[A-Za-z]+", n)}
            offered = one.offers(f"larder ls {backup} ")
            assert {n + "/" for n in names} <= offered, (names, offered)
            equal(one.offers(f"larder ls {backup} HomeDomain/Lib"),
                  {"HomeDomain/Library/"})
            equal(one.offers(f"larder extract {backup} --only=Home"),
                  {"--only=HomeDomain/"})
            equal(one.offers(f"larder extract {backup} --app com.ex"),
                  {"com.example.app"})
            equal(one.completed(f"larder ls {backup} Dom"), "Domäne 😀/")

    def names_of_devices(name=SHELL):
        with Simulator({"udid": "00008110-000A1B2C3D4E5F67",
                        "name": "Ben's iPhone"}) as sim:
            address = sim.env["USBMUXD_SOCKET_ADDRESS"]
            with in_shell(name, USBMUXD_SOCKET_ADDRESS=address) as (one, *_):
                equal(one.offers("larder backup --udid "),
                      {"00008110-000A1B2C3D4E5F67"})

    def backups_by_name(name=SHELL):
        with in_shell(name) as (one, home, _):
            info = f"{home}/Backup/{UDID}/Info.plist"
            text = read(info)
            old = re.search(rb"<key>Device Name</key>\s*<string>(.*?)<",
                            text)[1]
            save(info, text.replace(old, b"Zoe's red phone"))
            equal(one.completed("larder mount Zoe"), "Zoe's red phone")
            assert f"{home}/Backup/{UDID}" in one.offers("larder info ")

    for check in (every_command_and_every_option, values_of_options,
                  files_and_folders, domains_and_paths_of_a_backup,
                  names_of_devices, backups_by_name):
        check.__name__ = f"{SHELL}_completes_{check.__name__}"
        case(check)


# --- what they are told ------------------------------------------------------

@case
def options_that_are_offered_exist():
    for command in commands():
        for option in complete(command, "--"):
            if option == "--help" or option.endswith("="):
                continue
            said = larder(command, option).stderr
            assert "unrecognized" not in said, said


@case
def an_encrypted_backup_is_not_opened_by_asking():
    backup = golden("db-encrypted")
    env = environment(HOME=new_dir("home"), LARDER_PASSFILE="/dev/full")
    began = time.monotonic()
    equal(complete("ls", backup, "", env=env), set())
    equal(complete("extract", backup, "--only", "H", env=env), set())
    # on a terminal too
    with Terminal(LARDER, "--complete", "ls", backup, "", env=env) as t:
        equal(t.read_until(), "")
        equal(t.wait(), 0)
    assert time.monotonic() - began < 10


@case
def a_remembered_key_opens_it():
    backup = golden("db-encrypted")
    done = larder("info", "--remember=60s", "--passfile", PASSFILE, backup)
    equal(done.returncode, 0)
    if "not remembered" in done.stderr:
        raise Skip(one_line(done.stderr))
    try:
        assert "HomeDomain/" in complete("ls", backup, "")
    finally:
        larder("lock", backup)


@case
def what_is_mounted_can_be_unmounted():
    with mounted(golden("db-plain")) as m:
        assert m.path in complete("umount", "")
        assert m.path not in complete("mount", "")


@case
def nonsense_is_answered_with_nothing():
    for words in (["nothing", ""], ["ls", "/nowhere", ""], ["ls", TMP, "x"],
                  ["umount", "/nowhere"], ["extract", "--bogus=", "x", ""],
                  ["info", "\x1b[31m"], ["diff", "-", "--", "-"], ["-x"],
                  ["mount", "-o", ",,=,"], ["mount", "--", "--open", "--"],
                  ["pair", "x", "y"], ["ls", "--only"], [""] * 40):
        complete(*words)
        complete(*words, program=LARDERFS)
    equal(complete(), set(commands()))


@case
def words_that_would_move_the_cursor_are_not_offered():
    with Simulator({"udid": "00008110-000A1B2C3D4E5F67",
                    "name": "Bob\u009b2J \u00fc"}) as sim:
        done = execute(LARDER, "--complete", "backup", "--udid", "",
                       env=env_of(sim))
        no_controls(done.stdout.replace("\t", "", 1))
        equal(done.stdout.count("\n"), 1)


@case
def options_are_there_at_once():
    if SANITIZED:
        raise Skip("a sanitizer takes its time")
    def took(*words):
        began = time.monotonic()
        complete(*words)
        return time.monotonic() - began
    for words in (["ex"], ["restore", "--"], ["mount", "-o", "vi"]):
        best = min(took(*words) for _ in range(5))
        assert best < 0.1, (words, best)


run()
