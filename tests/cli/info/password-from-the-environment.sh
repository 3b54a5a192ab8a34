LARDER_PASSFILE=$PASS larder info --json "$GOLDEN/db-encrypted/backup" | grep -o "\"locked\":[a-z]*"
