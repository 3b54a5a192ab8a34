cp -r "$GOLDEN/db-plain/backup" b
rm b/Manifest.db
larder salvage b; echo $?
larder ls -R --salvage b lost+found | sed 's/[0-9a-f]\{40\}/ID/' | sort | uniq -c
