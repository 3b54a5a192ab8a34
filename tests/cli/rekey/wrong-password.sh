cp -a "$GOLDEN/db-encrypted/backup" .
larder rekey --passfile "$WRONG" --new-passfile "$PASS" backup; echo $?
larder rekey --passfile "$WRONG" backup; echo $?
larder rekey --passfile "$WRONG" --decrypt-to out backup; echo $?
diff -r "$GOLDEN/db-encrypted/backup" backup; echo $?
ls
