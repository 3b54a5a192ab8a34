larder info --passfile "$PASS" --json "$GOLDEN/mbdb-plain/backup"
