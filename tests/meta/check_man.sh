#!/bin/sh
# check_man.sh SOURCE_DIR LARDER LARDERFS: mandoc has nothing to say about our pages;
# every command has one, as installed below LARDER_STAGE, with an example and
# the exit status, that tells all of its options.
command -v mandoc >/dev/null || {
	echo "mandoc is not installed"
	exit 77
}
rc=0
complain() {
	echo "$*"
	rc=1
}

# section PAGE NAME: the source of one section
section() {
	sed -n "/^\.Sh $2\$/,/^\.Sh /p" "$1" | sed 1d
}

# rendered PAGE: as it is read, no line broken
rendered() {
	mandoc -Tutf8 -Owidth=900 "$1" | sed "s/.$(printf '\b')//g"
}

# has TEXT OPTION: the whole of it, not the beginning of another
has() {
	printf '%s\n' "$1" | grep -qE -- "(^|[^-a-zA-Z])$2([^-a-z]|\$)"
}

check_sections() {
	for name in EXAMPLES 'EXIT STATUS'; do
		[ -n "$(section "$1" "$name")" ] ||
			complain "$1: no $name"
	done
}

# check_options NAME HELP PAGE COMMON
check_options() {
	[ -n "$2" ] || complain "$1: no help"
	text=$(rendered "$3")$4
	for option in $(printf '%s\n' "$2" |
		grep -oE -- '(^|[^-a-zA-Z])--?[A-Za-z][-a-z]*' |
		grep -oE -- '--?[A-Za-z][-a-z]*' | sort -u); do
		# -lR in a usage line are two options
		case $option in
		-[A-Za-z][A-Za-z]*) continue ;;
		esac
		has "$text" "$option" ||
			complain "$3: $option of $1 --help is not there"
	done
}

for page in "$1"/man/*.[1-8]; do
	mandoc -Tlint -Wwarning "$page" || rc=1
	case $page in
	*.5) ;;
	*) check_sections "$page" ;;
	esac
done

common=$(rendered "$1/man/larder.1" | sed -n '/^COMMON OPTIONS/,/^JSON/p')
[ -n "$LARDER_STAGE" ] || {
	echo "the commands were not looked at: run ./dev test"
	[ $rc = 0 ] && exit 77
	exit 1
}
installed=$LARDER_STAGE/usr/local/share/man
commands=$("$2" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || complain "larder --help lists no commands"
for command in $commands; do
	page=$installed/man1/larder-$command.1
	[ -f "$page" ] || {
		complain "larder $command has no manual page"
		continue
	}
	section "$page" EXAMPLES | grep -q "larder $command" ||
		complain "$page: no example of larder $command"
	check_options "larder $command" "$("$2" "$command" --help)" "$page" \
		"$common"
done
check_options larderfs "$("$3" --help)" \
	"$installed/man8/larderfs.8" ''
exit $rc
