mkdir empty
touch file
for from in none empty file; do
	larder extract "$from" out; echo $?
done
ls
