#!/usr/bin/python3
"""larder password against the simulated phone."""

import pty
import select
import termios

from harness import *

SECRET, OTHER = "Gr\u00fc\u00dfe \U0001f600 42", "another one"


def password_file(text):
    data = text if isinstance(text, bytes) else text.encode()
    return save(new_path("password"), data + b"\n")


def change(sim, what, old=None, new=None, status=0, more=(), **kwargs):
    """larder password, with passwords from files."""
    options = list(more)
    if old is not None:
        options += ["--passfile", password_file(old)]
    if new is not None:
        options += ["--new-passfile", password_file(new)]
    done = larder_on(sim, "password", what, *options, **kwargs)
    if done.returncode != status:
        raise AssertionError(f"status {done.returncode}, want {status}: "
                             f"{done.stdout}{done.stderr}")
    for phone in sim.phones:
        over(phone)
    return done


def encrypted(sim, folder):
    """Whether a new backup of the phone is; it is looked at as well."""
    phone, = sim.phones
    done = backup(sim, folder, "--json")
    equal(shows_content(phone, f"{folder}/{UDID}"), None)
    return events(done)[-1]["encrypted"]


# --- by files ----------------------------------------------------------------

@case
def a_password_is_set_changed_and_removed():
    with phones({"fill": {"kind": "small"}}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        equal(encrypted(sim, folder), False)
        done = change(sim, "on", new=SECRET)
        equal(phone.password, SECRET)
        assert "backup password set" in done.stdout, done.stdout
        equal(encrypted(sim, folder), True)
        done = change(sim, "change", old=SECRET, new=OTHER)
        equal(phone.password, OTHER)
        assert "backup password changed" in done.stdout, done.stdout
        equal(encrypted(sim, folder), True)
        done = change(sim, "off", old=OTHER)
        equal(phone.password, None)
        assert "backup password removed" in done.stdout, done.stdout
        equal(encrypted(sim, folder), False)


@case
def the_passfile_alone_will_do_for_on():
    with phones() as sim:
        change(sim, "on", old=SECRET)
        equal(sim.phones[0].password, SECRET)


@case
def with_both_files_on_takes_the_new_one():
    with phones() as sim:
        change(sim, "on", old=OTHER, new=SECRET)
        equal(sim.phones[0].password, SECRET)


@case_for({"a line feed": b"\n", "nothing": b"", "a DOS line end": b"\r\n",
           "more lines": b"\nwhat\nelse\n"})
def behind_a_password_is_no_part_of_it(_what, end):
    with phones() as sim:
        for what, options in (("on", ["--new-passfile"]),
                              ("off", ["--passfile"])):
            place = save(new_path("password"), SECRET.encode() + end)
            done = larder_on(sim, "password", what, *options, place)
            equal(done.returncode, 0, done.stderr)
            equal(sim.phones[0].password, SECRET if what == "on" else None)


@case
def json_has_one_event():
    with phones() as sim:
        for what, old, new, on_now in (("on", None, SECRET, True),
                                       ("change", SECRET, OTHER, True),
                                       ("off", OTHER, None, False)):
            done = change(sim, what, old, new, more=["--json"])
            equal([e for e in events(done) if e["event"] == "finished"],
                  [{"event": "finished", "udid": UDID,
                    "encryption": on_now}])
            equal(done.stderr, "")


@case
def json_tells_of_an_error_too():
    with phones({"password": SECRET}) as sim:
        done = change(sim, "off", old="wrong", status=12, more=["--json"])
        error = events(done)[-1]
        equal((error["event"], error["status"]), ("error", 12))
        assert error["message"] in done.stderr, done.stderr


@case
def an_old_backup_keeps_its_password():
    with phones({"fill": {"kind": "small"}, "password": SECRET}) as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        backup(sim, folder)
        expected = expect_of_phone(phone)
        change(sim, "change", old=SECRET, new=OTHER)
        equal(shows(f"{folder}/{UDID}", expected), None)


# --- what is refused ---------------------------------------------------------

@case_for({"change": OTHER, "off": None})
def a_wrong_old_password_changes_nothing(what, new):
    with phones({"password": SECRET}) as sim:
        done = change(sim, what, old="wrong", new=new, status=12)
        assert "wrong backup password" in done.stderr, done.stderr
        equal(sim.phones[0].password, SECRET)
        equal(sim.phones[0].events("password-changed"), [])


@case_for({"on": (SECRET, "has a backup password"),
           "change": (None, "has no backup password"),
           "off": (None, "has no backup password")})
def what_is_so_already_is_said(what, how):
    now, words = how
    with phones({"password": now}) as sim:
        phone, = sim.phones
        done = change(sim, what, old=SECRET, new=OTHER, status=1)
        assert words in done.stderr and "larder password" in done.stderr, \
            done.stderr
        equal(phone.password, now)
        equal(phone.events("changepassword-request"), [])


@case_for({"an empty line": (b"", 13), "no UTF-8": (b"\xff\xfe\xff", 1),
           "an overlong one": (b"x" * 100000, 1),
           "a NUL in it": (b"a\0b", 1)})
def is_no_password(_what, how):
    data, status = how
    with phones() as sim:
        phone, = sim.phones
        done = change(sim, "on", new=data, status=status)
        one_line(done.stderr)
        equal((phone.password, phone.events("changepassword-request")),
              (None, []))
    with phones({"password": SECRET}) as sim:
        change(sim, "change", old=data, new=OTHER, status=status)
        equal(sim.phones[0].password, SECRET)


@case
def a_file_that_is_not_there_is_named():
    with phones() as sim:
        done = larder_on(sim, "password", "on", "--new-passfile",
                         "/nowhere/at all")
        equal(done.returncode, 1)
        assert "/nowhere/at all" in done.stderr, done.stderr
        equal(sim.phones[0].password, None)


@case
def a_long_password_is_no_exception():
    with phones({"fill": {"kind": "small"}}) as sim:
        change(sim, "on", new="\u00e4" * 400)
        equal(sim.phones[0].password, "\u00e4" * 400)
        equal(encrypted(sim, new_dir("backups")), True)


@case
def a_password_is_never_an_argument():
    with phones() as sim:
        for args in (["on", SECRET], [SECRET], [],
                     ["on", "--keyfile", PASSFILE]):
            done = larder_on(sim, "password", *args)
            equal(done.returncode, 2, args)
            assert SECRET not in done.stderr, done.stderr
        equal(sim.phones[0].password, None)


@case_for({"locked": ({"code": 208, "description": "Locked"}, 4),
           "not set up": ({"code": 212, "description": "x"}, 1),
           "cancelled": ({"code": 202, "description": "x"}, 5)})
def the_phone_refuses(_what, how):
    answer, status = how
    with phones({"knobs": {"refuse": answer}}) as sim:
        change(sim, "on", new=SECRET, status=status)
        equal(sim.phones[0].password, None)


# --- what is waited for ------------------------------------------------------

@case
def the_passcode_is_asked_for():
    with phones({"knobs": {"passcode": 1}}) as sim:
        done = change(sim, "on", new=SECRET)
        assert "enter the passcode on the device" in done.stderr, done.stderr
        equal(sim.phones[0].password, SECRET)


@case
def a_passcode_that_never_comes_ends_it():
    with phones({"knobs": {"passcode": "never"}}) as sim:
        change(sim, "on", new=SECRET, status=4, more=["--timeout", "2"])
        sim.phones[0].set(passcode_timeout=1)
        done = change(sim, "on", new=SECRET, status=4)
        assert "enter the passcode" in done.stderr, done.stderr
        equal(sim.phones[0].password, None)


@case
def ctrl_c_ends_the_waiting():
    with phones({"knobs": {"passcode": "never"}}) as sim:
        phone, = sim.phones
        process = start(sim, LARDER, "password", "on", "--new-passfile",
                        password_file(SECRET))
        phone.wait("passcode-wanted")
        status, seconds, text = interrupted(process)
        equal(status, 5, text)
        assert seconds < (1.5 if SANITIZED else 1), seconds
        over(phone)
        equal(len(phone.events("client-left")), 1)
        equal(phone.password, None)


@case
def of_several_phones_one_has_to_be_chosen():
    other = {"udid": "00008101-00000000000000BB"}
    with phones({}, other) as sim:
        change(sim, "on", new=SECRET, status=2)
        change(sim, "on", new=SECRET, more=["--udid", other["udid"]])
        equal([phone.password for phone in sim.phones], [None, SECRET])


# --- on a terminal -----------------------------------------------------------

class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, sim, *argv):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, env_of(sim))

    def more(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 1 << 16)
        except OSError:                 # EIO: all have left
            return False
        self.text += data
        return bool(data)

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def expect(self, prompt):
        end = time.monotonic() + 30
        while not self.text.endswith(prompt.encode()):
            if not self.more(end - time.monotonic()):
                raise AssertionError(f"no {prompt!r}: {self.text!r}")
        wait_until(lambda: not self.echoes(), "the end of the echo")

    def answer(self, prompt, line):
        self.expect(prompt)
        os.write(self.fd, line.encode() + b"\n")

    def ended(self):
        while self.more(60):
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status, self.text.decode()


