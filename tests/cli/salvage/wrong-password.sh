larder salvage --passfile "$WRONG" "$GOLDEN/db-encrypted/backup"; echo $?
larder salvage "$GOLDEN/db-encrypted/backup"; echo $?
larder salvage "$PWD"; echo $?
