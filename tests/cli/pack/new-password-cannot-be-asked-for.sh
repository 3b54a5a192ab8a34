larder pack --new-password "$GOLDEN/db-plain/backup" out; echo $?
: >empty
larder pack --new-passfile empty "$GOLDEN/db-plain/backup" out; echo $?
larder pack --new-passfile none "$GOLDEN/db-plain/backup" out; echo $?
ls
