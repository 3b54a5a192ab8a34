B="$GOLDEN/db-plain/backup"
cp -r "$B" copy
touch file
larder extract copy copy/out; echo $?
larder extract copy copy; echo $?
larder extract copy no/such/folder; echo $?
larder extract copy file; echo $?
larder extract --tar no/such/file copy; echo $?
larder extract --tar file copy; echo $?
larder extract --tar copy copy; echo $?
ls
