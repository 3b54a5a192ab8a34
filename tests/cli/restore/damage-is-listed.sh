export USBMUXD_SOCKET_ADDRESS=UNIX:$PWD/nothing
larder restore --dry-run --passfile "$PASS" "$GOLDEN/db-encrypted/backup"; echo $?
larder restore --dry-run --force-damaged --passfile "$PASS" "$GOLDEN/db-encrypted/backup"; echo $?
larder restore --dry-run --only MediaDomain --passfile "$PASS" "$GOLDEN/db-encrypted/backup"; echo $?
