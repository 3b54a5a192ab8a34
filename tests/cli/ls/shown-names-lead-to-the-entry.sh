larder ls "$GOLDEN/db-plain/backup" 'MediaDomain/Media/dots'
larder ls "$GOLDEN/db-plain/backup" 'MediaDomain/Media/dots/%2E%2E/%2E%2E/etc'
larder ls "$GOLDEN/db-plain/backup" /MediaDomain//Media/dots/%2E
larder ls "$GOLDEN/db-plain/backup" MediaDomain/Media/dots/../dots
