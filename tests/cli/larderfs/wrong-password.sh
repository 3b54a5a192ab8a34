mkdir mnt
larderfs "$GOLDEN/db-encrypted/backup" mnt -o passfile="$WRONG"
