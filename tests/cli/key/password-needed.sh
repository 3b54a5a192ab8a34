larder key "$GOLDEN/db-encrypted/backup" my.key
