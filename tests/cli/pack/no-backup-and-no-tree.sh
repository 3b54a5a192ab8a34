mkdir empty other
touch file other/file
for from in none empty other file "$GOLDEN/db-plain"; do
	larder pack "$from" out; echo $?
done
ls
