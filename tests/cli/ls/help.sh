larder ls --help
