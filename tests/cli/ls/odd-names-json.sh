larder ls -R --json "$GOLDEN/mbdb-plain/backup" MediaDomain/Media/bytes
