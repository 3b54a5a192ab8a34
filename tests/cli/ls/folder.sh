larder ls --quiet "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents
