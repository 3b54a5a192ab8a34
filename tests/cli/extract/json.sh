larder extract --json --only HomeDomain/Library/Sizes --passfile "$PASS" "$GOLDEN/db-encrypted/backup" out >log; echo $?
sort log | sed 's/"seconds":[0-9.e-]*/"seconds":S/'
