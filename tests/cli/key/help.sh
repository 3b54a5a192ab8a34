larder key --help
