mkdir folder
cp -r "$GOLDEN/db-plain/backup" folder/00008110-000A1B2C3D4E5F67
cp -r "$GOLDEN/mbdb-plain/backup" folder/5f3e1c0a9b8d7c6e5f4a3b2c1d0e9f8a7b6c5d4e
mkdir folder/other
set -- folder; mkdir -p ../mnt; larderfs "$1" ../mnt
