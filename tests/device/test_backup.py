#!/usr/bin/python3
"""larder backup against the simulated phone."""

from harness import *


@case
def a_first_backup_shows_what_the_phone_has():
    with Simulator() as sim:
        phone, folder = sim.phones[0], new_dir("backups")
        done = backup(sim, folder)
        equal(shows_content(phone, f"{folder}/{UDID}"), None)
        equal(phone.violations(), [])
        equal(sorted(os.listdir(folder)), [UDID])
        assert "not encrypted" in done.stdout, done.stdout


run()
