larder pack --passfile "$WRONG" "$GOLDEN/db-encrypted/backup" out; echo $?
larder pack --json --passfile "$WRONG" "$GOLDEN/db-encrypted/backup" out; echo $?
ls
