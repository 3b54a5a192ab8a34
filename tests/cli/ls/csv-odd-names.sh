larder ls --quiet --csv "$GOLDEN/db-plain/backup" MediaDomain/Media/names | tr '\r' '~'
