cp -a "$GOLDEN/db-encrypted/backup" .
echo "another one" >new
larder key --passfile "$PASS" backup key
larder rekey --keyfile key --new-passfile new backup; echo $?
larder rekey --keyfile key --new-passfile new backup; echo $?
larder key --passfile new backup key
larder rekey --quiet --keyfile key --new-passfile "$PASS" backup; echo $?
