cp -a "$GOLDEN/db-plain/backup" .
larder rekey --new-passfile "$PASS" backup; echo $?
larder rekey --decrypt-to out backup; echo $?
ls
