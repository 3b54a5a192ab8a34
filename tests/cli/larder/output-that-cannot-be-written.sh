larder --help >/dev/full; echo $?
larder info "$GOLDEN/db-plain/backup" >/dev/full; echo $?
larder ls "$GOLDEN/db-plain/backup" >/dev/full; echo $?
