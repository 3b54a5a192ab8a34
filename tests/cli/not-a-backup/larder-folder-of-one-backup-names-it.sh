mkdir folder
cp -r "$GOLDEN/db-plain/backup" folder/
set -- folder; larder info "$1"
