larder key --passfile "$PASS" "$GOLDEN/db-encrypted/backup" my.key
larder key --passfile "$PASS" "$GOLDEN/db-encrypted/backup" my.key; echo $?
echo precious >letter
larder key --passfile "$PASS" "$GOLDEN/db-encrypted/backup" letter; echo $?
cat letter
larder key --passfile "$PASS" "$GOLDEN/db-encrypted/backup" no/such/folder; echo $?
