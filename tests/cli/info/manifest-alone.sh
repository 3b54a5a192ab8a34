cp "$GOLDEN/db-plain/backup/Manifest.db" .
mkdir alone && cp Manifest.db alone
larder info Manifest.db
larder info --json alone
