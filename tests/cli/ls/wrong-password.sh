larder ls --passfile "$WRONG" "$GOLDEN/mbdb-encrypted/backup"
