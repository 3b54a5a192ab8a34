larder ls -l "$GOLDEN/mbdb-plain/backup"
