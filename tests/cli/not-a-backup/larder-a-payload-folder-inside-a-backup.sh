cp -r "$GOLDEN/db-plain/backup" .
set -- "$(ls -d backup/?? | head -n 1)"; larder info "$1"
