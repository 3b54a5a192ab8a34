larder pack --json --only CameraRollDomain "$GOLDEN/mbdb-plain/backup" out |
	sed 's/"seconds":[0-9.e-]*/"seconds":S/'
