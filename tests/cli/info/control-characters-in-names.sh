/usr/bin/python3 - "$TESTS" <<'P'
import sys
sys.path.insert(0, sys.argv[1])
import mkbackup
b = mkbackup.Backup("db-plain", edit=lambda plist: plist["Lockdown"].update(
    DeviceName="evil\x1b[2Jname\nline\x7f\u0085\u00e9"))
b.file("Evil\x1b]0;x\x07Domain", "f", b"x")
b.write("backup")
P
rm backup/Info.plist
larder info backup
larder info --json backup | grep -o '"device_name":"[^"]*"\|"domain":"[^"]*"'
