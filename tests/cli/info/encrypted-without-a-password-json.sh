larder info --json "$GOLDEN/db-encrypted/backup"
