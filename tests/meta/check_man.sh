#!/bin/sh
# check_man.sh SOURCE_DIR: mandoc has nothing to say about our pages
command -v mandoc >/dev/null || {
	echo "mandoc is not installed"
	exit 77
}
rc=0
for page in "$1"/man/*.[1-8]; do
	mandoc -Tlint -Wwarning "$page" || rc=1
done
exit $rc
