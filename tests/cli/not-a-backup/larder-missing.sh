set -- none/such; larder info "$1"
