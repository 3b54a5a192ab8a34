larder info --passfile "$PASS" --json "$GOLDEN/mbdb-encrypted/backup"
