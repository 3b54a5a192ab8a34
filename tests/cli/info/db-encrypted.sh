larder info --passfile "$PASS" "$GOLDEN/db-encrypted/backup"
