larder mounts --help
