export USBMUXD_SOCKET_ADDRESS=UNIX:$PWD/nothing
larder doctor --json nowhere >said; echo $?
grep folder said
