larder info --passfile "$PASS" "$GOLDEN/db-ios10/backup"
