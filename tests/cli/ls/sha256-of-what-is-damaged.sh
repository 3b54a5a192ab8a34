larder ls --quiet --passfile "$PASS" --sha256 "$GOLDEN/db-encrypted/backup" HomeDomain/Library/Sizes; echo $?
