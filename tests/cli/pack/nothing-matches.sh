B="$GOLDEN/db-plain/backup"
larder pack --only NoDomain "$B" out; echo $?
larder pack --only CameraRollDomain --exclude 'CameraRollDomain/Nothing*' "$B" out; echo $?
larder pack --app com.example.none "$B" out; echo $?
ls
