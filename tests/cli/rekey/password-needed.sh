cp -a "$GOLDEN/db-encrypted/backup" .
larder rekey --new-passfile "$PASS" backup; echo $?
larder rekey backup; echo $?
larder rekey --new-passfile "$PASS" --encrypt-to out backup; echo $?
larder rekey --decrypt-to out backup; echo $?
diff -r "$GOLDEN/db-encrypted/backup" backup; echo $?
ls
