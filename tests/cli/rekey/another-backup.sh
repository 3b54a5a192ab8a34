B="$GOLDEN/db-ios10/backup"
echo "another one" >new
larder rekey --passfile "$PASS" --decrypt-to open "$B" 2>/dev/null; echo $?
larder rekey --new-passfile new --iterations 1000 --encrypt-to closed open 2>&1 |
	grep -v Sizes
larder rekey --passfile new --decrypt-to open closed; echo $?
larder rekey --passfile new --decrypt-to none/open closed; echo $?
larder rekey --passfile new --decrypt-to closed/open closed; echo $?
larder rekey --passfile "$PASS" --decrypt-to out closed; echo $?
ls -A
