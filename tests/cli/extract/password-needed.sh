larder extract "$GOLDEN/db-encrypted/backup" out; echo $?
larder extract --passfile "$WRONG" "$GOLDEN/db-encrypted/backup" out; echo $?
larder extract --json --passfile "$WRONG" --tar out "$GOLDEN/db-encrypted/backup"; echo $?
ls
