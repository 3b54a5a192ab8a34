larder info; echo $?
larder info a b; echo $?
larder info --bogus a; echo $?
larder info --passfile; echo $?
