larder info --passfile "$WRONG" "$GOLDEN/mbdb-encrypted/backup"
