larder ls --recursive "$GOLDEN/db-plain/backup" HomeDomain
