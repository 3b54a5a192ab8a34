name=$(printf 'evil\033[2J\nname')
mkdir "$name"
larder info "$name"; echo $?
larder info "$name/none"; echo $?
cp -r "$GOLDEN/db-plain/backup" "$name/$name"
larder info "$name"; echo $?
