larder pack "$GOLDEN/db-encrypted/backup" out; echo $?
ls
