larder key "$GOLDEN/db-plain/backup" my.key
