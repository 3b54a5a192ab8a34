mkdir mnt
larderfs "$GOLDEN/db-encrypted/backup" mnt -o passfile=none; echo $?
>empty
larderfs "$GOLDEN/db-encrypted/backup" mnt -o passfile=empty; echo $?
larderfs "$GOLDEN/db-encrypted/backup" mnt -o extpass='exit 7'; echo $?
