bad ios3-mdinfo
set -- ios3-mdinfo; larder info "$1"
