larder ls -lR "$GOLDEN/mbdb-plain/backup" CameraRollDomain
