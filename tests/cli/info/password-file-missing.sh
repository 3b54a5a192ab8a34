larder info --passfile none "$GOLDEN/db-encrypted/backup"
