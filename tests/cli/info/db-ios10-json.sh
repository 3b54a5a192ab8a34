larder info --passfile "$PASS" --json "$GOLDEN/db-ios10/backup"
