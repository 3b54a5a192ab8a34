larder pair --help
