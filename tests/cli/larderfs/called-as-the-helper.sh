ln -s "$(command -v larderfs)" mount.larderfs
./mount.larderfs; echo $?
./mount.larderfs a b -o bogus; echo $?
./mount.larderfs "$GOLDEN/db-plain/backup" none; echo $?
