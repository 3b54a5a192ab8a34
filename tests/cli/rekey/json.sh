cp -a "$GOLDEN/db-encrypted/backup" "$GOLDEN/mbdb-encrypted" .
echo "another one" >new
larder rekey --json --passfile "$PASS" --new-passfile new backup
larder rekey --json --iterations 77 --passfile new --new-passfile "$PASS" backup
larder rekey --json --passfile "$PASS" --new-passfile new mbdb-encrypted/backup
larder rekey --json --passfile "$PASS" --new-passfile new mbdb-encrypted/backup
