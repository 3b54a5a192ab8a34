larder ls --quiet "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents/hello.txt
larder ls --quiet --long "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents/hello.txt
larder ls --quiet --json "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents/hello.txt
