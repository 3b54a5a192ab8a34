larder info --passfile "$PASS" "$GOLDEN/db-plain/backup"
