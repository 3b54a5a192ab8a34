A="$GOLDEN/db-encrypted/backup" B="$GOLDEN/mbdb-encrypted/backup"
larder diff "$A" "$B"; echo $?
larder diff --passfile "$WRONG" "$A" "$B"; echo $?
larder diff --passfile "$PASS" --other-passfile "$WRONG" "$A" "$B"; echo $?
larder diff --passfile "$PASS" --other-passfile none "$A" "$B"; echo $?
larder key --passfile "$PASS" "$A" key >/dev/null
larder diff --keyfile key "$A" "$B"; echo $?
larder diff --keyfile key --other-passfile "$PASS" --only EmptyDomain "$A" "$B"; echo $?
