larder devices --help
