B="$GOLDEN/db-plain/backup"
larder pack; echo $?
larder pack a; echo $?
larder pack a b c; echo $?
larder pack -x a b; echo $?
larder pack --yes a b; echo $?
larder pack --unencrypted --new-passfile "$PASS" "$B" out; echo $?
larder pack --unencrypted --new-password "$B" out; echo $?
larder pack --iterations 1000 "$B" out; echo $?
larder pack --new-passfile "$PASS" --iterations 0 "$B" out; echo $?
larder pack --new-passfile "$PASS" --iterations 1e6 "$B" out; echo $?
larder pack --new-passfile "$PASS" --iterations 99999999999 "$B" out; echo $?
larder pack --only "" "$B" out; echo $?
larder pack "$B" ""; echo $?
ls
