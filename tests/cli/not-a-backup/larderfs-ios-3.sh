bad ios3-mdinfo
set -- ios3-mdinfo; mkdir -p ../mnt; larderfs "$1" ../mnt
