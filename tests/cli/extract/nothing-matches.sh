larder extract --only NoDomain "$GOLDEN/db-plain/backup" out; echo $?
larder extract --app com.example.none --tar out "$GOLDEN/db-plain/backup"; echo $?
ls
