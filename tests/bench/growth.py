"""How time and memory grow with a backup: from 1,000 records to a million, as
a picture. Encrypted backups without payloads, mounted with a key file."""

import statistics
import subprocess
import tempfile

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
HUGE = (5_000_000,)

PLOT = """
set terminal svg size 900,360 font "sans,12" background "white"
set output "{out}"
set multiplot layout 1,2
set logscale xy
set format x "%.0s%c"
set xlabel "records in the manifest"
set xrange [{least}*0.7:{most}*1.4]
set grid back linecolor rgb "#dddddd"
set key top left reverse Left
set style data linespoints
set title "seconds"
set format y "%g"
set yrange [0.001:*]
plot "{data}" using 1:2 title "mount and list the root" pointtype 7 \
         linecolor rgb "#1f77b4", \
     "{data}" using 1:4 title "walk and stat every entry" pointtype 5 \
         linecolor rgb "#d62728"
set title "resident memory of the driver, MiB"
set yrange [1:*]
plot "{data}" using 1:3 title "root listed" pointtype 7 \
         linecolor rgb "#1f77b4", \
     "{data}" using 1:5 title "every entry walked" pointtype 5 \
         linecolor rgb "#d62728"
"""


def measure(bench, count, key_file, timed_mount, resident_mib):
    """(records, seconds and MiB at the root, seconds and MiB after a walk)"""
    backup = bench.backup(f"manifest-{count}", "db-encrypted", "--profile",
                          "scale", "--no-payloads", "--files", count)
    key = key_file(bench, backup)
    found = []
    for _ in range(3):
        bench.warm(backup / "Manifest.db")
        with timed_mount(bench, backup, key) as (took, pid):
            first = resident_mib(pid)
            walk, _ = bench.probe("walk", bench.mnt)
            found.append((took, first, walk, resident_mib(pid)))
    return count, *map(statistics.median, zip(*found))


def draw(rows, out):
    with tempfile.NamedTemporaryFile("w", suffix=".dat") as data:
        for row in rows:
            print(*row, file=data)
        data.flush()
        subprocess.run(["gnuplot"], text=True, check=True, input=PLOT.format(
            out=out, data=data.name, least=rows[0][0], most=rows[-1][0]))


def table(rows):
    yield ("records", "root listed", "memory", "all walked", "memory")
    for count, first, small, walk, large in rows:
        yield (f"{count:,}", f"{first * 1000:.1f} ms", f"{small:.1f} MiB",
               f"{walk:.3g} s", f"{large:.1f} MiB")
