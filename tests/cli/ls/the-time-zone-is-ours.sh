TZ=Etc/GMT-3 larder ls -l "$GOLDEN/db-plain/backup" EmptyDomain; TZ=Etc/GMT-3 larder ls -l "$GOLDEN/db-plain/backup" | grep EmptyDomain
