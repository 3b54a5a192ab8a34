larder ls "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Twice
