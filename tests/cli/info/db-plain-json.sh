larder info --passfile "$PASS" --json "$GOLDEN/db-plain/backup"
