mkdir -p one/HomeDomain/Library two/HomeDomain/Library/new
echo old >one/HomeDomain/Library/file
echo "new and longer" >two/HomeDomain/Library/file
echo gone >one/HomeDomain/Library/gone
ln -s file two/HomeDomain/Library/gone
ln -s file one/HomeDomain/link
echo added >two/HomeDomain/Library/new/file
find one two -exec touch -hd @1700000000 {} +
larder pack --quiet one A
larder pack --quiet two B
clean() { sed 's/"seconds":[0-9.e-]*/"seconds":S/'; }
larder diff --json A B | clean
larder diff --json --summary A B | clean
larder diff A B
