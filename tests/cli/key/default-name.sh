larder key --passfile "$PASS" "$GOLDEN/mbdb-encrypted/backup"
larder key --passfile "$PASS" --json "$GOLDEN/db-encrypted/backup"
ls
