larder extract --passfile "$PASS" --only HomeDomain/Library/Sizes/cut-at-block --only HomeDomain/Library/Sizes/missing "$GOLDEN/db-encrypted/backup" out 2>log | sed 's/; [0-9.]* s$/; S s/'
sort log
find out -type f -size -100c
larder extract --quiet --tar t --passfile "$PASS" --only HomeDomain/Library/Sizes/cut-at-block "$GOLDEN/db-encrypted/backup"; echo $?
