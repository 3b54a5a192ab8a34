echo hello >my.key
larder info --keyfile my.key "$GOLDEN/db-encrypted/backup"; echo $?
larder info --keyfile none "$GOLDEN/db-encrypted/backup"; echo $?
