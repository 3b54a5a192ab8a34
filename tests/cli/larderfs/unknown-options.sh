larderfs a b -o bogus; echo $?
larderfs a b -o uid=me; echo $?
larderfs a b -o ro,view=sideways; echo $?
larderfs a b -o ways=ahead:bogus; echo $?
larderfs a b -o ways=; echo $?
larderfs a b -o "$(printf 'evil\033[2J')"; echo $?
larderfs a b -x; echo $?
larderfs a b -o; echo $?
larderfs a b --passfile; echo $?
