USBMUXD_SOCKET_ADDRESS=UNIX:$PWD/nothing larder devices nowhere
