# SPDX-License-Identifier: LGPL-2.1-or-later
"""Offers to mount a phone backup, in the menu of its folder in Nautilus."""

import os
import subprocess

from gi.repository import GObject, Nautilus

MANIFESTS = "Manifest.plist", "Manifest.db", "Manifest.mbdb"


def is_backup(path):
    return path and any(os.path.isfile(os.path.join(path, name))
                        for name in MANIFESTS)


def mount(_item, path):
    subprocess.Popen(["larder", "mount", "--open", "--dialog", "--", path],
                     stdin=subprocess.DEVNULL, start_new_session=True)


class LarderMenu(GObject.GObject, Nautilus.MenuProvider):
    # before Nautilus 43 there is a window in front of the files
    def get_file_items(self, *args):
        files = args[-1]
        if len(files) != 1 or not files[0].is_directory():
            return []
        path = files[0].get_location().get_path()
        if not is_backup(path):
            return []
        item = Nautilus.MenuItem(name="Larder::mount",
                                 label="Mount Phone Backup",
                                 tip="Open it as a folder", icon="larder")
        item.connect("activate", mount, path)
        return [item]

    def get_background_items(self, *_args):
        return []
