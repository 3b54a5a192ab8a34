mkdir folder
cp -r "$GOLDEN/db-encrypted/backup" folder/00008110-000A1B2C3D4E5F67
larderfs --capabilities folder | head -1 | cut -d= -f1
