cp -r "$GOLDEN/db-plain/backup" b
dd if=/dev/zero of=b/Manifest.db bs=100 count=1 conv=notrunc 2>/dev/null
larder ls b; echo $?
larder salvage b; echo $?
larder salvage --quiet --json b
