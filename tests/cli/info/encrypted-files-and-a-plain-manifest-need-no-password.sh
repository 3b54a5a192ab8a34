larder info --json "$GOLDEN/db-ios10/backup"
