larder umount "$GOLDEN/db-plain/backup"
larder umount nobody
larder umount "$(printf 'two\nlines')" /
