larder mount --help
