larder ls --quiet --csv "$GOLDEN/db-plain/backup" CameraRollDomain | tr -d '\r'
