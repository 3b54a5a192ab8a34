larder verify; echo $?
larder verify --sample 5% "$GOLDEN/db-plain/backup"; echo $?
larder verify --stored --sample 0 "$GOLDEN/db-plain/backup"; echo $?
larder verify --stored --sample 5x "$GOLDEN/db-plain/backup"; echo $?
larder verify --stored --sample 101% "$GOLDEN/db-plain/backup"; echo $?
larder verify --resume "$GOLDEN/db-plain/backup"; echo $?
larder verify --record a --against b "$GOLDEN/db-plain/backup"; echo $?
larder verify --json --record - "$GOLDEN/db-plain/backup"; echo $?
larder verify --deep "$GOLDEN/db-plain/backup"; echo $?
