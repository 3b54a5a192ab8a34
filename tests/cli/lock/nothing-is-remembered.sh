larder lock "$GOLDEN/db-plain/backup"
larder lock --json "$GOLDEN/db-plain/backup" "$GOLDEN/mbdb-plain/backup"
larder lock nobody
