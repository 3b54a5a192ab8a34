larder ls "$GOLDEN/db-plain/backup"
