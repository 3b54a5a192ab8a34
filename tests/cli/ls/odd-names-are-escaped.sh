larder ls -R "$GOLDEN/db-plain/backup" MediaDomain
