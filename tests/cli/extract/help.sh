larder extract --help
