B="$GOLDEN/db-ios10/backup"
larder diff --only HomeDomain --passfile "$PASS" --exit-code "$B" "$B"; echo $?
larder diff --quiet --passfile "$PASS" --exit-code "$B" "$B"; echo $?
