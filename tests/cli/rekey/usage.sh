B="$GOLDEN/db-encrypted/backup"
larder rekey; echo $?
larder rekey a b; echo $?
larder rekey -x a; echo $?
larder rekey --iterations 0 "$B"; echo $?
larder rekey --iterations 1e6 "$B"; echo $?
larder rekey --decrypt-to out --encrypt-to out "$B"; echo $?
larder rekey --decrypt-to out --new-passfile "$PASS" "$B"; echo $?
larder rekey --decrypt-to out --iterations 1000 "$B"; echo $?
ls
