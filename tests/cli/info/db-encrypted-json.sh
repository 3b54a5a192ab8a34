larder info --passfile "$PASS" --json "$GOLDEN/db-encrypted/backup"
