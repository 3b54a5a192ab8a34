mkdir folder mnt
cp -r "$GOLDEN/db-encrypted/backup" folder/00008110-000A1B2C3D4E5F67
larderfs folder mnt -o passfile=none; echo $?
larderfs folder mnt -o keyfile=none; echo $?
