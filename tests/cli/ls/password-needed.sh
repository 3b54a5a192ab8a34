larder ls "$GOLDEN/db-encrypted/backup"
