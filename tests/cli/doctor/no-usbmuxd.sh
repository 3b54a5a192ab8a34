export USBMUXD_SOCKET_ADDRESS=UNIX:$PWD/nothing
larder doctor >said
grep -A 1 usbmuxd: said
ls -A
