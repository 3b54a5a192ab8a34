#!/bin/sh
# check_desktop.sh SOURCE_DIR: what desktops read of us is what they can read
for tool in desktop-file-validate xmllint update-mime-database; do
	command -v "$tool" >/dev/null || {
		echo "$tool is not installed"
		exit 77
	}
done
rc=0
cd "$1/tools/desktop" || exit 1
desktop-file-validate larder.desktop thunar.desktop || rc=1
xmllint --noout larder.xml icons/*.svg || rc=1
python3 -c 'compile(open("nautilus.py").read(), "nautilus.py", "exec")' || rc=1
place=$(mktemp -d)
mkdir "$place/packages"
cp larder.xml "$place/packages"
update-mime-database "$place" >/dev/null 2>&1 &&
	grep -q 'ios-backup-manifest:Manifest.db$' "$place/globs2" || rc=1
rm -rf "$place"
exit $rc
