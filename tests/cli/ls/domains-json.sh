larder ls --json "$GOLDEN/db-plain/backup"
