larder info --passfile "$PASS" "$GOLDEN/mbdb-plain/backup"
