cp -a "$GOLDEN/db-encrypted/backup" .
: >empty
printf '\377\n' >no-text
for new in empty none no-text; do
	larder rekey --passfile "$PASS" --new-passfile $new backup; echo $?
	larder rekey --passfile "$PASS" --new-passfile $new --encrypt-to out backup
	echo $?
done
larder rekey --passfile "$PASS" backup; echo $?
larder rekey --passfile "$PASS" --encrypt-to out backup; echo $?
diff -r "$GOLDEN/db-encrypted/backup" backup; echo $?
ls
