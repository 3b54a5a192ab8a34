bad snapshot-only-uploading
set -- snapshot-only-uploading; mkdir -p ../mnt; larderfs "$1" ../mnt
