cp -r "$GOLDEN/db-ios10/backup" b
head -c 500 "$GOLDEN/db-ios10/backup/Manifest.plist" > b/Manifest.plist
larder salvage b 2>/dev/null; echo $?
larder ls --salvage b HomeDomain/Library 2>/dev/null
