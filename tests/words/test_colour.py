#!/usr/bin/python3
"""Colour: on terminals, unless somebody does not want it, and nowhere else."""

from harness import *

PLAIN = golden("mbdb-plain")
RED, GREEN, END = "\x1b[1;31m", "\x1b[32m", "\x1b[m"


def shown(*args, **env):
    """What a terminal gets."""
    with Terminal(LARDER, *args, env=environment(TERM="xterm", NO_COLOR="")
                  | env) as t:
        said = t.read_until()
        t.wait()
    return said


@case
def errors_are_red_on_a_terminal():
    assert shown("info", "/nowhere").startswith(f"{RED}larder:{END} /nowhere")
    assert shown("info").startswith(f"{RED}larder:{END} info takes one")


@case
def a_check_of_this_computer_is_green_or_red():
    said = shown("doctor", TMP, USBMUXD_SOCKET_ADDRESS="UNIX:/nowhere")
    assert f"{GREEN}ok    {END}  folder: " in said, said
    assert f"{RED}FAILED{END}  usbmuxd: " in said, said


@case
def a_verdict_and_a_difference_are_coloured():
    assert GREEN in shown("diff", PLAIN, golden("db-plain")), "added"
    assert f"{RED}" in shown("verify", golden("db-plain")), "damage"


@case
def whoever_wants_none_gets_none():
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}):
        for args in (["info", "/nowhere"], ["doctor", TMP], ["info"],
                     ["diff", PLAIN, golden("db-plain")],
                     ["verify", "--notes", "--quiet", PLAIN]):
            said = shown(*args, **env).replace("\r\x1b[K", "")
            no_escapes = re.sub(r"\r[^\n\x1b]*\x1b\[K", "", said)
            assert "\x1b" not in no_escapes, (env, said)


@case
def an_empty_no_color_says_nothing():
    assert RED in shown("info", "/nowhere", NO_COLOR="")


@case
def a_pipe_gets_none():
    for args in (["info", "/nowhere"], ["doctor", TMP], ["verify", PLAIN],
                 ["diff", PLAIN, golden("db-plain")]):
        done = larder(*args, env=environment(TERM="xterm", NO_COLOR=""))
        assert "\x1b" not in done.stdout + done.stderr, args


run()
