larder extract --only CameraRollDomain "$GOLDEN/db-plain/backup" out | sed 's/; [0-9.]* s$/; S s/'
find out | LC_ALL=C sort
larder extract --quiet --only CameraRollDomain "$GOLDEN/db-plain/backup" out; echo $?
larder extract --quiet --overwrite --only CameraRollDomain "$GOLDEN/db-plain/backup" out; echo $?
