echo hello >letter
set -- letter; mkdir -p ../mnt; larderfs "$1" ../mnt
