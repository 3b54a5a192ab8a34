larder umount --all x
larder umount --colour
