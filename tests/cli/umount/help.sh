larder umount --help
