larder key; echo $?
larder key a b c; echo $?
