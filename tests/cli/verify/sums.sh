mkdir b
printf x > b/Manifest.mbdb
printf y > "b/a
b"
touch b/Manifest.plist
larder verify --record - b
larder verify --record sums b
printf z > b/Manifest.mbdb
rm b/Manifest.plist
touch b/more
larder verify --against sums --notes b; echo $?
larder verify --against nothing b; echo $?
larder verify --record b/sums b; echo $?
larder verify --record nowhere/sums b; echo $?
