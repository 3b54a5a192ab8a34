larder restore --help
