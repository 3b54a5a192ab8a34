cp -a "$GOLDEN/db-encrypted/backup" .
larder rekey --quiet --passfile "$PASS" --new-passfile "$PASS" backup
