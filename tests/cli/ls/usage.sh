larder ls; echo $?
larder ls a b c; echo $?
larder ls -x a; echo $?
