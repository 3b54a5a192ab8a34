cp -a "$GOLDEN/mbdb-encrypted/backup" .
larder rekey --passfile "$PASS" --new-passfile "$PASS" --iterations 1000 backup
echo $?
diff -r "$GOLDEN/mbdb-encrypted/backup" backup; echo $?
