larderfs; echo $?
larderfs "$GOLDEN/db-plain/backup"; echo $?
larderfs a b c; echo $?
larderfs --capabilities a b; echo $?
