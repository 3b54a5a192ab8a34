mkdir folder
cp -r "$GOLDEN/db-plain/backup" folder/00008110-000A1B2C3D4E5F67
cp -r "$GOLDEN/mbdb-encrypted/backup" folder/5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e
cp -r folder/00008110-000A1B2C3D4E5F67 folder/00008110-000A1B2C3D4E5F67-20240101-000000
mkdir folder/bad; echo x >folder/bad/Manifest.db
larder find folder
larder find --no-size folder
larder find --json folder
