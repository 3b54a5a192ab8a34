larder info --remember=soon "$GOLDEN/db-plain/backup"
