larder salvage; echo $?
larder salvage a b; echo $?
larder salvage --nonsense a; echo $?
