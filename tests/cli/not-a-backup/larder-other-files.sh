mkdir folder; echo hello >folder/letter
set -- folder; larder info "$1"
