larderfs "$GOLDEN/db-plain/backup" none; echo $?
echo hello >file
larderfs "$GOLDEN/db-plain/backup" file; echo $?
