B="$GOLDEN/db-plain/backup"
larder restore; echo $?
larder restore a b; echo $?
larder restore -x a; echo $?
larder restore --merge --remove "$B"; echo $?
larder restore --timeout 0 "$B"; echo $?
larder restore --only "" "$B"; echo $?
larder restore --unencrypted "$B"; echo $?
