larder key --passfile "$WRONG" "$GOLDEN/db-encrypted/backup" my.key; echo $?
ls
