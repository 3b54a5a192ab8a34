export USBMUXD_SOCKET_ADDRESS=UNIX:$PWD/nothing
larder pack --only CameraRollDomain "$GOLDEN/db-plain/backup" part >/dev/null
larder restore --dry-run --json --exclude '*/Media/Times/*[0-9]*' part; echo $?
