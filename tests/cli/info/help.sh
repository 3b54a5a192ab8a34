larder info --help
