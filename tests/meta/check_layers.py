#!/usr/bin/python3
"""Check the layers of design.md against the #include lines.

    check_layers.py SOURCE_DIR
"""
import os
import re
import sys

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".")

# what the files of a layer may include, besides the C library's headers
PUBLIC = {"core/include/mb"}
LAYERS = {
    "core/include/mb": PUBLIC,
    "core/ground": {"core/ground", "core/include/mb"},
    "core/crypto": {"core/crypto", "core/ground", "core/include/mb"},
    "core/codecs": {"core/codecs", "core/crypto", "core/ground",
                    "core/include/mb"},
    "core/store": {"core/store", "core/codecs", "core/crypto", "core/ground",
                   "core/include/mb"},
    "core/model": {"core/model", "core/store", "core/codecs", "core/crypto",
                   "core/ground", "core/include/mb"},
    "fs": {"fs", "core/ground", "core/include/mb", "tools/cli"},
    "tools": {"tools", "tools/cli", "tools/link", "tools/source",
              "core/ground", "core/include/mb"},
    "tools/cli": {"tools/cli", "core/ground", "core/include/mb"},
    "tools/link": {"tools/link", "tools/cli", "core/ground",
                   "core/include/mb"},
}

# libraries: only the modules that wrap them
LIBRARIES = {
    "magic.h": {"core/store/content_type.c"},
    "openssl/": {"core/crypto/crypto.c"},
    "plist/": {"core/ground/plistx.h", "core/ground/plistx.c"},
    "sqlite3.h": {"core/store/manifest_vfs.h", "core/store/manifest_vfs.c",
                  "core/store/manifest_db.c",
                  "core/store/manifest_db_record.h",
                  "core/store/manifest_sink.h",
                  "core/store/one_file_vfs.h"},
}
# the same outside of core: files, or whole folders
OUTSIDE = {
    "libimobiledevice/": {"tools/link/device.c", "tools/link/device_link.c"},
    "usbmuxd.h": {"tools/link/device.c"},
    "archive": {"tools/extract_tar.c"},
    "plist/": {"tools", "tools/link"},
    "json-c/": {"tools"},
    "fuse": {"fs"},
}
NEVER_IN_CORE = ("archive", "fuse", "libimobiledevice/", "usbmuxd", "json-c/", "libudev")
SILENT = re.compile(r"\b(printf|fprintf|puts|fputs|putchar|perror|exit|_exit|"
                    r"abort|syslog|err|errx|warn|warnx)\s*\(")

complaints = []


def complain(path, line, text):
    complaints.append(f"{path}:{line}: {text}")


def sources():
    for top in ("core", "fs", "tools"):
        for folder, folders, names in os.walk(os.path.join(ROOT, top)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def index():
    """Header as it is included -> the layers that have it."""
    found = {}
    for path in sources():
        folder, name = os.path.split(path)
        if folder == "core/include/mb":
            found.setdefault("mb/" + name, set()).add(folder)
            found.setdefault(name, set()).add(folder)
        else:
            found.setdefault(name, set()).add(folder)
    return found


def strip(text):
    """Blank out comments and strings, keep the lines."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text,
                  flags=re.S)


def check_include(path, line, kind, target, headers):
    layer = os.path.dirname(path)
    allowed = LAYERS.get(layer)
    if allowed is None:
        # a folder below a known one follows the known one's rule
        parents = [k for k in LAYERS if layer.startswith(k + "/")]
        if not parents:
            complain(path, line, f"{layer} is no layer that is known")
            return
        allowed = LAYERS[max(parents, key=len)] | {layer}
    if kind == '"':
        layers = headers.get(target, set())
        if not layers:
            complain(path, line, f"{target}: no such header of ours")
        elif not layers & (allowed | {layer}):
            complain(path, line, f"{layer} may not include {target} of "
                     + ", ".join(sorted(layers)))
        return
    if not path.startswith("core/"):
        for prefix, places in OUTSIDE.items():
            if target.startswith(prefix) and not {path, layer} & places:
                complain(path, line, f"{target} belongs to "
                         + ", ".join(sorted(places)))
        return
    if target.startswith(NEVER_IN_CORE):
        complain(path, line, f"core knows no {target}")
    for prefix, files in LIBRARIES.items():
        if target.startswith(prefix) and path not in files:
            complain(path, line, f"{target} belongs to "
                     + ", ".join(sorted(files)))


def main():
    headers = index()
    count = 0
    for path in sources():
        with open(os.path.join(ROOT, path)) as f:
            text = f.read()
        count += 1
        for number, line in enumerate(text.splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)', line)
            if m:
                check_include(path, number, m[1], m[2], headers)
        if path.startswith("core/"):
            for number, line in enumerate(strip(text).splitlines(), 1):
                m = SILENT.search(line)
                if m:
                    complain(path, number, f"core is silent: {m[1]}()")
    if not count:
        complain(ROOT, 0, "no sources found")
    print("\n".join(complaints) or f"{count} files keep to their layers")
    return 1 if complaints else 0


sys.exit(main())
