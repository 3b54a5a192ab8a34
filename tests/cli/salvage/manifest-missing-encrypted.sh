cp -r "$GOLDEN/db-encrypted/backup" b
rm b/Manifest.db
larder salvage b; echo $?
rm b/Manifest.plist
larder salvage b; echo $?
