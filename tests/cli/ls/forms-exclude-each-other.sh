B="$GOLDEN/db-plain/backup"
larder ls --csv --bodyfile "$B"; echo $?
larder ls --json --csv "$B"; echo $?
larder ls -l --bodyfile "$B"; echo $?
larder ls --bodyfile --sha256 "$B"; echo $?
larder ls -l --sha256 "$B"; echo $?
