larder ls --quiet -l "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents/links
