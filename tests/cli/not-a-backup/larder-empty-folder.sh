mkdir empty
set -- empty; larder info "$1"
