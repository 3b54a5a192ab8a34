mkdir empty
larder diff empty "$GOLDEN/db-plain/backup"; echo $?
larder diff "$GOLDEN/db-plain/backup" none; echo $?
larder diff --json "$GOLDEN/db-plain/backup" none; echo $?
