larder ls --quiet --json --sha256 "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Documents
larder ls --quiet --csv --sha256 "$GOLDEN/db-plain/backup" AppDomain-com.example.app/Flags | tr -d '\r'
