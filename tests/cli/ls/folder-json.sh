larder ls --quiet --json "$GOLDEN/db-encrypted/backup" --passfile "$PASS" AppDomain-com.example.app/Documents/
