mkdir empty
set -- empty; mkdir -p ../mnt; larderfs "$1" ../mnt
