B="$GOLDEN/db-plain/backup"
larder diff --content --only HomeDomain/Library/Sizes/missing "$B" "$B"; echo $?
larder diff --json --content --only HomeDomain/Library/Sizes/missing "$B" "$B" |
	sed 's/"seconds":[0-9.e-]*/"seconds":S/'
