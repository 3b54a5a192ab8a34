cp -r "$GOLDEN/db-plain/backup" .
set -- "$(ls -d backup/?? | head -n 1)"; mkdir -p ../mnt; larderfs "$1" ../mnt
