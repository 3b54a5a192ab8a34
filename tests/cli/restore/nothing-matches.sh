larder restore --yes --only NoDomain "$GOLDEN/db-plain/backup"; echo $?
