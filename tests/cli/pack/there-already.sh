larder pack --only CameraRollDomain "$GOLDEN/db-plain/backup" part >/dev/null
mkdir there; touch file; ln -s nowhere link
for out in there file link no/such/folder; do
	larder pack part "$out"; echo $?
done
ls there