OLD_PROMPT, NEW_PROMPT, AGAIN = (
    "Present backup password: ", "New backup password: ", "The same again: ")


@case
def a_new_password_is_typed_twice():
    with phones() as sim:
        terminal = Terminal(sim, LARDER, "password", "on")
        terminal.answer(NEW_PROMPT, SECRET)
        terminal.answer(AGAIN, SECRET)
        status, text = terminal.ended()
        equal(status, 0, text)
        assert SECRET not in text, text
        equal(sim.phones[0].password, SECRET)


@case
def the_old_one_is_typed_once():
    with phones({"password": SECRET}) as sim:
        terminal = Terminal(sim, LARDER, "password", "change")
        terminal.answer(OLD_PROMPT, SECRET)
        terminal.answer(NEW_PROMPT, OTHER)
        terminal.answer(AGAIN, OTHER)
        equal(terminal.ended()[0], 0)
        equal(sim.phones[0].password, OTHER)
        terminal = Terminal(sim, LARDER, "password", "off")
        terminal.answer(OLD_PROMPT, OTHER)
        equal(terminal.ended()[0], 0)
        equal(sim.phones[0].password, None)


@case
def two_that_differ_change_nothing():
    with phones() as sim:
        terminal = Terminal(sim, LARDER, "password", "on")
        terminal.answer(NEW_PROMPT, SECRET)
        terminal.answer(AGAIN, SECRET + "x")
        status, text = terminal.ended()
        equal(status, 1, text)
        assert "the two passwords differ" in text, text
        equal(sim.phones[0].password, None)


