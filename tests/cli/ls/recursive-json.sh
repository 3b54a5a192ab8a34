larder ls -R --json "$GOLDEN/db-plain/backup" CameraRollDomain
