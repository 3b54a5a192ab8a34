cp -r "$GOLDEN/db-plain/backup" .
mkdir backup/mnt
larderfs backup backup/mnt
