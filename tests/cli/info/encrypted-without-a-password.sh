larder info "$GOLDEN/db-encrypted/backup"
