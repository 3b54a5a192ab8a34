larder info --quiet "$GOLDEN/db-encrypted/backup"
