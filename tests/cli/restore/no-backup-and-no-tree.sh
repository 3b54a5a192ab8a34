mkdir empty
for from in none empty "$GOLDEN/db-plain"; do
	larder restore --yes "$from"; echo $?
done
