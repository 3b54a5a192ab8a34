larder key --passfile "$PASS" "$GOLDEN/db-encrypted/backup" my.key
stat -c '%a %n' my.key
sed 's/[0-9a-f]\{32,\}/HEX/' my.key
larder info --json --keyfile my.key "$GOLDEN/db-encrypted/backup" | grep -o '"locked":[a-z]*'
ls
