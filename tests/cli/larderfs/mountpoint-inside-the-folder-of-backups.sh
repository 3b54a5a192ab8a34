mkdir -p folder/mnt
cp -r "$GOLDEN/db-plain/backup" folder/00008110-000A1B2C3D4E5F67
larderfs folder folder/mnt
