larder info --passfile "$WRONG" "$GOLDEN/db-encrypted/backup"
