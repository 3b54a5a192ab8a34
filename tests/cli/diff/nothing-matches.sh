B="$GOLDEN/db-plain/backup"
larder diff --only NoDomain "$B" "$B"; echo $?
larder diff --only EmptyDomain "$B" "$B"; echo $?
