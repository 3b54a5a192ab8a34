larder devices a b; echo $?
larder devices --bogus; echo $?
