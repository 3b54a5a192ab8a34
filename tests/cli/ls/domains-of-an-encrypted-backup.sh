larder ls --passfile "$PASS" "$GOLDEN/db-encrypted/backup"
