larder lock --help
