export USBMUXD_SOCKET_ADDRESS=UNIX:$PWD/nothing
larder pack --only CameraRollDomain "$GOLDEN/db-plain/backup" part >/dev/null
larder restore --dry-run part; echo $?
larder restore --dry-run --only '*/Media' part; echo $?
larder restore --dry-run --merge --no-reboot --no-settings --no-apps part; echo $?
