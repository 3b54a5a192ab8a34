B="$GOLDEN/db-plain/backup"
larder extract; echo $?
larder extract "$B"; echo $?
larder extract "$B" a b; echo $?
larder extract --tar t "$B" a; echo $?
larder extract -x "$B" a; echo $?
larder extract --view phone "$B" a; echo $?
larder extract --only "" "$B" a; echo $?
larder extract --json --tar - "$B"; echo $?
ls
