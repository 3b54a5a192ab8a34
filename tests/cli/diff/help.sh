larder diff --help
