larder restore --yes --passfile "$WRONG" "$GOLDEN/db-encrypted/backup"; echo $?
larder restore --dry-run --json --passfile "$WRONG" "$GOLDEN/db-encrypted/backup"; echo $?
