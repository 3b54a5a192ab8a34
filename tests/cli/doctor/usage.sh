larder doctor a b; echo $?
