mkdir folder
cp -r "$GOLDEN/db-plain/backup" folder/
set -- folder; mkdir -p ../mnt; larderfs "$1" ../mnt
