larder ls --quiet --bodyfile "$GOLDEN/db-plain/backup" AppDomain-com.example.app
larder ls --quiet --bodyfile "$GOLDEN/db-plain/backup" MediaDomain/Media/names
