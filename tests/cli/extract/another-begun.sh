mkdir -p out/.larder-extract
printf 'larder-extract 1\nbackup 0 selection 0\nboot x mount 1\n\n' >out/.larder-extract/state
larder extract "$GOLDEN/db-plain/backup" out; echo $?
ls -A out
