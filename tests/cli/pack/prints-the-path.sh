larder pack --passfile "$PASS" --only CameraRollDomain "$GOLDEN/db-encrypted/backup" out
larder info --passfile "$PASS" out
larder pack --quiet --only EmptyDomain "$GOLDEN/db-plain/backup" "$PWD/other"
