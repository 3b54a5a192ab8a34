for state in uploading moving; do
	cp -a "$GOLDEN/db-encrypted/backup" $state
	mkdir $state/Snapshot
	/usr/bin/python3 - $state <<-END
	import plistlib, sys
	name = sys.argv[1] + "/Status.plist"
	with open(name, "rb") as f:
	    status = plistlib.load(f)
	status["SnapshotState"] = sys.argv[1]
	with open(name, "wb") as f:
	    plistlib.dump(status, f)
	END
	larder rekey --passfile "$PASS" --new-passfile "$PASS" $state; echo $?
	ls -a $state | grep -c larder
done; true
