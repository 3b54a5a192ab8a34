larder ls -lR "$GOLDEN/db-plain/backup" EmptyDomain
