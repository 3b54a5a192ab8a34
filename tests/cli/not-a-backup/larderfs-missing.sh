set -- none/such; mkdir -p ../mnt; larderfs "$1" ../mnt