@case_for({"the first": [NEW_PROMPT], "the second": [NEW_PROMPT, AGAIN]})
def ctrl_c_at_a_prompt_brings_the_echo_back(_which, prompts):
    with phones() as sim:
        # held open, so that the terminal outlives the program
        terminal = Terminal(sim, "sh", "-c", "trap : INT; "
                            f"{LARDER} password on; echo status $?; read x")
        for prompt in prompts[:-1]:
            terminal.answer(prompt, SECRET)
        terminal.expect(prompts[-1])
        os.write(terminal.fd, b"\x03")
        while b"status" not in terminal.text:
            assert terminal.more(20), terminal.text
        assert terminal.echoes(), "the echo is off"
        os.write(terminal.fd, b"\n")
        _, text = terminal.ended()
        assert "status 5" in text, text
        equal(sim.phones[0].password, None)


@case
def without_a_terminal_there_is_no_prompt():
    with phones({"password": SECRET}) as sim:
        done = larder_on(sim, "password", "off", start_new_session=True)
        equal(done.returncode, 13)
        assert "password needed" in done.stderr, done.stderr
        equal(sim.phones[0].password, SECRET)


# --- that it stays secret ----------------------------------------------------

@case
def nobody_else_sees_the_password():
    with phones({"password": SECRET, "knobs": {"passcode": 1.5}}) as sim:
        phone, = sim.phones
        helper = new_path("helper")
        save(helper, "#!/bin/sh\n"
             f"env >{helper}.env; tr '\\0' '\\n' </proc/$PPID/cmdline "
             f">{helper}.cmd; cat {password_file(SECRET)}\n")
        os.chmod(helper, 0o700)
        process = start(sim, LARDER, "password", "change", "--extpass",
                        helper, "--new-passfile", password_file(OTHER))
        phone.wait("passcode-wanted")
        secrets = SECRET.encode(), OTHER.encode()
        for name in ("cmdline", "environ"):
            data = read(f"/proc/{process.pid}/{name}")
            assert not any(s in data for s in secrets), name
        out, err = process.communicate(timeout=30)
        equal(process.returncode, 0, err)
        for text in (out.encode(), err.encode(), read(helper + ".env"),
                     read(helper + ".cmd")):
            assert not any(s in text for s in secrets), text
        equal(phone.password, OTHER)


run()
