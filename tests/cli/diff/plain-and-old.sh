larder diff --quiet "$GOLDEN/db-plain/backup" "$GOLDEN/mbdb-plain/backup"; echo $?
