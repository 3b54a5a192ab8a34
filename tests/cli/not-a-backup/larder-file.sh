echo hello >letter
set -- letter; larder info "$1"
