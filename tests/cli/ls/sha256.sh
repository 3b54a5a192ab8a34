larder ls --quiet --sha256 "$GOLDEN/db-plain/backup" MediaDomain/Media/names
larder ls --quiet --sha256 "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents/hello.txt
