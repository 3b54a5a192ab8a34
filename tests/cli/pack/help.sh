larder pack --help
