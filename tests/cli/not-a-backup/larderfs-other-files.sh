mkdir folder; echo hello >folder/letter
set -- folder; mkdir -p ../mnt; larderfs "$1" ../mnt
