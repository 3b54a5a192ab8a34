larder restore --yes "$GOLDEN/db-encrypted/backup"; echo $?
