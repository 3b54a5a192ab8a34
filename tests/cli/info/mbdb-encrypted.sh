larder info --passfile "$PASS" "$GOLDEN/mbdb-encrypted/backup"
