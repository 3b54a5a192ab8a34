cp -a "$GOLDEN/db-encrypted/backup" .
echo "another one" >new
larder rekey --passfile "$PASS" --new-passfile new backup; echo $?
larder ls --passfile new backup HomeDomain; echo $?
larder ls --passfile "$PASS" backup HomeDomain; echo $?
diff -rq "$GOLDEN/db-encrypted/backup" backup; echo $?
