larder key --passfile "$PASS" --quiet "$GOLDEN/db-encrypted/backup" key >/dev/null
larder restore --yes --keyfile key "$GOLDEN/db-encrypted/backup"; echo $?
