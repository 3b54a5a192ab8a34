larder verify "$GOLDEN/db-encrypted/backup"; echo $?
larder verify --content "$GOLDEN/mbdb-encrypted/backup"; echo $?
larder verify --passfile "$WRONG" "$GOLDEN/db-encrypted/backup"; echo $?
