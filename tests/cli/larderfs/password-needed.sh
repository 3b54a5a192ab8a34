mkdir mnt
larderfs "$GOLDEN/db-encrypted/backup" mnt
