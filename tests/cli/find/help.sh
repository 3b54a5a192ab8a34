larder find --help
