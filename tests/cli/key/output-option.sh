larder key --passfile "$PASS" -o one "$GOLDEN/db-encrypted/backup"
larder key --passfile "$PASS" --output=two "$GOLDEN/db-encrypted/backup"
larder key --passfile "$PASS" --keyfile three "$GOLDEN/db-encrypted/backup"
cmp one two; cmp one three
